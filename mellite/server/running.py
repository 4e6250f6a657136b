"""Run a server: until it is told to stop, for as long as a command runs, or in a thread beside a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from attrs import fields_dict, frozen

from ..cassettes.replaying.claims import Match
from ..values.errors import ConfigurationError, MissingExtra, UnknownOption
from ..values.spelling import did_you_mean
from .client_variables import variables
from .faults import Fault, Faults
from .served import Served
from .sources import recording, speed_of, transport_of

if TYPE_CHECKING:
    from typing import Self

    from ..wire.http import Transport
    from .http_server import ModelServer

__all__ = ["RunningServer", "Settings", "run", "started"]


@frozen(kw_only=True)
class Settings:
    """The settings of a server: what it serves, and how.

    Args:
        source: what answers; see `mellite.server.sources.transport_of`.
        record: the file of the cassette into which all answers are recorded; None for no recording.
        hosts: names by which it may be asked beside those of this machine.
        faults: what goes wrong on purpose.
        seed: draws the same faults again.
        speed: ``instant``, ``recorded`` or a factor.
        match: how a cassette finds its answers.
        even_in_ci: whether to record even with ``CI=true``.
        request_timeout: seconds that the head of a request may take, and for which its body may pause; a client that
            stops in the middle is dropped.
        send_timeout: seconds for which a client may take nothing of its answer before it is dropped.
    """

    source: Any = None
    record: str | os.PathLike[str] | None = None
    hosts: Collection[str] = ()
    faults: Iterable[str | Fault] = ()
    seed: int = 0
    speed: str | float | None = "instant"
    match: Match = "pool"
    even_in_ci: bool = False
    request_timeout: float = 30.0
    send_timeout: float = 60.0

    def transport(self) -> Transport:
        """Return what answers.

        Raises:
            MelliteError: if it cannot.
        """
        speed = speed_of(self.speed)
        if self.record is None:
            return transport_of(self.source, match=self.match, speed=speed)
        return recording(self.source, self.record, even_in_ci=self.even_in_ci, match=self.match, speed=speed)

    def server(self, listener: Callable[[Served], None] | None = None) -> ModelServer:
        """Return the server, which does not listen yet.

        Raises:
            MissingExtra: if what serves is not installed.
            MelliteError: if there is nothing to answer from.
        """
        for name in ("request_timeout", "send_timeout"):
            seconds = getattr(self, name)
            if not seconds > 0:
                msg = f"{name} is a number of seconds above 0, not {seconds!r}"
                raise ConfigurationError(msg)
        faults = Faults(self.faults, seed=self.seed)
        try:
            from .http_server import ModelServer
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "aiohttp":
                raise
            msg = "serving needs the package aiohttp: pip install 'mellite[serve]'"
            raise MissingExtra(msg) from None
        how: dict[str, Any] = {"hosts": self.hosts, "faults": faults, "listener": listener}
        how |= {"request_seconds": self.request_timeout, "send_seconds": self.send_timeout}
        return ModelServer(self.transport(), **how)

    @property
    def asks_nobody(self) -> bool:
        """Whether no key is needed, because no provider is asked."""
        name = str(self.source) if isinstance(self.source, (str, os.PathLike)) else ""
        return bool(name) and (name.startswith(("fake:", "cassette:")) or os.path.exists(name))


# Until it is told to stop


def run(
    settings: Settings,
    *,
    port: int = 0,
    command: Sequence[str] = (),
    ready: Callable[[str, Mapping[str, str]], None],
    listener: Callable[[Served], None] | None = None,
) -> int:
    """Serve until a signal comes, or, with a command, until that has ended; return the exit code.

    Args:
        settings: what is served.
        port: the port; 0 for a free one.
        command: a program and its arguments, to be run with the variables set.
        ready: is called with the address and the variables when the server listens.
        listener: is told of each request.

    Raises:
        MelliteError: if there is nothing to answer from, or a recording could not be stored.
        ConfigurationError: if the port is taken, or there is no such command.
    """
    server = settings.server(listener)
    return asyncio.run(_served(server, settings, port, command, ready))


async def _served(
    server: ModelServer,
    settings: Settings,
    port: int,
    command: Sequence[str],
    ready: Callable[[str, Mapping[str, str]], None],
) -> int:
    url = await _listening(server, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
    try:
        found = variables(url, os.environ, keys=settings.asks_nobody)
        ready(url, found)
        if command:
            return await _commanded(command, {**os.environ, **found}, stopped)
        await stopped.wait()
        return 0
    finally:
        await server.stop()


async def _listening(server: ModelServer, port: int) -> str:
    try:
        return await server.start(port)
    except (OSError, OverflowError) as error:
        said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        msg = f"cannot listen on 127.0.0.1:{port}: {said}; choose another port, or 0 for a free one"
        raise ConfigurationError(msg) from error


async def _commanded(command: Sequence[str], environment: Mapping[str, str], stopped: asyncio.Event) -> int:
    """Run a command to its end; a signal is passed on to it, and a second one kills it."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env=dict(environment))
    except OSError as error:
        msg = f"cannot run {command[0]!r}: {error.strerror or error}"
        raise ConfigurationError(msg) from error
    ended = asyncio.ensure_future(process.wait())
    try:
        for end in (process.terminate, process.kill):
            told = asyncio.ensure_future(stopped.wait())
            await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if ended.done():
                break
            stopped.clear()
            with suppress(ProcessLookupError):
                end()
        code = await ended
    finally:
        if process.returncode is None:
            process.kill()
    return code if code >= 0 else 128 - code  # as shells say that a signal ended it


# Beside a test


class RunningServer:
    """A server in a thread of its own, for tests. Use it in a ``with`` block.

    Args:
        settings: what is served.

    Attributes:
        url: the address, as in ``http://127.0.0.1:8080``.

    Example:
        >>> with RunningServer(Settings(source="fake:echo")) as server:
        ...     server.env["ANTHROPIC_BASE_URL"] == server.url
        True
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: ModelServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    @property
    def requests(self) -> tuple[Served, ...]:
        """The requests that have come, in order."""
        return () if self._server is None else tuple(self._server.requests)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables with which clients find the server."""
        return variables(self.url, os.environ, keys=True)

    def start(self) -> Self:
        """Start the server, and wait until it listens. Idempotent.

        Raises:
            MelliteError: if there is nothing to answer from.
        """
        if self._thread is not None:
            return self
        self._ready, self._error = threading.Event(), None
        server = self._server = self._settings.server()
        self._thread = threading.Thread(target=self._run, args=(server,), name="mellite-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self.stop()
        return self

    def stop(self) -> None:
        """Stop the server. Idempotent.

        Raises:
            CassetteError: if something could not be recorded.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        loop, stopped = self._loop, self._stopped
        if loop is not None and stopped is not None:
            with suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(stopped.set)
        thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, server: ModelServer) -> None:
        try:
            asyncio.run(self._serve(server))
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self, server: ModelServer) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.url = await _listening(server, 0)
            self._ready.set()
            await self._stopped.wait()
        finally:
            await server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def started(source: Any = None, **settings: Any) -> RunningServer:
    """Return a server beside a test, which listens from the beginning of its ``with`` block.

    Args:
        source: what answers.
        **settings: the other fields of `Settings`.

    Raises:
        UnknownOption: for one that is none.
    """
    for name in settings:
        if name not in fields_dict(Settings):
            said = did_you_mean(name, fields_dict(Settings), otherwise="there are")
            msg = f"a server has no setting {name!r}; {said}"
            raise UnknownOption(msg, option=name)
    return RunningServer(Settings(source=source, **settings))
