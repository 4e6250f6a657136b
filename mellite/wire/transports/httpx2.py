"""The HTTP transport by httpx2, for programs that want HTTP/2, which `http2_connection` speaks.

httpx2 is an extra, ``pip install 'mellite[http2]'``, and imported at the first request, or where HTTP/2 is asked
for. Only its core, httpcore2, is used: the client above would log URLs, follow redirects, keep cookies and read the
environment.

The transport may be used from any number of loops and threads. Everything below it, a client with its pools, sockets
and responses, belongs to one loop and is touched only there, so nothing here needs a lock. The exception is
`_discard`, which runs when an asyncio loop has been closed.
"""

from __future__ import annotations

import functools
import re
import time
import weakref
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast, final

import anyio
from attrs import define

from ... import loops
from ...loops.per_loop import ClientPerLoop, release
from ...values.errors import ConnectError, ConnectionLost, InvalidProviderOutput, MelliteError, MissingExtra
from ..broken import StreamReset, causes, how_it_broke, too_slow, unforeseen, what_is_wrong
from ..http import (
    MAX_CONNECTIONS,
    HttpRequest,
    HttpResponse,
    check_request,
    received_headers,
    sent_headers,
    shown_url,
)
from ..tls import system_tls, tls_context

if TYPE_CHECKING:
    import ssl

    import httpcore2

    from .http2_pool import Http2Pool

__all__ = ["Httpx2Transport"]

_KEEP_ALIVE: Final = 30.0  # seconds that an unused connection is kept
_CLOSING_TIME: Final = 1.0  # seconds that closing a connection may take
_POOL_SIZE: Final = 64  # connections of one pool: httpcore visits all of them at the start and end of each request


@final
class Httpx2Transport:
    """A `Transport` that can speak HTTP/2, on asyncio and trio, at several times the cost of `Http1Transport`.

    Over HTTP/2 many requests go over one connection, each with timeouts and an end of its own: an answer that is closed
    early is reset at the server, and the others go on.

    Args:
        max_connections: the most connections in one event loop; further requests wait.
        ssl_context: the TLS settings; by default those of the system. Not to be used elsewhere with ``http2=True``,
            which has them tell servers that HTTP/2 is spoken.
        http2: whether to speak HTTP/2 with the servers that do, over TLS; with others HTTP/1.1 is spoken as ever.

    Raises:
        MissingExtra: if ``http2=True`` and a package that it needs is not installed.

    Example:
        >>> transport = Httpx2Transport(http2=True)
    """

    __slots__ = ("_clients",)

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        ssl_context: ssl.SSLContext | None = None,
        http2: bool = False,
    ) -> None:
        make = functools.partial(_connect, max_connections, ssl_context)
        if http2:
            make = functools.partial(_connect_http2, _http2_pool(), max_connections, ssl_context or system_tls())
        self._clients = ClientPerLoop(make, _disconnect, _discard)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request; see `Transport.open`.

        Raises:
            MissingExtra: if httpx2 is not installed.
        """
        check_request(request)
        loop = loops.running()
        client = self._clients.find(loop) or await self._clients.start(loop)
        failure: MelliteError | None = None
        try:
            if timeout is None:
                return await client.send(request)
            with anyio.fail_after(timeout):
                return await client.send(request)
        except TimeoutError:
            pass
        except Exception as error:
            failure = _failure(error, request)
        # Raised outside of `except`, so that the client's exception, which holds the headers, is not its __context__.
        raise failure or TimeoutError(f"no answer from {shown_url(request.url)} within {timeout} s")

    async def aclose(self) -> None:
        """Close the connections of all loops: this loop's before returning, those of other loops soon after."""
        await self._clients.aclose(loops.running())


@define(eq=False)
class _Pool:
    inner: httpcore2.AsyncConnectionPool
    size: int
    busy: int = 0  # requests that hold a connection or wait for one


@final
class _Client:
    """The connections of one loop, in several small pools. The first pool with room is used, so that few stay open."""

    def __init__(
        self, pools: Sequence[_Pool], request: type[httpcore2.Request], sockets: weakref.WeakSet[_Socket]
    ) -> None:
        self.sockets = sockets
        self.pools = pools
        self.request = request

    async def send(self, request: HttpRequest) -> HttpResponse:
        host, target = _split(request.url)
        sent = self.request(
            request.method,
            request.url,
            headers=_headers(request, host),
            content=request.body,
            extensions={"target": target.encode("ascii"), "timeout": {"connect": request.connect_timeout}},
        )
        pool = next((pool for pool in self.pools if pool.busy < pool.size), None)
        if pool is None:
            pool = min(self.pools, key=lambda pool: pool.busy)
        pool.busy += 1
        try:
            response = await pool.inner.handle_async_request(sent)
        except BaseException:
            pool.busy -= 1
            raise
        return _Response(response, pool, request.url)


