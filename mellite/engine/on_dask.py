"""Dask distributed as an engine: a desk is an actor on each worker, reached through the scheduler.

An actor's methods run in the worker's event loop, however few threads it has, and equal calls stay two calls, which
tasks of Dask are not: https://distributed.dask.org/en/stable/actors.html
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from multiprocessing import resource_tracker
from pydoc import locate
from typing import Any, Final, final

import distributed

from ..values.errors import ConnectError
from ..values.telling import log
from ..values.told_errors import error_line
from .elsewhere import Elsewhere
from .working import VERSION, Desk

__all__ = ["engine_of", "engine_on"]

_distributed: Any = distributed  # most of it has no types

#: What is most often wrong where workers of this machine do not start: each runs the script again, up to this line.
_GUARD: Final = 'a script whose map starts workers of its own does that under `if __name__ == "__main__":`'


def engine_of(client: distributed.Client) -> Elsewhere:
    """Return an engine whose workers are those of a client, which stays open."""
    return Elsewhere(_DaskCrew(client))


def engine_on(address: str | None = None, workers: int | None = None) -> Elsewhere:
    """Return an engine that connects when it begins.

    Args:
        address: that of a scheduler; None for a `LocalCluster` of its own, which ends with the map.
        workers: how many processes that has; None for one for each processor.
    """
    return Elsewhere(_DaskCrew(None, address, workers))


@final
class _DaskCrew:
    """The workers of a scheduler."""

    name = "dask"

    def __init__(
        self, client: distributed.Client | None, address: str | None = None, workers: int | None = None
    ) -> None:
        self._client: Any = client
        self._is_own = client is None
        self._address = address
        self._workers = workers
        self._cluster: Any = None

    def launch(self, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        """Have `begin` called in the loop of the client, once there is one."""
        if self._client is not None:
            self._client.loop.add_callback(begin)
        else:
            threading.Thread(target=self._connect, args=(begin, fail), name="mellite-dask").start()

    def _connect(self, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        _leave_ctrl_c_to_the_map()
        try:
            where: Any = self._address
            if where is None:
                where = self._cluster = _distributed.LocalCluster(
                    n_workers=self._workers or os.cpu_count() or 1,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                )
            self._client = _distributed.Client(where, set_as_default=False, direct_to_workers=self._cluster is not None)
        except Exception as error:
            self._disconnect()
            hint = "" if self._address is not None else f"; {_GUARD}"
            failed = ConnectError(f"dask is not to be reached: {error_line(error)}{hint}")
            failed.__cause__ = error
            fail(failed)
        else:
            self._client.loop.add_callback(begin)

    async def addresses(self) -> Collection[str]:
        """Return the workers that the scheduler has."""
        found: dict[str, Any] = await self._client.nthreads()
        return list(found)

    async def version(self, address: str) -> str | None:
        """Return the version of mellite on a worker, by a function that needs none."""
        found: dict[str, Any] = await self._client.run(locate, VERSION, workers=[address])
        version = found[address]
        return None if version is None else str(version)

    async def desk(self, address: str) -> _DeskThere:
        """Set up a desk, which stays as long as what this returns."""
        with self._client.as_current():
            future = self._client.submit(
                Desk, actor=True, workers=[address], allow_other_workers=False, pure=False, key=_key()
            )
            return _DeskThere(self._client, future, await future)

    def leave(self) -> threading.Thread | None:
        """Close the client and the cluster, where they are of this map, in a thread."""
        if not self._is_own:
            return None
        ending = threading.Thread(target=self._disconnect, name="mellite-dask-end")
        ending.start()
        return ending

    def _disconnect(self) -> None:
        for each in (self._client, self._cluster):
            try:
                if each is not None:
                    each.close()
            except Exception as error:  # the program is being ended meanwhile
                log.debug("engine.closing", "what a map had started did not close", raised=error, engine="dask")


def _leave_ctrl_c_to_the_map() -> None:
    """Have the processes that are started from this thread, and from those that it starts, pass over Ctrl-C.

    On a terminal it goes to all of them, and each would end with a traceback of its own.
    """
    if hasattr(signal, "pthread_sigmask"):  # Windows has none
        resource_tracker.ensure_running()  # which would clear the mask again when it is started
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _key() -> str:
    return f"mellite-desk-{os.urandom(8).hex()}"


@final
class _DeskThere:
    """A desk on a worker."""

    def __init__(self, client: Any, future: Any, actor: Any) -> None:
        self._client = client
        self._future = future  # without it, the scheduler forgets the actor
        self._actor = actor

    async def give(self, data: bytes) -> None:
        """Have it begin calls."""
        await self._call("give", data)

    async def take(self, wait: float) -> bytes:
        """Fetch answers."""
        found: bytes = await self._call("take", wait)
        return found

    async def cancel(self, numbers: Sequence[int]) -> None:
        """Have it stop calls."""
        await self._call("cancel", list(numbers))

    async def close(self) -> None:
        """Have it stop everything, and give it up."""
        await self._call("close")
        self._future.release()

    def _call(self, name: str, *arguments: object) -> Awaitable[Any]:
        with self._client.as_current():
            called: Awaitable[Any] = getattr(self._actor, name)(*arguments)
            return called
