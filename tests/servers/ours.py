"""mellite, asked the same questions as the official SDKs, and its answers brought into the same form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mellite
from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.messages import ToolCall, ToolResult
from mellite.request import HttpOptions, ToolDefinition
from tests.corpus_adapter import USAGE, reported_usage
from tests.servers.asking import RESULT, WEATHER_TOOL, Asked, Said
from tests.servers.running import KEY
from tests.servers.sdks import LONGEST, PATIENCE

__all__ = ["BASES", "asking", "said", "thunk_of"]

BASES: Final = {"anthropic": "/v1", "cohere": "/v2", "google": "/v1beta", "openai": "/v1", "openai-chat": "/v1"}
"""Provider -> what its base URL ends with."""

TOOL: Final = ToolDefinition(
    name=WEATHER_TOOL["name"], description=WEATHER_TOOL["description"], input_schema=WEATHER_TOOL["parameters"]
)


def asking(provider: str, base: str, model: str, **options: Any) -> LiveBackend:
    """A backend for one server."""
    url = f"{base}{BASES[provider]}"
    patience = mellite.Timeouts(first_byte=PATIENCE, idle=PATIENCE)
    return mellite.backend(f"{provider}:{model}", base_url=url, api_key=KEY, timeouts=patience, **options)


def _history(asked: Asked) -> Sequence[Message]:
    turns = []
    if asked.before is not None:
        turns += [Message.user(asked.before[0]), Message.assistant(asked.before[1])]
    turns.append(Message.user(asked.text))
    if asked.called is not None:
        turns.append(Message.assistant(ToolCall(asked.called, "get_weather", {"city": "Paris"})))
        turns.append(Message.tool(ToolResult(asked.called, "get_weather", RESULT)))
    return turns


def thunk_of(backend: LiveBackend, asked: Asked, *, stream: bool) -> ModelOutputThunk[str]:
    """The question as a thunk."""
    options: dict[str, Any] = {"max_tokens": LONGEST, "stream": stream}
    if asked.broken:
        options["http"] = HttpOptions(body={"temperature": "hot"})
    else:
        options["temperature"] = 0
    if asked.tools:
        options["tools"] = [TOOL]
    return backend.generate(list(_history(asked)), **options)


def said(thunk: ModelOutputThunk[str]) -> Said:
    """A settled thunk in the common form."""
    if thunk.error is not None:
        status = getattr(thunk.error, "status", None)
        return (
            Said(status=status, message=str(thunk.error))
            if status not in (None, 200)
            else Said(text=thunk.partial, reason=type(thunk.error).__name__, message=str(thunk.error))
        )
    name = USAGE.get(thunk.generation.protocol or "", ("prompt_tokens", "completion_tokens"))[1]
    calls = [call for call in thunk.tool_calls if not call.provider_executed]
    return Said(
        text=thunk.text,
        thinking=thunk.thinking or "",
        calls=tuple([(call.name, call.arguments) for call in calls]),
        reason=thunk.generation.raw_finish_reason,
        taken=thunk.usage.input_tokens if thunk.usage is not None else None,
        given=reported_usage(thunk).get(name),
        call_id=calls[0].id if calls else None,
    )
