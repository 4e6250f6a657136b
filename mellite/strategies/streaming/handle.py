"""A stream with validation: checked chunks for one reader, and what is known of all attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, final

import anyio

from ...thunk.lateness import Lateness
from ...thunk.performing import Performing
from ...thunk.thunk import AnyThunk
from ...values.chunking import Chunk
from ...values.errors import InvalidRequest, StreamRejected
from ...values.told_errors import error_text
from ...values.usage import Usage
from ..requirements import ValidationResult
from ..spending import spent_on
from .events import ChunkEvent, CompletedEvent, Failure, RetryEvent, StreamEvent
from .retries import Retries

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["StreamEvents", "ValidatedStream"]

T = TypeVar("T")


@final
class ValidatedStream(AsyncIterator[Chunk], Generic[T]):
    """A stream with validation, made by `mellite.stream`: an async context manager, and inside it an async iterator.

    The block, the iterator and `events` belong to one task. The properties may be read at any time, also after the
    block.

    Attributes:
        completed: whether the stream has ended.
    """

    def __init__(self, retries: Retries) -> None:
        self.completed = False
        self._retries = retries
        self._outlet = retries.outlet
        self._group: TaskGroup | None = None
        self._scope: anyio.CancelScope | None = None
        self._state = "new"  # new, entered, running, left
        self._delivered: list[str] = []

    # What is known

    @property
    def success(self) -> bool:
        """Whether an answer met all requirements."""
        return self._retries.success

    @property
    def error(self) -> Exception | None:
        """The error of the last attempt, unless a requirement failed it."""
        return self._retries.error

    @property
    def failures(self) -> list[Failure]:
        """The failures of all attempts so far; each knows its attempt."""
        return self._retries.failures

    @property
    def thunks(self) -> list[AnyThunk]:
        """The thunk of each attempt so far. The last one is the one that succeeded, if any did."""
        return self._retries.thunks

    @property
    def validations(self) -> list[ValidationResult | None]:
        """The verdicts on the last whole answer, by requirement; None for a check that was not needed."""
        return self._retries.validations

    @property
    def judges(self) -> list[AnyThunk]:
        """The thunks of the models that have given a verdict as a judge."""
        return self._retries.judges

    @property
    def text(self) -> str:
        """The text of the current attempt that passed and has been handed on."""
        return "".join(self._delivered)

    @property
    def attempts(self) -> int:
        """The number of generations so far."""
        return len(self.thunks)

    @property
    def usage(self) -> Usage | None:
        """The tokens of all attempts together, as far as providers reported them; None if none did.

        A lower bound if `unmetered` is above 0.
        """
        return spent_on(self.thunks, priced=False).usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all attempts together, in USD; None if the cost of one is unknown."""
        return spent_on(self.thunks).cost_usd

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The sum of the known costs, in USD: a lower bound if `cost_usd` is None."""
        return spent_on(self.thunks).known_cost_usd

    @property
    def unmetered(self) -> int:
        """The number of generations that ended before their provider reported usage; `usage` lacks them.

        This is common for stopped generations.
        """
        return spent_on(self.thunks, priced=False).unmetered

    @property
    def tokens_saved(self) -> int | None:
        """An estimate of the tokens that stopping early has saved; None if there is nothing to compare with.

        The estimate takes each stopped attempt to be as long as the longest complete one, or else as ``max_tokens``.
        Where the usage is unknown, four characters count as a token.
        """
        stopped = [thunk for thunk in self.thunks if thunk.cancelled]
        whole = [_tokens(thunk) for thunk in self.thunks if thunk.value is not None]
        expected = max(whole) if whole else self._retries.origin.call.request.options.max_tokens
        if not stopped:
            return 0
        return None if expected is None else sum(max(0, expected - _tokens(thunk)) for thunk in stopped)

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The exceptions that your own checks raised, over all attempts so far."""
        found = [failure.error for failure in self.failures if failure.requirement is not None]
        return tuple([error for error in found if error is not None])

    def result(self) -> T:
        """Return the parsed answer that met all requirements.

        Raises:
            StreamRejected: if none did. Its ``errors`` are what your own checks raised; the first is its cause.
            MelliteError: the error of the last generation, if that was the reason.
            InvalidRequest: if the stream has not ended.
        """
        if self.success:
            return cast("T", self.thunks[-1].parsed_repr)
        if self.error is not None:
            raise self.error
        if not self.completed:
            msg = "the stream is not over: read it to the end first, with `async for chunk in s`"
            raise InvalidRequest(msg)
        reasons = "; ".join([failure.reason for failure in self.failures if failure.attempt == self.attempts])
        msg = f"none of {self.attempts} attempts met the requirements; the last failed because {reasons}"
        errors = self.errors
        raise StreamRejected(
            msg, partial=self.text, usage=self.usage, failures=tuple(self.failures), errors=errors
        ) from (errors[0] if errors else None)

    def __repr__(self) -> str:
        state = "completed" if self.completed else self._state
        told = f"success={self.success} attempts={self.attempts} text={self.text[:40]!r}"
        return f"<ValidatedStream {state} {told}{_shown(self.errors)}>"

    # Reading

    async def __aenter__(self) -> Self:
        if self._state != "new":
            msg = "a stream is entered once; make another one with mellite.stream"
            raise InvalidRequest(msg)
        self._scope = anyio.CancelScope()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._outlet.group = self._group
        self._state = "entered"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state = "left"
        try:
            if self._scope is not None:
                self._scope.cancel()
            self._retries.abandon()
            if self.thunks and self.thunks[-1].state == "running":
                await self.thunks[-1].__aexit__(kind, error, traceback)  # waits until the connection is closed
        finally:
            group, self._group = self._group, None
            try:
                if group is not None:
                    await group.__aexit__(None, None, None)  # an error of the block is not passed to the group
            finally:
                self._retries.close()
                self._outlet.group = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        outlet = self._outlet
        items = outlet.items
        while True:
            if items and type(items[0]) is Chunk:  # common: as `_next` does, without its coroutine
                chunk: Chunk = items.popleft()  # type: ignore[assignment]  # a cast would be a call for each chunk
                if outlet.reader is not None:
                    outlet.taken()
                self._delivered.append(chunk)
                return chunk
            if not items and self._state == "running" and self._group is not None:
                await outlet.wait_for_item()
                continue
            item = await self._next()
            if isinstance(item, Chunk):
                return item
            if isinstance(item, ChunkEvent):
                return item.chunk
            if isinstance(item, CompletedEvent):
                if item.error is None:
                    raise StopAsyncIteration
                try:
                    raise item.error.with_traceback(self._traceback)  # the settled one: else it grows each time
                finally:
                    del self, item  # break the cycle: error, traceback, this frame, stream, error

    def events(self) -> StreamEvents:
        """Return an iterator over everything that happens, as typed events; the last is a `CompletedEvent`.

        Both iterators read the same stream: a chunk that one has taken is not repeated by the other. A failed
        generation is an `ErrorEvent`; nothing is raised.
        """
        self._outlet.detailed = True
        return StreamEvents(self, self._next)

    async def _next(self) -> Chunk | StreamEvent:
        """Wait for the next chunk or event and take it; the first call starts the generation."""
        outlet = self._outlet
        if not outlet.items:
            if self._state == "new":
                msg = "a stream is read inside its block: `async with mellite.stream(...) as s:`"
                raise InvalidRequest(msg)
            if self._state == "left" or self._group is None:
                return self._completed()
            if self._state == "entered":
                self._state = "running"
                self._group.start_soon(self._run)
            await outlet.wait_for_item()
        item = outlet.items[0]
        kind = type(item)
        if kind is CompletedEvent:
            return item  # left in place, for the next call
        outlet.items.popleft()
        outlet.taken()
        if kind is Chunk:
            self._delivered.append(item)  # type: ignore[arg-type]  # `kind` says that it is a Chunk
        elif isinstance(item, ChunkEvent):
            self._delivered.append(item.chunk)
        elif kind is RetryEvent:
            self._delivered.clear()
        return item

    # Generating

    async def _run(self) -> None:
        with self._scope or anyio.CancelScope():
            async with Performing("stream", self) as looked_at:
                self._outlet.looked_at = looked_at
                if looked_at is not None and looked_at.late is not None:
                    looked_at.late.when_late = self._catch_up_soon
                await self._retries.run()
                if looked_at is not None and looked_at.late is not None:
                    await self._catch_up(looked_at.late)
                self.completed = True
                self._outlet.put(self._completed())

    def _catch_up_soon(self) -> None:
        late = self._outlet.looked_at.late if self._outlet.looked_at is not None else None
        if self._group is not None and late is not None:
            self._group.start_soon(self._catch_up, late)

    async def _catch_up(self, late: Lateness) -> None:
        """Await what observers want awaited; if that fails, so does the stream."""
        try:
            await late.check()
        except Exception as error:
            self._retries.fail(error)
            if self.thunks:
                await self.thunks[-1].cancel_generation(error_text(error))

    @property
    def _traceback(self) -> TracebackType | None:
        outcome = self.thunks[-1].outcome if self.thunks else None
        return outcome.traceback if outcome is not None and outcome.error is self.error else None

    def _completed(self) -> CompletedEvent:
        return CompletedEvent(
            self.success, failures=tuple(self.failures), error=self.error, attempts=max(1, self.attempts)
        )


@final
class StreamEvents(AsyncIterator[StreamEvent]):
    """An iterator over the events of a stream with validation; the last is a `CompletedEvent`. Made by `events`."""

    def __init__(self, stream: ValidatedStream[Any], take: Callable[[], Awaitable[Chunk | StreamEvent]]) -> None:
        self._stream = stream
        self._take = take
        self._over = False

    async def __anext__(self) -> StreamEvent:
        if self._over:
            raise StopAsyncIteration
        item = await self._take()
        self._over = isinstance(item, CompletedEvent)
        return ChunkEvent(item, attempt=self._stream.attempts) if isinstance(item, Chunk) else item

    async def aclose(self) -> None:
        """Yield nothing more; the stream itself ends with its block."""
        self._over = True


def _shown(errors: tuple[Exception, ...]) -> str:
    """Return the first error of a check, for a repr."""
    return f" error={type(errors[0]).__name__}({str(errors[0])[:80]!r})" if errors else ""


def _tokens(thunk: AnyThunk) -> int:
    usage = thunk.generation.usage
    known = usage.output_tokens if usage is not None else None
    return known if known is not None else len(thunk.partial) // 4
