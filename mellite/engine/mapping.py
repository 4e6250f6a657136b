"""map(): settle any number of thunks and runs, in bounded memory, and give each back as soon as it has settled."""

from __future__ import annotations

import os
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
    Sized,
)
from contextlib import ExitStack
from contextvars import copy_context
from decimal import Decimal
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, final, overload

from .. import loops
from ..archive.journal.keeping import Journal
from ..archive.journal.opening import journal as opened
from ..backends.wrappers.quotas import Budget, Concurrency, Rate
from ..loops.places import check_concurrency
from ..strategies.requirements import Requirement, as_requirements
from ..strategies.requirements.requirement import Check
from ..strategies.sampling import RejectionSampling, SamplingResult, Strategy
from ..thunk.thunk import AnyThunk, ModelOutputThunk
from ..values.errors import InvalidRequest
from ..values.paths import path_of
from ..values.prices.totals import Totals
from ..values.public_names import publish
from ..values.usage import Usage
from .collected import Sink, checked_collect, sink_for
from .driving import Driving, Rules, Settled
from .engines import Gathering, engine_named
from .errands import Settlement, asked_in, failure_of, state_of
from .limits import checked_limits, limits_said

if TYPE_CHECKING:
    from ..strategies.progress import Bar

__all__ = ["Map", "map"]


T = TypeVar("T")
Thunk = TypeVar("Thunk", bound=AnyThunk)
Item = TypeVar("Item", bound=Settlement)


@overload
def map(
    items: Iterable[Thunk] | AsyncIterable[Thunk],
    *,
    on: Any = "local",
    journal: str | os.PathLike[str] | None = None,
    limits: Sequence[Rate | Budget | Concurrency] = (),
    concurrency: int = 256,
    progress: bool = True,
    collect: type[list[Any]] | str | os.PathLike[str] | None = None,
) -> Map[Thunk]: ...


@overload
def map(
    items: Iterable[ModelOutputThunk[T]] | AsyncIterable[ModelOutputThunk[T]],
    *,
    on: Any = "local",
    strategy: Strategy,
    requirements: Requirement | Check | Sequence[Requirement | Check] = (),
    journal: str | os.PathLike[str] | None = None,
    limits: Sequence[Rate | Budget | Concurrency] = (),
    concurrency: int = 256,
    progress: bool = True,
    collect: type[list[Any]] | str | os.PathLike[str] | None = None,
) -> Map[SamplingResult[T]]: ...


@overload
def map(
    items: Iterable[ModelOutputThunk[T]] | AsyncIterable[ModelOutputThunk[T]],
    *,
    on: Any = "local",
    requirements: Requirement | Check | Sequence[Requirement | Check],
    journal: str | os.PathLike[str] | None = None,
    limits: Sequence[Rate | Budget | Concurrency] = (),
    concurrency: int = 256,
    progress: bool = True,
    collect: type[list[Any]] | str | os.PathLike[str] | None = None,
) -> Map[SamplingResult[T]]: ...


