"""gather() and as_completed(): generate many thunks at once, on demand with a limit and a progress bar."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final, overload

from .. import loops
from ..loops.places import check_concurrency
from ..thunk.settling import settle_all
from ..thunk.thunk import AnyThunk, ModelOutputThunk
from ..values.pictured import Pictured
from ..values.public_names import publish
from .batch import Batch, thunks_of
from .spending import spent_on

if TYPE_CHECKING:
    from decimal import Decimal

    from ..values.portrait import Portrait
    from ..values.usage import Usage
    from .progress import Bar

__all__ = ["Completed", "Gathering", "Results", "as_completed", "gather"]

T = TypeVar("T")


class Results(list[ModelOutputThunk[T]], Pictured):
    """The settled thunks that `gather` returns: a list in the order of its arguments.

    Example:
        >>> from mellite.backends import Scripted
        >>> results = gather(Scripted(["one", ValueError("no"), "three"]).generate("Count.").resample(3)).result()
        >>> results.texts, results.errors
        (['one', None, 'three'], [BackendError('backend Scripted raised ValueError: no')])
    """

    __slots__ = ()

    @property
    def texts(self) -> list[str | None]:
        """The texts, in order; None for a thunk that has failed or was cancelled."""
        return [thunk.value for thunk in self]

    @property
    def errors(self) -> list[Exception]:
        """The errors of the thunks that have failed, in order."""
        return [error for thunk in self if (error := thunk.error) is not None]

    @property
    def done(self) -> list[ModelOutputThunk[T]]:
        """The thunks that are done, in order, without those that have failed or were cancelled."""
        return [thunk for thunk in self if thunk.state == "done"]

    @property
    def usage(self) -> Usage | None:
        """The tokens of all of them together, as far as providers reported them; None if none did."""
        return spent_on(self, priced=False).usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all of them together, in USD; None if the cost of one is unknown."""
        return spent_on(self).cost_usd

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The sum of the known costs, in USD: a lower bound if `cost_usd` is None."""
        return spent_on(self).known_cost_usd

    def _portrait(self) -> Portrait:
        from .portraying import portrait_of_results

        return portrait_of_results(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - so does IPython call it
        del cycle
        printer.text(self._portrait().text())  # IPython prints lists itself, in place of what the bundle says


@overload
def gather(
    thunks: Iterable[ModelOutputThunk[T]], /, *, concurrency: int | None = None, progress: bool = False
) -> Gathering[T]: ...


@overload
def gather(*thunks: ModelOutputThunk[T], concurrency: int | None = None, progress: bool = False) -> Gathering[T]: ...


@overload
def gather(
    *thunks: AnyThunk | Iterable[AnyThunk],
    concurrency: int | None = None,
    progress: bool = False,
) -> Gathering[Any]: ...


def gather(*thunks: Any, concurrency: int | None = None, progress: bool = False) -> Gathering[Any]:
    """Generate many thunks at once and wait for all. Nothing is sent until the result is awaited.

    ``await`` returns the thunks as `Results`, in order. Thunks that fail or are cancelled raise nothing. If the waiting
    is cancelled, so are the generations without other consumers. Use ``gather(...).result()`` in code without await.

    Args:
        *thunks: thunks in any state, or one list of them.
        concurrency: the most thunks that run at the same time; None for all. To limit all calls of a backend, see
            ``max_concurrency`` of `mellite.backend`.
        progress: show a bar on a terminal or in a notebook, with tokens, cost, rate and time left; nothing in a pipe.

    Raises:
        InvalidRequest: if an argument is not a thunk, or `concurrency` is below 1.
        MissingExtra: when awaited, if a bar has to be drawn and rich is not installed.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Echo
        >>> echo = Echo()
        >>> results = asyncio.run(gather(echo.generate("one"), echo.generate("two")))
        >>> print(*[r.value for r in results if r.error is None and not r.cancelled])
        one two
        >>> gather([echo.generate(str(number)) for number in range(5)], concurrency=2).result().texts
        ['0', '1', '2', '3', '4']
    """
    check_concurrency("concurrency", concurrency)
    return Gathering(thunks_of("gather", thunks), concurrency=concurrency, progress=progress)


@final
class Gathering(Coroutine[Any, Any, Results[T]], Generic[T]):
    """Many thunks to wait for together; made by `gather`.

    It may be awaited any number of times, in any task and loop. ``asyncio.run``, ``create_task`` and the like accept it
    as a coroutine. Without a loop, call `result`. No warning is given if it is never awaited.
    """

    __slots__ = ("__weakref__", "_concurrency", "_progress", "_run", "_thunks")

    def __init__(self, thunks: Iterable[ModelOutputThunk[T]], *, concurrency: int | None, progress: bool) -> None:
        self._thunks = tuple(thunks)
        self._concurrency = concurrency
        self._progress = progress
        self._run: Coroutine[Any, Any, Results[T]] | None = None  # driven by `send`; `await` makes its own

    def __await__(self) -> Generator[Any, Any, Results[T]]:
        return _gathered(self._thunks, self._concurrency, progress=self._progress).__await__()

    def result(self, timeout: float | None = None) -> Results[T]:
        """Wait for all thunks and return them, for code without await. They run on mellite's background loop.

        Args:
            timeout: the longest to wait, in seconds. After that, generations without other consumers are cancelled.

        Raises:
            TimeoutError: if a thunk has not settled by then.
            InvalidRequest: if the timeout is not a number.
            SyncInsideLoop: inside a running event loop, unless all are settled.
        """
        loops.check_timeout(timeout)
        if not all(thunk.is_computed() for thunk in self._thunks):
            loops.forbid_inside_loop("mellite.gather(...).result()", "`await mellite.gather(...)`")
            self._block(timeout)
        return Results(self._thunks)

    def _block(self, timeout: float | None) -> None:
        ends = None if timeout is None else time.monotonic() + timeout
        batch = Batch(self._thunks, self._concurrency, loops.portal)
        from ..thunk.audience import linger_in_thread
        from .progress import progress_bar

        with progress_bar("generating", len(batch), wanted=self._progress) as bar:
            try:
                while True:
                    thunk = batch.block(None if ends is None else max(0.0, ends - time.monotonic()))
                    if thunk is None:
                        return
                    _count(bar, thunk)
            except TimeoutError:
                msg = f"{batch.waiting} of {len(batch)} thunks did not settle within {timeout} s"
                linger_in_thread(batch.leave())
                raise TimeoutError(msg) from None
            except BaseException:
                linger_in_thread(batch.leave())
                raise

    def __repr__(self) -> str:
        return f"<Gathering of {len(self._thunks)} thunks>"

    # The interface of a coroutine, for loops that want one. After its end it can be driven again.

    def _running(self) -> Any:
        if self._run is None:
            self._run = _gathered(self._thunks, self._concurrency, progress=self._progress)
        return self._run

    def send(self, value: Any, /) -> Any:
        """Run to the next wait; see `collections.abc.Coroutine`."""
        try:
            return self._running().send(value)
        except BaseException:
            self._run = None
            raise

    def throw(self, *error: Any) -> Any:
        """Raise an exception at the current wait; see `collections.abc.Coroutine`."""
        try:
            return self._running().throw(*error)
        except BaseException:
            self._run = None
            raise

    def close(self) -> None:
        """Stop at the current wait, if there is one; generations without other consumers are cancelled."""
        run, self._run = self._run, None
        if run is not None:
            run.close()

    def __del__(self) -> None:
        self.close()

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "gather"  # asyncio shows this for its task

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame of the coroutine. Debuggers, anyio and trio read this and the following attributes."""
        frame: FrameType | None = self._running().cr_frame
        return frame

    @property
    def cr_code(self) -> CodeType:
        """The code of the coroutine."""
        code: CodeType = self._running().cr_code
        return code

    @property
    def cr_running(self) -> bool:
        """Whether the coroutine is running right now."""
        return bool(self._run is not None and self._running().cr_running)

    @property
    def cr_suspended(self) -> bool:
        """Whether the coroutine has started and is waiting."""
        return bool(self._run is not None and self._running().cr_suspended)

    @property
    def cr_await(self) -> Any:
        """The awaitable that the coroutine waits for, if any."""
        return None if self._run is None else self._running().cr_await


