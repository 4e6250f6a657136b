"""One HTTP answer as it comes in: its head, its body piece by piece, and how it ends. No I/O."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

__all__ = ["UNASKED", "BrokenRules", "CutOff", "Incoming"]

#: Bounds of a head: bytes in all, bytes of one header, headers, and heads with a status of 1xx before the answer.
_HEAD: Final = 512 * 1024
_HEADER: Final = 64 * 1024
_HEADERS: Final = 1000
_INFORMATIONAL: Final = 100

#: Bytes that hold neither too many headers nor a too long one: a header takes four at least.
_SHORT: Final = 4 * _HEADERS

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class BrokenRules(Exception):
    """An answer breaks the rules of HTTP, or the bounds set here; the text says which."""


class CutOff(Exception):
    """The connection ended before the answer was complete.

    Attributes:
        reset: whether by an error of the network, not by the server's closing it.
    """

    def __init__(self, why: str, *, reset: bool = False) -> None:
        super().__init__(why)
        self.reset = reset


class Incoming:
    """The answer to one request, filled by `feed` and `end`; llhttp does the parsing, strictly.

    Bytes may come in any pieces. What was received before something broke stays readable: `error` is there to be
    raised once `take` has given all of it.

    Attributes:
        status: the HTTP status; 0 until the head is there.
        raw_headers: name and value of each header, as they came, in order.
        has_head: whether status and headers are complete.
        is_complete: whether the whole answer is here.
        is_encoded: whether its body has a ``content-encoding``; known once the head is there.
        is_reusable: whether the connection may carry another request; settled when the answer is complete.
        received: whether any byte of an answer came.
        buffered: how many bytes wait to be taken, at most: what frames the body counts, too.
        error: why nothing more will come, unless the answer is complete.
    """

    __slots__ = (
        "_has_body",
        "_head_bytes",
        "_informational",
        "_is_framed",
        "_is_long",
        "_is_unasked",
        "_parser",
        "_pieces",
        "buffered",
        "error",
        "has_head",
        "is_complete",
        "is_encoded",
        "is_reusable",
        "raw_headers",
        "received",
        "status",
    )

    def __init__(self, method: str) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._has_body = method != "HEAD"
        self._head_bytes = 0
        self._informational = 0
        self._is_framed = False
        self._is_long = False  # the head may break a bound before its end
        self._is_unasked = False
        self._pieces: list[bytes] = []
        self.buffered = 0
        self.error: Exception | None = None
        self.has_head = False
        self.is_complete = False
        self.is_encoded = False
        self.is_reusable = False
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.received = False
        self.status = 0

    # --- from the connection ---------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take in bytes of the connection. Never raises: what is wrong with them becomes `error`."""
        self.received = True
        parser = self._parser
        if parser is None:  # nobody asked for more
            self.is_reusable = False
            if self._is_unasked:
                self._fail(BrokenRules(UNASKED))
            return
        if not self.has_head:
            self._is_long = self._head_bytes + len(data) > _SHORT
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail(BrokenRules("it switches to another protocol"))
        except HttpParserCallbackError as error:
            self._fail(error.__context__ if isinstance(error.__context__, BrokenRules) else error)
        except HttpParserError:
            began = self.has_head or parser.get_status_code() >= 100
            self._fail(BrokenRules(_WRONG[self.has_head] if began else _NO_HTTP))
        if self.has_head:
            self.buffered += len(data)
        if self.is_complete:
            self._parser = None  # and with it the cycle between the two
        elif not self._pieces:  # of a head, of trailers, or between two chunks
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD:
                self._fail(BrokenRules("its trailers are too long" if self.has_head else "its head is too long"))
        else:
            self._head_bytes = 0

    def refuse(self) -> None:
        """Take whatever comes as unrequested: the request has not been sent."""
        self._is_unasked = True
        self._parser = None

    def end(self, error: Exception | None = None) -> None:
        """Take in the end of the connection: the server's, or an error of the network."""
        if self.is_complete or self.error is not None:
            self.is_reusable = False
        elif error is None and self.has_head and not self._is_framed:
            self.is_complete = True  # the body goes on to the end of the connection
        else:
            self._fail(error or CutOff("the server closed it"))
        self._parser = None

    def _fail(self, error: Exception) -> None:
        self.is_reusable = False
        if not self.is_complete and self.error is None:
            self.error = error
        self._parser = None

    # --- from llhttp -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Take the beginning of a head; a second one after a whole answer was not asked for."""
        if self.is_complete:
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within bounds."""
        if self.has_head:  # a trailer, or part of an answer that nobody asked for
            return
        if self._is_long and (len(name) + len(value) > _HEADER or len(self.raw_headers) >= _HEADERS):
            msg = "one of its headers is too long" if len(self.raw_headers) < _HEADERS else "it has too many headers"
            raise BrokenRules(msg)
        self.raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head for that of the answer, unless its status says that another one follows."""
        parser = self._parser
        if self.is_complete or parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            self._pass_over(status)
            return
        self.status = status
        self._is_framed = status in (204, 304)
        self._read_framing()
        self.has_head = True
        if not self._has_body:
            self.is_complete = True

    def _read_framing(self) -> None:
        """Take what the headers say of the body."""
        for name, value in self.raw_headers:
            lowered = name.lower()
            if lowered == b"content-length":
                self._is_framed = True
            elif lowered == b"content-encoding":
                self.is_encoded = True
            elif lowered == b"transfer-encoding":
                self._is_framed = True
                if value.lower() != b"chunked":
                    msg = "its body is encoded in a way that was not asked for"
                    raise BrokenRules(msg)
            elif lowered == b"data":  # that of an event: it would be lost, and nothing after it shows that
                msg = "no empty line is between its head and its first event"
                raise BrokenRules(msg)

    def _pass_over(self, status: int) -> None:
        """Forget a head that another one follows."""
        if status < 100:
            raise BrokenRules(_NO_HTTP)
        if any(name.lower() in _FRAMING and value != b"0" for name, value in self.raw_headers):
            msg = "one of its first heads says that a body follows"
            raise BrokenRules(msg)
        self.raw_headers.clear()
        self._informational += 1
        if status == 101 or self._informational > _INFORMATIONAL:
            msg = "it switches to another protocol" if status == 101 else "it never gets past its first heads"
            raise BrokenRules(msg)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if not self.is_complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the answer for whole, and see whether the connection stays usable."""
        if self.has_head and not self.is_complete and self._parser is not None:
            self.is_complete = True
            self.is_reusable = self._parser.should_keep_alive()

    # --- from the reader -------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return what has come of the body since the last time, in one; empty where nothing has."""
        pieces = self._pieces
        self.buffered = 0
        if not pieces:
            return b""
        data = b"".join(pieces)  # one piece is returned as it is
        self._pieces = []
        return data


#: What is wrong with bytes that a server sends on a fresh connection, before it was asked.
UNASKED: Final = "it came before it was asked for"

_NO_HTTP: Final = "it does not begin with a status line"
#: Whether the head is there -> what is wrong.
_WRONG: Final = {False: "its head is malformed", True: "its body is not framed as HTTP asks"}
