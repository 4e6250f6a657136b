"""A framing: cuts AWS event streams (``application/vnd.amazon.eventstream``) into messages, checksums checked; no I/O.

A message is ``[length u32][length of headers u32][CRC of these 8 bytes][headers][payload][CRC of all before]``, numbers
big-endian. A header is ``[length u8][name][type u8][value]``, with ten types of values. The format is described at
https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html; the limits are those of AWS's SDKs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from zlib import crc32

import msgspec

from ..values.errors import IncompleteStream, InvalidProviderOutput, MelliteError, OutputTooLarge

__all__ = ["LIMIT", "EventStreamDecoder", "EventStreamMessage", "HeaderValue", "encoded_message"]

#: The most bytes of one message's payload, 24 MiB, as in AWS's own SDKs.
LIMIT: Final = 24 * 1024 * 1024

#: The value of a header. Numbers and timestamps (milliseconds since 1970) are int, binary values and UUIDs bytes.
HeaderValue: TypeAlias = bool | int | str | bytes

_LARGEST_HEADERS: Final = 128 * 1024
_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_OVERHEAD: Final = _PRELUDE.size + _CRC.size
_KNOWN_HEADERS: Final = 64  # header blocks to cache, as a stream repeats the same few


class EventStreamMessage(msgspec.Struct, frozen=True):
    r"""One message of an event stream: an event, an exception or an error.

    Args:
        headers: the headers by name; an event has ``:message-type``, ``:event-type`` and ``:content-type``.
        payload: the content; JSON for an event.

    Example:
        >>> message = EventStreamMessage({":message-type": "event", ":event-type": "messageStop"}, b'{"x":1}')
        >>> message.event, message.raw
        ('messageStop', b'{"messageStop":{"x":1}}')
    """

    headers: Mapping[str, HeaderValue]
    payload: bytes

    @property
    def event(self) -> str:
        """The type of the event or exception; ``error`` for an error without a type; empty for other messages."""
        headers = self.headers
        name = headers.get(":event-type") or headers.get(":exception-type")
        if isinstance(name, str):
            return name
        return "error" if headers.get(":message-type") in ("error", "exception") else ""

    @property
    def raw(self) -> bytes:
        """JSON with the event's type as key and the payload as value, as in AWS's SDKs; for errors code and message."""
        event = self.event
        if not event:
            return self.payload
        kind = self.headers.get(":message-type")
        if kind == "error":
            facts = {"code": self.headers.get(":error-code"), "message": self.headers.get(":error-message")}
            told = {name: str(value) for name, value in facts.items() if value is not None}
            return _opening(event) + json.dumps(told).encode() + b"}"
        if not self.payload:
            return _opening(event) + b"{}}" if kind == "exception" else b""
        return _opening(event) + self.payload + b"}"


@lru_cache(maxsize=64)
def _opening(event: str) -> bytes:
    return b"{" + json.dumps(event).encode() + b":"


def encoded_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    r"""Write one message of an event stream, whose headers are texts.

    Example:
        >>> message = encoded_message({":event-type": "ping"}, b"{}")
        >>> EventStreamDecoder().feed(message)
        [EventStreamMessage(headers={':event-type': 'ping'}, payload=b'{}')]
    """
    written = b"".join([_text_header(name.encode(), value.encode()) for name, value in headers.items()])
    length = _OVERHEAD + len(written) + len(payload)
    start = struct.pack(">II", length, len(written))
    message = start + _CRC.pack(crc32(start)) + written + payload
    return message + _CRC.pack(crc32(message))


def _text_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value


class EventStreamDecoder:
    r"""A decoder for one AWS event stream. The result does not depend on how the bytes are cut.

    Args:
        limit: the most bytes of one message's payload.

    Attributes:
        failure: the error that stopped the decoder, or None.
        damaged: always False: damage raises an error here.
        stray: always empty, for the same reason.

    Example:
        >>> decoder = EventStreamDecoder()
        >>> decoder.feed(bytes.fromhex("000000100000000005c248eb7d98c8"))
        []
        >>> decoder.feed(bytes.fromhex("ff"))
        [EventStreamMessage(headers={}, payload=b'')]
    """

    __slots__ = ("_known", "_rest", "_wanted", "damaged", "failure", "limit", "stray")

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.limit = limit
        self.failure: MelliteError | None = None
        self.damaged = False
        self.stray = b""
        self._rest = bytearray()
        self._wanted = 0  # the bytes that the next message needs at least
        self._known: dict[bytes, dict[str, HeaderValue]] = {}

    def feed(self, data: bytes) -> list[EventStreamMessage]:
        """Take the next bytes; return the messages that they complete.

        Messages before a damaged one are still returned; the next call raises.

        Raises:
            InvalidProviderOutput: if a checksum, a length or a header is wrong.
            OutputTooLarge: if a message announces a payload of more than `limit` bytes.
        """
        if self.failure is not None:
            raise self.failure
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return []
            data = bytes(rest)
            rest.clear()
        messages: list[EventStreamMessage] = []
        try:
            pos = self._take(data, messages)
        except MelliteError as error:
            self.failure = error
            if not messages:
                raise
            return messages
        rest += data[pos:]
        return messages

    def end(self) -> list[EventStreamMessage]:
        """Mark the end of the stream; return an empty list.

        Raises:
            IncompleteStream: if the stream ended inside a message.
            MelliteError: the error that stopped the decoder before.
        """
        if self.failure is not None:
            raise self.failure
        if self._rest:
            msg = f"the stream ended inside a message, of which {len(self._rest):,} bytes had come"
            raise IncompleteStream(msg)
        return []

    def _take(self, data: bytes, messages: list[EventStreamMessage]) -> int:
        """Append all whole messages to *messages*; return the offset of the first that is not whole."""
        pos, size = 0, len(data)
        view = memoryview(data)
        while size - pos >= _PRELUDE.size:
            length, headers, checksum = _PRELUDE.unpack_from(data, pos)
            if crc32(view[pos : pos + 8]) != checksum:
                why = "the checksum of a message's lengths is wrong"
                raise _damaged(why)
            self._check_lengths(length, headers)
            end = pos + length
            if end > size:
                self._wanted = length
                return pos
            if crc32(view[pos : end - 4]) != _CRC.unpack_from(data, end - 4)[0]:
                why = "the checksum of a message is wrong"
                raise _damaged(why)
            start = pos + _PRELUDE.size + headers
            found = self._headers(data[pos + _PRELUDE.size : start])
            messages.append(EventStreamMessage(found, data[start : end - 4]))
            pos = end
        self._wanted = _PRELUDE.size
        return pos

    def _check_lengths(self, length: int, headers: int) -> None:
        payload = length - headers - _OVERHEAD
        if payload > self.limit:
            msg = f"a message of the stream has {payload:,} bytes, more than {self.limit:,}; is it an AWS event stream?"
            raise OutputTooLarge(msg)
        if payload < 0 or headers > _LARGEST_HEADERS:
            why = f"a message says to have {length:,} bytes, {headers:,} of them headers"
            raise _damaged(why)

    def _headers(self, block: bytes) -> dict[str, HeaderValue]:
        known = self._known.get(block)
        if known is None:
            try:
                known = _decode_headers(block)
            except (IndexError, ValueError, struct.error) as error:
                why = f"the headers of a message cannot be read: {error}"
                raise _damaged(why) from None
            if len(self._known) < _KNOWN_HEADERS and len(block) <= 1024:
                self._known[block] = known
        return dict(known)


def _damaged(why: str) -> InvalidProviderOutput:
    return InvalidProviderOutput(f"the event stream is damaged, or is none: {why}")


# Headers


def _decode_headers(block: bytes) -> dict[str, HeaderValue]:
    """Decode the headers of one message.

    Raises:
        IndexError, ValueError, struct.error: if they are malformed.
    """
    headers: dict[str, HeaderValue] = {}
    pos = 0
    while pos < len(block):
        start = pos + 1
        pos = start + block[pos]
        name = _piece(block, start, pos).decode()
        if not name or name in headers:
            msg = f"the name {name!r} comes twice" if name else "a name is empty"
            raise ValueError(msg)
        headers[name], pos = _decode_value(block, pos)
    return headers


_NUMBERS: Final = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
}
_LENGTH: Final = struct.Struct(">H")
_TRUE, _FALSE, _BYTES, _TEXT, _UUID = 0, 1, 6, 7, 9


def _decode_value(block: bytes, pos: int) -> tuple[HeaderValue, int]:
    """Decode the value whose type is at *pos*; return the value and the offset of its end."""
    kind = block[pos]
    pos += 1
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, pos
    number = _NUMBERS.get(kind)
    if number is not None:
        return number.unpack_from(block, pos)[0], pos + number.size
    if kind == _UUID:
        return _piece(block, pos, pos + 16), pos + 16
    if kind not in (_BYTES, _TEXT):
        msg = f"there is no type {kind}"
        raise ValueError(msg)
    start = pos + _LENGTH.size
    end = start + _LENGTH.unpack_from(block, pos)[0]
    value = _piece(block, start, end)
    return value.decode() if kind == _TEXT else value, end


def _piece(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        msg = "a value goes beyond their end"
        raise ValueError(msg)
    return block[start:end]
