"""An event of a stream is read by its likeness to the last ones if nothing but its text differs, and only then.

Its text is that of an answer, of thinking, or of what goes to a tool.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

import mellite
from mellite.errors import MelliteError
from mellite.events import Event, RawChunk, ReasoningDelta, TextDelta, ToolInputDelta
from mellite.protocols import anthropic_messages, cohere_chat, gemini, openai_chat, openai_responses
from mellite.wire.bounds import DEFAULT_BOUNDS, AnswerBounds
from mellite.wire.framing import SseDecoder
from mellite.wire.likeness import Likeness, likeness_of
from mellite.wire.parsing import Parser
from mellite.wire.protocol import Flowing, Protocol

CHAT = '{"id":"c1","choices":[{"index":0,"delta":{"content":TEXT},"finish_reason":null}],"usage":null}'
PADDED = '{"id":"c1","choices":[{"index":0,"delta":{"content":TEXT}}],"obfuscation":"PAD"}'
CLAUDE = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT}BLANKS}'
RESPONSES = (
    '{"type":"response.output_text.delta","content_index":0,"delta":TEXT,"item_id":"i0",'
    '"obfuscation":"PAD","output_index":0,"sequence_number":NUMBER}'
)
COHERE = '{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":TEXT}}}}'
GEMINI = '{"candidates":[{"content":{"parts":[{"text":TEXT}],"role":"model"},"index":0}],"responseId":"r"}'

#: Protocol -> what begins a text, and its events.
STREAMS: dict[str, tuple[Protocol[Any], list[str], str, str]] = {
    "chat": (openai_chat.protocol(), [], "", CHAT),
    "chat, padded": (openai_chat.protocol(), [], "", PADDED),
    "messages": (
        anthropic_messages.protocol(),
        ['{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'],
        "content_block_delta",
        CLAUDE,
    ),
    "responses": (
        openai_responses.protocol(),
        ['{"type":"response.output_item.added","output_index":0,"item":{"id":"i0","type":"message"}}'],
        "response.output_text.delta",
        RESPONSES,
    ),
    "cohere": (
        cohere_chat.protocol(),
        ['{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}'],
        "",
        COHERE,
    ),
    "gemini": (gemini.protocol(), [], "", GEMINI),
    "chat, thinking": (openai_chat.protocol(), [], "", CHAT.replace('"content"', '"reasoning_content"')),
    "chat, thinking by its other name": (
        openai_chat.protocol(),
        [],
        "",
        CHAT.replace('"content":TEXT', '"content":"","reasoning":TEXT'),
    ),
    "messages, thinking": (
        anthropic_messages.protocol(),
        ['{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}'],
        "content_block_delta",
        CLAUDE.replace("text_delta", "thinking_delta").replace('"text":TEXT', '"thinking":TEXT'),
    ),
    "messages, input": (
        anthropic_messages.protocol(),
        ['{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}'],
        "content_block_delta",
        CLAUDE.replace("text_delta", "input_json_delta").replace('"text":TEXT', '"partial_json":TEXT'),
    ),
    "responses, thinking": (
        openai_responses.protocol(),
        ['{"type":"response.output_item.added","output_index":0,"item":{"id":"i0","type":"reasoning"}}'],
        "response.reasoning_text.delta",
        RESPONSES.replace("output_text", "reasoning_text"),
    ),
    "responses, summary": (
        openai_responses.protocol(),
        ['{"type":"response.output_item.added","output_index":0,"item":{"id":"i0","type":"reasoning"}}'],
        "response.reasoning_summary_text.delta",
        RESPONSES.replace("output_text", "reasoning_summary_text").replace("content_index", "summary_index"),
    ),
    "responses, arguments": (
        openai_responses.protocol(),
        [
            (
                '{"type":"response.output_item.added","output_index":0,'
                '"item":{"id":"i0","type":"function_call","call_id":"c","name":"f","arguments":""}}'
            )
        ],
        "response.function_call_arguments.delta",
        RESPONSES.replace("output_text", "function_call_arguments").replace('"content_index":0,', ""),
    ),
    "chat, arguments": (
        openai_chat.protocol(),
        [
            '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":""}}]}}]}'
        ],
        "",
        CHAT.replace('"content":TEXT', '"tool_calls":[{"index":0,"function":{"arguments":TEXT}}]'),
    ),
    "cohere, arguments": (
        cohere_chat.protocol(),
        [
            '{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"1","function":{"name":"f"}}}}}',
        ],
        "",
        '{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":TEXT}}}}}',
    ),
    "cohere, thinking": (
        cohere_chat.protocol(),
        ['{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}}'],
        "",
        COHERE.replace('"text":TEXT', '"thinking":TEXT'),
    ),
    "gemini, thinking": (gemini.protocol(), [], "", GEMINI.replace('"text":TEXT', '"text":TEXT,"thought":true')),
}
DELTAS = (TextDelta, ReasoningDelta, ToolInputDelta)
#: Where each piece may be all of the arguments once more, so that each is looked at.
PIECE_BY_PIECE = ("chat, arguments", "cohere, arguments")
TEXTS = ["The", " fox", " jumps", " jumps", ' says "hi"}', " \\ and\n", "é", " \N{SNOWMAN}", "0"]


LINE_ENDS = pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])


def event_of(form: str, number: int, text: str, name: str = "", *, end: bytes = b"\n") -> bytes:
    """An event of a stream, as its server would send it."""
    data = form.replace("TEXT", json.dumps(text, ensure_ascii=bool(number % 2)))
    data = data.replace("PAD", "aB1"[: number % 4]).replace("BLANKS", " " * (number % 3)).replace("NUMBER", str(number))
    event = (f"event: {name}\n" if name else "").encode() + b"data: " + data.encode() + b"\n\n"
    return event.replace(b"\n", end)


def stream_of(name: str, count: int) -> tuple[bytes, list[str]]:
    """A stream with so many events of text, and its texts."""
    _, begun, kind, form = STREAMS[name]
    texts = [TEXTS[number % len(TEXTS)] for number in range(count)]
    first = [b"data: " + each.encode() + b"\n\n" for each in begun]
    return b"".join([*first, *[event_of(form, number, text, kind) for number, text in enumerate(texts)]]), texts


@LINE_ENDS
@pytest.mark.parametrize("keep_raw", [False, True], ids=["no raw", "raw"])
@pytest.mark.parametrize("name", STREAMS)
def test_only_the_first_events_are_decoded(name: str, keep_raw: bool, end: bytes) -> None:
    """Every protocol gives each text, and looks into no event after the third."""
    protocol, begun, kind, form = STREAMS[name]
    parser = Parser(protocol, SseDecoder(), mellite.Request.of("hi"), keep_raw=keep_raw)
    for first in begun:
        parser.take(b"data: " + first.encode() + b"\n\n")
    decoded: list[int] = []
    number, given = 0, []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name in ("step", "flow"):
            decoded.append(number)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for number, text in enumerate(TEXTS):
            data = event_of(form, number, text, kind, end=end)
            events = parser.take(data)
            given += [event.text for event in events if isinstance(event, DELTAS)]
            raw = [event.data for event in events if type(event) is RawChunk]
            assert raw == ([data[data.index(b"data: ") + 6 : -2 * len(end)]] if keep_raw else [])
            assert parser.progressed
    finally:
        sys.setprofile(before)
    assert given == TEXTS
    assert decoded
    assert max(decoded) <= 2


#: Reads no event by its likeness: one that is so small might be too large.
NO_LIKENESS = AnswerBounds(max_bytes=2_000)


def read(name: str, pieces: Sequence[bytes], *, keep_raw: bool, bounds: AnswerBounds) -> tuple[list[Event], str]:
    """The events of some pieces of a stream, and how it broke off, if it did."""
    parser = Parser(STREAMS[name][0], SseDecoder(), mellite.Request.of("hi"), bounds, keep_raw=keep_raw)
    events: list[Event] = []
    for piece in pieces:
        events += parser.take(piece)
        if parser.failure is not None or parser.over:
            break
    return events, repr(parser.failure)


@pytest.mark.parametrize("keep_raw", [False, True], ids=["no raw", "raw"])
@pytest.mark.parametrize("name", [name for name in STREAMS if name not in PIECE_BY_PIECE])
def test_large_pieces_are_read_at_once(name: str, keep_raw: bool) -> None:
    """Wherever a stream is cut, its events are those that are found one by one, and hardly one of them is decoded."""
    stream, texts = stream_of(name, 1_000)
    expected = read(name, [stream], keep_raw=keep_raw, bounds=NO_LIKENESS)
    assert [event.text for event in expected[0] if isinstance(event, DELTAS)] == texts
    rnd = random.Random(name)
    for size in (len(stream), 64 * 1024, 20_000):
        cuts = sorted({0, len(stream), *[rnd.randrange(len(stream)) for _ in range(len(stream) // size - 1)]})
        pieces = [stream[start:end] for start, end in pairwise(cuts)]
        decoded = 0

        def note(frame: FrameType, event: str, _: object) -> None:
            nonlocal decoded
            if event == "call" and frame.f_code.co_name in ("step", "decode_plain"):
                decoded += 1
            elif event == "call" and frame.f_code.co_name == "flow":
                decoded += len(frame.f_locals.get("events", ()))

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            found = read(name, pieces, keep_raw=keep_raw, bounds=DEFAULT_BOUNDS)
        finally:
            sys.setprofile(before)
        assert found == expected
        # Before a likeness is known, and what is left of a piece: less than 8 KiB of it.
        assert decoded <= 20 + len(pieces) * 8 * 1024 * 1_000 // len(stream)


@pytest.mark.parametrize("name", STREAMS)
def test_another_byte_in_a_large_piece(name: str) -> None:
    """Whatever byte of one event among many is changed, left out or put in: what is read is what is read one by one."""
    _, begun, kind, form = STREAMS[name]
    count = 12 * 1024 // len(form)
    stream, texts = stream_of(name, count)
    before = 20
    head = len(b"".join([b"data: " + each.encode() + b"\n\n" for each in begun]))
    head += sum([len(event_of(form, number, texts[number], kind)) for number in range(before)])
    middle, other = event_of(form, 3, ' "x', kind), event_of(form, 5, "y", kind)
    changes = [other.replace(b'"y"', b'"y\\"') + other.replace(b'"y"', b'"y","y"')]  # together two texts, but not these
    changes.append(event_of(form, 5, "", kind))
    for at in range(0, len(middle), 2):
        for put in (b"", b"x", b'"', b"\\", b"\n", b"\x00", b'","'):
            changes += (middle[:at] + put + middle[at + 1 :], middle[:at] + put + middle[at:])
    for changed in changes:
        pieces = [stream[:head] + changed + stream[head:]]
        found, why = read(name, pieces, keep_raw=True, bounds=DEFAULT_BOUNDS)
        expected, why_expected = read(name, pieces, keep_raw=True, bounds=NO_LIKENESS)
        assert why == why_expected
        if expected or not found:
            assert found == expected
        else:  # damage of which nobody knows where it is: before that, nothing is given of its piece
            given = [event.text for event in found if isinstance(event, DELTAS)]
            assert given == texts[: len(given)]
            assert len(given) <= before


def alike(form: str, numbers: list[int]) -> tuple[Likeness, list[str]]:
    """The likeness of two events, and where its texts go."""
    data, other = event_of(form, 1, "one"), event_of(form, 2, "two")
    likeness = likeness_of(data, data[6:-2], "one")
    assert likeness is not None
    assert likeness.is_confirmed_by(other, "two")
    pieces: list[str] = []
    likeness.flows_into(Flowing(pieces, numbers.append), TextDelta("two", "text-7"))
    return likeness, pieces


@pytest.mark.parametrize("form", [CHAT, PADDED, CLAUDE, RESPONSES, COHERE, GEMINI], ids=lambda form: form[:20])
def test_another_byte_is_another_event(form: str) -> None:
    """Whatever byte is changed, left out or put in: an event that is taken has another text or padding, and no more."""
    numbers: list[int] = []
    likeness, pieces = alike(form, numbers)
    whole = event_of(form, 3, "three")
    assert likeness.more(whole) == TextDelta("three", "text-7")
    assert numbers == ([3] if form is RESPONSES else [])
    taken = 0
    for at in range(len(whole)):
        for put in (b"", b"x", b"0", b'"', b"\\", b" ", b"}", b"\n", b"\xff", b"{", b"\x00"):
            for changed in (whole[:at] + put + whole[at + 1 :], whole[:at] + put + whole[at:]):
                pieces.clear()
                delta = likeness.more(changed)
                if delta is None:
                    assert not pieces
                    continue
                taken += 1
                value = json.loads(changed.removeprefix(b"data: "))
                varying = [str(value.get(key, "")) for key in ("obfuscation", "sequence_number")]
                expected = form.replace("TEXT", json.dumps(delta.text)).replace("PAD", varying[0]).replace("BLANKS", "")
                assert value == json.loads(expected.replace("NUMBER", varying[1]))
                assert pieces == [delta.text]
    assert taken > 5


def told(parser: Parser, pieces: list[bytes]) -> tuple[list[Event], str]:
    """The events of pieces of a stream, and how it ends."""
    events: list[Event] = []
    for piece in [*pieces, b""]:
        try:
            events += parser.take(piece) if not parser.over else ()
        except MelliteError as error:
            return events, repr(error)
        if parser.failure is not None:
            return events, repr(parser.failure)
    return events, ""


@LINE_ENDS
@pytest.mark.parametrize("name", STREAMS)
def test_every_other_byte_is_read_in_full(name: str, end: bytes) -> None:
    """Whatever byte of an event is changed, left out or put in, the stream says what it says the long way.

    The event stands between others, so that what it leaves behind counts, too.
    """
    protocol, begun, kind, form = STREAMS[name]
    request = mellite.Request.of("hi")
    before = [b"data: " + first.encode() + end * 2 for first in begun]
    before += [event_of(form, number, text, kind, end=end) for number, text in enumerate(["{", '"one', "two"])]
    whole = event_of(form, 3, "three", kind, end=end)
    after = [event_of(form, 4, "four", kind, end=end)]
    for at in range(len(whole)):
        for put in (b"", b"x", b"0", b'"', b"\\", b" ", b"{", b"}", b"\n", b"\r", b"\xff"):
            for changed in (whole[:at] + put + whole[at + 1 :], whole[:at] + put + whole[at:])[: 1 + bool(put)]:
                pieces = [*before, changed, *after]
                short = told(Parser(protocol, SseDecoder(), request, keep_raw=False), pieces)
                assert short == told(Parser(protocol, SseDecoder(), request, NO_LIKENESS, keep_raw=False), pieces)


def test_what_does_not_show_where_the_text_is() -> None:
    """Nothing is taken for a likeness where the text is there twice, or where there is more than one event."""
    twice = event_of(CHAT.replace('"c1"', '"one"'), 0, "one")
    assert likeness_of(twice, twice[6:-2], "one") is None
    once = event_of(CHAT, 0, "one")
    assert likeness_of(once, once[6:-2], "two") is None
    assert likeness_of(b": a comment\n" + once, once[6:-2], "one") is None
    assert likeness_of(once + once, once[6:-2], "one") is None
    assert likeness_of(once[:-1] + b"\r\n", once[6:-2], "one") is None
    likeness = likeness_of(once, once[6:-2], "one")
    assert likeness is not None
    assert not likeness.is_confirmed_by(once, "one")  # the same once more shows nothing


def test_a_server_that_sends_the_text_twice() -> None:
    """Its text is read in full every time, and only for a while is it tried otherwise."""
    form = '{"id":TEXT,"choices":[{"index":0,"delta":{"content":TEXT}}]}'
    protocol: Protocol[Any] = openai_chat.protocol()
    parser = Parser(protocol, SseDecoder(), mellite.Request.of("hi"), keep_raw=False)
    texts = [f"word {number} " for number in range(40)]
    given = [event.text for text in texts for event in parser.take(event_of(form, 0, text)) if type(event) is TextDelta]
    assert given == texts
