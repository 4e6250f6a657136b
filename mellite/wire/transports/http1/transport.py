"""Send HTTP/1.1 requests on asyncio and trio alike, over connections of our own.

A connection on which anything came that nobody asked for is never used again. A request that meets a kept connection
which the server had closed meanwhile, before one byte of the answer, is sent once more, on a fresh one.
"""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, final

from attrs import field, frozen

from .... import loops
from ....loops.per_loop import ClientPerLoop
from ....values.errors import MelliteError
from ...broken import too_slow
from ...http import (
    MAX_CONNECTIONS,
    HttpRequest,
    HttpResponse,
    Sent,
    check_request,
)
from ...tls import CaPath, CertPaths, tls_settings
from .connecting import NotConnected, connect
from .exchange import exchange, failure_of, is_deadline, send_now, too_late
from .origins import FROM_ENVIRONMENT, Origin, without_password
from .pool import Connection, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Http1Transport"]


@final
class Http1Transport:
    """The `Transport` for both loops.

    A copy or a pickle has the same settings and no connection. A pickle has no password of a proxy; there is none of a
    transport that was given a whole `ssl_context`.

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
        connect = _Connect.of(ca, cert, ssl_context, proxy)  # not of this object: pools must not keep it alive
        self._pools = ClientPerLoop(partial(Pool, connect, time.monotonic, max_connections), _close, Pool.close)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request; see `Transport.open`."""
        check_request(request)
        loop = loops.running()
        pool = self._pools.find(loop) or await self._pools.start(loop)
        failure: MelliteError | None = None
        try:
            return await exchange(pool, request, timeout)
        except Exception as error:
            if not is_deadline(error):
                failure = failure_of(error, request)
        # Raised here, not above: what the network raises is not to be kept, with its frames and what they hold.
        raise failure or too_late(request, timeout)

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:
        """Send the request over a kept connection, on asyncio; see `Transport`."""
        pool = self._pools.find(loops.running())
        if pool is None or not pool.pushes:
            return None
        check_request(request)
        return send_now(pool, request, notify)

    async def aclose(self) -> None:
        """Close the connections of all loops: this loop's before it returns, the others soon."""
        await self._pools.aclose(loops.running())


@frozen
class _Connect:
    """Opens connections, all with the same settings."""

    tls: ssl.SSLContext | None
    proxy: str | None = field(repr=False)  # its URL may hold a password
    ca: CaPath | None = None
    cert: CertPaths | None = None

    @classmethod
    def of(
        cls, ca: CaPath | None, cert: CertPaths | None, ssl_context: ssl.SSLContext | None, proxy: str | None
    ) -> _Connect:
        """Return what connects as the arguments of `Http1Transport` say."""
        return cls(tls_settings(ca, cert, ssl_context), proxy, ca, cert)

    def __deepcopy__(self, memo: object) -> _Connect:
        return self  # nobody changes it

    def __reduce__(self) -> tuple[object, ...]:
        if self.tls is not None and self.ca is self.cert is None:
            msg = (
                "whole TLS settings, ssl_context=, cannot be pickled; give the transport files, ca= and cert=, instead"
            )
            raise TypeError(msg)
        return _Connect.of, (self.ca, self.cert, None, without_password(self.proxy))

    async def __call__(self, origin: Origin, within: float | None) -> Connection:
        """Open a connection to an origin in time.

        Raises:
            NotConnected: if that fails.
        """
        with loops.move_on_after(within):
            return await connect(origin, tls=self.tls, proxy=self.proxy)
        raise NotConnected(too_slow(within))


async def _close(pool: Pool) -> None:
    pool.close()
    await loops.checkpoint()
