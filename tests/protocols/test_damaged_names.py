"""Bytes that are not UTF-8 in the name of a JSON field: an error in every protocol, never an answer with less text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import anyio
import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidProviderOutput, MelliteError
from mellite.protocols.json_values import decode_json
from mellite.providers.catalog import find
from mellite.wire.aws import EventStreamDecoder
from tests.providers.answers import ANSWERS, Spoken
from tests.wire.frames import message
from tests.wire.sockets import talking

MODELS = {
    "anthropic-messages": "anthropic:m",
    "bedrock-converse": "bedrock:m",
    "cohere-chat": "cohere:m",
    "gemini": "google:m",
    "openai-chat": "openai-chat:m",
    "openai-responses": "openai:m",
}
NAME = re.compile(rb'"([a-zA-Z_]+)" ?:')
TYPE = re.compile(rb'"type" ?: ?"([a-z_.]+)"')


def damaged(body: bytes) -> Iterator[bytes]:
    """The body with one byte FF: before, in the middle of and behind the name of each field, and in each type."""
    for found in NAME.finditer(body):
        for at in (found.start(1), (found.start(1) + found.end(1)) // 2, found.end(1)):
            yield body[:at] + b"\xff" + body[at:]
    for found in TYPE.finditer(body):
        yield body[: found.end(1) - 1] + b"\xff" + body[found.end(1) :]


def streams(spoken: Spoken) -> Iterator[list[bytes]]:
    """The pieces of a stream with one event damaged; those of an AWS event stream with the right checksums."""
    for number, piece in enumerate(spoken.pieces):
        frames = EventStreamDecoder().feed(piece) if piece[:1] == b"\0" else []
        headers = {name: str(value) for name, value in frames[0].headers.items()} if frames else {}
        for changed in damaged(frames[0].payload if frames else piece):
            made = message(headers, changed) if frames else changed
            yield [*spoken.pieces[:number], made, *spoken.pieces[number + 1 :]]


async def come_of(spec: str, spoken: Spoken, pieces: list[bytes], *, stream: bool) -> str:
    """The text of an answer; the name of the error if there is none."""
    content_type = spoken.content_type if stream else "application/json"
    transport = ScriptedTransport([(200, {"content-type": content_type}, pieces)])
    backend = LiveBackend(find(spec, api_key="k"), transport=transport, stream=stream)
    try:
        return await backend.generate("hi")
    except MelliteError as error:
        return type(error).__name__


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_no_text_vanishes_under_a_damaged_name(protocol: str, stream: bool) -> None:
    """Wherever a name is damaged, the answer is InvalidProviderOutput, or all of it where the place held nothing."""
    spoken = ANSWERS[protocol]
    bodies = list(streams(spoken)) if stream else [[body] for body in damaged(spoken.whole)]
    seen = [await come_of(MODELS[protocol], spoken, body, stream=stream) for body in bodies]
    assert set(seen) <= {"Hello!", "InvalidProviderOutput"}
    assert seen.count("InvalidProviderOutput") > 20


@pytest.mark.anyio
async def test_no_text_vanishes_over_a_websocket() -> None:
    """The messages of a WebSocket are read as strictly as the events of a stream."""
    events = [piece.partition(b"data: ")[2].strip() for piece in ANSWERS["openai-responses"].pieces]
    at = next(number for number, event in enumerate(events) if b"output_text.delta" in event)
    changed = events[at].replace(b'"delta":', b'"de\xfflta":')
    with talking([[[*events[:at], changed, *events[at + 1 :]]]]) as server:
        with anyio.fail_after(5):
            async with LiveBackend(find("openai-websocket:m", api_key="k", base_url=server.url)) as backend:
                with pytest.raises(InvalidProviderOutput, match="not UTF-8"):
                    await backend.generate("hi")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": [{"b": "x\xffy"}], "\xc3\xa9": 1}', {"a": [{"b": "x\ufffdy"}], "é": 1}),
        ('{"\ufffd": 1}'.encode(), {"\ufffd": 1}),
    ],
)
def test_values_are_read_all_the_same(data: bytes, value: object) -> None:
    """In values such bytes become U+FFFD, and a name may hold that character where it was sent as such."""
    assert decode_json(data) == value


@pytest.mark.parametrize("data", [b'{"\xff": 1}', b'[{"x": {"a\xc3": 1}}]', b'{"type": "t\xff"}'])
def test_a_damaged_name_is_said(data: bytes) -> None:
    """The error says what is damaged."""
    with pytest.raises(InvalidProviderOutput, match="not UTF-8"):
        decode_json(data)