def map(
    items: Iterable[AnyThunk] | AsyncIterable[AnyThunk],
    *,
    on: Any = "local",
    strategy: Strategy | None = None,
    requirements: Requirement | Check | Sequence[Requirement | Check] = (),
    journal: str | os.PathLike[str] | None = None,
    limits: Sequence[Rate | Budget | Concurrency] = (),
    concurrency: int = 256,
    progress: bool = True,
    collect: type[list[Any]] | str | os.PathLike[str] | None = None,
) -> Map[Any]:
    """Settle any number of thunks and runs, and yield each as soon as it has settled. Nothing is sent by this call.

    Read it with ``async for thunk in map(...)``, or a plain ``for`` outside an event loop. Each is the very object that
    was passed, settled in place; already settled ones come as they are, and one passed twice comes twice and is asked
    once. Failures raise nothing: look at ``thunk.error``. Items are taken as needed: an iterable of millions, or an
    endless one, takes no more memory than the running items. A map that is left by ``break`` and dropped cancels what
    it has begun.

    Args:
        items: any iterable or async iterable of thunks and runs. If it raises, the map ends once the items begun have
            been returned.
        on: where the calls are made: "local" is this process, "dask" a ``LocalCluster`` that ends with the map, and a
            ``distributed.Client`` its workers (``mellite[dask]``). Keys never travel: workers read their environment.
            "batch" is the batch services of the providers, within hours at half the price: `mellite.engine.batch`.
        strategy: samples each item, which is not generated itself; each yields a `mellite.SamplingResult`, whose
            ``source`` is the item, even without any answer: then it has an ``error``. See `mellite.sampling`.
        requirements: what each answer must meet. The default strategy is then `mellite.RejectionSampling`.
        journal: a directory in which each call is kept, as by `mellite.journal`: restart a stopped map with the same
            one, and only missing calls are made. Replayed calls count towards no limit.
        limits: limits on all calls together: `mellite.Rate`, `mellite.Concurrency` and `mellite.Budget`. When a budget
            is spent, no more items are begun, running ones are returned, and then `BudgetSpent` is raised.
        concurrency: the most items begun and not yet returned, for each process that makes calls; it replaces the
            backends' own ``max_concurrency``. With a strategy, it also limits the calls that run at once.
        progress: show a bar on a terminal, if rich is installed (``mellite[cli]``).
        collect: what ``await`` and `Map.result` return: ``list``, or the path of a ``.jsonl``, ``.csv`` or ``.parquet``
            file to write. Parquet needs ``mellite[parquet]``.

    Raises:
        InvalidRequest: for a wrong argument.
        CannotTravel: for a strategy that cannot be sent to the processes of `on`.
        MissingExtra: for a Parquet file, if pyarrow is not installed; for Dask, if distributed is not.

    Example:
        >>> from mellite.backends import Echo
        >>> words = (Echo().generate(f"word {number}") for number in range(1000))
        >>> settled = map(words, concurrency=8)
        >>> sum(len(thunk.text) for thunk in settled)
        7890
        >>> settled.counts
        {'running': 0, 'done': 1000, 'failed': 0, 'cancelled': 0}
    """
    if concurrency is None:
        msg = "'concurrency' must be a whole number of at least 1: a map without end would begin without end"
        raise InvalidRequest(msg, parameter="concurrency")
    check_concurrency("concurrency", concurrency)
    if isinstance(items, (str, bytes)) or not isinstance(items, (Iterable, AsyncIterable)):
        msg = f"'items' must be an iterable or async iterable of thunks and runs, not {type(items).__name__}"
        raise InvalidRequest(msg, parameter="items")
    checked_collect(collect)
    strategy, required = _sampling(strategy, requirements)
    engine = engine_named(on)
    if strategy is not None:
        engine.check_value(strategy, "strategy")
    # A sampling may make several calls at once, and a judge makes some, too: the calls are counted, not only the items.
    stands, purse = checked_limits(
        limits, () if strategy is None or not engine.is_here else (Concurrency(concurrency),)
    )
    directory = None if journal is None else path_of(journal, parameter="journal", what="the journal's directory")
    kept = None if directory is None else opened(directory)
    at_once = concurrency
    if isinstance(engine, Gathering):
        at_once = max(engine.room, concurrency)
        if stands is not None:
            msg = "a Rate and a Concurrency are limits of single calls, which a batch does not make; leave them out"
            raise InvalidRequest(msg, parameter="limits")
        engine.keep_in(directory)
    rules = Rules(engine, concurrency, stands, purse, kept, strategy, required)
    return Map(items, rules, progress=progress, collect=collect, limits=limits_said(limits, at_once))


def _sampling(strategy: object, requirements: Any) -> tuple[Strategy | None, Sequence[Requirement]]:
    """Return what samples each item, and the demands on the answers.

    Raises:
        InvalidRequest: for what is not a strategy or requirement.
    """
    given = (requirements,) if callable(requirements) or isinstance(requirements, Requirement) else requirements
    required = as_requirements(given)
    if strategy is None:
        return (RejectionSampling() if required else None), required
    if not isinstance(strategy, Strategy):
        msg = f"'strategy' must be a strategy such as mellite.RejectionSampling(), not {strategy!r:.60}"
        raise InvalidRequest(msg, parameter="strategy")
    return strategy, required


