"""How much one answer may be: values of JSON are counted before they are decoded, bytes of a stream as they come."""

from __future__ import annotations

import gc
import gzip
import json
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport, ReplayTransport, ScriptedTransport
from mellite.errors import InvalidRequest, OutputTooLarge, TotalTimeout
from mellite.protocols.json_values import decode_json
from mellite.providers.catalog import find
from mellite.request import Timeouts
from mellite.wire.bounds import held, values_in
from mellite.wire.http import HttpResponse
from tests.protocols.test_damaged_names import MODELS
from tests.providers.answers import AMAZON, ANSWERS, SSE
from tests.wire.answers import STREAM
from tests.wire.frames import event
from tests.wire.sockets import talking
from tests.wire.test_response import Fixed, Silent

MOST = 500
FULL = {"junk": [[]] * MOST}


def with_junk(body: bytes) -> bytes:
    """An answer in one piece with far too many values in a field that nobody knows."""
    return json.dumps({**json.loads(body), **FULL}).encode()


async def come_of(protocol: str, pieces: Sequence[bytes], *, stream: bool, **options: Any) -> str:
    """The text of an answer that comes in these pieces."""
    content_type = ANSWERS[protocol].content_type if stream else "application/json"
    transport = ScriptedTransport([(200, {"content-type": content_type}, list(pieces))])
    return await LiveBackend(
        find(MODELS[protocol], api_key="k"), transport=transport, stream=stream, **options
    ).generate("x")


def junk_event(protocol: str) -> bytes:
    """One event of a stream that holds too many values."""
    if ANSWERS[protocol].content_type == AMAZON:
        return event("metadata", FULL)
    assert ANSWERS[protocol].content_type == SSE
    return b"data: " + json.dumps({"type": "response.new", **FULL}).encode() + b"\n\n"


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_too_many_values_are_not_decoded(protocol: str, stream: bool) -> None:
    """Above the bound it is OutputTooLarge that names the option; with the bound raised or gone the answer is read."""
    spoken = ANSWERS[protocol]
    pieces = [junk_event(protocol), *spoken.pieces] if stream else [with_junk(spoken.whole)]
    with pytest.raises(OutputTooLarge, match="max_answer_values"):
        await come_of(protocol, pieces, stream=stream, max_answer_values=MOST)
    for bound in (10 * MOST, None):
        assert await come_of(protocol, pieces, stream=stream, max_answer_values=bound) == "Hello!"


@pytest.mark.anyio
async def test_too_many_values_over_a_websocket() -> None:
    """A message of a WebSocket has the same bound, and its connection is closed."""
    events = [json.loads(piece.partition(b"data: ")[2]) for piece in ANSWERS["openai-responses"].pieces]
    with talking([[[{"type": "response.new", **FULL}, *events]]]) as server:
        route = find("openai-websocket:m", api_key="k", base_url=server.url)
        async with LiveBackend(route, max_answer_values=MOST) as backend:
            with anyio.fail_after(5), pytest.raises(OutputTooLarge):
                await backend.generate("hi")


@pytest.mark.anyio
async def test_too_many_values_in_a_cassette() -> None:
    """A replayed answer has the same bound."""
    spoken = ANSWERS["openai-chat"]
    recorder = RecordTransport(
        ScriptedTransport([(200, {"content-type": SSE}, [junk_event("openai-chat"), *spoken.pieces])])
    )
    route = find("openai-chat:m", api_key="k")
    assert await LiveBackend(route, transport=recorder).generate("hi") == "Hello!"
    replayed = LiveBackend(route, transport=ReplayTransport(recorder.cassette), max_answer_values=MOST)
    with pytest.raises(OutputTooLarge):
        await replayed.generate("hi")


@pytest.mark.anyio
async def test_what_a_stream_keeps_is_bounded_too() -> None:
    """Many events that are small pass where nothing of them is kept, and do not where all of it is."""
    whole = ANSWERS["openai-chat"].pieces
    passing = b'data: {"id": "c1", "choices": [{"index": 0, "delta": {"content": "a"}}], "x": [1, 2, 3]}\n\n'
    text = await come_of("openai-chat", [passing * 300, *whole], stream=True, max_answer_values=1000)
    assert text == "a" * 300 + "Hello!"
    kept = b'data: {"choices": [{"index": 0, "delta": {"x": [[], [], [], [], [], [], [], [], [], []]}}]}\n\n'
    with pytest.raises(OutputTooLarge):
        await come_of("openai-chat", [kept * 300, *whole], stream=True, max_answer_values=1000)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("packed", [True, False])
async def test_too_many_bytes(stream: bool, packed: bool) -> None:
    """The bytes of a stream, decompressed, are bounded as those of an answer in one piece; what came is kept."""
    spoken = ANSWERS["openai-chat"]
    body = spoken.pieces[0] + b": waiting\n\n" * 1000 if stream else spoken.whole + b" " * 10_000
    kind = SSE if stream else "application/json"
    headers = {"content-type": kind, **({"content-encoding": "gzip"} if packed else {})}
    answer = (200, headers, gzip.compress(body) if packed else body)
    transport = ScriptedTransport([answer])
    backend = LiveBackend(find("openai-chat:m", api_key="k"), transport=transport, stream=stream, max_answer_bytes=5000)
    thunk = backend.generate("hi")
    with pytest.raises(OutputTooLarge, match="5,000 bytes"):
        await thunk


