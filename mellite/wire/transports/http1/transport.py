"""Send HTTP/1.1 requests on asyncio and trio alike, over connections of our own.

A connection on which anything came that nobody asked for is never used again. A request that meets a kept connection
which the server had closed meanwhile, before one byte of the answer, is sent once more, on a fresh one.
"""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, final

import anyio
from attrs import field, frozen

from .... import loops
from ....loops.per_loop import ClientPerLoop
from ....values.errors import ConnectError, ConnectionLost, InvalidProviderOutput, MelliteError
from ...broken import how_it_broke, too_slow, unforeseen
from ...http import (
    MAX_CONNECTIONS,
    HttpRequest,
    HttpResponse,
    check_request,
    received_headers,
    shown_url,
)
from ...tls import CaPath, CertPaths, tls_settings
from .connecting import NotConnected, connect
from .incoming import BrokenRules, CutOff, Incoming
from .origins import FROM_ENVIRONMENT, Origin, head_of, split
from .pool import Connection, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Http1Transport"]


@final
class Http1Transport:
    """The `Transport` for both loops.

    Args:
        max_connections: how many connections to have at most in one loop; further requests wait their turn.
        ca: a file of certificates in PEM, or a folder of such files, to trust instead of the system's certificates.
        cert: the certificate to show to servers that ask for one: a file in PEM with certificate and key, or two files.
        ssl_context: the TLS settings instead of `ca` and `cert`; by default those of the system, shared by the process.
        proxy: the URL of a proxy, None for none; by default what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.

    Raises:
        ConfigurationError: for a file of `ca` or `cert` that cannot be used, or one of them beside `ssl_context`.

    Example:
        >>> transport = Http1Transport(max_connections=10)
    """

    __slots__ = ("_pools",)

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        ca: CaPath | None = None,
        cert: CertPaths | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = FROM_ENVIRONMENT,
    ) -> None:
        settings = tls_settings(ca, cert, ssl_context)
        connect = _Connect(settings, proxy)  # not of this object: pools must not keep it alive
        self._pools = ClientPerLoop(partial(Pool, connect, time.monotonic, max_connections), _close, Pool.close)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request; see `Transport.open`."""
        check_request(request)
        loop = loops.running()
        pool = self._pools.find(loop) or await self._pools.start(loop)
        failure: MelliteError | None = None
        try:
            return await _exchange(pool, request, timeout)
        except Exception as error:
            if not isinstance(error, TimeoutError) or error.errno is not None:  # one of the network's: ETIMEDOUT
                failure = _failure(error, request)
        # Raised here, not above: what the network raises is not to be kept, with its frames and what they hold.
        raise failure or TimeoutError(f"no answer from {shown_url(request.url)} within {timeout} s")

    async def aclose(self) -> None:
        """Close the connections of all loops: this loop's before it returns, the others soon."""
        await self._pools.aclose(loops.running())


@frozen
class _Connect:
    """Opens connections, all with the same settings."""

    tls: ssl.SSLContext | None
    proxy: str | None = field(repr=False)  # its URL may hold a password

    async def __call__(self, origin: Origin, within: float | None) -> Connection:
        """Open a connection to an origin in time.

        Raises:
            NotConnected: if that fails.
        """
        with anyio.move_on_after(within):
            return await connect(origin, tls=self.tls, proxy=self.proxy)
        raise NotConnected(too_slow(within))


async def _exchange(pool: Pool, request: HttpRequest, timeout: float | None) -> HttpResponse:
    """Send a request over a connection, kept or new; return the answer once its head is there."""
    deadline = None if timeout is None else time.monotonic() + timeout
    origin, target = split(request.url)
    connection, is_reused = pool.kept(origin), True
    if connection is None:
        connection, is_reused = await _within(deadline, pool.take, origin, within=request.connect_timeout)
        timeout = _left(deadline)
    incoming = await _answered(pool, connection, target, request, timeout=timeout, deadline=deadline)
    if is_reused and not incoming.received and isinstance(incoming.error, (CutOff, OSError)):
        # It had been closed while it rested, and the request met that: a fresh connection, once.
        pool.drop(connection)
        connection, _ = await _within(deadline, pool.take, origin, within=request.connect_timeout, fresh=True)
        incoming = await _answered(pool, connection, target, request, timeout=_left(deadline), deadline=deadline)
    if not incoming.has_head:
        pool.drop(connection)
        raise incoming.error or CutOff("it ended before its time")
    return (_Response if incoming.is_complete else _Arriving)(pool, connection, incoming, request.url)


async def _close(pool: Pool) -> None:
    pool.close()
    await anyio.lowlevel.checkpoint()


