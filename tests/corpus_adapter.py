"""Runs a recorded answer through the public pipeline and says what mellite read out of it, for the corpus checker."""

from __future__ import annotations

from typing import Any

from mellite import ModelOutputThunk, ToolCall
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream, MelliteError
from mellite.providers.catalog import find

PROVIDERS = {
    "anthropic-messages": "anthropic",
    "bedrock-converse": "bedrock",
    "cohere-chat": "cohere",
    "gemini": "google",
    "mistral-chat": "mistral",
    "openai-chat": "openai-chat",
    "openai-responses": "openai",
}
"""The checker's protocols -> the providers whose routes speak them."""

USAGE = {
    "anthropic-messages": ("input_tokens", "output_tokens"),
    "bedrock-converse": ("inputTokens", "outputTokens"),
    "cohere-chat": ("input_tokens", "output_tokens"),
    "gemini": ("promptTokenCount", "candidatesTokenCount"),
    "openai-responses": ("input_tokens", "output_tokens"),
}
"""mellite's protocols -> the provider's names for what went in and what came out; else those of Chat Completions."""

INSIDE = ("response", "message", "metadata", "delta")
"""Where an event of a stream may hold the answer, and with it the usage."""


def adapter(call: dict[str, Any]) -> dict[str, Any]:
    """What one recorded answer says, in the checker's words; see ``corpus_check.py``."""
    route = find(f"{PROVIDERS[call['protocol']]}:recorded", api_key="sk-recorded")
    headers = {name: value for name, value in call["headers"].items() if name != "content-encoding"}  # stored decoded
    transport = ScriptedTransport([(call["status"], headers, list(call["chunks"]))])
    thunk = LiveBackend(route, transport=transport, stream=call["streaming"]).generate("What was recorded.")
    error: MelliteError | None = None
    try:
        thunk.result()
    except MelliteError as raised:
        error = raised
    return outcome(thunk, error)


def outcome(thunk: ModelOutputThunk[str], error: MelliteError | None) -> dict[str, Any]:
    """A settled thunk, in the checker's words."""
    generation = thunk.generation
    usage = reported_usage(thunk)
    given, made = USAGE.get(generation.protocol or "", ("prompt_tokens", "completion_tokens"))
    asked = [call for call in thunk.tool_calls if not call.provider_executed]
    calls = [
        {"id": given_id(call, generation.protocol), "name": call.name, "arguments": call.arguments} for call in asked
    ]
    message = getattr(error, "provider_message", None) or str(error)
    return {
        "text": thunk.partial,
        "thinking": thunk.thinking,
        "tool_calls": calls,
        "finish_reason": generation.raw_finish_reason,
        "usage": {"input": usage.get(given), "output": usage.get(made)},
        "response_id": generation.response_id,
        "model": generation.response_model,
        "complete": error is None,
        "error": {"status": error.status, "message": message}
        if error is not None and not isinstance(error, IncompleteStream)
        else None,
    }


def reported_usage(thunk: ModelOutputThunk[str]) -> dict[str, Any]:
    """What the provider last reported of each count: the checker wants its own figures, also zeros after real ones."""
    answers = thunk.raw.streamed_chunks or [thunk.raw.response]
    objects = [answer for answer in answers if isinstance(answer, dict)]
    holders = [
        holder for answer in objects for holder in (answer, *map(answer.get, INSIDE)) if isinstance(holder, dict)
    ]
    reports = [report for holder in holders if (report := holder.get("usage") or holder.get("usageMetadata"))]
    reports += [tokens for report in reports if isinstance(tokens := report.get("tokens"), dict)]
    return {name: count for report in reports for name, count in report.items() if count is not None}


def finish_word(thunk: ModelOutputThunk[str]) -> str | None:
    """The provider's word for the end; the checker does not count why Gemini blocked a prompt."""
    answer = thunk.raw.response
    feedback = answer.get("promptFeedback") if isinstance(answer, dict) else None
    word = thunk.generation.raw_finish_reason
    return None if isinstance(feedback, dict) and feedback.get("blockReason") == word else word


def given_id(call: ToolCall, protocol: str | None) -> str | None:
    """The provider's own id of a call; of Gemini, which often gives none, it stands in what is sent back."""
    if protocol != "gemini":
        return call.id
    return ((call.provider_metadata or {}).get("google") or {}).get("id")