async def _gathered(thunks: tuple[ModelOutputThunk[T], ...], concurrency: int | None, *, progress: bool) -> Results[T]:
    """Wait for all. Not a method: a coroutine that refers to the `Gathering` which keeps it would make a cycle."""
    if concurrency is None and not progress:
        await settle_all(*thunks)
        return Results(thunks)
    from .progress import progress_bar

    batch = Batch(thunks, concurrency)
    with progress_bar("generating", len(batch), wanted=progress) as bar:
        try:
            while (thunk := await batch.next()) is not None:
                _count(bar, thunk)
        except GeneratorExit:  # the coroutine is being closed, and must not await
            batch.leave()
            raise
        except BaseException:
            for pump in batch.leave():
                await pump.linger()
            for thunk in batch.settled():
                _count(bar, thunk)
            raise
    return Results(thunks)


def _count(bar: Bar | None, thunk: AnyThunk) -> None:
    if bar is not None:
        bar.count(thunk)


@overload
def as_completed(thunks: Iterable[ModelOutputThunk[T]], /, *, concurrency: int | None = None) -> Completed[T]: ...


@overload
def as_completed(*thunks: ModelOutputThunk[T], concurrency: int | None = None) -> Completed[T]: ...


@overload
def as_completed(*thunks: AnyThunk | Iterable[AnyThunk], concurrency: int | None = None) -> Completed[Any]: ...


