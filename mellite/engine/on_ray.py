"""Ray as an engine: a desk is an asynchronous actor, one for each processor of the cluster.

An asynchronous actor runs its methods in one event loop, hundreds at once, and is not started anew by Ray: a call that
was paid for is not made again behind our back. https://docs.ray.io/en/latest/ray-core/actors/async_api.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import cache
from importlib import import_module
from itertools import cycle, islice
from pydoc import locate
from typing import Any, Final, final

from .. import loops
from ..loops import forking
from ..values.errors import ConnectError
from ..values.told_errors import error_line
from .elsewhere import Elsewhere
from .working import VERSION, Desk

__all__ = ["engine_on"]


def engine_on(address: str | None = None, workers: int | None = None) -> Elsewhere:
    """Return an engine on the Ray of this process; where there is none, on one that it starts and ends with the map.

    Args:
        address: that of a cluster, as ``ray.init`` takes it; None for a Ray of its own on this machine.
        workers: how many processes make calls; None for one for each processor of the cluster.
    """
    return Elsewhere(_RayCrew(address, workers))


@cache
def _ray() -> Any:
    """Return Ray, which is imported when it is first needed, and by its name: it is not where types are checked."""
    return import_module("ray")


@final
class _Own:
    """The Ray that maps of this process have started, where the program has none; it ends with the last of them.

    Ray's processes end with the thread that started them, so a thread is kept for that.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()  # held while Ray starts or ends
        self._users = 0
        self._is_over = threading.Event()
        self._keeper: threading.Thread | None = None

    def join(self, address: str | None, workers: int | None) -> bool:
        """Have a Ray; return whether it is one to leave.

        Raises:
            Exception: if none can be started or reached.
        """
        with self._lock:
            if not self._users and _ray().is_initialized():
                return False
            if not self._users:
                self._start(address, workers)
            self._users += 1
            return True

    def leave(self) -> None:
        """Give up what `join` has given; blocks while Ray ends."""
        with self._lock:
            self._users -= 1
            if not self._users and self._keeper is not None:
                self._is_over.set()
                self._keeper.join()

    def _start(self, address: str | None, workers: int | None) -> None:
        own: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": workers}
        begun: Future[None] = Future()
        self._is_over.clear()

        def keep() -> None:
            try:
                _ray().init(address=address, log_to_driver=False, **own)
            except Exception as error:
                begun.set_exception(error)
                return
            begun.set_result(None)
            self._is_over.wait()
            _ray().shutdown()

        self._keeper = threading.Thread(target=keep, name="mellite-ray", daemon=True)
        self._keeper.start()
        begun.result()


_own: Final = _Own()


@final
class _RayCrew:
    """Actors on the nodes of a cluster."""

    name = "ray"

    def __init__(self, address: str | None, workers: int | None) -> None:
        self._address = address
        self._workers = workers
        self._is_own = False

    def launch(self, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        """Have `begin` called in mellite's background loop, once there is a Ray."""
        threading.Thread(target=self._connect, args=(begin, fail), name="mellite-ray-begin").start()

    def _connect(self, begin: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        try:
            self._is_own = _own.join(self._address, self._workers)
        except Exception as error:
            failed = ConnectError(f"ray is not to be reached: {error_line(error)}")
            failed.__cause__ = error
            fail(failed)
        else:
            loops.portal().call_soon(begin)

    async def addresses(self) -> Collection[str]:
        """Return a name for each desk that there is to be: the node, and a number."""
        nodes = await loops.run_in_thread(_ray().nodes)
        room = {each["NodeID"]: int(each["Resources"].get("CPU", 0)) for each in nodes if each["Alive"]}
        if self._workers is None:
            return [f"{node}/{number}" for node, count in room.items() for number in range(count)]
        return [f"{node}/{number}" for number, node in enumerate(islice(cycle(room), self._workers if room else 0))]

    async def version(self, address: str) -> str | None:
        """Return the version of mellite on the node of a desk, by a function that needs none."""
        asked = _ray().remote(locate).options(max_retries=0, **_on(address))
        version: object = await asked.remote(VERSION)
        return None if version is None else str(version)

    async def desk(self, address: str) -> _DeskThere:
        """Set up a desk on a node."""
        actor = _ray().remote(Desk).options(max_restarts=0, max_task_retries=0, **_on(address)).remote()
        await actor.cancel.remote([])  # it is there once it answers
        return _DeskThere(actor)

    def leave(self) -> threading.Thread | None:
        """End the Ray of this map, if it has one, in a thread."""
        if not self._is_own:
            return None
        ending = threading.Thread(target=_own.leave, name="mellite-ray-end")
        ending.start()
        return ending


def _on(address: str) -> dict[str, Any]:
    """Return the options that put something on the node of a desk; waiting for answers needs no processor."""
    node = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
        node_id=address.partition("/")[0], soft=False
    )
    return {"num_cpus": 0, "scheduling_strategy": node}


@final
class _DeskThere:
    """A desk in an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def give(self, data: bytes) -> None:
        """Have it begin calls."""
        await self._actor.give.remote(data)

    async def take(self, wait: float) -> bytes:
        """Fetch answers."""
        found: bytes = await self._actor.take.remote(wait)
        return found

    async def cancel(self, numbers: Sequence[int]) -> None:
        """Have it stop calls."""
        await self._actor.cancel.remote(list(numbers))

    async def close(self) -> None:
        """Have it stop everything, and end the actor."""
        await self._actor.close.remote()
        _ray().kill(self._actor)
