"""The `Framing` interface, by which a byte stream is cut into frames, and the decoder of server-sent events; no I/O.

Server-sent events follow the WHATWG's rules (https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end
in LF, CR or CRLF and in nothing else, one byte order mark at the very start is dropped, bytes are UTF-8 whatever the
server says, and an event counts only once its blank line has arrived. The other framing is `mellite.wire.aws`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from ..values.errors import MelliteError, OutputTooLarge

__all__ = ["DEFAULT_LIMIT", "Frame", "Framing", "ServerSentEvent", "SseDecoder"]

#: The most bytes of one event, 32 MiB: room for a base64 image of 24 MiB, but an end to a line that never ends.
DEFAULT_LIMIT: Final = 32 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_MOST_STRAY: Final = 16 * 1024  # bytes to keep of lines that are not fields
_FIELDS: Final = (b"", b"data", b"event", b"id", b"retry")
_RUN_IN: Final = re.compile(rb"[0-9a-fA-F]+data")
_MOST_DIGITS: Final = 1000  # of a `retry` value; int() refuses more than 4,300, and a wait this long means "never"
_CR: Final = 13
_LF: Final = 10
_SPACE: Final = 32
_RUN: Final = 1024  # bytes that are worth a look for several events that begin alike


class Frame(Protocol):
    """One event of a stream, cut out but not decoded."""

    @property
    def event(self) -> str:
        """The name of the event."""
        ...

    @property
    def raw(self) -> bytes:
        """The data of the event."""
        ...


class Framing(Protocol):
    """A decoder that cuts one stream of bytes into frames."""

    @property
    def damaged(self) -> bool:
        """Whether bytes were skipped that may once have been a frame."""
        ...

    @property
    def stray(self) -> bytes:
        """The bytes that belong to no frame: perhaps an error message in a form of the server's own."""
        ...

    @property
    def failure(self) -> MelliteError | None:
        """The error that stopped decoding after the frames returned so far, if any."""
        ...

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Take the next bytes; return the frames that they complete."""
        ...


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event.

    Args:
        event: the type, ``message`` unless the server named one.
        raw: the bytes of the data lines, joined by LF. Should be UTF-8, but that is not checked.
        id: the last event id in the stream so far; empty before the first.
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
        """`raw` as text, with U+FFFD for bytes that are not UTF-8, as the rules demand."""
        return self.raw.decode("utf-8", "replace")


class SseDecoder:
    r"""A decoder for one stream of server-sent events. The result does not depend on how the bytes are cut.

    Args:
        limit: the most bytes of one event, or of one line of any kind.

    Attributes:
        last_event_id: the id in force after the last blank line; empty if there was none.
        reconnection_ms: the last valid ``retry``, in milliseconds, or None.
        failure: the error that stopped the decoder, or None.
        damaged: whether a skipped line began with bytes that are not text, with a byte order mark in the middle of the
            stream, or with the size of a chunk that ran into an event. Unknown fields are skipped by the rules, but
            such a line may once have been an event.

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
        self._awkward = True  # the next bytes may begin with a byte order mark, or with the LF of a CRLF
        self._clean = False  # nothing is held, awkward or wrong: the fast path may be taken
        self._started = False
        self._rest = bytearray()  # a line that has not ended
        self._stray = bytearray()
        self._size = 0  # bytes of this event's finished lines
        self._data: bytes | bytearray | None = None
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; return the events that they complete.

        When an event grows too large, the events before it are still returned; the next call raises.

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
    def is_between_events(self) -> bool:
        """Whether nothing is held of what has come: the next byte begins an event."""
        return self._clean

    @property
    def stray(self) -> bytes:
        """The first lines that are not fields of an event stream; some servers send errors this way."""
        if not self._rest:
            return bytes(self._stray)
        name = bytes(self._rest[:_MOST_STRAY]).partition(b":")[0]
        return bytes(self._stray) + (b"" if name in _FIELDS else bytes(self._rest[:_MOST_STRAY]))

    def end(self) -> list[ServerSentEvent]:
        """Mark the end of the stream. Drops an event without its blank line; always returns an empty list."""
        self._rest.clear()
        self._clear()
        return []

    def _untangle(self, data: bytes) -> bytes:
        """Drop a byte order mark at the start of the stream; turn every line end into LF."""
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
            if data[0] == _LF:  # the second half of a CRLF, whose CR has ended the line already
                data = data[1:]
        if _CR not in data:
            self._awkward = False
            return data
        self._awkward = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take_whole(self, data: bytes, pos: int, events: list[ServerSentEvent], *, alike: bool = True) -> int:
        """Fast path for events of one data line, with or without a name. Return the offset where it stopped.

        Args:
            data: what has come.
            pos: the offset to begin at.
            events: what takes the events.
            alike: whether to look for a run of events that begin alike, which is worth it once for one piece of data.
        """
        find, last, limit, last_event_id = data.find, len(data) - 1, self.limit, self.last_event_id
        head = b""
        while True:
            if alike and head and last - pos > _RUN and data.startswith(head, pos):
                alike = False
                pos = self._take_alike(data, pos, head, events)
                if pos > last:
                    return pos
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
            head = data[pos : start + 6]
            pos = end + 2
            if pos > last:
                return pos

    def _take_alike(self, data: bytes, pos: int, head: bytes, events: list[ServerSentEvent]) -> int:
        """Take the events that begin with *head* as the last one did, all at once. Return the offset where it stopped.

        Nothing but the data of an event stands between two heads where it holds no line end. The first that holds one
        is some other event, or has more lines.
        """
        end = data.rfind(b"\n\n")
        if end < pos + len(head):
            return pos
        between = b"\n\n" + head
        found = data[pos + len(head) : end].split(between)
        whole = b"".join(found)
        if b"\n" in whole:
            del found[next(number for number, raw in enumerate(found) if b"\n" in raw) :]
            whole = b"".join(found)
        if not found or (len(whole) + len(head) > self.limit and max(map(len, found)) + len(head) > self.limit):
            return pos
        name, last_event_id = events[-1].event, self.last_event_id
        events += [ServerSentEvent(name, raw, last_event_id) for raw in found]
        return pos + len(whole) + len(between) * len(found)

    def _take_lines(self, data: bytes, pos: int, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Take all of *data* from *pos* on, line by line where the fast path stops."""
        find, limit, alike = data.find, self.limit, True
        while True:
            size = self._size
            if not size:
                pos = self._take_whole(data, pos, events, alike=alike)
                alike = False
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
        else:  # a comment or an unknown field, which is not part of an event
            if name and len(self._stray) < _MOST_STRAY:
                self._stray += line[:_MOST_STRAY] + b"\n"
            stray = not (name.isascii() or _is_text(name)) or name.startswith(_BOM) or _RUN_IN.fullmatch(name)
            self.damaged = self.damaged or bool(stray)
            return
        self._size += len(line) + 1

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """End the event, at a blank line after at least one field; append it to *events* if it has data."""
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
        """Return *events*, unless the line of *length* bytes makes the current event too large."""
        if not length or self._size + length <= self.limit:
            return events
        self._clean = False
        msg = (
            f"an event of the stream is larger than {self.limit:,} bytes; if that is right, raise max_answer_bytes, "
            "of which one event may be half; otherwise the server sends something that is not an event stream"
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