async def _within(deadline: float | None, take: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Take a connection before the deadline."""
    if deadline is None:
        return await take(*args, **kwargs)
    with anyio.fail_after(deadline - time.monotonic()):
        return await take(*args, **kwargs)


async def _answered(
    pool: Pool,
    connection: Connection,
    target: str,
    request: HttpRequest,
    *,
    timeout: float | None,
    deadline: float | None,
) -> Incoming:
    """Send a request and wait for the head of its answer, or for the end.

    Args:
        timeout: how long until the deadline, in seconds.
    """
    incoming = Incoming(request.method)
    try:
        head = head_of(request, connection.origin, target, connection.proxy)
        await connection.send(head, request.body, incoming, timeout)
        while not incoming.has_head and incoming.error is None:
            await connection.wait(timeout)
            if not incoming.has_head:
                timeout = _left(deadline)
    except BaseException:
        pool.drop(connection)
        raise
    return incoming


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class _Response(HttpResponse):
    """One wake-up per network read; while data is there to be read, no timer and no suspension."""

    __slots__ = ("_connection", "_incoming", "_pool", "_url")

    def __init__(self, pool: Pool, connection: Connection, incoming: Incoming, url: str) -> None:
        self.status = incoming.status
        self.headers = received_headers(incoming.raw_headers)
        self._pool = pool
        self._connection: Connection | None = connection
        self._incoming = incoming
        self._url = url
        if incoming.is_complete:
            self._let_go()

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece of the body; see `HttpResponse.read`."""
        incoming, limit = self._incoming, timeout
        deadline: float | None = None
        while True:
            data = incoming.take()
            if data:
                return data
            if incoming.is_complete:
                if self._connection is not None:
                    self._let_go()
                return b""
            connection = self._connection
            if connection is None or incoming.error is not None:
                break
            if deadline is not None:
                timeout = _left(deadline)
            elif timeout is not None:
                deadline = time.monotonic() + timeout
            try:
                await connection.wait(timeout)
            except TimeoutError:
                break
        shown = shown_url(self._url)
        if incoming.error is None and self._connection is not None:
            self.close()
            incoming.error = CutOff("given up on this side")
            msg = f"nothing more came from {shown} within {limit} s"
            raise TimeoutError(msg)
        self.close()
        raise _lost(incoming.error or CutOff("it was closed on this side"), shown)

    def whole(self, most: int) -> bytes | None:
        """Return the rest of the body, if all of it is here; see `HttpResponse.whole`."""
        incoming = self._incoming
        if not incoming.is_complete or incoming.buffered > most:
            return None
        if self._connection is not None:
            self._let_go()
        return incoming.take()

    def _let_go(self) -> None:
        """Give the connection back after a whole answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._incoming.is_reusable:
                self._pool.give_back(connection)
            else:
                self._pool.drop(connection)

    def close(self) -> None:
        """Close the connection, or give it back where the whole answer has arrived."""
        if self._connection is None:
            return
        if self._incoming.is_complete:
            self._let_go()
            return
        connection, self._connection = self._connection, None
        self._pool.drop(connection)

    async def aclose(self) -> None:
        """Give back or close the connection; see `HttpResponse.aclose`."""
        self.close()


@final
class _Arriving(_Response):
    """A response whose body has not arrived yet as it is opened; its connection is closed when it is dropped."""

    __slots__ = ()

    def __del__(self) -> None:
        if self._connection is not None:
            self._pool.drop_soon(self._connection)


def _failure(error: Exception, request: HttpRequest) -> MelliteError:
    """Return the error of ours for what went wrong before the head was there."""
    url = shown_url(request.url)
    if isinstance(error, MelliteError):
        return error.with_traceback(None)  # its frames know the proxy's password
    if isinstance(error, NotConnected):
        return ConnectError(f"cannot connect to {url}: {error}", retryable=error.retryable)
    if isinstance(error, BrokenRules):
        return InvalidProviderOutput(f"{url} sent an answer that breaks the rules of HTTP: {error}")
    if isinstance(error, (CutOff, OSError)):
        return _lost(error, url)
    return unforeseen(error, request)


def _lost(error: Exception, url: str) -> ConnectionLost:
    """Return the error for an answer that broke off."""
    why = str(error) if isinstance(error, (BrokenRules, CutOff)) else how_it_broke(error)
    msg = f"the connection to {url} broke before the answer was complete: {why}"
    if isinstance(error, BrokenRules):
        return ConnectionLost(msg, ending=None)
    return ConnectionLost(msg, ending="reset" if isinstance(error, OSError) else "cut")
