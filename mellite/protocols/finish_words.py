"""The words by which providers and servers say why an answer ended, and what each means: one table for all protocols.

Gateways translate one protocol into another and let the word through as it was, so any word may come over any protocol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ..values.errors import ProviderInternal
from ..values.events import FinishReason
from ..values.usage import Usage

__all__ = ["finish_reason", "is_cut_short", "is_paused", "is_unfinished"]

_BEDROCK: Final = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"
_CLAUDE: Final = "https://docs.claude.com/en/api/handling-stop-reasons"
_COHERE: Final = "https://docs.cohere.com/v2/reference/chat"
_GEMINI: Final = "https://ai.google.dev/api/generate-content#FinishReason"
_MISTRAL: Final = "https://docs.mistral.ai/api/"
_OPENAI: Final = "https://platform.openai.com/docs/api-reference/chat/object"
_VLLM: Final = "https://github.com/vllm-project/vllm/blob/main/vllm/v1/engine/__init__.py"
_WATSONX: Final = "https://cloud.ibm.com/apidocs/watsonx-ai#text-chat"
_ZAI: Final = "https://docs.z.ai/api-reference/llm/chat-completion"

#: By what they mean: the words, in lower case with "_" for "-", and who says so.
_MEANINGS: Final[Mapping[FinishReason, Mapping[str, tuple[str, ...]]]] = {
    "stop": {
        _OPENAI: ("stop", "completed"),
        _CLAUDE: ("end_turn", "stop_sequence", "pause_turn", "compaction"),
        _COHERE: ("complete",),
        "https://huggingface.co/docs/text-generation-inference/reference/api_reference": ("eos_token",),
        "https://docs.together.ai/reference/chat-completions": ("eos",),
        "https://openrouter.ai/docs/api-reference/overview": ("end",),
        "https://cloud.baidu.com/doc/qianfan-api/": ("normal",),
    },
    "length": {
        _OPENAI: ("length", "max_output_tokens"),
        _CLAUDE: ("max_tokens", "model_context_window_exceeded"),
        _COHERE: ("error_limit",),
        _MISTRAL: ("model_length",),
        _WATSONX: ("time_limit",),
    },
    "tool-calls": {
        _OPENAI: ("tool_calls", "function_call"),  # the old word; of Gemini's mock aimock, too
        _CLAUDE: ("tool_use",),
        _COHERE: ("tool_call",),
    },
    "content-filter": {
        _OPENAI: ("content_filter",),
        _CLAUDE: ("refusal",),
        _BEDROCK: ("content_filtered", "guardrail_intervened"),
        _COHERE: ("error_toxic",),
        _ZAI: ("sensitive",),
        _GEMINI: (
            "blocklist",
            "image_other",
            "image_prohibited_content",
            "image_recitation",
            "image_safety",
            "language",
            "model_armor",
            "prohibited_content",
            "recitation",
            "safety",
            "spii",
        ),
    },
    "error": {
        _BEDROCK: ("malformed_model_output", "malformed_tool_use"),
        _VLLM: ("repetition",),
        _GEMINI: (
            "malformed_function_call",
            "malformed_response",
            "missing_thought_signature",
            "no_image",
            "too_many_tool_calls",
            "unexpected_tool_call",
        ),
    },
}

#: Words that say that something broke, so that what came before is not an answer.
_BROKEN: Final[Mapping[str, tuple[str, ...]]] = {
    _MISTRAL: ("error",),
    _COHERE: ("timeout", "user_cancel"),
    "https://api-docs.deepseek.com/api/create-chat-completion": ("insufficient_system_resource",),
    _ZAI: ("network_error",),
    _VLLM: ("abort",),
    _WATSONX: ("cancelled",),
}

#: Words that say that more is to come, as an absent one does. Alibaba's DashScope and IBM's watsonx write "null", and
#: what prints Google's enums with their defaults writes the zeroth name.
_GOING_ON: Final = frozenset({"", "null", "none", "unspecified"})

_REASONS: Final[Mapping[str, FinishReason]] = {
    word: reason for reason, sources in _MEANINGS.items() for words in sources.values() for word in words
}
_FAILURES: Final = frozenset([word for words in _BROKEN.values() for word in words])

#: What Google's enums put before some of their names, and some SDKs before all of them.
_PREFIX: Final = re.compile("(finish|block|blocked)_reason_")


def finish_reason(word: str | None, *, calls: bool, usage: Usage | None = None) -> FinishReason:
    """Return why an answer ended, in mellite's word.

    Args:
        word: the provider's own word; None if it gave none.
        calls: whether the answer has tool calls that the caller has to answer. Then it ended because of them,
            unless the word says something else: OpenAI says "stop" where a tool was forced, gateways say anything.
        usage: what was used, for the error.

    Raises:
        ProviderInternal: if the word says that something broke.

    Example:
        >>> finish_reason("end_turn", calls=False), finish_reason("EOS_TOKEN", calls=True)
        ('stop', 'tool-calls')
    """
    name = _name(word)
    if name in _FAILURES:
        msg = f"the answer was broken off by the provider, with finish reason {word!r}"
        raise ProviderInternal(msg, usage=usage)
    reason = _REASONS.get(name, "unknown")
    return "tool-calls" if calls and reason in ("stop", "unknown") else reason


def is_cut_short(word: str | None) -> bool:
    """Tell whether the answer hit a limit or a filter, so that a tool call that is not whole is none.

    Example:
        >>> is_cut_short("MAX_TOKENS"), is_cut_short("stop")
        (True, False)
    """
    return _REASONS.get(_name(word)) in ("length", "content-filter")


def is_paused(word: str | None) -> bool:
    """Tell whether the provider paused a long turn with tools of its own: asked with what it said, it goes on.

    Example:
        >>> is_paused("pause_turn"), is_paused("end_turn")
        (True, False)
    """
    return _name(word) == "pause_turn"


def is_unfinished(word: str | None) -> bool:
    """Tell whether the word says nothing, or that the answer goes on, as some hosts do with every chunk.

    Example:
        >>> is_unfinished("FINISH_REASON_UNSPECIFIED"), is_unfinished("stop")
        (True, False)
    """
    return _name(word) in _GOING_ON


@lru_cache(maxsize=256)  # a provider has a dozen of them
def _name(word: str | None) -> str:
    name = (word or "").strip().lower().replace("-", "_")
    found = _PREFIX.match(name)
    return name if found is None else name[found.end() :]