@final
class Map(AsyncIterator[Item], Iterator[Item], Awaitable[Any], Generic[Item]):
    """A series of thunks and runs being settled; made by `mellite.engine.map`. For one task or thread at a time.

    ``await`` and `result` settle all that is left, and return what was collected; without ``collect=``, the map itself.
    The end of an ``async with`` or ``with`` block cancels items still running.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_collect",
        "_driving",
        "_items",
        "_limits",
        "_progress",
        "_reader",
        "_rules",
    )

    def __init__(self, items: object, rules: Rules, *, progress: bool, collect: Any, limits: str = "") -> None:
        self._items: object | None = items
        self._rules = rules
        self._progress = progress
        self._collect = collect
        self._limits = limits
        self._driving: Driving | None = None
        self._closing = ExitStack()
        self._reader: Bar | None = None

    # What it has come to so far

    @property
    def counts(self) -> dict[str, int]:
        """The number of items running, and of those returned, by state: done, failed or cancelled."""
        if self._driving is None:
            return {"running": 0, "done": 0, "failed": 0, "cancelled": 0}
        return self._driving.counts

    @property
    def usage(self) -> Usage | None:
        """The tokens of all calls that this map made and returned, as far as providers reported them."""
        return self._totals.usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of the calls that have settled, in USD; None if the cost of one is unknown."""
        return self._totals.cost_usd

    @property
    def failures(self) -> dict[str, int]:
        """The number of failures by the name of the error, the most frequent first."""
        return {} if self._driving is None else dict(self._driving.failures.most_common())

    @property
    def workers(self) -> int:
        """The number of processes that make calls now: 1 for this one, 0 until the first worker is there."""
        return self._rules.engine.workers

    @property
    def limits(self) -> str:
        """The limits in force, in words."""
        return self._limits

    @property
    def _totals(self) -> Totals:
        return Totals() if self._driving is None else self._driving.totals

    # Reading

    def _begun(self, loop: Callable[[], loops.Loop]) -> Driving:
        driving = self._driving
        if driving is None:
            items, self._items = self._items, None
            kept = self._rules.journal
            if isinstance(kept, Journal):
                # In a context of its own: it is in force for what the map drives, and not for the reader's own calls.
                apart = copy_context()
                apart.run(kept.__enter__)
                self._closing.callback(apart.run, kept.__exit__, None, None, None)
                if self._rules.limits is not None:
                    self._rules.limits.note_before(kept)
            if self._progress and find_spec("rich") is not None:
                from ..strategies.progress import progress_bar

                total = len(items) if isinstance(items, Sized) else None
                self._reader = self._closing.enter_context(
                    progress_bar("settling", total, about=self._limits, projects=True)
                )
            driving = self._driving = Driving(items, self._rules, loop)
        return driving

    def _seen(self, settled: Settled | None) -> Settled | None:
        if settled is None:
            self._close()
        elif self._reader is not None:
            item, workers = settled.item, self.workers
            note = "" if self._rules.engine.is_here or not workers else f"{workers} worker{'s' * (workers != 1)}"
            self._reader.add(asked_in(item), state=state_of(item), failure=failure_of(item), note=note)
        return settled

    def _close(self) -> None:
        self._closing.close()
        self._rules.engine.close()

    async def _next(self) -> Settled | None:
        driving = self._begun(loops.current)
        try:
            settled = self._seen(await driving.next())
            if settled is None:
                await self._rules.engine.linger()
            return settled
        except Exception:
            self._close()
            await self._rules.engine.linger()
            raise
        finally:
            del self, driving  # the traceback refers to this frame: a kept error must not keep the map

    def _block(self, timeout: float | None = None) -> Settled | None:
        driving = self._begun(loops.portal)
        try:
            settled = self._seen(driving.block(timeout))
            if settled is None:
                self._rules.engine.linger_in_thread()
            return settled
        except TimeoutError:
            raise
        except Exception:
            self._close()
            self._rules.engine.linger_in_thread()
            raise
        finally:
            del self, driving  # likewise

    async def __anext__(self) -> Item:
        try:
            settled = await self._next()
        finally:
            del self  # likewise
        if settled is None:
            raise StopAsyncIteration
        return cast("Item", settled.item)

    def __next__(self) -> Item:
        loops.forbid_inside_loop("`for thunk in mellite.engine.map(...)`", "`async for`")
        settled = self._block()
        if settled is None:
            raise StopIteration
        return cast("Item", settled.item)

    # All of it

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._all().__await__()

    async def _all(self) -> Any:
        sink = self._sink()
        try:
            try:
                while (settled := await self._next()) is not None:
                    _add(sink, settled)
            except Exception:  # a budget or the caller's iterable: what has settled until then is kept
                _finish(sink)
                raise
        except GeneratorExit:  # nothing can be awaited any more
            self._drop(sink)
            raise
        except Exception:
            raise
        except BaseException:
            for errand in [] if self._driving is None else self._driving.leave():
                await errand.linger()
            self._drop(sink)
            raise
        return self if sink is None else sink.finish()

    def result(self, timeout: float | None = None) -> Any:
        """Settle all that is left, and return what was collected, for code without await.

        Args:
            timeout: the longest to wait, in seconds. After that, running items are cancelled.

        Raises:
            TimeoutError: if not all have settled by then.
            BudgetSpent: if a budget was spent; a file then has all that had settled.
            SyncInsideLoop: inside a running event loop.
        """
        loops.check_timeout(timeout)
        loops.forbid_inside_loop("mellite.engine.map(...).result()", "`await mellite.engine.map(...)`")
        ends = None if timeout is None else time.monotonic() + timeout
        sink = self._sink()
        try:
            while (settled := self._block(None if ends is None else max(0.0, ends - time.monotonic()))) is not None:
                _add(sink, settled)
        except TimeoutError:
            self._drop(sink)
            msg = f"not all items settled within {timeout} s; {sum(self.counts.values())} were begun"
            raise TimeoutError(msg) from None
        except Exception:
            _finish(sink)
            raise
        except BaseException:
            self._drop(sink)
            raise
        return self if sink is None else sink.finish()

    def _sink(self) -> Sink | None:
        return None if self._collect is None else sink_for(self._collect)

    def _drop(self, sink: Sink | None) -> None:
        if sink is not None:
            sink.abandon()
        if self._driving is not None:
            self._driving.drop()
        self._close()

    # Stopping

    def cancel(self, reason: str | None = None) -> Stopping:
        """Take no more items and cancel the running ones, at once and from any thread, as ``thunk.cancel`` does.

        The running ones are returned as cancelled, and end the map; items not taken stay pending.

        Returns:
            An awaitable that waits until they have settled.
        """
        why = "the map was cancelled" if reason is None else reason
        if self._driving is None:
            self._items = ()
            return Stopping([])
        return Stopping(self._driving.cancel(why))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for errand in [] if self._driving is None else self._driving.leave():
            await errand.linger()
        self._drop(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drop(None)

    def __del__(self) -> None:
        if self._driving is not None:
            self._driving.drop()
            self._close()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        return f"<Map {counts or 'not begun'}>"


@final
class Stopping(Awaitable[None]):
    """A request to cancel that was made; awaiting it waits until all have settled. Made by `Map.cancel`."""

    __slots__ = ("_asked",)

    def __init__(self, asked: Sequence[Awaitable[None]]) -> None:
        self._asked = tuple(asked)

    def __await__(self) -> Generator[Any, Any, None]:
        for each in self._asked:
            yield from each.__await__()


def _add(sink: Sink | None, settled: Settled) -> None:
    if sink is not None:
        sink.add(settled.number, settled.item)


def _finish(sink: Sink | None) -> None:
    if sink is not None:
        sink.finish()


publish(globals(), "mellite.engine", "Map", "map")