def as_completed(*thunks: Any, concurrency: int | None = None) -> Completed[Any]:
    """Generate many thunks at once, and yield each as soon as it has settled.

    Read it with ``async for thunk in mellite.as_completed(thunks)``, or with a plain ``for`` outside an event loop.
    Nothing is sent before the first thunk is requested. Thunks that fail or are cancelled raise nothing: look at
    ``thunk.error`` and ``thunk.cancelled``, or await the thunk. Leaving the loop has the same effect as leaving a loop
    over a thunk: ``break`` pauses the running generations, a cancellation cancels them.

    Args:
        *thunks: thunks in any state, or one list of them; each is yielded once.
        concurrency: the most thunks that run at the same time; a settled one counts until it is taken.

    Raises:
        InvalidRequest: if an argument is not a thunk, or `concurrency` is below 1.
        SyncInsideLoop: from a plain ``for`` inside a running event loop.

    Example:
        >>> from mellite.backends import Echo
        >>> settled = as_completed([Echo().generate("one"), Echo().generate("two")], concurrency=1)
        >>> " and ".join(thunk.text for thunk in settled)
        'one and two'
    """
    check_concurrency("concurrency", concurrency)
    return Completed(thunks_of("as_completed", thunks), concurrency=concurrency)


@final
class Completed(AsyncIterator[ModelOutputThunk[T]], Iterator[ModelOutputThunk[T]]):
    """An iterator over thunks in the order in which they settle, for one task or thread; made by `as_completed`."""

    __slots__ = ("_batch", "_cancelled", "_concurrency", "_task", "_thunks")

    def __init__(self, thunks: Iterable[ModelOutputThunk[T]], *, concurrency: int | None) -> None:
        self._thunks = tuple(thunks)
        self._concurrency = concurrency
        self._batch: Batch[T] | None = None
        self._cancelled = False
        self._task: weakref.ref[Any] | None = None

    async def __anext__(self) -> ModelOutputThunk[T]:
        batch = self._batch
        if batch is None:
            batch = self._batch = Batch(self._thunks, self._concurrency)
        task = loops.current_asyncio_task()
        self._task = weakref.ref(task) if task is not None else None
        self._cancelled = True  # if dropped before the wait returns, it left by cancellation
        try:
            thunk = await batch.next()
        except BaseException:
            del self  # the traceback refers to this frame: a kept error must not keep the iterator
            raise
        self._cancelled = False
        if thunk is None:
            raise StopAsyncIteration
        return thunk

    def __next__(self) -> ModelOutputThunk[T]:
        loops.forbid_inside_loop("`for thunk in mellite.as_completed(...)`", "`async for`")
        if self._batch is None:
            self._batch = Batch(self._thunks, self._concurrency, loops.portal)
        self._cancelled = True
        thunk = self._batch.block(None)
        self._cancelled = False
        if thunk is None:
            raise StopIteration
        return thunk

    async def aclose(self) -> None:
        """Leave now, as if this iterator was dropped."""
        self.close()

    def close(self) -> None:
        """Leave now, as if this iterator was dropped."""
        batch, self._batch = self._batch, None
        self._thunks = ()
        if batch is not None:
            task = self._task() if self._task is not None else None
            cancelled = self._cancelled or loops.is_being_cancelled(None) or loops.is_being_cancelled(task)
            batch.drop(cancelled=cancelled)

    def __del__(self) -> None:
        self.close()


publish(globals(), "mellite", "Gathering", "Results", "as_completed", "gather")
