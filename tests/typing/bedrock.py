"""Raw answers of Bedrock's Converse as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from mellite import ModelOutputThunk
from mellite.protocols.bedrock_converse import BedrockConverseRaw, ConverseResponse, ConverseState, protocol
from mellite.providers.bedrock import converse_route
from mellite.values.records import RawProviderResponse
from mellite.wire.auth.aws_profile import ProfileKeys
from mellite.wire.auth.sigv4 import GivenKeys, RevealedKeys
from mellite.wire.aws import EventStreamDecoder, EventStreamMessage, HeaderValue
from mellite.wire.protocol import Protocol
from mellite.wire.route import Route


def narrowed(thunk: ModelOutputThunk[str]) -> None:
    """`isinstance` narrows the raw answer to Converse's, whose parts are typed."""
    raw = thunk.raw
    assert_type(raw, RawProviderResponse)
    if isinstance(raw, BedrockConverseRaw):
        assert_type(raw.response, ConverseResponse | None)
        if raw.response is not None:
            assert_type(raw.response["output"]["message"]["content"], list[dict[str, Any]])
            assert_type(raw.response["stopReason"], str)
            assert_type(raw.response.get("trace"), dict[str, Any] | None)


def matched(thunk: ModelOutputThunk[str]) -> str:
    """So does `match`."""
    match thunk.raw:
        case BedrockConverseRaw(response=answer) if answer is not None:
            assert_type(answer, ConverseResponse)
            return answer["stopReason"]
        case BedrockConverseRaw() as raw:
            assert_type(raw.response, ConverseResponse | None)
            return raw.provider or ""
        case _:
            return ""


def made(decoder: EventStreamDecoder) -> None:
    """Protocols, routes, keys and messages have their types."""
    assert_type(protocol(), Protocol[ConverseState])
    assert_type(converse_route(keys=GivenKeys("id", "secret"), region="eu-west-1"), Route)
    assert_type(converse_route(keys=ProfileKeys("work")), Route)
    assert_type(GivenKeys("id", "secret").reveal(), RevealedKeys)
    assert_type(decoder.feed(b""), list[EventStreamMessage])
    for message in decoder.end():
        assert_type(message.headers, Mapping[str, HeaderValue])
        assert_type(message.payload, bytes)


def mistakes(raw: BedrockConverseRaw) -> None:
    """What must not type-check; each line is an error that the checkers expect."""
    converse_route(keys="secret")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    if raw.response is not None:
        raw.response["choices"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