@pytest.mark.anyio
async def test_how_large_an_event_may_be() -> None:
    """One event may have half of the bytes of an answer, also where the bound was raised or lowered."""
    padded = b'data: {"choices": [], "pad": "' + b"x" * 600 + b'"}\n\n'
    pieces = [padded, *ANSWERS["openai-chat"].pieces]
    with pytest.raises(OutputTooLarge, match="an event of the stream"):
        await come_of("openai-chat", pieces, stream=True, max_answer_bytes=1200)
    for bound in (2000, None):
        assert await come_of("openai-chat", pieces, stream=True, max_answer_bytes=bound) == "Hello!"


@pytest.mark.parametrize("name", ["max_answer_bytes", "max_answer_values"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", True])
def test_a_bound_is_a_number(name: str, value: Any) -> None:
    """A bound below one, or of another type, is refused by its name when the backend is made."""
    with pytest.raises(InvalidRequest, match=name):
        mellite.backend("openai-chat:m", **{name: value})


# --- time -----------------------------------------------------------------------------------------


class Late(Silent):
    """An answer whose first piece comes after the time in all is over, though it was asked for in time."""

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece, late."""
        await anyio.sleep(0.06)
        return await super().read(timeout)


@pytest.mark.anyio
@pytest.mark.parametrize("packed", [True, False])
async def test_one_read_does_not_get_past_the_clock(packed: bool) -> None:
    """What one read gives is handed on in slices, and between two of them the clock is looked at."""
    body = b": waiting\n\n" * 100_000 + STREAM
    response: HttpResponse = Late([gzip.compress(body) if packed else body])
    response.headers = {**response.headers, **({"content-encoding": "gzip"} if packed else {})}
    route = find("openai-chat:m", api_key="k")
    thunk = LiveBackend(route, transport=Fixed(response), timeouts=Timeouts(total=0.05)).generate("hi")
    with pytest.raises(TotalTimeout):
        await thunk


@pytest.mark.anyio
async def test_one_read_does_not_hold_the_loop() -> None:
    """While a short body inflates to much, others have their turn."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    body = gzip.compress(b": waiting\n\n" * 100_000 + STREAM)
    transport = ScriptedTransport([(200, {"content-type": SSE, "content-encoding": "gzip"}, body)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        answer = await LiveBackend(find("openai-chat:m", api_key="k"), transport=transport).generate("hi")
        tasks.cancel_scope.cancel()
    assert answer == "Hello, you."
    assert turns > 10  # 1.1 MB in slices of 64 KiB


def test_collecting_garbage_goes_on_after_decoding() -> None:
    """It rests while much is decoded, and is then as it was, also where that fails or it was off."""
    large = b"[" + b"[]," * 100_000 + b"1]"
    for data in (large, large + b"!"):
        for before in (gc.enable, gc.disable):
            before()
            was = gc.isenabled()
            with suppress(mellite.errors.InvalidProviderOutput):
                decode_json(data)
            assert gc.isenabled() is was
            gc.enable()


# --- counting -------------------------------------------------------------------------------------


def slowly(text: str) -> int:
    """The signs that begin or part values, outside of strings; one character after the other."""
    count, inside, escaped = 0, False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
        elif not inside and character in "{[,:":
            count += 1
    return count


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_values_outside_of_strings_are_counted(seed: int) -> None:
    """Quotes, backslashes and what they escape are read as JSON has them, also where blocks are cut."""
    random = Random(seed)
    pieces = ['"', "\\\\", '\\"', "\\n", ",,,", "[", "{", ":", "a" * 9, "é", "\\u005c"]
    strings = ['"' + "".join(random.choices(pieces[1:], k=random.randrange(30))) + '"' for _ in range(3000)]
    text = "[" + ",".join(random.choices([*strings, "[]", '{"a":1}', '"' + "\\\\" * 999 + '"'], k=6000)) + "]"
    assert values_in(text.encode(), 0) >= 1
    assert values_in(text.encode(), slowly(text)) == slowly(text)


@pytest.mark.parametrize("before", range(262_138, 262_146))
def test_a_cut_between_blocks_changes_nothing(before: int) -> None:
    """An escape that stands where one block ends is not torn."""
    for tail in ('\\",,,,"', '\\\\",,,,', '\\\\\\",,,,"', '\\n",[,]'):
        count = slowly('"' + tail + "," * 300)
        assert values_in(('"' + "a" * before + tail + "," * 300).encode(), count) == count


def test_a_text_full_of_commas_is_no_value() -> None:
    """What stands in strings is not counted, so that a long text passes."""
    assert values_in(json.dumps({"a": "[,:{" * 1000}).encode(), 10) == 2


class Keeps:
    """Something with slots, as the parsers are."""

    __slots__ = ("again", "nothing", "values")

    def __init__(self) -> None:
        self.values = {"a": [1, 2, {"b": (3, "c")}]}
        self.again = self


def test_what_is_kept_is_counted() -> None:
    """Members, elements and attributes count; circles end, and so does counting above the bound."""
    assert held([1, [2, 3]], 100) == 4
    assert held(Keeps(), 100) == 3 + 1 + 3 + 1 + 2
    assert held([[0] * 100] * 50, 120) <= 260
