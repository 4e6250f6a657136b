"""The connections of `Httpx2Transport(http2=True)`: HTTP/2 where the server speaks it, else HTTP/1.1."""

from __future__ import annotations

import ssl
from typing import NoReturn, final

import anyio
import httpcore2

from .http2_connection import Http2Connection

__all__ = ["Http2Pool"]


@final
class Http2Pool(httpcore2.AsyncConnectionPool):
    """A pool of httpcore2's whose connections ask the server which HTTP it speaks.

    Args:
        tls: the TLS settings, which are changed: they say from now on that HTTP/2 is spoken here.
        network: opens connections.
        max_connections: the most of them.
        keep_alive: how long one is kept that is not used, in seconds.
    """

    def __init__(
        self, tls: ssl.SSLContext, network: httpcore2.AsyncNetworkBackend, max_connections: int, keep_alive: float
    ) -> None:
        tls.set_alpn_protocols(["h2", "http/1.1"])
        super().__init__(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=keep_alive,
            network_backend=network,
        )
        self._tls = tls
        self._network = network
        self._keep_alive = keep_alive
        self._only_http1: set[str] = set()

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        """Make a connection to a server; HTTP/2 is spoken over TLS only."""
        if origin.scheme != b"https":
            return super().create_connection(origin)
        return _Connection(origin, self._tls, self._network, self._keep_alive, self._only_http1)


@final
class _Connection(httpcore2.AsyncConnectionInterface):
    """A connection that is opened by its first request, for which the others wait: they may go over the same one.

    If that request is given up meanwhile, the next one opens it. If it fails, that goes for all of them.
    """

    def __init__(
        self,
        origin: httpcore2.Origin,
        tls: ssl.SSLContext,
        network: httpcore2.AsyncNetworkBackend,
        keep_alive: float,
        only_http1: set[str],
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._network = network
        self._keep_alive = keep_alive
        self._only_http1 = only_http1  # the servers that are known to speak nothing else
        self._opening = anyio.Lock()
        self._inner: httpcore2.AsyncConnectionInterface | None = None
        self._failure: Exception | None = None

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request and return the head of the answer."""
        inner = self._inner
        if inner is None:
            async with self._opening:
                inner = self._inner = self._inner or await self._open(request)
        return await inner.handle_async_request(request)

    async def _open(self, request: httpcore2.Request) -> httpcore2.AsyncConnectionInterface:
        if self._failure is not None:
            _raise_as_ones_own(self._failure)
        timeout = request.extensions["timeout"]["connect"]
        host = self._origin.host.decode("ascii")
        try:
            stream = await self._network.connect_tcp(host, self._origin.port, timeout)
            stream = await stream.start_tls(self._tls, host, timeout)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            self._failure = error
            raise
        if stream.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            return Http2Connection(stream, self._origin, self._keep_alive)
        self._only_http1.add(str(self._origin))
        return httpcore2.AsyncHTTP11Connection(self._origin, stream, self._keep_alive)

    async def aclose(self) -> None:
        """Close it."""
        if self._inner is not None:
            await self._inner.aclose()

    def info(self) -> str:
        """Return what is shown of it."""
        return "being opened" if self._inner is None else self._inner.info()

    def can_handle_request(self, origin: httpcore2.Origin) -> bool:
        """Whether it goes to this server."""
        return origin == self._origin

    def is_available(self) -> bool:
        """Whether it takes another request, as far as is known."""
        if self._inner is None:
            return self._failure is None and str(self._origin) not in self._only_http1
        return self._inner.is_available()

    def has_expired(self) -> bool:
        """Whether it is of no more use."""
        return self._failure is not None if self._inner is None else self._inner.has_expired()

    def is_idle(self) -> bool:
        """Whether nothing goes over it."""
        return self._failure is not None if self._inner is None else self._inner.is_idle()

    def is_connected(self) -> bool:
        """Whether it is open."""
        return self._inner is not None and self._inner.is_connected()

    def is_closed(self) -> bool:
        """Whether it was closed, or could not be opened."""
        return self._failure is not None if self._inner is None else self._inner.is_closed()

    def can_multiplex(self) -> bool:
        """Whether it takes several requests at once."""
        return self._inner is not None and self._inner.can_multiplex()


def _raise_as_ones_own(failure: Exception) -> NoReturn:
    """Raise a copy, which knows why."""
    copy = type(failure)(*failure.args)
    copy.__context__ = failure  # not its cause, which a pool of httpcore2's takes away
    raise copy
