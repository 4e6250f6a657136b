"""Server-sent events: the rules to the letter, whatever the pieces."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from mellite.errors import OutputTooLarge
from mellite.wire.framing import ServerSentEvent, SseDecoder

# What each stream means: its bytes, the events as (event, data, id, retry), the last event id, the reconnection time.
# These are ours, so that the rules are tested without the corpora.
VECTORS: dict[str, tuple[bytes, list[tuple[str, str, str, int | None]], str, int | None]] = {
    "nothing": (b"", [], "", None),
    "one": (b"data: a\n\n", [("message", "a", "", None)], "", None),
    "two": (b"data: a\n\ndata: b\n\n", [("message", "a", "", None), ("message", "b", "", None)], "", None),
    "cr": (b"data: a\rdata: b\r\r", [("message", "a\nb", "", None)], "", None),
    "crlf": (b"data: a\r\ndata: b\r\n\r\n", [("message", "a\nb", "", None)], "", None),
    "all-line-ends": (b"data: a\rdata: b\ndata: c\r\n\n", [("message", "a\nb\nc", "", None)], "", None),
    "cr-then-crlf": (b"data: a\r\r\ndata: b\r\n\r", [("message", "a", "", None), ("message", "b", "", None)], "", None),
    "lf-cr": (b"data: a\n\rdata: b\n\r", [("message", "a", "", None), ("message", "b", "", None)], "", None),
    "blank-lines": (b"\n\r\r\n\n\ndata: a\n\n\n\n", [("message", "a", "", None)], "", None),
    "bom": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "", None)], "", None),
    "two-boms": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("message", "b", "", None)], "", None),
    "late-bom": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", "a", "", None)], "", None),
    "half-a-bom": (b"\xef\xbbdata: a\n\ndata: b\n\n", [("message", "b", "", None)], "", None),
    "bom-then-lf": (b"\xef\xbb\xbf\ndata: a\n\n", [("message", "a", "", None)], "", None),
    "no-space": (b"data:a\n\n", [("message", "a", "", None)], "", None),
    "two-spaces": (b"data:  a \n\n", [("message", " a ", "", None)], "", None),
    "tab": (b"data:\ta\n\n", [("message", "\ta", "", None)], "", None),
    "empty-data": (b"data:\n\ndata: \n\ndata\n\n", [("message", "", "", None)] * 3, "", None),
    "empty-lines-of-data": (b"data\ndata:\ndata: \n\n", [("message", "\n\n", "", None)], "", None),
    "only-a-line-end-at-the-end-goes": (b"data: a\ndata:\n\n", [("message", "a\n", "", None)], "", None),
    "colons": (b"data: a:b: c\n\n", [("message", "a:b: c", "", None)], "", None),
    "comments": (b":\n: data: x\n:data: x\ndata: a\n: x\ndata: b\n\n", [("message", "a\nb", "", None)], "", None),
    "comment-before-an-event": (b": ping\ndata: a\n\n: ping\n\n", [("message", "a", "", None)], "", None),
    "unknown-fields": (
        b"foo: x\ndata: a\nbar\nDATA: x\n data: x\ndata : x\n\n",
        [("message", "a", "", None)],
        "",
        None,
    ),
    "names": (b"event: a\ndata: x\n\ndata: y\n\n", [("a", "x", "", None), ("message", "y", "", None)], "", None),
    "last-name-wins": (b"event: a\nevent: b\ndata: x\n\n", [("b", "x", "", None)], "", None),
    "name-after-data": (b"data: x\nevent: a\n\n", [("a", "x", "", None)], "", None),
    "empty-name": (
        b"event: a\nevent\ndata: x\n\nevent:\ndata: y\n\n",
        [("message", d, "", None) for d in "xy"],
        "",
        None,
    ),
    "name-without-data": (b"event: a\n\ndata: x\n\n", [("message", "x", "", None)], "", None),
    "id-stays": (
        b"id: 1\ndata: a\n\ndata: b\n\n",
        [("message", "a", "1", None), ("message", "b", "1", None)],
        "1",
        None,
    ),
    "id-goes": (
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [("message", "a", "1", None), ("message", "b", "", None)],
        "",
        None,
    ),
    "id-alone": (b"id: 1\n\ndata: a\n\n", [("message", "a", "1", None)], "1", None),
    "id-with-nul": (b"id: 1\nid: 2\0\ndata: a\n\n", [("message", "a", "1", None)], "1", None),
    "id-not-in-force": (b"data: a\n\nid: 1\ndata: b\n", [("message", "a", "", None)], "", None),
    "retry": (b"retry: 10\ndata: a\n\ndata: b\n\n", [("message", "a", "", 10), ("message", "b", "", None)], "", 10),
    "retry-at-once": (b"retry: 10\n", [], "", 10),
    "retry-zeros": (b"retry: 007\n\n", [], "", 7),
    "bad-retries": (
        b"".join(
            b"retry: %s\n" % bad
            for bad in (b"", b"-1", b"+5", b"1.5", b"1e3", b"0x1", b"1_0", b"1 ", "\N{ARABIC-INDIC DIGIT ONE}".encode())
        )
        + b"retry: "
        + b"9" * 5000
        + b"\ndata: a\n\n",
        [("message", "a", "", None)],
        "",
        None,
    ),
    "no-line-ends": (
        "data: \u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\n\n".encode(),
        [("message", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e", "", None)],
        "",
        None,
    ),
    "utf-8": ("data: é€😀\n\n".encode(), [("message", "é€😀", "", None)], "", None),
    "not-utf-8": (
        b"data: a\xff\xed\xa0\x80\xe2\x82\n\n",
        [("message", "a\ufffd\ufffd\ufffd\ufffd\ufffd", "", None)],
        "",
        None,
    ),
    "not-utf-8-elsewhere": (b"d\xffata: x\n: \xff\nevent: \xff\ndata: a\n\n", [("\ufffd", "a", "", None)], "", None),
    "no-blank-line": (b"data: a\n\ndata: b\n", [("message", "a", "", None)], "", None),
    "no-line-end-at-the-end": (b"data: a\n\ndata: [DONE]", [("message", "a", "", None)], "", None),
    "a-long-one-without-an-end": (b"data: a\n\ndata: " + 1100 * b"b", [("message", "a", "", None)], "", None),
    "cr-at-the-end": (b"data: a\n\r", [("message", "a", "", None)], "", None),
}


def decode(*pieces: bytes) -> tuple[list[tuple[str, str, str, int | None]], str, int | None]:
    """Everything there is to know about a stream that arrives in these pieces."""
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()
    found = [(event.event, event.data, event.id, event.retry) for event in events]
    return found, decoder.last_event_id, decoder.reconnection_ms


def check(raw: bytes, wanted: Any, step: int = 1) -> None:
    """The same outcome whole, byte by byte, and cut in two at any place."""
    assert decode(raw) == wanted
    assert decode(*(raw[i : i + 1] for i in range(len(raw)))) == wanted
    for at in range(0, len(raw), step):
        assert decode(raw[:at], raw[at:]) == wanted, at


@pytest.mark.parametrize("name", VECTORS)
def test_our_vectors(name: str) -> None:
    """The rules hold at every split of the bytes."""
    raw, *wanted = VECTORS[name]
    check(raw, tuple(wanted))


def test_vectors_of_the_corpora(corpora: Path) -> None:
    """All 121 vectors hold at every split (of the three longest, at every 101st)."""
    vectors = json.loads((corpora / "sse_vectors.json").read_text())["vectors"]
    assert len(vectors) == 121
    for vector in vectors:
        raw = base64.b64decode(vector["raw_b64"])
        events = [(event["event"], event["data"], event["id"], event["retry"]) for event in vector["events"]]
        check(raw, (events, vector["last_event_id"], vector["reconnection_ms"]), 1 if len(raw) < 5000 else 101)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"data: a", b"data", b"data:", b"event: x", b"id: 1", b"id", b"retry: 5", b": c", b"", b"", b""]
        ),
        st.binary(max_size=8),
    ),
    max_size=12,
)


@given(LINES, st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=12, max_size=12), st.data())
def test_pieces_make_no_difference(lines: list[bytes], ends: list[bytes], data: st.DataObject) -> None:
    """Any bytes cut into any pieces, empty ones too, mean what they mean whole."""
    raw = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert decode(*pieces) == decode(raw)


#: Events that begin alike, and what may stand among them.
ALIKE = st.sampled_from([b"", b"event: x\n"])
AMONG = st.sampled_from(
    [
        b"event: y\ndata: a\n\n",
        b"data: a\ndata: b\n\n",
        b"data: \n\n",
        b"data:a\n\n",
        b"data: data: \n\n",
        b"id: 1\ndata: a\n\n",
        b"\n",
        b": c\n\n",
        b"data: a\r\n\r\n",
        b"data: a\n",
        b"event: x\n",
        b"data: " + 300 * b"b" + b"\n\n",
        b"data: " + 1500 * b"b",
    ]
)


@given(ALIKE, st.lists(st.tuples(st.integers(0, 30), AMONG), min_size=1, max_size=6), st.integers(150, 400), st.data())
def test_many_that_begin_alike(name: bytes, among: list[tuple[int, bytes]], limit: int, data: st.DataObject) -> None:
    """Events that begin alike mean the same whole as byte by byte, whatever stands among them, up to the limit."""
    raw = b"".join([(name + b"data: " + count * b"c" + b"\n\n") * count + other for count, other in among])
    at = data.draw(st.integers(0, len(raw)))
    assert decode(raw) == decode(raw[:at], raw[at:]) == decode(*(raw[i : i + 1] for i in range(len(raw))))
    assert up_to_limit([raw], limit) == up_to_limit([raw[i : i + 1] for i in range(len(raw))], limit)


def up_to_limit(pieces: list[bytes], limit: int) -> tuple[list[ServerSentEvent], str]:
    """The events of a stream, and the error that ended them."""
    decoder = SseDecoder(limit=limit)
    events: list[ServerSentEvent] = []
    with suppress(OutputTooLarge):
        for piece in pieces:
            events += decoder.feed(piece)
    return events, repr(decoder.failure)


def test_an_event_comes_with_its_blank_line() -> None:
    """The byte that ends the blank line, LF or CR, hands the event on; nothing waits for more."""
    for end in (b"\n\n", b"\r\r", b"\r\n\r"):
        decoder = SseDecoder()
        assert decoder.feed(b"data: a" + end[:-1]) == []
        assert [event.data for event in decoder.feed(end[-1:])] == ["a"]


def test_raw_is_what_came() -> None:
    """`raw` holds the bytes of the data as they came, also those that are not UTF-8."""
    [event] = SseDecoder().feed(b"data: a\xff\ndata: b\n\n")
    assert (event.raw, event.data) == (b"a\xff\nb", "a\ufffd\nb")


@pytest.mark.parametrize(
    ("raw", "damaged"),
    [
        (b'b3\r\n1\r\nafdata: {"a": 1}\r\n\r\n', True),  # the size of a chunk, of a body that did not say it has any
        (b"metadata: 1\n\n", False),
        (b"data: \xff\n\n", False),
        (b": \xff\n\n", False),
        (b"x: \xff\n\n", False),
        ("größe: 1\n\n".encode(), False),
        (b"\xef\xbb\xbfdata: a\n\n", False),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", True),
        (b"da\xffta: a\n\n", True),
        (b"data: a\n\xfe\ndata: b\n\n", True),
    ],
)
def test_damaged(raw: bytes, damaged: bool) -> None:
    """A line whose field name is not text, or begins with a late byte order mark, is passed over, but leaves a note."""
    for at in range(len(raw)):
        decoder = SseDecoder()
        decoder.feed(raw[:at])
        decoder.feed(raw[at:])
        assert decoder.damaged == damaged


def test_end_gives_nothing_and_starts_afresh() -> None:
    """An event without its blank line is dropped at the end; ending never raises, and may be done twice."""
    decoder = SseDecoder(limit=10)
    assert decoder.feed(b"data: a\nda") == []
    assert decoder.end() == decoder.end() == []
    with pytest.raises(OutputTooLarge):
        decoder.feed(b"x" * 11)
    assert decoder.end() == []


def test_events_cannot_be_changed() -> None:
    """Events are values."""
    event = ServerSentEvent("message", b"a")
    with pytest.raises(AttributeError):
        event.raw = b"b"  # type: ignore[misc]


def feed(decoder: SseDecoder, *pieces: bytes) -> None:
    """Feed several pieces and drop the events."""
    for piece in pieces:
        decoder.feed(piece)


class TestLimit:
    """One event may have so many bytes and no more, however they arrive."""

    FITS = (
        b"data: 1234567\n\n",
        b"data: 12\ndata\n\n",
        b": 23456789012\n\n",
        b"x: 3456789012\n\n",
        b"event: 2\ndata\n\n",
    )
    TOO_LARGE = (b"data: 12345\n\n", b"data: 1\ndata\n\n", b": 234567890\n\n", b"x: 34567890\n\n", b"data: 12\nid\n\n")

    @pytest.mark.parametrize("raw", FITS)
    def test_at_the_limit(self, raw: bytes) -> None:
        """An event of just the limit is fine, again and again."""
        decoder = SseDecoder(limit=13)
        for _ in range(3):
            decoder.feed(raw)
            for i in range(len(raw)):
                decoder.feed(raw[i : i + 1])
        assert decoder.failure is None

    @pytest.mark.parametrize("raw", TOO_LARGE)
    def test_over_the_limit(self, raw: bytes) -> None:
        """One byte more is OutputTooLarge at every split, and stays so."""
        limit = 10
        for at in range(len(raw)):
            decoder = SseDecoder(limit=limit)
            decoder.feed(b"data: ok\n\n")
            with pytest.raises(OutputTooLarge, match="10 bytes") as first:
                feed(decoder, raw[:at], raw[at:])
            with pytest.raises(OutputTooLarge) as again:
                decoder.feed(b"data: a\n\n")
            assert again.value is first.value

    def test_events_before_it_are_given(self) -> None:
        """Events that were complete in the same piece come first; the error comes with the next."""
        decoder = SseDecoder(limit=10)
        assert [event.data for event in decoder.feed(b"data: a\n\ndata: 1234567890")] == ["a"]
        assert isinstance(decoder.failure, OutputTooLarge)
        with pytest.raises(OutputTooLarge):
            decoder.feed(b"")

    def test_an_endless_line(self) -> None:
        """A line that never ends is refused at the default limit, and takes less than twice the memory of it."""
        decoder, piece = SseDecoder(), bytes(64 * 1024)
        tracemalloc.start()
        with pytest.raises(OutputTooLarge):
            feed(decoder, b"data: ", *[piece] * 2048)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 16 * 1024 * 1024 < decoder.limit < most < 64 * 1024 * 1024
        assert most < 64 * 1024 * 1024

    @pytest.mark.slow
    def test_endless_data_lines(self) -> None:
        """So is an event of ever more lines, also when each is tiny."""
        decoder, piece = SseDecoder(limit=512 * 1024), b"data: ab\n" * 1000
        tracemalloc.start()
        with pytest.raises(OutputTooLarge):
            feed(decoder, *[piece] * 10_000)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 1024 * 1024

    def test_comments_for_ever(self) -> None:
        """Comments are dropped one by one and never add up to anything."""
        decoder = SseDecoder(limit=100)
        for _ in range(1000):
            assert decoder.feed(b": ping\n" * 10) == []
        assert [event.data for event in decoder.feed(b"data: a\n\n")] == ["a"]

    def test_lines_that_are_no_fields_for_ever(self) -> None:
        """Of lines that may be a server's own words only the first are kept, and of one line only its beginning."""
        for line in (b"oops: nobody is here\n", b"x" * 100_000 + b"\n"):
            decoder = SseDecoder()
            for _ in range(100):
                assert decoder.feed(line * 10) == []
            assert decoder.stray.startswith(line[:100])
            assert len(decoder.stray) < 3 * 16 * 1024


def seconds(pieces: list[bytes]) -> float:
    """The least CPU time of three runs."""
    times = []
    for _ in range(3):
        decoder = SseDecoder()
        started = time.process_time()
        for piece in pieces:
            decoder.feed(piece)
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda n: [b"data: "] + [b"x"] * n + [b"\n\n"],
        lambda n: [b"data: x\n"] * n + [b"\n"],
        lambda n: [b"data: x\n" * n + b"\n"],
        lambda n: [b"data: x\n\n" * n],
        lambda n: [b"\r"] * n,
        lambda n: [b"\n" * n],
        lambda n: [b"data: " + b"x" * 20 * n, b"\n\n"],
    ],
    ids=["one-line-bytewise", "line-by-line", "lines", "events", "cr-by-cr", "blank-lines", "huge-line"],
)
def test_linear_time(make: Any) -> None:
    """Ten times the bytes take about ten times the time, whatever the pieces."""
    small, large = seconds(make(10_000)), seconds(make(100_000))
    assert large < 20 * max(small, 0.002)
