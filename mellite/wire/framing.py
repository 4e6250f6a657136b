"""Cut a byte stream into server-sent events, by the rules browsers follow; no I/O.

The rules are the WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end in LF, CR or CRLF
and in nothing else, one byte order mark at the very start is dropped, bytes are UTF-8 whatever the server says, and an
event counts only once its blank line has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from ..values.errors import MelliteError, OutputTooLarge

__all__ = ["DEFAULT_LIMIT", "Frame", "Framing", "ServerSentEvent", "SseDecoder"]

#: The most bytes one event may have, 32 MiB: a base64 image of 24 MiB fits, a stream that never ends its line does not.
DEFAULT_LIMIT: Final = 32 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_MOST_STRAY: Final = 16 * 1024  # bytes of what is no field that are kept
_FIELDS: Final = (b"", b"data", b"event", b"id", b"retry")
_MOST_DIGITS: Final = 1000  # of a `retry`; int() refuses more than 4,300, and any of this length means "never"
_CR: Final = 13
_LF: Final = 10
_SPACE: Final = 32


class Frame(Protocol):
    """A piece that a framing cut out of the stream."""

    @property
    def event(self) -> str:
        """Its name."""
        ...

    @property
    def raw(self) -> bytes:
        """Its data."""
        ...


class Framing(Protocol):
    """Cuts a stream of bytes into frames."""

    @property
    def damaged(self) -> bool:
        """Whether something was passed over that may have been a frame once."""
        ...

    @property
    def stray(self) -> bytes:
        """What came that is no part of a frame, and may be an error that a server sent as it liked."""
        ...

    @property
    def failure(self) -> MelliteError | None:
        """What stopped it behind the frames that it gave."""
        ...

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Take the next bytes; give the frames that they complete."""
        ...


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event.

    Args:
        event: its type, ``message`` unless the server named one.
        raw: its data as it arrived: the bytes of its data lines, joined by LF. Meant to be UTF-8, but unchecked.
        id: the last event id that the stream has given so far; empty before the first.
        retry: the reconnection time in milliseconds, if this event set one.

    Example:
        >>> ServerSentEvent("message", b"hello").data
        'hello'
    """

    event: str
    raw: bytes
    id: str = ""
    retry: int | None = None

    @property
    def data(self) -> str:
        """`raw` as text; what is not UTF-8 becomes U+FFFD, as the rules ask."""
        return self.raw.decode("utf-8", "replace")


class SseDecoder:
    r"""Decodes server-sent events from bytes that arrive in any pieces; the pieces make no difference.

    Args:
        limit: the most bytes that one event, or one line of any kind, may have.

    Attributes:
        last_event_id: the id in force after the last blank line; empty if there was none.
        reconnection_ms: the last valid ``retry``, in milliseconds, or None.
        failure: the error that stopped the decoder, or None.
        damaged: whether a line that was passed over, as unknown fields are, began with bytes that are no text at all,
            or with a byte order mark in the middle of the stream; it may have been an event once.

    Example:
        >>> decoder = SseDecoder()
        >>> decoder.feed(b"data: one\n\ndata: t")
        [ServerSentEvent(event='message', raw=b'one', id='', retry=None)]
        >>> [event.data for event in decoder.feed(b"wo\n\n")]
        ['two']
    """

    __slots__ = (
        "_awkward",
        "_clean",
        "_data",
        "_event",
        "_id",
        "_rest",
        "_retry",
        "_size",
        "_started",
        "_stray",
        "damaged",
        "failure",
        "last_event_id",
        "limit",
        "reconnection_ms",
    )

    def __init__(self, *, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.last_event_id = ""
        self.reconnection_ms: int | None = None
        self.failure: OutputTooLarge | None = None
        self.damaged = False
        self._awkward = True  # the next bytes need a look before they are cut: stream start, or a CR just went by
        self._clean = False  # nothing is held, and nothing is awkward or wrong
        self._started = False
        self._rest = bytearray()  # a line that has not ended
        self._stray = bytearray()
        self._size = 0  # bytes of this event's finished lines
        self._data: bytes | bytearray | None = None
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; give the events that they complete.

        Events that were complete before one grew too large are still given; the error comes with the next call.

        Raises:
            OutputTooLarge: if an event or a line has more than `limit` bytes.
        """
        events: list[ServerSentEvent] = []
        if self._clean and _CR not in data:
            pos = self._take_whole(data, 0, events)
            return events if pos == len(data) else self._take_lines(data, pos, events)
        if self.failure is not None:
            raise self.failure
        if self._awkward or _CR in data:
            data = self._untangle(data)
        rest = self._rest
        if rest:
            rest += data
            if _LF not in data:
                return self._within_limit(events, len(rest))
            data = bytes(rest)
            rest.clear()
        return self._take_lines(data, 0, events)

    @property
    def stray(self) -> bytes:
        """The lines so far that are no fields of an event stream, or their beginning; servers send errors so."""
        if not self._rest:
            return bytes(self._stray)
        name = bytes(self._rest[:_MOST_STRAY]).partition(b":")[0]
        return bytes(self._stray) + (b"" if name in _FIELDS else bytes(self._rest[:_MOST_STRAY]))

    def end(self) -> list[ServerSentEvent]:
        """The stream is over. An event without its blank line is dropped, so this gives nothing and never raises."""
        self._rest.clear()
        self._clear()
        return []

    def _untangle(self, data: bytes) -> bytes:
        """Drop the byte order mark at the start of the stream, and turn every line end into LF."""
        if not self._started:
            data = bytes(self._rest) + data
            self._rest.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._rest += data
                return b""
            self._started = True
            data = data.removeprefix(_BOM)
        elif self._awkward:
            if not data:
                return data
            if data[0] == _LF:  # the second half of a CRLF; its CR has ended the line already
                data = data[1:]
        self._awkward = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_whole(self, data: bytes, pos: int, events: list[ServerSentEvent]) -> int:
        """Take events of one data line, with at most their name before it: nearly all there are. Where it stopped."""
        find, last, limit, last_event_id = data.find, len(data) - 1, self.limit, self.last_event_id
        while True:
            start, name = pos, "message"
            head = data[pos : pos + 6]
            if head == b"event:":
                start = find(b"\n", pos) + 1
                name = data[pos + 6 : start - 1].removeprefix(b" ").decode("utf-8", "replace") or name
                head = data[start : start + 6] if start else b""
            if head != b"data: ":
                return pos
            end = find(b"\n", start)
            if not 0 <= end < last or data[end + 1] != _LF or end - pos > limit:
                return pos
            events.append(ServerSentEvent(name, data[start + 6 : end], last_event_id))
            pos = end + 2
            if pos > last:
                return pos

    def _take_lines(self, data: bytes, pos: int, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Take everything, line by line where need be."""
        find, limit = data.find, self.limit
        while True:
            size = self._size
            if not size:
                pos = self._take_whole(data, pos, events)
            end = find(b"\n", pos)
            if end < 0:
                break
            if end == pos:
                if size:
                    self._dispatch(events)
            elif size + end - pos > limit:
                return self._within_limit(events, end - pos)
            elif data.startswith(b"data:", pos):
                self._size = size + end - pos + 1
                self._add(data[pos + 6 if data[pos + 5] == _SPACE else pos + 5 : end])
            else:
                self._field(data[pos:end])
            pos = end + 1
        if pos < len(data):
            self._rest += data[pos:]
        self._clean = not (self._rest or self._size or self._awkward)
        return self._within_limit(events, len(self._rest))

    def _add(self, value: bytes) -> None:
        held = self._data
        if held is None:
            self._data = value
            return
        if isinstance(held, bytes):
            held = self._data = bytearray(held)
        held += b"\n"
        held += value

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"data":  # without a colon
            self._add(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self._retry = self.reconnection_ms = int(value)
        else:  # a comment or an unknown field; no event is made of it
            if name and len(self._stray) < _MOST_STRAY:
                self._stray += line[:_MOST_STRAY] + b"\n"
            self.damaged = self.damaged or not (name.isascii() or _is_text(name)) or name.startswith(_BOM)
            return
        self._size += len(line) + 1

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """A blank line after at least one field."""
        if self._id is not None:
            self.last_event_id = self._id
        if self._data is not None:
            raw = bytes(self._data)
            events.append(ServerSentEvent(self._event or "message", raw, self.last_event_id, self._retry))
        self._clear()

    def _clear(self) -> None:
        self._size = 0
        self._data = None
        self._event = ""
        self._id = None
        self._retry = None

    def _within_limit(self, events: list[ServerSentEvent], length: int) -> list[ServerSentEvent]:
        """The events, unless the line of `length` bytes makes its event too large."""
        if not length or self._size + length <= self.limit:
            return events
        self._clean = False
        msg = (
            f"an event of the stream is larger than {self.limit:,} bytes; if that is right, raise max_answer_bytes, "
            "of which one event may be half; otherwise the server sends something that is no event stream"
        )
        self.failure = OutputTooLarge(msg)
        self._rest.clear()
        self._clear()
        if not events:
            raise self.failure
        return events


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
