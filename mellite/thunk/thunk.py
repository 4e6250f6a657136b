"""The thunk: a model output that has not been generated yet, generated once for any number of consumers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeAlias, TypeVar, Unpack, cast

from attrs import define, evolve, field

from .. import loops
from ..loops import forking
from ..values.errors import InvalidRequest
from ..values.options import GenerateOptions
from ..values.public_names import publish
from ..values.request import Request, System
from ..values.tools import ToolLike
from ..values.whole_numbers import check_count
from .call import CallInfo, share_type
from .cancelling import Cancellation
from .growing import Growing

if TYPE_CHECKING:
    from typing import Self

    from ..values.chunking import Chunking
    from .iterators import Chunks, Events, SyncTexts, Texts
    from .outcome import Outcome
    from .pump import Pump

# What only a driven thunk needs is imported when one is driven: that halves the time that importing this takes.

__all__ = ["AnyThunk", "GenerationState", "ModelOutputThunk"]

T = TypeVar("T")

#: Held while a thunk gets its pump, is settled unstarted, or counts a copy, so that two threads do not do it twice.
#: See "Locks" in `mellite.thunk`.
_starting: Final = forking.rlock()


class GenerationState:
    """Everything in flight of one thunk; fresh on every copy.

    Only the thunk and its iterators know it. When the last of them is dropped, so is this, and cancels the generation.
    """

    __slots__ = ("__weakref__", "pump")

    def __init__(self) -> None:
        self.pump: Pump | None = None

    def __del__(self) -> None:
        pump = self.pump
        if pump is not None and pump.outcome is None:
            pump.request_cancel("the thunk was dropped while it was running", from_del=True)


@define(eq=False, repr=False)
class ModelOutputThunk(Growing[T], Generic[T]):
    """A model output that has not been generated yet.

    Made by ``backend.generate(...)``, which sends nothing. Awaiting it, iterating over it or calling `result`
    generates it: once, for any number of consumers, on asyncio and trio, from any thread.

    * ``await thunk`` gives the parsed value, and raises if the generation failed or was cancelled;
      ``await thunk.settle()`` gives the thunk itself and raises for neither.
    * ``async for delta in thunk`` gives the text as it arrives, from the first delta, to every consumer.
    * `asyncio.gather`, `wait_for`, `as_completed` and `shield` take thunks as they are. `asyncio.create_task`,
      `asyncio.run` and `asyncio.wait` want coroutines: ``create_task(thunk.settle())`` or ``(thunk.avalue())``.
    * ``thunk.cancel()`` stops it from anywhere; ``async with thunk:`` and ``with thunk:`` stop it at their end.
    * ``copy.copy(thunk)`` is a new thunk for the same call; ``thunk.resample(5)`` gives five.

    Code that works on thunks makes them from a `CallInfo`, and settled ones with ``outcome=...``.

    Example:
        >>> from mellite.backends import Echo
        >>> thunk = Echo().generate("Hello.")
        >>> thunk.state, thunk.result(), thunk.state
        ('pending', 'Hello.', 'done')
    """

    _call: CallInfo
    _gen: GenerationState = field(factory=GenerationState, init=False)
    _outcome: Outcome | None = field(default=None, kw_only=True, alias="outcome")
    _copies: int = field(default=0, kw_only=True, alias="copies")

    # Waiting

    def __await__(self) -> Generator[object, None, T]:
        outcome = self._settled()
        if outcome is None:
            outcome = yield from self._wait().__await__()
        if outcome.error is not None:
            outcome.raise_error()
        parsed: T = outcome.parsed
        return parsed

    async def avalue(self) -> str:
        """Wait as ``await thunk`` does, and return the text, whatever output type was asked for."""
        outcome = self._settled()
        if outcome is None:
            outcome = await self._wait()
        outcome.raise_error()
        return outcome.text

    async def settle(self) -> Self:
        """Wait until the thunk is done, failed or cancelled, and return the thunk itself; never raise for a failure."""
        if self._settled() is None:
            await self._wait()
        return self

    def result(self, timeout: float | None = None) -> T:
        """Wait as ``await thunk`` does, in code without await; generate on mellite's background loop.

        Args:
            timeout: how long to wait, in seconds; then the generation is cancelled unless others wait for it.

        Raises:
            TimeoutError: if the thunk has not settled by then.
            InvalidRequest: if the timeout is not a number.
            SyncInsideLoop: inside a running event loop, unless the thunk is settled.
        """
        loops.check_timeout(timeout)
        outcome = self._settled()
        if outcome is None:
            loops.forbid_inside_loop("thunk.result()", "`await thunk`")
            outcome = self._block(timeout)
        outcome.raise_error()
        return cast("T", outcome.parsed)

    async def _wait(self) -> Outcome:
        pump = self.begin()
        if pump is None:
            return cast("Outcome", self._settled())
        outcome = await pump.wait_settled(pump.enter())
        self._take_over(outcome)
        return outcome

    def _block(self, timeout: float | None) -> Outcome:
        pump = self.begin(loops.portal)
        if pump is None:
            return cast("Outcome", self._settled())
        consumer = pump.enter()
        try:
            if not pump.block(timeout):
                msg = f"the generation did not settle within {timeout} s"
                raise TimeoutError(msg)
        except BaseException:
            if pump.leave(consumer, cancelled=True):
                from .audience import linger_in_thread

                linger_in_thread([pump])
            raise
        if pump.interrupt is not None:
            pump.raise_interrupt()
        return cast("Outcome", self._settled())

    # Reading while text arrives

    def __aiter__(self) -> Texts:
        return self._texts()

    def _texts(self) -> Texts:
        from ..values.compact import CompactLog
        from .iterators import Texts

        return Texts(self._gen, self._opener(), CompactLog.texts, begun=self._gen.pump is not None)

    def events(self, *, ahead: int | None = None) -> Events:
        """Iterate over all events of the answer, from the first, as they arrive; a late iterator gets equal ones.

        Args:
            ahead: how many events the generation may run ahead of this iterator, at least 1; by default some hundreds.
                Keep it small if you may stop early: unread events are paid for.

        Raises:
            InvalidRequest: if `ahead` is not a whole number of at least 1.
        """
        if ahead is not None:
            check_count("ahead", ahead)
        from ..values.compact import CompactLog
        from .audience import AHEAD
        from .iterators import Events

        begun = self._gen.pump is not None
        return Events(
            self._gen, self._opener(), CompactLog.events, begun=begun, ahead=AHEAD if ahead is None else ahead
        )

    def astream(self, chunking: Chunking = None) -> Chunks:
        """Iterate over the text in chunks, each as soon as it is whole.

        Args:
            chunking: None for the deltas as they were sent, or how to cut: ``words``, ``sentences``, ``paragraphs``,
                ``lines``, ``code-fences``, ``json``, a number of characters, a regular expression, or your own; see
                `mellite.chunk`.

        Raises:
            InvalidRequest: if there is no such chunking, or it loses or adds text.
        """
        from ..values.chunking import chunker_for
        from .iterators import Chunks

        return Chunks(self._texts(), chunker_for(chunking))

    def iter(self) -> SyncTexts:
        """Iterate over the text deltas as they arrive, in code without await.

        Raises:
            SyncInsideLoop: inside a running event loop, unless the thunk is settled.
        """
        from ..values.compact import CompactLog
        from .iterators import SyncTexts

        if self._settled() is None:
            loops.forbid_inside_loop("thunk.iter()", "`async for delta in thunk`")
        return SyncTexts(self._gen, self._opener(loops.portal), CompactLog.texts, begun=self._gen.pump is not None)

    # Stopping

    def cancel(self, reason: str | None = None) -> Cancellation:
        """Ask the generation to stop, and return at once; from any thread or signal handler. A no-op when settled.

        The thunk settles as cancelled, with the text, usage, raw answer and log so far, and its connection is closed.

        Returns:
            An awaitable that waits until the thunk has settled; inside the thunk's own stream it does not wait.

        Example:
            >>> from mellite.backends import Echo
            >>> thunk = Echo().generate("Hello.")
            >>> thunk.cancel("not needed")
            <Cancellation settled>
            >>> thunk.state
            'cancelled'
        """
        return Cancellation(self._ask_to_stop("cancel() was called" if reason is None else reason))

    async def cancel_generation(self, reason: str | None = None) -> None:
        """Stop generating, and wait until that is done: ``await thunk.cancel(reason)`` as a coroutine."""
        await Cancellation(self._ask_to_stop("cancel_generation() was called" if reason is None else reason))

    def _ask_to_stop(self, why: str) -> Pump | None:
        """Ask for cancellation; return the generation, or None if it has settled."""
        pump = self._gen.pump
        if pump is None:
            if self._outcome is not None:
                return None
            outcome = self._unstarted(why)  # not under the lock: it asks the backend for its name
            with _starting:
                pump = self._gen.pump
                if pump is None:
                    if self._outcome is None:
                        self._outcome = outcome
                    return None
        if self._settled() is not None:
            return None
        pump.request_cancel(why)
        return pump

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pump = self._ask_to_stop("its `async with` block ended")
        if pump is not None:
            await pump.linger()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pump = self._ask_to_stop("its `with` block ended")
        if pump is not None:
            pump.linger_in_thread()

    if not TYPE_CHECKING:  # a thunk is not an Iterable, also to type checkers; this is what a plain `for` comes across

        def __getitem__(self, index: object) -> NoReturn:
            msg = (
                "a thunk is not a sequence: its text comes with `async for delta in thunk`, in code without await with "
                "`for delta in thunk.iter()`; once it is done, all of it is `thunk.text`"
            )
            raise InvalidRequest(msg)

    # Copies

    def __copy__(self) -> Self:
        outcome = self._settled()
        if outcome is None:
            return type(self)(self._descend(self._call.request))
        return type(self)(self._call, outcome=outcome, copies=self._copies)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        from .nesting import innermost_first

        try:
            for thunk in innermost_first(self, lambda thunk: id(thunk) in memo):
                memo[id(thunk)] = type(thunk)._copied_deeply(thunk, memo)  # noqa: SLF001 - of a kind of this class
        except RecursionError as error:
            msg = "what is in this thunk, or in its answer, is nested too deeply to be copied"
            raise InvalidRequest(msg) from error
        return cast("Self", memo[id(self)])

    def _copied_deeply(self, memo: dict[int, object]) -> Self:
        """Copy this thunk, once those in its prompt are in `memo`."""
        outcome = self._settled()
        # The backend is the world outside and never copied, also where the request refers to it.
        memo[id(self._call.backend)] = self._call.backend
        share_type(self._call.request, memo)
        request = copy.deepcopy(self._call.request, memo)
        if outcome is None:
            return type(self)(self._descend(request))
        call = evolve(self._call, request=request)
        return type(self)(call, outcome=copy.deepcopy(outcome, memo), copies=self._copies)

    def __reduce__(self) -> tuple[object, ...]:
        from .nesting import shortcut

        return _restored, (shortcut(self), type(self), self._call, self._settled(), self._copies)

    def resample(
        self,
        n: int,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> list[Self]:
        """Make n pending thunks for the same call, whatever the state of this one.

        Args:
            n: how many, at least 1.
            system: instructions in place of the call's own.
            tools: what the model may call, in place of the call's own.
            **options: override the call's own, as in ``backend.generate``.

        Raises:
            InvalidRequest: if n is not a whole number of at least 1, or an option is wrong.
            UnknownOption: for a misspelled option.
        """
        if type(n) is not int or n < 1:
            check_count("n", n)
        request = self._call.request
        if options or system is not None or tools is not None:
            request = Request.of(request, system=system, tools=tools, **options)
        if n == 1:
            return [type(self)(self._descend(request))]
        return [type(self)(self._descend(request)) for _ in range(n)]

    def _descend(self, request: Request) -> CallInfo:
        """Count a copy, and return its call. A kind of thunk whose backend keeps what is its own gives a new one."""
        with _starting:
            count = self._copies
            self._copies = count + 1
        return CallInfo(request, self._call.backend, lineage=(*self._call.lineage, count))

    # The generation behind the thunk

    def _settled(self) -> Outcome | None:
        outcome = self._outcome
        if outcome is None:
            pump = self._gen.pump
            if pump is not None:
                outcome = pump.settled
                if outcome is None:
                    if not pump.loop.is_closed():
                        return None
                    pump.check_loop()
                    outcome = pump.settled
                    if outcome is None:
                        return None
                self._take_over(outcome)
        return outcome

    def _take_over(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._gen.pump = None  # with all its events: the outcome has them in a compact form

    def _in_flight(self) -> Pump | None:
        return self._gen.pump

    def begin(self, loop: Callable[[], loops.Loop] | None = None) -> Pump | None:
        """Return the running generation, starting it if necessary; None if it is settled.

        For code that waits for many thunks, as `mellite.gather` does; other code awaits or iterates. No event arrives
        until a consumer enters the generation (`Pump.enter`), except for a few if its loop is in another thread.

        Args:
            loop: returns the loop to begin it in; by default the running one.
        """
        pump = self._gen.pump
        if pump is None and self._outcome is None:
            home = loops.current() if loop is None else loop()
            made: Pump | None = None
            with _starting:
                pump = self._gen.pump
                if pump is None and self._outcome is None:
                    pump = made = self._gen.pump = _pump_class()(self._call, home)
                    if self._outcome is not None:  # cancelled by a signal handler, in the middle of this
                        self._gen.pump = pump = made = None
            # Not under the lock: an eager task runs the stream here, which may start other thunks.
            if made is not None:
                if loop is None or home.is_here():
                    made.start()
                else:
                    made.expect_consumer()
                    home.call_soon(made.start)
        if pump is not None and pump.settled is not None:  # already: an eager task may end before this goes on
            self._take_over(pump.settled)
            if pump.interrupt is not None:
                pump.raise_interrupt()
            return None
        return pump

    def _opener(self, loop: Callable[[], loops.Loop] | None = None) -> Callable[[], Pump | Outcome]:
        """Return what an iterator begins with; dropped by it then, so that it does not keep the thunk alive."""

        def begin() -> Pump | Outcome:
            pump = self.begin(loop)
            return pump if pump is not None else cast("Outcome", self._settled())

        return begin

    def _unstarted(self, why: str) -> Outcome:
        from .outcome import Clock, conclude

        return conclude([], request=self._call.request, backend=self._call.backend, clock=Clock(), cancelled=why)


@cache
def _pump_class() -> type[Pump]:
    from .pump import Pump

    return Pump


#: A thunk whose output type does not matter to the code that handles it.
AnyThunk: TypeAlias = ModelOutputThunk[Any]


def _restored(
    _before: object,  # what had to be restored before its call
    cls: type[AnyThunk],
    call: CallInfo,
    outcome: Outcome | None,
    copies: int,
) -> AnyThunk:
    return cls(call, outcome=outcome, copies=copies)


publish(globals(), "mellite", "ModelOutputThunk", elsewhere={"_outcome": "thunk.outcome"})
