"""The thunk: a model output that has not been generated yet, generated once for however many wait for it."""

from __future__ import annotations

import copy
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from attrs import define, field

from . import loops
from .calls import CallInfo, name_of
from .errors import InvalidRequest
from .fold import CompactLog, fold
from .generation import EVERYTHING, Consumer, GenerationState, Pump
from .messages import Deferred, Message, Part, Text, ToolCall
from .outcome import Clock, Outcome, State, conclude, metadata_of, raw_of
from .records import GenerateLog, GenerationMetadata, RawProviderResponse
from .request import Request

if TYPE_CHECKING:
    from typing_extensions import Self

    from .chunking import Chunking
    from .iteration import Chunks, Events, Texts

__all__ = ["ModelOutputThunk", "gather"]

T = TypeVar("T")

#: Held for a moment when a thunk starts or is settled unstarted, so that two threads do not do it twice.
_starting: Final = threading.Lock()


@define(eq=False, repr=False)
class ModelOutputThunk(Deferred, Generic[T]):
    """A model output that has not been generated yet.

    Made by ``backend.generate(...)``, which sends nothing. Awaiting it, iterating over it or calling `result`
    generates it: once, for any number of consumers, on asyncio and trio, from any thread.

    * ``await thunk`` gives the parsed value, and raises if the generation failed or was cancelled;
      ``await thunk.settle()`` gives the thunk itself and raises for neither.
    * ``async for delta in thunk`` gives the text as it arrives, from the first delta, to every consumer.
    * ``copy.copy(thunk)`` is a new thunk for the same call; ``thunk.resample(5)`` gives five.

    Example:
        >>> from mellite.backends import Echo
        >>> thunk = Echo().generate("Hello.")
        >>> thunk.state, thunk.result(), thunk.state
        ('pending', 'Hello.', 'done')
    """

    _call: CallInfo
    _gen: GenerationState = field(factory=GenerationState, init=False)
    _outcome: Outcome | None = field(default=None, init=False)
    _copies: int = field(default=0, init=False)

    # What it gave

    @property
    def state(self) -> State:
        """``pending``, ``running``, ``done``, ``failed`` or ``cancelled``."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.state
        return "pending" if self._gen.pump is None else "running"

    def is_computed(self) -> bool:
        """Whether it is settled: done, failed or cancelled."""
        return self._settled() is not None

    @property
    def value(self) -> str | None:
        """The text; None until it is done."""
        outcome = self._settled()
        return outcome.text if outcome is not None and outcome.state == "done" else None

    @property
    def partial(self) -> str:
        """The text so far, in every state; joined on each access."""
        outcome = self._settled()
        return outcome.text if outcome is not None else fold(self._events()).text

    @property
    def parsed_repr(self) -> T | None:
        """The parsed value; None until it is done. The same as `value` where no output type was asked for."""
        outcome = self._settled()
        return cast("T", outcome.parsed) if outcome is not None and outcome.state == "done" else None

    @property
    def thinking(self) -> str | None:
        """The model's thinking so far, as far as the provider shows it; None if there is none."""
        outcome = self._settled()
        return outcome.thinking if outcome is not None else fold(self._events()).thinking

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model asks for."""
        outcome = self._settled()
        return outcome.tool_calls if outcome is not None else fold(self._events()).tool_calls

    @property
    def message(self) -> Message:
        """The assistant's message, to put in a history; what there is of it until the thunk is done."""
        outcome = self._settled()
        parts: tuple[Part, ...] | None
        if outcome is None:
            parts = fold(self._events()).parts
        elif outcome.parts is None:
            parts = (Text(outcome.text),) if outcome.text else ()
        else:
            parts = outcome.parts
        return Message("assistant", parts)

    @property
    def generation(self) -> GenerationMetadata:
        """Ids, model, usage, times and how it finished, as far as they are known."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.generation
        pump = self._gen.pump
        if pump is None:
            return GenerationMetadata(model=self._call.request.model)
        return metadata_of(fold(list(pump.events)), self._call.request, pump.generation_id, pump.clock)

    @property
    def raw(self) -> RawProviderResponse:
        """The provider's own answer; ``isinstance`` and ``match`` narrow it to its protocol's class."""
        outcome = self._settled()
        return outcome.raw if outcome is not None else raw_of(fold(self._events()), None)

    @property
    def error(self) -> Exception | None:
        """What made the generation fail; None otherwise, also if it was cancelled."""
        outcome = self._settled()
        return outcome.error if outcome is not None and outcome.state == "failed" else None

    @property
    def cancelled(self) -> bool:
        """Whether the generation was cancelled, by a consumer or by `cancel_generation`."""
        outcome = self._settled()
        return outcome is not None and outcome.state == "cancelled"

    @property
    def generate_log(self) -> GenerateLog | None:
        """The log entry of this generation; None until it is settled. A strategy may put a new one in its place."""
        outcome = self._settled()
        return outcome.generate_log(name_of(self._call.backend)) if outcome is not None else None

    @generate_log.setter
    def generate_log(self, log: GenerateLog) -> None:
        outcome = self._settled()
        if outcome is None:
            msg = "a thunk has a log once it is settled; await it first"
            raise InvalidRequest(msg)
        outcome.log = log

    def __repr__(self) -> str:
        state = self.state
        text = self.partial if state != "pending" else self._call.request.text
        shown = text if len(text) <= 40 else text[:37] + "..."
        what = "prompt" if state == "pending" else "text"
        return f"<ModelOutputThunk {state} {what}={shown!r}>"

    # Waiting for it

    def __await__(self) -> Generator[Any, Any, T]:
        outcome = self._settled()
        if outcome is None:
            outcome = yield from self._wait().__await__()
        if outcome.error is not None:
            outcome.raise_error()
        return cast("T", outcome.parsed)

    async def avalue(self) -> str:
        """As ``await thunk``, but always the text, whatever output type was asked for."""
        outcome = self._settled()
        if outcome is None:
            outcome = await self._wait()
        outcome.raise_error()
        return outcome.text

    async def settle(self) -> Self:
        """Wait until it is done, failed or cancelled, and give the thunk itself; raises for none of them."""
        if self._settled() is None:
            await self._wait()
        return self

    def result(self, timeout: float | None = None) -> T:
        """As ``await thunk``, for code without await; generates on mellite's background loop.

        Args:
            timeout: how long to wait, in seconds; leaving cancels the generation if nobody else waits for it.

        Raises:
            TimeoutError: if it is not settled by then.
            SyncInsideLoop: inside a running event loop, unless the thunk is settled.
        """
        outcome = self._settled()
        if outcome is None:
            loops.forbid_inside_loop("thunk.result()", "`await thunk`")
            outcome = self._block(timeout)
        outcome.raise_error()
        return cast("T", outcome.parsed)

    async def _wait(self) -> Outcome:
        pump = self._start()
        if isinstance(pump, Outcome):
            return pump
        consumer = Consumer(EVERYTHING)
        pump.join(consumer)
        await pump.wait_settled(consumer)
        return cast("Outcome", self._settled())

    def _block(self, timeout: float | None) -> Outcome:
        pump = self._start(loops.portal)
        if isinstance(pump, Outcome):
            return pump
        consumer = Consumer(EVERYTHING)
        pump.join(consumer)
        waiter = loops.thread_waiter()
        pump.done.append(waiter)
        try:
            if pump.outcome is None and not waiter.block(timeout):
                msg = f"the generation did not settle within {timeout} s"
                raise TimeoutError(msg)
        except BaseException:
            pump.leave(consumer, cancelled=True)
            raise
        return cast("Outcome", self._settled())

    # Reading it as it comes

    def __aiter__(self) -> AsyncIterator[str]:
        return self._texts()

    def _texts(self) -> Texts:
        from .iteration import Texts

        return Texts(self._gen, self._opener(), CompactLog.texts)

    def events(self) -> Events:
        """All events of the answer, from the first, as they arrive; a late iterator gets equal ones."""
        from .iteration import Events

        return Events(self._gen, self._opener(), CompactLog.events)

    def astream(self, chunking: Chunking = None) -> Chunks:
        """The text in chunks, as they become whole.

        Args:
            chunking: None for the deltas as they were sent, or a function that cuts a text into consecutive pieces.

        Raises:
            InvalidRequest: if it is neither, or its pieces do not add up to the text.
        """
        from .chunking import chunker_for
        from .iteration import Chunks

        return Chunks(self._texts(), chunker_for(chunking))

    def iter(self) -> Iterator[str]:
        """The text deltas as they arrive, for code without await.

        Raises:
            SyncInsideLoop: inside a running event loop, unless the thunk is settled.
        """
        from .iteration import SyncTexts

        if self._settled() is None:
            loops.forbid_inside_loop("thunk.iter()", "`async for delta in thunk`")
        return SyncTexts(self._gen, self._opener(loops.portal), CompactLog.texts)

    # Stopping it

    async def cancel_generation(self, reason: str | None = None) -> None:
        """Stop generating, from any task and at any time; a no-op when settled.

        It settles as cancelled, with the text, usage, raw answer and log so far, and its connection is closed.
        From inside its own stream this asks and does not wait.
        """
        why = reason if reason is not None else "cancel_generation() was called"
        pump = self._gen.pump
        if pump is None:
            with _starting:
                pump = self._gen.pump
                if pump is None:
                    if self._outcome is None:
                        self._outcome = self._unstarted(why)
                    return
        if self._settled() is not None:
            return
        pump.request_cancel(why)
        if not pump.is_inside():
            await pump.wait_settled()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._settled() is not None:
            return
        why = "its `async with` block ended"
        pump = self._gen.pump
        if pump is None:
            await self.cancel_generation(why)
            return
        pump.request_cancel(why)
        await pump.linger()

    # Copies

    def __copy__(self) -> ModelOutputThunk[T]:
        outcome = self._settled()
        twin = ModelOutputThunk[T](self._call if outcome is not None else self._descend(self._call.request))
        twin._outcome = outcome
        twin._copies = self._copies if outcome is not None else 0
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelOutputThunk[T]:
        outcome = self._settled()
        # The backend is the world outside, also where the request refers to it: shared, never copied.
        memo[id(self._call.backend)] = self._call.backend
        request = copy.deepcopy(self._call.request, memo)
        if outcome is None:
            twin = ModelOutputThunk[T](self._descend(request))
        else:
            twin = ModelOutputThunk[T](CallInfo(request, self._call.backend, self._call.lineage))
            twin._outcome = copy.deepcopy(outcome, memo)
            twin._copies = self._copies
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._call, self._settled(), self._copies)

    def resample(self, n: int, **options: Any) -> list[ModelOutputThunk[T]]:
        """n pending thunks for the same call, whatever the state of this one.

        Args:
            n: how many, at least 1.
            **options: override the call's own, as in ``backend.generate``.

        Raises:
            InvalidRequest: if n is not a whole number of at least 1, or an option is wrong.
            UnknownOption: for a misspelled option.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            msg = f"resample takes a whole number of at least 1, not {n!r}"
            raise InvalidRequest(msg, parameter="n")
        request = Request.of(self._call.request, **options) if options else self._call.request
        return [ModelOutputThunk[T](self._descend(request)) for _ in range(n)]

    def _descend(self, request: Request) -> CallInfo:
        """The call of the next copy."""
        with _starting:
            count = self._copies
            self._copies = count + 1
        return CallInfo(request, self._call.backend, (*self._call.lineage, count))

    # As a part of a prompt

    def deferred_text(self) -> str:
        """The text; raises what went wrong, if anything did. Only once it is settled."""
        outcome = self._settled()
        if outcome is None:
            msg = "this thunk is not settled yet; await it first"
            raise InvalidRequest(msg)
        outcome.raise_error()
        return outcome.text

    # The generation behind it

    def _settled(self) -> Outcome | None:
        outcome = self._outcome
        if outcome is None:
            pump = self._gen.pump
            if pump is not None:
                outcome = pump.outcome
                if outcome is None:
                    if not pump.loop.is_closed():
                        return None
                    pump.check_loop()
                    outcome = pump.outcome
                self._outcome = outcome
        return outcome

    def _events(self) -> list[Any]:
        pump = self._gen.pump
        return list(pump.events) if pump is not None else []

    def _start(self, loop: Any = loops.current) -> Pump | Outcome:
        """The generation, begun in the loop that `loop` gives unless it is running or settled already."""
        pump = self._gen.pump
        if pump is None and self._outcome is None:
            home = loop()
            with _starting:
                pump = self._gen.pump
                if pump is None and self._outcome is None:
                    pump = self._gen.pump = Pump(self._call, home, gather)
                    home.call_soon(pump.start) if not home.is_here() else pump.start()
        settled = self._settled()
        return settled if settled is not None else cast("Pump", pump)

    def _opener(self, loop: Any = loops.current) -> Any:
        # An iterator keeps what it needs to start, not the thunk, so that dropping the thunk is noticed.
        if self._outcome is None and self._gen.pump is None:
            return lambda: self._start(loop)
        return lambda found=self._start(loop): found

    def _unstarted(self, why: str) -> Outcome:
        return conclude(
            [], request=self._call.request, backend=name_of(self._call.backend), clock=Clock(), cancelled=why
        )


