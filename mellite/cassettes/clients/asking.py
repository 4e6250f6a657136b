"""Ask a cassette on behalf of an async client: send over its own transport what is to be recorded, else replay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import anyio
from attrs import define

from ...values.errors import ConnectionLost, InvalidProviderOutput, TransportError
from ...wire.http import HttpRequest, HttpResponse
from ...wire.transports.default import UNCAUGHT
from ..opening import CassetteTransport

__all__ = ["BROKEN", "Answer", "Failures", "Live", "Send", "ask", "asked"]

#: The errors that a recording keeps: the request was sent, and its answer broke.
BROKEN: Final = (TransportError, InvalidProviderOutput, TimeoutError)

#: How long closing a connection may take where the reader goes away, in seconds.
_CLOSING_TIME: Final = 5.0


class Failures(Protocol):
    """Translates between the errors of a client and those that a cassette keeps."""

    def ours(self, error: Exception) -> Exception | None:
        """Return the error to record for one of the client's, one of `BROKEN`; None if nothing was sent."""
        ...

    def theirs(self, error: Exception) -> Exception:
        """Return what the client raises where this error was recorded."""
        ...


@define(eq=False, kw_only=True)
class Live:
    """A response of a client's own transport: status, headers, and a body that is still arriving.

    Args:
        status: the HTTP status.
        headers: by lower-case name.
        pieces: the pieces of the body, still compressed.
        close: gives the connection back, or closes it.
        response: the client's own object.
    """

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]
    close: Callable[[], Awaitable[object]]
    response: Any


Send: TypeAlias = Callable[[], Awaitable[Live]]


def asked(client: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpRequest:
    """Return a request of a client as a cassette knows it."""
    return HttpRequest(method, url, headers=headers, body=body, context={"client": client})


async def ask(
    cassette: CassetteTransport,
    request: HttpRequest,
    send: Send,
    failures: Failures,
    *,
    timeout: float | None = None,
) -> Answer:
    """Answer a client's request from the cassette, or send it over the client's own transport and record the answer.

    Args:
        cassette: what answers, or records.
        request: what is asked.
        send: sends the request over the client's own transport.
        failures: the errors of the client.
        timeout: how long a replay may take until the headers, and between two pieces, in recorded seconds.

    Raises:
        CassetteMiss: if the request is not recorded, and may not be.
        CassetteError: if it cannot be recorded.
        Exception: what the client's own transport raises, or raised when this was recorded.
    """
    live = _Sender(send, failures)
    failure: Exception
    try:
        answer = await cassette.over(lambda: live).open(request, timeout=timeout)
    except BROKEN as error:
        failure = live.error or failures.theirs(error)
    else:
        return Answer(answer, live, timeout)
    raise failure


class _Sender:
    """A transport that sends one request over a client's own transport, and keeps what that raised."""

    __slots__ = ("_send", "error", "failures", "response")

    def __init__(self, send: Send, failures: Failures) -> None:
        self._send = send
        self.failures = failures
        self.error: Exception | None = None
        self.response: Any = None

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:  # noqa: ARG002
        """Send the request. The client's own timeouts hold."""
        uncaught = UNCAUGHT.set(True)
        try:
            live = await self._send()
        except Exception as error:
            raise self.translated(error) from error
        finally:
            UNCAUGHT.reset(uncaught)
        self.response = live.response
        return _LiveResponse(live, self)

    def translated(self, error: Exception) -> Exception:
        """Return the error to record; the client's own if nothing is to be recorded for it."""
        ours = self.failures.ours(error)
        if ours is None:
            return error
        self.error = error
        return ours


class _LiveResponse(HttpResponse):
    """The answer of a client's own transport while it arrives."""

    __slots__ = ("_closed", "_live", "_sender", "_state")

    def __init__(self, live: Live, sender: _Sender) -> None:
        self.status = live.status
        self.headers = live.headers
        self._live = live
        self._sender = sender
        self._state = "open"  # or "broken": a read was interrupted or failed; or "ended"
        self._closed = False

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the client's own timeouts hold
        """Read the next piece; see `HttpResponse.read`."""
        if self._state == "ended":
            return b""
        if self._state == "broken":
            msg = "the answer cannot be read on: reading it was interrupted, or has failed"
            raise ConnectionLost(msg)
        # "broken" unless this read succeeds: a generator that was interrupted looks as if it had ended.
        self._state = "broken"
        piece = b""
        try:
            while not piece:
                piece = await anext(self._live.pieces)
        except StopAsyncIteration:
            self._state = "ended"
            return b""
        except Exception as error:
            raise self._sender.translated(error) from error
        self._state = "open"
        return piece

    async def aclose(self) -> None:
        """Close the answer, shielded: a cancelled reader closes the connection, too."""
        if self._closed:
            return
        self._closed = True
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            stop = getattr(self._live.pieces, "aclose", None)
            if stop is not None:
                await stop()
            await self._live.close()


class Answer:
    """An answer for a client, recorded or replayed: status, headers and the pieces as they come.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name.
        response: the client's own object, if the request was sent over its own transport; None otherwise.
    """

    __slots__ = ("_inner", "_over", "_sender", "_timeout", "headers", "response", "status")

    def __init__(self, inner: HttpResponse, sender: _Sender, timeout: float | None) -> None:
        self.status = inner.status
        self.headers = inner.headers
        self.response = sender.response
        self._inner = inner
        self._sender = sender
        self._timeout = timeout
        self._over = False

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece.

        Raises:
            Exception: what the client's own transport raises, or raised when this was recorded.
        """
        if self._over:
            raise StopAsyncIteration
        failure: Exception
        try:
            piece = await self._inner.read(self._timeout)
        except BROKEN as error:
            failure = self._sender.error or self._sender.failures.theirs(error)
        else:
            if piece:
                return piece
            self._over = True
            raise StopAsyncIteration
        raise failure

    async def aclose(self) -> None:
        """Close the answer. What was not read is recorded as not read."""
        await self._inner.aclose()
