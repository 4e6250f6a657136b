"""Differences between the model families on Bedrock, as a table: prompt cache, sampling, effort, thinking."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from attrs import field, frozen

__all__ = ["Family", "family_of", "has_schemas"]


@frozen
class Family:
    """Facts about some models, told by words in their ids.

    Args:
        words: one of these stands in the model's id.
        caches: whether prompts can be cached, so that marking them unasked does no harm.
        caches_tools: whether the definitions of tools can be.
        top_k: where ``top_k`` goes below ``additionalModelRequestFields``.
        effort: where the effort goes below ``additionalModelRequestFields``; empty for Converse's own field; None where
            there is no effort to choose.
        effort_beside: what has to stand beside the effort.
        thinking: whether a budget for thinking can be set, as Claude has it.
        signed: whether thinking is only taken back with its signature.
        tools: whether the models can call tools.
        forced: whether they can be forced to call one.
    """

    words: tuple[str, ...]
    caches: bool = field(default=False, kw_only=True)
    caches_tools: bool = field(default=False, kw_only=True)
    top_k: tuple[str, ...] = field(default=("top_k",), kw_only=True)
    effort: tuple[str, ...] | None = field(default=(), kw_only=True)
    effort_beside: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    thinking: bool = field(default=False, kw_only=True)
    signed: bool = field(default=False, kw_only=True)
    tools: bool = field(default=True, kw_only=True)
    forced: bool = field(default=False, kw_only=True)


# The first row with a word in the id counts. Prompt cache:
# https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html; Nova: https://docs.aws.amazon.com/nova/;
# Qwen's reasoning_config is from recorded requests. Tools, and which can be forced:
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html
_FAMILIES: Final = (
    Family(("claude-v2", "claude-instant"), effort=None, signed=True, tools=False),
    Family(
        ("claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-3-5-sonnet"),
        effort=None,
        signed=True,
        forced=True,
    ),
    Family(("anthropic.", "claude"), caches=True, caches_tools=True, thinking=True, signed=True, forced=True),
    Family(
        ("amazon.nova-2",),
        caches=True,
        top_k=("inferenceConfig", "topK"),
        effort=("reasoningConfig", "maxReasoningEffort"),
        effort_beside=(("type", "enabled"),),
        forced=True,
    ),
    Family(
        ("amazon.nova-lite", "amazon.nova-micro", "amazon.nova-premier", "amazon.nova-pro"),
        caches=True,
        top_k=("inferenceConfig", "topK"),
        effort=None,
        forced=True,
    ),
    Family(("amazon.titan", "deepseek.r1", "meta.llama2", "meta.llama3-8b", "meta.llama3-70b"), tools=False),
    Family(("openai.gpt-oss",), effort=("reasoning_effort",)),
    Family(("qwen.",), effort=("reasoning_config",)),
    Family(("cohere.",), top_k=("k",), effort=None),
    Family(
        ("arn:",), thinking=True, forced=True
    ),  # the id of an inference profile of one's own does not tell what is behind it
)
_OTHER: Final = Family(())

#: Models whose answers can be held to a JSON Schema; Claude from 4.5 on.
_CLAUDE: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_FIRST_CLAUDE: Final = (4, 5)
_WITH_SCHEMAS: Final = re.compile(
    r"deepseek\.v3|google\.gemma-3|minimax\.|mistral\.(?:magistral|ministral|mistral-large-3|voxtral)|moonshot|"
    r"nvidia\.nemotron|openai\.gpt-oss|qwen\.qwen3"
)


@lru_cache(maxsize=256)
def has_schemas(model: str | None) -> bool:
    """Tell whether the answers of a model can be held to a JSON Schema, as far as is known.

    Example:
        >>> has_schemas("us.anthropic.claude-sonnet-4-6"), has_schemas("amazon.nova-lite-v1:0")
        (True, False)
    """
    id = (model or "").lower()
    claude = _CLAUDE.search(id)
    if claude is not None:
        return (int(claude[1]), int(claude[2] or 0)) >= _FIRST_CLAUDE
    return _WITH_SCHEMAS.search(id) is not None


@lru_cache(maxsize=256)
def family_of(model: str | None) -> Family:
    """Return what is known of a model by its id, which may have a region before it, or be an ARN.

    Example:
        >>> family_of("us.anthropic.claude-sonnet-4-6").signed, family_of("mistral.mistral-large-2407-v1:0").signed
        (True, False)
    """
    id = (model or "").lower()
    return next((family for family in _FAMILIES if any(word in id for word in family.words)), _OTHER)
