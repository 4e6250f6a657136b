"""AWS event streams: every checksum and length, every type of header, whatever the pieces."""

from __future__ import annotations

import base64
import json
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from mellite.errors import IncompleteStream, InvalidProviderOutput, MelliteError, OutputTooLarge
from mellite.wire.aws import LIMIT, EventStreamDecoder, EventStreamMessage
from tests.wire.frames import event, exception, framed, header, message, text_header

STREAM = event("messageStart", {"role": "assistant"}) + event("x", {"t": "é"}) + framed(b"", b"") + exception("e", "m")


def decoded(pieces: list[bytes]) -> list[EventStreamMessage]:
    """All messages, to the end of the stream."""
    decoder = EventStreamDecoder()
    messages = [one for piece in pieces for one in decoder.feed(piece)]
    return [*messages, *decoder.end()]


def cuts(data: bytes) -> list[list[bytes]]:
    """The bytes whole, cut at each place, and one by one."""
    halves = [[data[:at], data[at:]] for at in range(len(data) + 1)]
    return [[data], *halves, [data[at : at + 1] for at in range(len(data))]]


def test_any_pieces_give_the_same_messages() -> None:
    """However a stream of several messages is cut, the messages are the same."""
    whole = decoded([STREAM])
    assert [one.event for one in whole] == ["messageStart", "x", "", "e"]
    for pieces in cuts(STREAM):
        assert decoded(pieces) == whole


