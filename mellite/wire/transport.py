"""What sends an HTTP request: the one seam, and the transport used by default.

`Transport.open` is the whole seam; what records, replays or scripts traffic is a Transport too. The two that use the
network are `mellite.wire.transport_aiohttp` (asyncio) and `mellite.wire.transport_httpx2` (trio).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .. import loops
from .http import HttpRequest, HttpResponse, Transport, check_request, shown_url

if TYPE_CHECKING:
    from .transport_aiohttp import AiohttpTransport
    from .transport_httpx2 import Httpx2Transport

__all__ = ["HttpRequest", "HttpResponse", "Transport", "check_request", "default_transport", "shown_url"]


def default_transport() -> Transport:
    """A transport for whatever loop runs: aiohttp on asyncio, httpx2 on trio, chosen at each `open`.

    It keeps one client per loop, made on the first request and closed with its loop, by ``aclose()``, or when the
    transport is dropped. It can be used in any number of loops, one after the other or at once in several threads.

    Raises:
        MissingExtra: when opened on trio without httpx2.

    Example:
        >>> transport = default_transport()
    """
    return _DefaultTransport()


@final
class _DefaultTransport:
    """Hands each request to the transport that fits the running loop."""

    __slots__ = ("_asyncio", "_trio")

    def __init__(self) -> None:
        self._asyncio: AiohttpTransport | None = None
        self._trio: Httpx2Transport | None = None

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request; see `Transport.open`."""
        if loops.in_trio_task():
            if self._trio is None:
                from .transport_httpx2 import Httpx2Transport

                self._trio = Httpx2Transport()
            return await self._trio.open(request, timeout=timeout)
        if self._asyncio is None:
            from .transport_aiohttp import AiohttpTransport

            self._asyncio = AiohttpTransport()
        return await self._asyncio.open(request, timeout=timeout)

    async def aclose(self) -> None:
        """Close the clients of all loops: this loop's before it returns, the others soon."""
        for transport in (self._asyncio, self._trio):
            if transport is not None:
                await transport.aclose()
