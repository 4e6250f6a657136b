"""Put a cassette in place of the network for all HTTP clients of a process except mellite's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio
import anyio.to_thread

from ...values.errors import ConfigurationError
from ...values.paths import path_of
from ...values.public_names import publish
from ...values.spelling import nearest
from ..modes import Mode
from ..opening import CassetteTransport, use
from ..replaying.claims import Match
from ..replaying.cutting import Cut
from ..secrets.redaction import Redaction
from .catching import Catch, Swap, swapped

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["CLIENTS", "Clients", "Patch", "catching", "patch"]

#: Whose requests are caught: those of all clients that are installed, or of some, by their names.
Clients: TypeAlias = "Literal['all'] | Collection[str]"


def _httpx(catch: Catch) -> Iterator[Swap]:
    from .httpx import swaps

    return swaps(catch)


def _httpx2(catch: Catch) -> Iterator[Swap]:
    from .httpx2 import swaps

    return swaps(catch)


def _requests(catch: Catch) -> Iterator[Swap]:
    from .requests import swaps

    return swaps(catch)


def _botocore(catch: Catch) -> Iterator[Swap]:
    from .before_send import swaps

    return swaps(catch)


def _urllib3(catch: Catch) -> Iterator[Swap]:
    from .urllib3 import swaps

    return swaps(catch)


def _aiohttp(catch: Catch) -> Iterator[Swap]:
    from .aiohttp import swaps

    return swaps(catch)


#: The name of each client -> what catches its requests. Calling that imports the client.
CLIENTS: Final[Mapping[str, Callable[[Catch], Iterator[Swap]]]] = {
    "httpx": _httpx,
    "httpx2": _httpx2,
    "aiohttp": _aiohttp,
    "requests": _requests,
    "botocore": _botocore,
    "urllib3": _urllib3,
}

#: The one patch of this process, under the one key. Threads need no lock: `setdefault` and `pop` of a dict are atomic.
_patched: Final[dict[str, Catch]] = {}
_KEY: Final = "patch"


def patch(
    path: str | PathLike[str],
    *,
    mode: Mode | None = None,
    match: Match = "pool",
    clients: Clients = "all",
    hosts: Collection[str] | None = None,
    directory: str | PathLike[str] | None = None,
    cut: Cut = "recorded",
    speed: float | None = None,
    redaction: Redaction | None = None,
    allowed: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    even_in_ci: bool = False,
) -> Patch:
    """Send other HTTP clients' requests through a cassette until the block ends.

    Use it in a ``with`` or ``async with`` block, which gives the `CassetteTransport`. Requests made with httpx, httpx2,
    aiohttp, requests, urllib3 or botocore within the block are caught, in all threads and event loops of the process:
    those of the SDKs of OpenAI, Anthropic, Google and AWS, of LangChain, pydantic-ai, and of your own code. An answer
    is passed on piece by piece as it arrives, and recorded with its times and its end. On replay, each client gets the
    same pieces and the same end, with its own error types. What differs between equal runs, such as session ids and
    cache keys, is not compared; nor is the order of requests.

    Not caught are mellite's backends, which take a cassette of their own; WebSockets; and clients with a custom
    transport that does not use one of these.

    Args:
        path: the file; or with `directory` a name as in ``group/case``.
        mode: ``none``, ``once``, ``new_episodes``, ``all`` or ``rewrite``; by default from the environment, as with
            `use`.
        match: how requests find their answers, see `ReplayTransport`.
        clients: the clients whose requests are caught: ``all`` that are installed, or some of ``httpx``, ``httpx2``,
            ``aiohttp``, ``requests``, ``urllib3`` and ``botocore``.
        hosts: the hosts whose requests are caught, such as ``api.openai.com`` or ``*.amazonaws.com``; None for all.
        directory: where cassettes are kept.
        cut: how answers are cut into pieces, see `ReplayTransport`; likewise `speed`.
        redaction: which parts of requests and responses are kept and compared.
        allowed: texts that look like secrets but are not, and may be recorded.
        metadata: the metadata of a new cassette.
        even_in_ci: whether to record even with ``CI=true``.

    Raises:
        ConfigurationError: for an argument that makes no sense; and on entry, if another patch is open.
        InvalidRequest: if `path` is not a path.
        MissingExtra: if a client that was named is not installed.
        CassetteMiss: on entry, if there is no such file and it may not be recorded; likewise the other errors of `use`.

    Example:
        >>> import httpx2
        >>> with patch("mellite/demo_cassettes/chat.json", clients=["httpx2"]) as cassette:
        ...     asked = cassette.unused[0].request
        ...     response = httpx2.post(asked.url, headers=asked.headers, content=asked.body.text)
        ...     response.status_code, len(cassette.unused)
        (200, 0)
    """
    named = _named(clients)
    checked_hosts = _checked_hosts(hosts)
    name = path if isinstance(path, str) else path_of(path)

    def opened() -> CassetteTransport:
        return use(
            name,
            mode=mode,
            match=match,
            directory=directory,
            cut=cut,
            speed=speed,
            redaction=redaction,
            allowed=allowed,
            metadata=metadata,
            even_in_ci=even_in_ci,
            lenient=True,
        )

    return Patch(opened, named, checked_hosts)


class Patch:
    """A block in which other clients' requests go through a cassette. Made by `patch`.

    Each time the block begins, the cassette is opened anew.
    """

    def __init__(
        self, opened: Callable[[], CassetteTransport], clients: Clients, hosts: Collection[str] | None
    ) -> None:
        self._opened = opened
        self._clients = clients
        self._hosts = hosts
        self._cassette: CassetteTransport | None = None
        self._caught: Any = None

    def __enter__(self) -> CassetteTransport:
        """Open the cassette, and begin to catch requests.

        Raises:
            ConfigurationError: if another patch is open.
            CassetteError: if the cassette cannot be opened.
        """
        _refuse_second()
        cassette = self._opened()
        self._caught = catching(cassette, self._clients, self._hosts)
        self._caught.__enter__()
        self._cassette = cassette
        return cassette

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the recording, and catch no more requests.

        Raises:
            CassetteError: if something could not be recorded.
        """
        cassette = self._left(error)
        cassette.__exit__(kind, error, trace)

    async def __aenter__(self) -> CassetteTransport:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind, error, trace, limiter=anyio.CapacityLimiter(1))

    def _left(self, error: BaseException | None) -> CassetteTransport:
        """Catch no more requests, and return the cassette."""
        cassette = self._cassette
        if cassette is None:
            msg = "this patch is not open"
            raise ConfigurationError(msg)
        self._cassette = None
        self._caught.__exit__(None, None, None)
        if cassette.misses and error is not None and error not in cassette.misses:
            # A client makes an error of its own of it, such as "Connection error."
            error.add_note(f"a request was not answered by the cassette: {cassette.misses[0]}")
        return cassette