def vectors(corpora: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((corpora / "eventstream_vectors.json").read_text())["vectors"]
    return found


def bytes_of(vector: dict[str, Any]) -> bytes:
    if "raw_b64" in vector:
        return base64.b64decode(vector["raw_b64"])
    made = vector["generate"]
    filling = made["fill"].encode() * made["fill_count"]
    return base64.b64decode(made["prefix_b64"]) + filling + base64.b64decode(made["suffix_b64"])


def test_the_vectors_of_the_sdks(corpora: Path) -> None:
    """The 36 messages that AWS's own SDKs are tested with are read, or refused, as there, at every cut."""
    for vector in vectors(corpora):
        data = bytes_of(vector)
        for pieces in cuts(data) if len(data) < 1000 else [[data]]:
            if vector["expect"] == "error":
                with pytest.raises(InvalidProviderOutput):
                    decoded(pieces)
                continue
            headers = {
                name: base64.b64decode(value["b64"]) if isinstance(value, dict) else value
                for name, value in vector["headers"].items()
            }
            payload = base64.b64decode(vector["payload_b64"])
            assert decoded(pieces) == [EventStreamMessage(headers, payload)], vector["name"]


def test_a_stream_that_ends_inside_a_message() -> None:
    """Cut anywhere inside a message, the messages before it are given and the end is an IncompleteStream."""
    first, second = event("a", {}), event("b", {"x": 1})
    for at in range(1, len(second)):
        decoder = EventStreamDecoder()
        assert [one.event for one in decoder.feed(first + second[:at])] == ["a"]
        with pytest.raises(IncompleteStream, match=f"{at} bytes"):
            decoder.end()


@pytest.mark.parametrize("at", range(len(event("a", {"x": 1}))))
def test_any_damaged_byte_is_noticed(at: int) -> None:
    """A byte that was changed on the way, in whatever place, is told as damage at once, and nothing more is waited for.

    A length that was changed would have the decoder wait for megabytes, and blame the end of the stream.
    """
    data = bytearray(event("a", {"x": 1}))
    data[at] ^= 0x10
    with pytest.raises(InvalidProviderOutput, match="damaged") as caught:
        EventStreamDecoder().feed(bytes(data))
    assert type(caught.value) is InvalidProviderOutput


def test_messages_before_a_damaged_one_are_given() -> None:
    """What came whole before the damage is given; the error comes with the next call, and again with each."""
    broken = bytearray(event("b", {}))
    broken[-1] ^= 1
    decoder = EventStreamDecoder()
    assert [one.event for one in decoder.feed(event("a", {}) + bytes(broken) + event("c", {}))] == ["a"]
    assert isinstance(decoder.failure, InvalidProviderOutput)
    for call in (lambda: decoder.feed(event("d", {})), lambda: decoder.feed(b""), decoder.end):
        with pytest.raises(InvalidProviderOutput, match="checksum"):
            call()


def test_the_limit_is_on_the_payload_and_both_sides_of_it() -> None:
    """A payload of as many bytes as the limit is read; of one more is refused, whatever its headers have."""
    headers = text_header("a", "b" * 500)
    decoder = EventStreamDecoder(limit=1000)
    assert len(decoder.feed(framed(headers, bytes(1000)))[0].payload) == 1000
    with pytest.raises(OutputTooLarge, match=r"1,001 bytes, more than 1,000"):
        decoder.feed(framed(headers, bytes(1001)))


@pytest.mark.parametrize("length", [LIMIT + 17, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_message_that_is_too_large_is_refused_before_it_comes(length: int) -> None:
    """The twelve bytes that say the length are enough; nothing is kept of what follows."""
    prelude = struct.pack(">II", length, 0)
    prelude += struct.pack(">I", crc32(prelude))
    decoder = EventStreamDecoder()
    assert decoder.feed(prelude[:11]) == []
    with pytest.raises(OutputTooLarge):
        decoder.feed(prelude[11:])
    tracemalloc.start()
    with pytest.raises(OutputTooLarge):
        decoder.feed(bytes(1_000_000))
    assert tracemalloc.get_traced_memory()[0] < 1_100_000  # the argument itself, which the traceback holds
    tracemalloc.stop()


@pytest.mark.parametrize(("length", "headers"), [(15, 0), (0, 0), (20, 5), (200_000, 131_073), (100, 0xFFFFFFFF)])
def test_lengths_that_do_not_fit(length: int, headers: int) -> None:
    """A message shorter than its own frame, headers longer than the message or than 128 KiB: refused at once."""
    prelude = struct.pack(">II", length, headers)
    with pytest.raises(InvalidProviderOutput):
        EventStreamDecoder().feed(prelude + struct.pack(">I", crc32(prelude)))


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\x80", -128),
        (3, b"\x7f\xff", 32767),
        (4, b"\x80\0\0\0", -(2**31)),
        (5, b"\x7f" + b"\xff" * 7, 2**63 - 1),
        (6, b"\0\x03\xff\0a", b"\xff\0a"),
        (7, b"\0\x02" + "é".encode(), "é"),
        (7, b"\0\0", ""),
        (8, b"\xff" * 8, -1),
        (9, bytes(range(16)), bytes(range(16))),
    ],
)
def test_every_type_of_header(kind: int, data: bytes, value: Any) -> None:
    """Each of the ten types is read, also as the last of several; cut short it is refused."""
    block = header("n", kind, data)
    (one,) = EventStreamDecoder().feed(framed(text_header("before", "x") + block, b""))
    assert one.headers["n"] == value
    assert type(one.headers["n"]) is type(value)
    for end in range(1, len(block)):
        with pytest.raises(InvalidProviderOutput, match="headers"):
            EventStreamDecoder().feed(framed(block[:end], b""))


@pytest.mark.parametrize(
    "block",
    [
        header("n", 10, b""),
        header("n", 255, b"\0\0"),
        header("", 0, b""),
        header("n", 0, b"") + header("n", 1, b""),
        b"\x02\xff\xfe\x00",
        header("n", 7, b"\0\x01\xff"),
    ],
)
def test_headers_that_are_none(block: bytes) -> None:
    """An unknown type, an empty name, a name twice, a name or text that is not UTF-8: refused, though the sums fit."""
    with pytest.raises(InvalidProviderOutput, match="headers"):
        EventStreamDecoder().feed(framed(block, b"x"))


def test_headers_can_be_changed_without_changing_others() -> None:
    """Each message has headers of its own, also where the same block of bytes came before."""
    decoder = EventStreamDecoder()
    first, second = decoder.feed(event("a", {}) * 2)
    assert isinstance(first.headers, dict)
    first.headers.clear()
    assert second.event == "a"
    assert decoder.feed(event("a", {}))[0].event == "a"


def test_what_a_message_tells() -> None:
    """Events and exceptions stand under their names, as SDKs show them; an error's facts come out of its headers."""
    error = message({":message-type": "error", ":error-code": "Broken", ":error-message": 'a "b"'}, b"")
    untyped = message({":message-type": "exception"}, b"")
    found = decoded([event("a", {"x": 1}), exception("throttlingException", "m"), error, untyped, framed(b"", b"z")])
    assert [(one.event, one.raw) for one in found] == [
        ("a", b'{"a":{"x":1}}'),
        ("throttlingException", b'{"throttlingException":{"message": "m"}}'),
        ("error", b'{"error":{"code": "Broken", "message": "a \\"b\\""}}'),
        ("error", b'{"error":{}}'),
        ("", b"z"),
    ]
    odd = EventStreamMessage({":event-type": 'a"}', ":message-type": "event"}, b"{}")
    assert json.loads(odd.raw) == {'a"}': {}}
    assert EventStreamMessage({":event-type": "a", ":message-type": "event"}, b"").raw == b""
    assert EventStreamMessage({":event-type": 5}, b"").event == ""


def test_a_large_message_in_tiny_pieces_takes_linear_time() -> None:
    """Megabytes that come in small pieces are put together once, not with each piece."""
    data = framed(b"", bytes(4_000_000))
    pieces = [data[at : at + 40] for at in range(0, len(data), 40)]  # 100,000 pieces
    (one,) = decoded(pieces)
    assert len(one.payload) == 4_000_000


def test_random_damage_is_an_error_or_nothing() -> None:
    """Bytes changed, lost or added at random, at random cuts: intact messages, then a typed error."""
    rnd = random.Random(11)
    whole = decoded([STREAM])
    for _ in range(2000):
        data = bytearray(STREAM)
        for _ in range(rnd.randint(1, 3)):
            at = rnd.randrange(len(data))
            data[at : at + rnd.randint(0, 2)] = rnd.randbytes(rnd.randint(0, 2))
        cut = rnd.randrange(len(data))
        decoder = EventStreamDecoder()
        found: list[EventStreamMessage] = []
        try:
            for piece in (bytes(data[:cut]), bytes(data[cut:])):
                found += decoder.feed(piece)
            decoder.end()
        except MelliteError:
            assert found == whole[: len(found)]
        else:
            assert bytes(data) == STREAM or found == whole[: len(found)]