def _split(url: str) -> tuple[str, str]:
    """Return the host header and the request target of a URL, spelled as in the URL."""
    scheme, rest = url.split("://", 1)
    at = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    host, target = rest[:at], rest[at:]
    host = host.removesuffix(":443" if scheme.lower() == "https" else ":80")
    return host, target if target.startswith("/") else f"/{target}"


def _headers(request: HttpRequest, host: str) -> list[tuple[str, str]]:
    headers = {"host": host, **sent_headers(request)}
    if "content-length" not in headers and (request.body or request.method not in ("GET", "HEAD", "DELETE")):
        headers["content-length"] = str(len(request.body))
    return list(headers.items())


@final
class _Response(HttpResponse):
    __slots__ = ("_ambiguous", "_pieces", "_pool", "_socket", "_state", "_stream", "_url")

    def __init__(self, response: httpcore2.Response, pool: _Pool, url: str) -> None:
        self.status = response.status
        self.headers = received_headers(response.headers)
        # With both, the end of the body is in doubt, and the connection must not be used again:
        # https://www.rfc-editor.org/rfc/rfc9112#section-6.3
        self._ambiguous = "content-length" in self.headers and "transfer-encoding" in self.headers
        self._stream = cast("_Stream", response.stream)
        self._pieces = aiter(self._stream)
        self._socket = cast("_Socket", cast("dict[str, object]", response.extensions)["network_stream"])
        self._pool = pool
        self._state = "open"  # or "broken" (a read was interrupted or failed), "ended" (read to its end), "closed"
        self._url = url

    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next piece of the body; see `HttpResponse.read`."""
        if self._state == "ended":
            return b""
        if self._state != "open":
            msg = (
                f"the answer of {shown_url(self._url)} cannot be read on: it was closed, or reading it was interrupted"
            )
            raise ConnectionLost(msg)
        # "broken" unless this read succeeds: a generator that was interrupted looks as if it had ended.
        self._state = "broken"
        # The socket keeps the deadline: most pieces have arrived already, and need no timeout.
        self._socket.deadline = None if timeout is None else time.monotonic() + timeout
        failure: Exception
        try:
            data = await anext(self._pieces)
        except StopAsyncIteration:
            self._state = "ended"
            await self._close()
            return b""
        except Exception as error:
            failure = self._failure(error, timeout)
        else:
            self._state = "open"
            return data
        raise failure

    def _failure(self, error: Exception, timeout: float | None) -> Exception:
        import httpcore2

        if isinstance(error, httpcore2.ReadTimeout):
            return TimeoutError(f"nothing more came from {shown_url(self._url)} within {timeout} s")
        return _lost(error, shown_url(self._url))

    async def aclose(self) -> None:
        """Return or close the connection; see `HttpResponse.aclose`."""
        if self._state == "open":
            # If the end of the body has arrived, read it, so that the connection can be used again.
            with anyio.CancelScope() as scope:
                scope.cancel()  # only what has arrived: do not wait
                try:
                    await anext(self._pieces, None)
                except _network_errors():
                    pass
        if self._state in ("open", "broken"):
            self._state = "closed"
            await self._close()

    async def _close(self) -> None:
        self._pool.busy -= 1
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            try:
                await self._pieces.aclose()
                if self._ambiguous:
                    await self._socket.aclose()
                await self._stream.aclose()
            except _network_errors():  # the connection is gone, as intended
                return


class _Stream(Protocol):
    """The body of a response in httpcore."""

    def __aiter__(self) -> AsyncGenerator[bytes, None]: ...  # noqa: PYI058

    async def aclose(self) -> None: ...


@final
class _Socket:
    """A network stream for httpcore that has a deadline for reads, and is closed if starting TLS is cancelled."""

    __slots__ = ("__weakref__", "closed", "deadline", "inner", "sockets")

    def __init__(self, inner: httpcore2.AsyncNetworkStream, sockets: weakref.WeakSet[_Socket]) -> None:
        self.inner = inner
        self.sockets = sockets  # all of this loop
        sockets.add(self)
        self.closed = False
        self.deadline: float | None = None  # for the next read, by time.monotonic()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.deadline is not None:
            timeout = max(0.0, self.deadline - time.monotonic())
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.deadline = None  # a new request begins: forget the deadline of the last one
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        self.closed = True
        await self.inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Socket:
        try:
            return _Socket(await self.inner.start_tls(ssl_context, server_hostname, timeout), self.sockets)
        except BaseException:  # httpcore closes the stream after errors, but not when cancelled
            with anyio.move_on_after(_CLOSING_TIME, shield=True):
                await self.inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        if self.closed and info == "is_readable":  # a pool discards an idle connection that is readable
            return True
        return self.inner.get_extra_info(info)


@final
class _Network:
    """The network backend of a pool: opens its connections."""

    __slots__ = ("inner", "sockets")

    def __init__(self, inner: httpcore2.AsyncNetworkBackend, sockets: weakref.WeakSet[_Socket]) -> None:
        self.inner = inner
        self.sockets = sockets

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Socket:
        return _Socket(await self.inner.connect_tcp(host, port, timeout, local_address, socket_options), self.sockets)


def _http2_pool() -> type[Http2Pool]:
    try:
        from .http2_pool import Http2Pool
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        msg = f"Httpx2Transport(http2=True) needs {missing}: pip install 'mellite[http2]'"
        raise MissingExtra(msg) from error
    return Http2Pool


def _connect_http2(pool: type[Http2Pool], max_connections: int, tls: ssl.SSLContext) -> _Client:
    """Return a client with one pool: a few connections take all requests."""
    import httpcore2

    sockets = weakref.WeakSet[_Socket]()
    inner = pool(tls, _network(sockets), max_connections, _KEEP_ALIVE)
    return _Client([_Pool(inner, max_connections)], httpcore2.Request, sockets)


def _network(sockets: weakref.WeakSet[_Socket]) -> httpcore2.AsyncNetworkBackend:
    import httpcore2

    backend = httpcore2.TrioBackend() if loops.in_trio_task() else httpcore2.AnyIOBackend()
    network = _Network(cast("httpcore2.AsyncNetworkBackend", backend), sockets)
    return cast("httpcore2.AsyncNetworkBackend", network)


def _connect(max_connections: int, ssl_context: ssl.SSLContext | None) -> _Client:
    try:
        import httpcore2
    except ModuleNotFoundError as error:
        msg = "Httpx2Transport needs httpx2: pip install 'mellite[http2]'"
        raise MissingExtra(msg) from error
    pools: list[_Pool] = []
    sockets = weakref.WeakSet[_Socket]()
    for first in range(0, max_connections, _POOL_SIZE):
        size = min(_POOL_SIZE, max_connections - first)
        inner = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or tls_context(),
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=_KEEP_ALIVE,
            network_backend=_network(sockets),
        )
        pools.append(_Pool(inner, size))
    return _Client(pools, httpcore2.Request, sockets)


async def _disconnect(client: _Client) -> None:
    for pool in client.pools:
        await pool.inner.aclose()


def _discard(client: _Client) -> None:
    """Release the sockets of an asyncio loop that was closed before its client. May run in the garbage collector."""
    for socket in list(client.sockets):
        release(socket.inner)


@functools.cache
def _network_errors() -> tuple[type[Exception], ...]:
    import httpcore2

    return (
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.TimeoutException,
        OSError,
        anyio.BrokenResourceError,
        anyio.ClosedResourceError,
        anyio.EndOfStream,
    )


def _failure(error: Exception, request: HttpRequest) -> MelliteError:
    """Return mellite's error for one of httpcore's, raised before the headers arrived."""
    import socket
    import ssl

    import httpcore2

    url = shown_url(request.url)
    if isinstance(error, MelliteError):
        return error
    if isinstance(error, httpcore2.ConnectError):
        for cause in causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return ConnectError(f"the certificate of {url} is not trusted: {cause.verify_message}", retryable=False)
            if isinstance(cause, socket.gaierror):
                return ConnectError(f"cannot connect to {url}: the host was not found: {cause.strerror}")
        return ConnectError(f"cannot connect to {url}: no connection: {how_it_broke(error)}")
    if isinstance(error, httpcore2.ConnectTimeout):
        return ConnectError(f"cannot connect to {url}: {too_slow(request.connect_timeout)}")
    if isinstance(error, httpcore2.RemoteProtocolError):
        if "disconnected" in str(error) or "closed connection" in str(error):
            return _lost(error, url)
        return InvalidProviderOutput(f"{url} sent an answer that breaks the rules of HTTP: {what_is_wrong(error)}")
    if isinstance(error, _network_errors()) and not isinstance(error, httpcore2.LocalProtocolError):
        return _lost(error, url)
    return unforeseen(error, request)


def _lost(error: Exception, url: str) -> ConnectionLost:
    msg = f"the connection to {url} broke before the answer was complete: {how_it_broke(error)}"
    return ConnectionLost(msg, ending=_ending(error))


def _ending(error: Exception) -> Literal["cut", "reset"] | None:
    """Return how the server ended the connection; None if it did not, but sent bytes that break the rules of HTTP."""
    import httpcore2

    chain = list(causes(error))
    if any(isinstance(cause, StreamReset) for cause in chain):
        return "reset"
    if any(isinstance(cause, OSError) and cause.errno is not None for cause in chain):
        return "reset"
    if isinstance(error, httpcore2.RemoteProtocolError):
        return "cut" if re.search("closed connection|disconnected", str(error)) else None
    return "cut" if any(isinstance(cause, anyio.EndOfStream) for cause in chain) else None
