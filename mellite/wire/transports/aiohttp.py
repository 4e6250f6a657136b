"""The HTTP transport for asyncio, by aiohttp.

aiohttp is imported at the first request. Its timeouts are off, as mellite has its own; redirects, cookies, proxies and
``.netrc`` are not used; bodies are returned compressed, as they arrived.

The transport may be used from any number of loops and threads. Everything below it, a client with its responses and
deadlines, belongs to one loop and is touched only there, so nothing here needs a lock. The exception is `_discard`,
which runs when the loop has been closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal, final

from attrs import define

from ... import loops
from ...loops.per_loop import ClientPerLoop, release
from ...values.errors import ConnectError, ConnectionLost, InvalidProviderOutput, MelliteError
from ..broken import how_it_broke, too_slow, unforeseen, what_is_wrong
from ..http import (
    MAX_CONNECTIONS,
    HttpRequest,
    HttpResponse,
    check_request,
    received_headers,
    sent_headers,
    shown_url,
)
from ..tls import tls_context
from .default import UNCAUGHT

if TYPE_CHECKING:
    import ssl

    import aiohttp
    import yarl

__all__ = ["AiohttpTransport"]

_KEEP_ALIVE: Final = 30.0  # seconds that an unused connection is kept
_HEADER_SIZE: Final = 64 * 1024  # bytes of one header, and of the status line
_HEADER_COUNT: Final = 1000
_UVLOOP_BUFFER: Final = 16 * 1024 * 1024  # bytes of a body that may wait there, unread
_LARGE_BODY: Final = 1024 * 1024  # above this size aiohttp warns of bytes, written in one go; files go in pieces


@final
class AiohttpTransport:
    """A `Transport` over aiohttp, for asyncio; for programs that must bring a session of aiohttp's.

    Args:
        session: the session to send over, in its own event loop only; its settings for proxies, TLS, connections and
            timeouts hold, and its owner closes it. By default, a session of the transport's own in each loop.
        max_connections: the most connections in one event loop; further requests wait.
        ssl_context: the TLS settings; by default those of the system, shared by the process.

    Example:
        >>> transport = AiohttpTransport(max_connections=10)
    """

    __slots__ = ("_clients", "_is_given", "_ssl_context")

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._is_given = session is not None
        if session is None:
            self._clients = ClientPerLoop(functools.partial(_connect, max_connections), _disconnect, _discard)
        else:
            self._clients = ClientPerLoop(functools.partial(_given, session), _leave, _let_be)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request; see `Transport.open`."""
        check_request(request)
        loop = asyncio.get_running_loop()
        client = self._clients.find(loop) or await self._clients.start(loop)
        failure: MelliteError | None = None
        deadline = None if timeout is None else _Deadline(loop, timeout)
        try:
            return await self._send(client, request)
        except asyncio.CancelledError:
            if deadline is None or not deadline.is_the_only_reason():
                raise
        except Exception as error:
            failure = _failure(error, request, None if self._is_given else request.connect_timeout)
        finally:
            if deadline is not None:
                deadline.end()
        # Raised outside of `except`, so that the client's exception, which holds the headers, is not its __context__.
        raise failure or TimeoutError(f"no answer from {shown_url(request.url)} within {timeout} s")

    async def _send(self, client: _Client, request: HttpRequest) -> HttpResponse:
        uncaught = UNCAUGHT.set(True)
        try:
            response = await self._requested(client, request)
        finally:
            UNCAUGHT.reset(uncaught)
        return _Response(response, client, request.url)

    async def _requested(self, client: _Client, request: HttpRequest) -> aiohttp.ClientResponse:
        body = request.body
        return await client.session.request(
            request.method,
            client.url(request.url, encoded=True),
            headers=sent_headers(request),
            skip_auto_headers=None if "content-type" in request.headers else ("content-type",),
            data=io.BytesIO(body) if len(body) > _LARGE_BODY else body or None,
            allow_redirects=False,
            auto_decompress=False,
            ssl=self._tls(request.url),
            **self._timeout(request),
        )

    def _timeout(self, request: HttpRequest) -> dict[str, Any]:
        """Return how long connecting may take, unless the session is somebody else's, with timeouts of its own."""
        if self._is_given:
            return {}
        import aiohttp

        return {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=request.connect_timeout)}

    def _tls(self, url: str) -> ssl.SSLContext | bool:
        """Return the TLS settings for a URL; True leaves them to the session."""
        if self._ssl_context is None and (self._is_given or url[:5].lower() != "https"):
            return True
        return self._ssl_context or tls_context()

    async def aclose(self) -> None:
        """Close the connections of all loops: this loop's before returning, those of other loops soon after."""
        await self._clients.aclose(loops.running())


