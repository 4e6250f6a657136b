"""Engines make the calls of a map: their interface, the engine of this process, and their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final, Protocol, cast, final, runtime_checkable

from ..thunk.observing import Interceptor
from ..thunk.thunk import AnyThunk
from ..values.errors import InvalidRequest, MissingExtra
from ..values.spelling import did_you_mean
from .elsewhere import Elsewhere

__all__ = ["Engine", "Gathering", "engine_named"]


class Engine(Protocol):
    """Where the calls are made. Made for one map, which calls it from the thread that reads the map, but for `close`.

    Attributes:
        is_here: whether the calls are made in this process.
    """

    is_here: bool

    def begin(self, concurrency: int, limits: Interceptor | None, wake: Callable[[], None]) -> tuple[Interceptor, ...]:
        """Begin to work; called once, before all else.

        Args:
            concurrency: how many calls are in flight at once, in each process.
            limits: what stands before each call; None for nothing.
            wake: called from any thread when `room` or `trouble` has changed.

        Returns:
            What stands between each thunk and its backend, the limits among it.
        """
        ...

    @property
    def room(self) -> int:
        """How many items may be begun and not settled; 0 where that is not known yet."""
        ...

    @property
    def workers(self) -> int:
        """How many processes make calls now."""
        ...

    @property
    def trouble(self) -> Exception | None:
        """Why no more calls can be made: the map ends with it. None as long as all is well."""
        ...

    def check(self, thunk: AnyThunk) -> None:
        """Refuse what cannot be generated there, before anything of it is sent.

        Raises:
            CannotTravel: if it cannot be sent there.
            InvalidRequest: for what this engine does not do.
        """
        ...

    def check_value(self, value: object, name: str) -> None:
        """Refuse a strategy, or requirements, that could not be sent; `name` is what to call it.

        Raises:
            CannotTravel: naming what of it cannot be sent.
        """
        ...

    def close(self) -> None:
        """Note that the map is over, and nothing of it is wanted any more; from any thread, more than once."""
        ...

    async def linger(self) -> None:
        """Wait, after `close`, until those who make the calls know, though not for long."""
        ...

    def linger_in_thread(self) -> None:
        """Do as `linger` does, blocking the thread."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """An engine that makes many calls at once, and wants to know when no more come."""

    def keep_in(self, journal: str | None) -> None:
        """Note where it keeps what outlives this process: the directory of the map's journal; None for nowhere."""
        ...

    def no_more(self) -> None:
        """Note that all items are taken; from any thread, more than once."""
        ...


@final
class Local:
    """Makes the calls in this process."""

    is_here = True
    workers = 1
    trouble: Exception | None = None

    def __init__(self) -> None:
        self._room = 0

    def begin(
        self,
        concurrency: int,
        limits: Interceptor | None,
        wake: Callable[[], None],  # noqa: ARG002 - nothing changes
    ) -> tuple[Interceptor, ...]:
        """Return the limits: a thunk asks its own backend."""
        self._room = concurrency
        return () if limits is None else (limits,)

    @property
    def room(self) -> int:
        """How many items may be begun and not settled: as many calls as may be in flight."""
        return self._room

    def check(self, thunk: AnyThunk) -> None:
        """Do nothing: nothing has to travel."""

    def check_value(self, value: object, name: str) -> None:
        """Do nothing: nothing has to travel."""

    def close(self) -> None:
        """Do nothing: the map cancels what it began."""

    async def linger(self) -> None:
        """Do nothing: nobody has to be told."""

    def linger_in_thread(self) -> None:
        """Do nothing: nobody has to be told."""


def _check_no_workers(address: str | None, workers: int | None) -> None:
    """Refuse what only engines with workers have.

    Raises:
        InvalidRequest: naming it.
    """
    for name, given in (("scheduler", address), ("workers", workers)):
        if given is not None:
            msg = f"{name!r} is for the engines that have workers, dask and ray"
            raise InvalidRequest(msg, parameter=name)


def _local(address: str | None = None, workers: int | None = None) -> Engine:
    _check_no_workers(address, workers)
    return Local()


def _dask(address: str | None = None, workers: int | None = None) -> Engine:
    _check_installed("dask", "distributed")
    from .on_dask import engine_on

    return engine_on(address, workers)


def _ray(address: str | None = None, workers: int | None = None) -> Engine:
    _check_installed("ray", "ray")
    from .on_ray import engine_on

    return engine_on(address, workers)


def _check_installed(extra: str, package: str) -> None:
    """Refuse an engine that is not installed.

    Raises:
        MissingExtra: with the command that installs it.
    """
    if find_spec(package) is None:
        msg = f"on={extra!r} needs the package {package}: pip install 'mellite[{extra}]'"
        raise MissingExtra(msg)


def _batch(address: str | None = None, workers: int | None = None) -> Engine:
    _check_no_workers(address, workers)
    from .batch.on_batch import OnBatch

    return OnBatch()


#: Name -> what makes the engine.
_ENGINES: Final[Mapping[str, Callable[[str | None, int | None], Engine]]] = {
    "local": _local,
    "batch": _batch,
    "dask": _dask,
    "ray": _ray,
}


def engine_named(on: object, address: str | None = None, workers: int | None = None) -> Engine:
    """Return a new engine.

    Args:
        on: its name, a client of Dask, or an engine that was made before.
        address: that of the scheduler; None for workers of its own on this machine.
        workers: how many processes those are; None for one for each processor.

    Raises:
        InvalidRequest: for what is none, with the nearest; for an address or workers where there are none.
        MissingExtra: if it is not installed.
    """
    if isinstance(on, (Elsewhere, Local, Gathering)):
        return cast("Engine", on)
    if type(on).__module__.partition(".")[0] == "distributed" and hasattr(on, "scheduler"):
        from .on_dask import engine_of

        return engine_of(cast("Any", on))
    made = _ENGINES.get(on) if isinstance(on, str) else None
    if made is None:
        known = sorted(_ENGINES)
        said = did_you_mean(on, known) if isinstance(on, str) else f"it is one of {', '.join(known)}"
        msg = f"'on' names no engine of this version: {on!r:.60}; {said}, or a distributed.Client"
        raise InvalidRequest(msg, parameter="on")
    return made(address, workers)
