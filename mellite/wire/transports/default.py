"""The default transport, and its replacement in tests.

Everything that sends, records, replays or scripts requests is a `Transport`, with the one method ``open``. The default
is `mellite.wire.transports.http1`, on asyncio and trio alike. `AiohttpTransport` and `Httpx2Transport` are for programs
that must bring such a client.

`standing_in` is the only way to replace the transports of a whole process. The pytest plugin uses it, so that code
under test can make backends of its own without passing a transport.
"""

from __future__ import annotations

import contextvars
import inspect
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypedDict, Unpack

from attrs import field, frozen

from ...values.errors import ConfigurationError
from ..http import HttpRequest, HttpResponse, Transport, check_request, shown_url

__all__ = [
    "UNCAUGHT",
    "HttpRequest",
    "HttpResponse",
    "NetworkOptions",
    "StandIn",
    "Transport",
    "check_request",
    "default_transport",
    "in_place_of",
    "is_replaced",
    "reaching",
    "shown_url",
    "standing_in",
]


class NetworkOptions(TypedDict, total=False):
    """How servers are reached, for signatures: ``**options: Unpack[NetworkOptions]``; see `Http1Transport`."""

    proxy: str | None
    ca: str | os.PathLike[str] | None
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None


def default_transport(**network: Unpack[NetworkOptions]) -> Transport:
    """Make the transport that a backend uses unless it is given one: an `Http1Transport`.

    The transport keeps connections for each event loop. They are closed with their loop, by ``aclose()``, or when the
    transport is dropped. Any number of loops may use the transport, one after the other or in several threads at once.

    Example:
        >>> transport = default_transport()
    """
    from .http1 import Http1Transport

    return Http1Transport(**network)


@frozen
class _Reaching:
    """Makes a transport with options of the network. A pickle has no password of a proxy."""

    make: Callable[..., Transport]
    network: NetworkOptions = field(repr=False)

    def __call__(self) -> Transport:
        return self.make(**self.network)

    def __deepcopy__(self, memo: object) -> _Reaching:
        return self  # nobody changes it

    def __reduce__(self) -> tuple[object, ...]:
        from .http1.origins import without_password

        network: NetworkOptions = {**self.network}
        if "proxy" in network:
            network["proxy"] = without_password(network["proxy"])
        return _Reaching, (self.make, network)


def reaching(make: Callable[..., Transport], **network: Unpack[NetworkOptions]) -> Callable[[], Transport]:
    """Return what makes a transport that reaches servers as these options say, which are checked now.

    Args:
        make: makes the transport, and takes the options.

    Raises:
        ConfigurationError: for a proxy or a file that cannot be used, or an option that *make* does not take.
    """
    from ..tls import tls_settings
    from .http1.origins import FROM_ENVIRONMENT, Proxy

    try:
        inspect.signature(make).bind(**network)
    except TypeError:
        msg = f"the transport of this provider takes no {', '.join(f'{name}=' for name in network)}"
        raise ConfigurationError(msg) from None
    proxy = network.get("proxy")
    if proxy is not None and not isinstance(proxy, str):
        msg = f"proxy= is the URL of a proxy, or None for none, not {proxy!r:.100}"
        raise ConfigurationError(msg)
    if proxy is not None and proxy != FROM_ENVIRONMENT:
        Proxy.of(proxy)
    tls_settings(network.get("ca"), network.get("cert"), None)
    return _Reaching(make, network)


#: Whether the requests that are sent in this context go past `mellite.cassettes.patch`: those of a transport of
#: mellite over a client of somebody else, and those that a caught client sends for a request that is recorded already.
UNCAUGHT: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("mellite-uncaught", default=False)

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


def is_replaced() -> bool:
    """Return whether `standing_in` replaces the transports of this process now."""
    return _KEY in _standing


def in_place_of(own: Callable[[], Transport]) -> Transport:
    """Return the transport for a backend's next request: its own, unless `standing_in` replaces it.

    Args:
        own: returns the backend's own transport; called only if it is needed.
    """
    standing = _standing.get(_KEY)
    return own() if standing is None else standing[0](own)