def _restored(
    cls: type[ModelOutputThunk[Any]], call: CallInfo, outcome: Outcome | None, copies: int
) -> ModelOutputThunk[Any]:
    thunk = cls(call)
    thunk._outcome = outcome
    thunk._copies = copies
    return thunk


async def gather(*thunks: ModelOutputThunk[Any]) -> list[ModelOutputThunk[Any]]:
    """Generate many at once and wait for all; gives the thunks, in order, and raises for none that failed.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Echo
        >>> echo = Echo()
        >>> results = asyncio.run(gather(echo.generate("one"), echo.generate("two")))
        >>> [r.value for r in results if r.error is None and not r.cancelled]
        ['one', 'two']
    """
    for thunk in thunks:
        if not isinstance(thunk, ModelOutputThunk):
            msg = f"gather takes thunks, not {type(thunk).__name__}"
            raise InvalidRequest(msg)
    waiting: list[tuple[Pump, Consumer]] = []
    try:
        for thunk in thunks:
            pump = thunk._start()
            if isinstance(pump, Pump):
                consumer = Consumer(EVERYTHING)
                pump.join(consumer)
                waiting.append((pump, consumer))
        for pump, _ in waiting:
            if pump.outcome is None:
                await pump.wait_settled()
    except BaseException:
        ended = [pump for pump, consumer in waiting if pump.leave(consumer, cancelled=True)]
        for pump in ended:
            await pump.linger()
        raise
    for pump, consumer in waiting:
        pump.consumers.pop(consumer, None)
    return list(thunks)