@final
class _Deadline:
    """A timeout for the current task, by the rules of `asyncio.timeout` at a third of its cost.

    The timer cancels the task. `Task.cancelling` tells whether other code has cancelled the task, too; `end` takes the
    timer's cancellation back. See https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.uncancel
    """

    __slots__ = ("_cancelled_before", "_expired", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            msg = "a request with a timeout must be sent from a task"
            raise RuntimeError(msg)
        self._task = task
        self._cancelled_before = task.cancelling()
        self._expired = False
        self._timer = loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def is_the_only_reason(self) -> bool:
        """Return whether only the timer has cancelled the task, and no other code."""
        return self._expired and self._task.cancelling() - 1 <= self._cancelled_before

    def end(self) -> None:
        """Stop the timer and take back its cancellation. Must be called in every case."""
        self._timer.cancel()
        if self._expired:
            self._task.uncancel()


class _GivenUp(Exception):  # never leaves this module
    """A connection was closed on this side: the server broke the rules of HTTP, or the transport was closed."""


@final
class _Response(HttpResponse):
    """A response that costs one wake-up per network read, and no timer or suspension while data is buffered."""

    __slots__ = (
        "_client",
        "_content",
        "_deadline",
        "_expired",
        "_loop",
        "_lost",
        "_response",
        "_timer",
        "_url",
    )

    def __init__(self, response: aiohttp.ClientResponse, client: _Client, url: str) -> None:
        self.status = response.status
        self.headers = received_headers(response.raw_headers)
        self._response = response
        self._content = response.content
        self._client = client
        self._url = url
        self._loop = client.loop
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False
        self._lost: asyncio.Future[None] | None = None
        if response.connection is not None and response.connection.protocol is not None:
            self._lost = response.connection.protocol.closed
        if self._lost is not None:  # without a connection the whole body has arrived
            self._lost.add_done_callback(self._broken_off)

    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next piece of the body; see `HttpResponse.read`."""
        content = self._content
        failure: Exception | None = None
        try:
            data = content.read_nowait()
            if data:
                return data
            if not content.is_eof():
                if timeout is not None:
                    self._watch(timeout)
                data = await content.readany()
            if not data:
                self._finish()
            return data
        except Exception as error:
            rest = self._rest(error)
            if rest:
                return rest
            failure = error
        finally:
            self._deadline = 0.0
        if self._expired:
            msg = f"nothing more came from {shown_url(self._url)} within {timeout} s"
            raise TimeoutError(msg)
        raise _lost(failure, shown_url(self._url), self._lost)

    def _rest(self, error: Exception) -> bytes:
        """Take out what had arrived before *error*, as aiohttp raises the error first."""
        self._content.set_exception(None)  # type: ignore[arg-type]
        try:
            return self._content.read_nowait()
        finally:
            self._content.set_exception(error)

    def _watch(self, timeout: float) -> None:
        # One timer for many waits: each wait only moves the deadline, which the timer checks when it goes off. A timer
        # for each wait would cost more than the rest of the read.
        self._deadline = deadline = self._loop.time() + timeout
        timer = self._timer
        if timer is not None:
            if timer.when() <= deadline:
                return
            timer.cancel()
        self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._deadline:  # no read is waiting
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
            return
        self._expired = True
        self._fail(TimeoutError())

    def _broken_off(self, lost: asyncio.Future[None]) -> None:
        # aiohttp does not tell the reader of every violation of HTTP inside a body, nor of a closed session.
        reason = None if lost.cancelled() else lost.exception()
        if self._content.exception() is None:
            self._fail(reason if isinstance(reason, Exception) else _GivenUp())

    def _fail(self, error: Exception) -> None:
        """End the body with *error*, which wakes a waiting read, too."""
        if not self._content.is_eof():
            self._content.set_exception(error)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost is not None:
            self._lost.remove_done_callback(self._broken_off)
            self._lost = None

    async def aclose(self) -> None:
        """Return or close the connection; see `HttpResponse.aclose`."""
        self._finish()
        connection = self._response.connection
        if connection is None:
            return
        if self._loop.is_closed():
            _discard(self._client)
            connection.close()
        elif connection.transport is not None:
            # Abort instead of close: a close would first send what is buffered, and wait for TLS to shut down.
            connection.transport.abort()
        self._response.close()


@define(eq=False)
class _Client:
    """The aiohttp session of one loop, with what each request and `_discard` need."""

    session: aiohttp.ClientSession
    loop: asyncio.AbstractEventLoop
    url: type[yarl.URL]
    transports: weakref.WeakSet[asyncio.Transport]
    connections: weakref.WeakSet[aiohttp.connector.Connection]


def _connect(max_connections: int) -> _Client:
    import aiohttp
    import yarl

    transports = weakref.WeakSet[asyncio.Transport]()
    connections = weakref.WeakSet["aiohttp.connector.Connection"]()
    connector = aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=_KEEP_ALIVE)
    session = aiohttp.ClientSession(
        connector=connector,
        response_class=_response_class(transports, connections),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=_HEADER_SIZE,
        max_field_size=_HEADER_SIZE,
        max_headers=_HEADER_COUNT,
        **_buffer_size(),
    )
    return _Client(session, asyncio.get_running_loop(), yarl.URL, transports, connections)


def _buffer_size() -> dict[str, Any]:
    """Return how much of a body may wait, as `aiohttp.ClientSession` takes it.

    Where reading is paused while the server closes, uvloop's TLS drops what is unread, and a body that ends with its
    connection then looks whole.
    """
    if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        return {}
    return {"read_bufsize": _UVLOOP_BUFFER // 2}  # aiohttp pauses from twice that on


def _given(session: aiohttp.ClientSession) -> _Client:
    """Use a session of the caller's."""
    import yarl

    transports = weakref.WeakSet[asyncio.Transport]()
    connections = weakref.WeakSet["aiohttp.connector.Connection"]()
    return _Client(session, asyncio.get_running_loop(), yarl.URL, transports, connections)


async def _leave(_client: _Client) -> None:
    """Leave a given session to its owner."""


def _let_be(_client: _Client) -> None:
    """Leave a given session to its owner, also where its loop was closed by hand."""


async def _disconnect(client: _Client) -> None:
    await client.session.close()


def _discard(client: _Client) -> None:
    # For a loop that was closed without closing its client first, as `asyncio.run` would have. Such a loop cannot close
    # sockets any more, so release each one as its transport would have. May run in the garbage collector.
    connector = client.session.connector
    client.session.detach()
    if connector is not None:
        with contextlib.suppress(RuntimeError):
            for _ in connector.close().__await__():
                break
    for transport in list(client.transports):
        release(transport)
    for connection in list(client.connections):
        with contextlib.suppress(RuntimeError):
            connection.close()


def _response_class(
    transports: weakref.WeakSet[asyncio.Transport], connections: weakref.WeakSet[aiohttp.connector.Connection]
) -> type[aiohttp.ClientResponse]:
    import aiohttp

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            transport = connection.transport
            connections.add(connection)
            if transport is not None and hasattr(transport, "__weakref__"):
                # Not that of uvloop for TLS, which has none. There, `release` would have nothing to do.
                transports.add(transport)
            try:
                return await super().start(connection)
            except BaseException:
                # Cancelled or broken: a close would wait until what is buffered has been sent.
                if transport is not None:
                    transport.abort()
                raise

    return Response


def _failure(error: Exception, request: HttpRequest, within: float | None) -> MelliteError:
    """Return mellite's error for one of aiohttp's, raised before the headers arrived.

    Args:
        within: how long connecting might take, in seconds; None for as long as a given session allows.
    """
    import aiohttp
    from aiohttp import http_exceptions

    url = shown_url(request.url)
    if isinstance(error, MelliteError):
        return error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", None) or type(error).__name__
        return ConnectError(f"the certificate of {url} is not trusted: {reason}", retryable=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        what = "the host was not found" if isinstance(error, aiohttp.ClientConnectorDNSError) else "no connection"
        return ConnectError(f"cannot connect to {url}: {what}: {how_it_broke(error.os_error)}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectError(f"cannot connect to {url}: {too_slow(within)}")
    if isinstance(error, (aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)):
        return InvalidProviderOutput(f"{url} sent an answer that breaks the rules of HTTP: {what_is_wrong(error)}")
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError)):
        return _lost(error, url)
    return unforeseen(error, request)


def _lost(error: Exception | None, url: str, closed: asyncio.Future[None] | None = None) -> ConnectionLost:
    msg = f"the connection to {url} broke before the answer was complete: {how_it_broke(error)}"
    failure = closed.exception() if closed is not None and closed.done() and not closed.cancelled() else None
    if failure is not None:
        # aiohttp raises the same error for every body that breaks off; only the connection knows the reason.
        cause = failure.__cause__
        if isinstance(cause, OSError) and cause.errno is not None:
            return ConnectionLost(msg, ending="reset")
    return ConnectionLost(msg, ending=_ending(error))


def _ending(error: Exception | None) -> Literal["cut", "reset"] | None:
    """Return how the server ended the connection; None if it did not, but sent bytes that break the rules of HTTP."""
    import aiohttp
    from aiohttp import http_exceptions

    if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, Exception):
        return _ending(error.__cause__)
    if isinstance(error, OSError):
        return None if error.errno is None else "reset"
    early = (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)
    early_too = (http_exceptions.ContentLengthError, http_exceptions.TransferEncodingError)
    return "cut" if isinstance(error, (*early, *early_too)) else None
