"""Send an answer that is all there in one go: head, pieces and end in one write, each piece a chunk of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from aiohttp import web

if TYPE_CHECKING:
    from ..cassettes.replaying.answer import RecordedAnswer
    from ..cassettes.replaying.sharing import Laid

__all__ = ["AnswerAtOnce", "Framing"]

_MOST: Final = 256 * 1024
_PHRASES: Final[Mapping[int, str]] = {each.value: each.phrase for each in HTTPStatus}
_KIND: Final = "content-type"
_BINARY: Final = "application/octet-stream"


class AnswerAtOnce(web.StreamResponse):
    """A response of which everything is written when it is prepared.

    Args:
        status: the HTTP status.
        data: the bytes to send, from the status line to the end of the body.
    """

    def __init__(self, status: int, data: bytes) -> None:
        super().__init__(status=status)
        self._data = data
        self._stays_open: bool | None = None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it all, and wait until the client has taken most of it. Once it is written, do nothing.

        Raises:
            ConnectionResetError: if the client went away.
        """
        data, self._data = self._data, b""
        if not data:
            return
        transport = request.transport
        if transport is None or transport.is_closing():
            msg = "the client went away"
            raise ConnectionResetError(msg)
        self._stays_open = request.keep_alive
        transport.write(data)
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the end is written."""


class Framing:
    """Writes recorded answers as HTTP/1.1 has them, and remembers how those that it has written look.

    Args:
        dropped: headers that are left out, because they are those of another connection.
    """

    def __init__(self, dropped: frozenset[str]) -> None:
        self._dropped = dropped
        self._known: WeakKeyDictionary[Laid, tuple[bytes, bytes]] = WeakKeyDictionary()
        self._date = 0, b""

    def response(self, answer: RecordedAnswer, request: web.BaseRequest) -> AnswerAtOnce | None:
        """Return the response for an answer; None if it has to be waited for, is large, or has to look otherwise.

        Args:
            answer: the answer, of which nothing has been read.
            request: what is answered.
        """
        laid = answer.shared
        if laid is None or request.version != (1, 1):
            return None
        found = self._known.get(laid)
        if found is None:
            head = _head(answer.status, laid.headers, self._dropped)
            pieces = () if head is None else answer.pieces(_MOST)
            if head is None or not pieces:
                return None
            found = self._known[laid] = head, _chunks(pieces)
        head, body = found
        date = b"" if "date" in laid.headers else self._dated()
        close = b"" if request.keep_alive else b"connection: close\r\n"
        return AnswerAtOnce(answer.status, b"%b%b%b\r\n%b" % (head, date, close, body))

    def _dated(self) -> bytes:
        now = int(time.time())
        if now != self._date[0]:
            self._date = now, b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._date[1]


def _head(status: int, headers: Mapping[str, str], dropped: frozenset[str]) -> bytes | None:
    """Return the head without its end; None if a header has a line break, which would be an end of its own."""
    kept = {name: value for name, value in headers.items() if name not in dropped}
    kept.setdefault(_KIND, _BINARY)
    lines = [f"{name}: {value}" for name, value in kept.items()]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        return None
    top = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"
    return "\r\n".join([top, *lines, "transfer-encoding: chunked", ""]).encode()


def _chunks(pieces: Sequence[bytes]) -> bytes:
    return b"".join([*[b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces], b"0\r\n\r\n"])
