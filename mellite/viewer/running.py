"""Show calls in a browser: until Ctrl-C, or for as long as a block runs, from a thread of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from anyio import to_thread

from ..values.errors import ConfigurationError, InvalidRequest, MissingExtra
from ..values.public_names import publish
from .sources import path_of, source_at

if TYPE_CHECKING:
    from .http_server import ViewServer

__all__ = ["Viewer", "run", "serve"]


@final
class Viewer:
    """A local web page that shows calls; made by `mellite.viewer.serve`. Use it in a ``with`` or ``async with`` block.

    Attributes:
        url: the address, with a token that is different each time; empty outside of the block.
    """

    def __init__(self, source: object, *, port: int = 0) -> None:
        self._path = path_of(source)
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self.url = ""

    def __enter__(self) -> Self:
        if self._thread is not None:
            msg = "this viewer is shown already; make another one with mellite.viewer.serve"
            raise InvalidRequest(msg)
        self._ready, self._error = threading.Event(), None
        self._thread = threading.Thread(target=self._run, name="mellite-viewer", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._end()
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    async def __aenter__(self) -> Self:
        return await to_thread.run_sync(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Short, and not to be given up halfway by whoever cancels the block.
        self._end()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        loop, stopped = self._loop, self._stopped
        if loop is not None and stopped is not None:
            with suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(stopped.set)
        if thread is not None:
            thread.join()
        self.url = ""

    def _run(self) -> None:
        try:
            asyncio.run(self._serve(_server(self._path)))
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self, server: ViewServer) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.url = await _listening(server, self._port)
            self._ready.set()
            await self._stopped.wait()
        finally:
            await server.stop()


def serve(source: str | os.PathLike[str] | Any, *, port: int = 0) -> Viewer:
    """Return a local web page that shows calls while its ``with`` or ``async with`` block runs.

    It listens on this machine only, and shows nothing without the token in its address.

    Args:
        source: the path of a cassette, of a folder of them, of a journal's directory, or of a log; or a
            `mellite.cassettes.Cassette` that was read from a file, or a `mellite.Journal`.
        port: the port; 0 for a free one.

    Raises:
        InvalidRequest: if `source` is not a path and has none.
        CassetteMiss: on entry, if nothing is there.
        ConfigurationError: on entry, if the port is taken, or a log cannot be read.
        MissingExtra: on entry, if aiohttp is not installed.

    Example:
        >>> with serve("mellite/demo_cassettes/chat.json") as viewer:
        ...     viewer.url.startswith("http://127.0.0.1:")
        True
    """
    return Viewer(source, port=port)


def run(path: str, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Show calls until a signal comes.

    Args:
        path: what is shown.
        port: the port; 0 for a free one.
        ready: is called with the address when the server listens.

    Raises:
        MelliteError: as `serve`.
    """
    with suppress(KeyboardInterrupt):  # where signals cannot be handled
        asyncio.run(_until_stopped(_server(path), port, ready))


async def _until_stopped(server: ViewServer, port: int, ready: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
    try:
        ready(await _listening(server, port))
        await stopped.wait()
    finally:
        await server.stop()


def _server(path: str) -> ViewServer:
    try:
        from .http_server import ViewServer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "aiohttp":
            raise
        msg = "the viewer needs the package aiohttp: pip install 'mellite[serve]'; --html FILE writes a file without it"
        raise MissingExtra(msg) from None
    return ViewServer(source_at(path))


async def _listening(server: ViewServer, port: int) -> str:
    try:
        return await server.start(port)
    except (OSError, OverflowError) as error:
        said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        msg = f"cannot listen on 127.0.0.1:{port}: {said}; choose another port, or 0 for a free one"
        raise ConfigurationError(msg) from error


publish(globals(), "mellite.viewer", "Viewer", "serve")