@contextmanager
def catching(
    cassette: CassetteTransport, clients: Clients = "all", hosts: Collection[str] | None = None
) -> Generator[None]:
    """Send the requests of clients through a cassette until the block ends.

    Answers that are still under way then are recorded as far as they have come.

    Args:
        cassette: the cassette; it stays open.
        clients: whose requests, see `patch`.
        hosts: to which hosts, see `patch`.

    Raises:
        ConfigurationError: if requests are caught already, or there is no such client.
        MissingExtra: if a client that was named is not installed.
    """
    named = _named(clients)
    catch = Catch(cassette, _checked_hosts(hosts))
    if _patched.setdefault(_KEY, catch) is not catch:
        _refuse_second()
    try:
        with swapped([swap for name in _installed(named) for swap in CLIENTS[name](catch)]):
            yield
    finally:
        _patched.pop(_KEY, None)
        if cassette.recorder is not None:
            cassette.recorder.cut_off()


def _refuse_second() -> None:
    if _patched:
        msg = (
            "requests of this process are caught already, and one patch can be open at a time; give the second "
            "cassette to its client, as with mellite.cassettes.clients.HttpxTransport(cassette)"
        )
        raise ConfigurationError(msg)


def _named(clients: Clients) -> Clients:
    """Return the names of clients.

    Raises:
        ConfigurationError: if there is no such client; the message names the nearest one.
    """
    if clients == "all":
        return clients
    names = list(clients) if isinstance(clients, Collection) and not isinstance(clients, str) else [clients]
    for name in names:
        if name not in CLIENTS:
            near = nearest(str(name), CLIENTS)
            hint = f"; did you mean {near!r}?" if near is not None else ""
            msg = f"clients is 'all' or names of {', '.join(CLIENTS)}, not {name!r:.80}{hint}"
            raise ConfigurationError(msg)
    return tuple(names)


def _checked_hosts(hosts: Collection[str] | None) -> Collection[str] | None:
    if hosts is None:
        return None
    names = list(hosts) if isinstance(hosts, Collection) and not isinstance(hosts, str) else [hosts]
    for name in names:
        if not isinstance(name, str) or "/" in name:
            msg = f"hosts are names as in 'api.openai.com' or '*.openai.com', not {name!r:.80}"
            raise ConfigurationError(msg)
    return tuple(names)


def _installed(clients: Clients) -> Collection[str]:
    """Return the names of clients; of ``all``, those that are installed."""
    return [name for name in CLIENTS if find_spec(name) is not None] if clients == "all" else clients


publish(globals(), "mellite.cassettes", "Patch", "patch")
