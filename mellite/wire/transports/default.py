"""What sends an HTTP request: the one seam, the transport used by default, and what may stand in for it in tests.

`Transport.open` is the whole seam; what records, replays or scripts traffic is a Transport too. The two that use the
network are `mellite.wire.transports.aiohttp` (asyncio) and `mellite.wire.transports.httpx2` (trio).

`standing_in` is the only place where a process, and not a backend, decides what sends the requests. The pytest plugin
uses it, so that code under test that makes its own backends need not be handed a transport.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, final

from ... import loops
from ...values.errors import ConfigurationError
from ..http import HttpRequest, HttpResponse, Transport, check_request, shown_url

if TYPE_CHECKING:
    from .aiohttp import AiohttpTransport
    from .httpx2 import Httpx2Transport

__all__ = [
    "HttpRequest",
    "HttpResponse",
    "StandIn",
    "Transport",
    "check_request",
    "default_transport",
    "in_place_of",
    "shown_url",
    "standing_in",
]


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
                from .httpx2 import Httpx2Transport

                self._trio = Httpx2Transport()
            return await self._trio.open(request, timeout=timeout)
        if self._asyncio is None:
            from .aiohttp import AiohttpTransport

            self._asyncio = AiohttpTransport()
        return await self._asyncio.open(request, timeout=timeout)

    async def aclose(self) -> None:
        """Close the clients of all loops: this loop's before it returns, the others soon."""
        for transport in (self._asyncio, self._trio):
            if transport is not None:
                await transport.aclose()


# --- standing in ------------------------------------------------------------------------------------

#: Gives the transport to use in the place of a backend's own one, which its argument makes or has made before.
StandIn: TypeAlias = Callable[[Callable[[], Transport]], Transport]

#: The stand-in of this process, under its only key. Operations on a dict are atomic, so threads need no lock.
_standing: Final[dict[str, tuple[StandIn]]] = {}
_KEY: Final = "stand-in"


@contextmanager
def standing_in(stand_in: StandIn) -> Generator[None]:
    """Replace the default transport of every backend, until the block ends.

    That holds for all requests that are made meanwhile, in whatever thread or event loop, over HTTP or a WebSocket, and
    whenever the backend was made. A backend that was given a ``transport=`` keeps that one. A request that is under way
    when the block begins or ends stays with the transport it began with. A forked child has what stood in when it was
    forked; other processes are not concerned.

    Args:
        stand_in: called for each request with a function that gives the backend's own transport, which is what to send
            over where something has to be sent; gives the transport to use.

    Raises:
        ConfigurationError: if something stands in already: there is one place, whichever thread asks for it.

    Example:
        >>> import mellite
        >>> from mellite.cassettes import ScriptedTransport
        >>> backend = mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test")
        >>> answer = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
        >>> scripted = ScriptedTransport([answer])
        >>> with standing_in(lambda own: scripted):
        ...     backend.generate("Say hello.").result()
        'Hello!'
    """
    mine = (stand_in,)
    if _standing.setdefault(_KEY, mine) is not mine:
        msg = (
            "something stands in for the default transports of this process already, and there can be one at a time; "
            "give the second to its backends as transport=..."
        )
        raise ConfigurationError(msg)
    try:
        yield
    finally:
        _standing.pop(_KEY, None)


def in_place_of(own: Callable[[], Transport]) -> Transport:
    """Return what sends a backend's next request: its own transport, unless something stands in.

    Args:
        own: gives the backend's own transport; not called where that is not needed.
    """
    standing = _standing.get(_KEY)
    return own() if standing is None else standing[0](own)
