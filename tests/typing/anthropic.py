"""Raw answers of Anthropic's Messages as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from mellite import ModelOutputThunk
from mellite.protocols.anthropic_messages import (
    ANTHROPIC,
    AnthropicBlock,
    AnthropicDialect,
    AnthropicMessage,
    AnthropicRaw,
    AnthropicState,
    protocol,
)
from mellite.providers.anthropic import messages_route
from mellite.values.records import RawProviderResponse
from mellite.wire.protocol import Protocol
from mellite.wire.route import Route


def narrowed(thunk: ModelOutputThunk[str]) -> None:
    """`isinstance` narrows the raw answer to Anthropic's, whose message is typed."""
    raw = thunk.raw
    assert_type(raw, RawProviderResponse)
    if isinstance(raw, AnthropicRaw):
        assert_type(raw.response, AnthropicMessage | None)
        if raw.response is not None:
            assert_type(raw.response["content"], list[AnthropicBlock])
            assert_type(raw.response["stop_reason"], str | None)
            assert_type(raw.response.get("stop_details"), dict[str, Any] | None)


def matched(thunk: ModelOutputThunk[str]) -> str:
    """So does `match`."""
    match thunk.raw:
        case AnthropicRaw(response=message) if message is not None:
            assert_type(message, AnthropicMessage)
            return "".join([block.get("text", "") for block in message["content"]])
        case AnthropicRaw() as raw:
            assert_type(raw.response, AnthropicMessage | None)
            return raw.provider or ""
        case _:
            return ""


def made() -> None:
    """Protocols and routes have their types."""
    assert_type(protocol(), Protocol[AnthropicState])
    assert_type(ANTHROPIC, AnthropicDialect)
    assert_type(messages_route(), Route)


def mistakes(raw: AnthropicRaw) -> None:
    """What must not type-check; each line is an error that the checkers expect."""
    if raw.response is not None:
        raw.response["choices"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
