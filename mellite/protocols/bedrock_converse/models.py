"""What the families of models on Bedrock differ in, as a table: prompt cache, sampling, effort, thinking."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from attrs import field, frozen

__all__ = ["Family", "family_of"]


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
    """

    words: tuple[str, ...]
    caches: bool = field(default=False, kw_only=True)
    caches_tools: bool = field(default=False, kw_only=True)
    top_k: tuple[str, ...] = field(default=("top_k",), kw_only=True)
    effort: tuple[str, ...] | None = field(default=(), kw_only=True)
    effort_beside: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    thinking: bool = field(default=False, kw_only=True)
    signed: bool = field(default=False, kw_only=True)


# The first row with a word in the id counts. Prompt cache:
# https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html; Nova: https://docs.aws.amazon.com/nova/;
# Qwen's reasoning_config is from recorded requests.
_FAMILIES: Final = (
    Family(
        ("claude-v2", "claude-instant", "claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-3-5-sonnet"),
        effort=None,
        signed=True,
    ),
    Family(("anthropic.", "claude"), caches=True, caches_tools=True, thinking=True, signed=True),
    Family(
        ("amazon.nova-2",),
        caches=True,
        top_k=("inferenceConfig", "topK"),
        effort=("reasoningConfig", "maxReasoningEffort"),
        effort_beside=(("type", "enabled"),),
    ),
    Family(
        ("amazon.nova-lite", "amazon.nova-micro", "amazon.nova-premier", "amazon.nova-pro"),
        caches=True,
        top_k=("inferenceConfig", "topK"),
        effort=None,
    ),
    Family(("openai.gpt-oss",), effort=("reasoning_effort",)),
    Family(("qwen.",), effort=("reasoning_config",)),
    Family(("cohere.",), top_k=("k",), effort=None),
    Family(("arn:",), thinking=True),  # the id of an inference profile of one's own does not tell what is behind it
)
_OTHER: Final = Family(())


@lru_cache(maxsize=256)
def family_of(model: str | None) -> Family:
    """Return what is known of a model by its id, which may have a region before it, or be an ARN.

    Example:
        >>> family_of("us.anthropic.claude-sonnet-4-6").signed, family_of("mistral.mistral-large-2407-v1:0").signed
        (True, False)
    """
    id = (model or "").lower()
    return next((family for family in _FAMILIES if any(word in id for word in family.words)), _OTHER)
