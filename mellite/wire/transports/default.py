"""The default transport, which chooses an HTTP client for the running event loop, and its replacement in tests.

Everything that sends, records, replays or scripts requests is a `Transport`, with the one method ``open``. Two
transports use HTTP over the network: `mellite.wire.transports.aiohttp` (asyncio) and `mellite.wire.transports.httpx2`
(trio).

`standing_in` is the only way to replace the transports of a whole process. The pytest plugin uses it, so that code
under test can make backends of its own without passing a transport.
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
    """Make a transport that uses aiohttp on asyncio and httpx2 on trio, chosen at each ``open``.

    The transport keeps one client per event loop, made at the first request. A client is closed with its loop, by
    ``aclose()``, or when the transport is dropped. Any number of loops may use the transport, one after the other or
    in several threads at once.

    Raises:
        MissingExtra: from ``open`` on trio without httpx2.

    Example:
        >>> transport = default_transport()
    """
    return _DefaultTransport()


@final
class _DefaultTransport:
    """A transport that passes each request to the one for the running event loop."""

    __slots__ = ("_asyncio", "_trio")

    def __init__(self) -> None:
        # Two threads may each make a transport at their first request; the one that is overwritten closes its client
        # when it is dropped.
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
        """Close the clients of all loops: this loop's before returning, those of other loops soon after."""
        for transport in (self._asyncio, self._trio):
            if transport is not None:
                await transport.aclose()


# --- standing in ------------------------------------------------------------------------------------

#: Returns the transport to use instead of a backend's own, which calling the argument returns.
StandIn: TypeAlias = Callable[[Callable[[], Transport]], Transport]

#: The stand-in of this process, if any, under the one key. Threads need no lock: `setdefault`, `get` and `pop` of a
#: dict are atomic.
_standing: Final[dict[str, tuple[StandIn]]] = {}
_KEY: Final = "stand-in"


@contextmanager
def standing_in(stand_in: StandIn) -> Generator[None]:
    """Replace the default transport of every backend until the block ends.

    All requests of the process that begin within the block are affected: in any thread or event loop, over HTTP or a
    WebSocket, and by backends made before or within the block. A backend that was given a ``transport=`` keeps it. A
    request under way when the block begins or ends keeps the transport that it began with. A forked child inherits the
    replacement; other processes are not affected.

    Args:
        stand_in: returns the transport to use; called for each request with a function that returns the backend's own
            transport, for a stand-in that sends requests.

    Raises:
        ConfigurationError: if a stand-in is active already, in whichever thread.

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
    """Return the transport for a backend's next request: its own, unless `standing_in` replaces it.

    Args:
        own: returns the backend's own transport; called only if it is needed.
    """
    standing = _standing.get(_KEY)
    return own() if standing is None else standing[0](own)
