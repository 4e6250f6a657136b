"""mellite.stream: read a generation in checked chunks, stop it when one fails, and try again with a fresh copy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

import anyio

from ...backends.asking import generate
from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.chunking import Chunk, Chunking, chunker_for
from ...values.errors import InvalidRequest, StreamRejected
from ...values.request import Prompt, Request, System
from ...values.usage import Usage
from ..requirements import Requirement, ValidationResult, as_requirements, verdicts
from .attempt import Attempt, Outlet
from .events import (
    ChunkEvent,
    CompletedEvent,
    DoneEvent,
    ErrorEvent,
    Failure,
    FullValidationEvent,
    RetryEvent,
    StreamEvent,
)
from .repair import Repair, is_futile, repaired

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["StreamEvents", "ValidatedStream", "stream"]


def stream(
    source: AnyThunk | Prompt,
    *,
    requirements: Iterable[Requirement | Callable[..., Any]] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: Streams | str | None = None,
    system: System | None = None,
    tools: Sequence[Any] | None = None,
    output: Any = None,
    **options: Any,
) -> ValidatedStream:
    """Read an answer in chunks as it arrives, each checked; use it as ``async with mellite.stream(...) as s:``.

    Nothing is sent until the first chunk is asked for. A chunk is handed on when every requirement that checks chunks
    has judged the text up to its end, and none failed it; checks run while the next chunks arrive, async ones side by
    side. With the first failure the generation is cancelled, and its connection closed; if attempts remain, a fresh
    copy begins, and its first chunk has ``chunk.start == 0``. When the answer is complete, the requirements with a
    ``check`` judge the whole of it. When no attempts remain the loop simply ends, and ``s.success`` is False; a
    generation that broke off raises, after its last chunk.

    Args:
        source: a thunk, which is the first attempt itself: one that is done is judged without generating, and of one
            that failed or was cancelled a fresh copy is; or a prompt for `backend`, as `mellite.generate` takes it.
        requirements: a list of `Requirement`; a function of a thunk is one.
        chunking: how the text is cut, as `mellite.chunk` takes it; None for the deltas as they were sent.
        attempts: how many generations there may be, at least 1.
        repair: whether a further attempt is told why the ones before failed. A function
            ``repair(request, failures)``, sync or async, gives the prompt of the next attempt instead, of the request
            of the first one and the failures of all.
        backend: who answers, if the source is a prompt; a backend, or its name as in ``openai:gpt-4o-mini``.
        system: as for `mellite.generate`, as are `tools`, `output` and the options; for a thunk they override its own.

    Raises:
        InvalidRequest: for arguments that cannot work, before anything is sent.
        UnknownOption: for a misspelled option.

    Example:
        >>> import anyio
        >>> from mellite.backends import Constant
        >>> from mellite.requirements import length
        >>> async def main():
        ...     thunk = Constant("One. Two. Three.").generate("Count.")
        ...     async with stream(thunk, requirements=[length(max=12)], chunking="sentences") as s:
        ...         chunks = [chunk async for chunk in s]
        ...     return chunks, s.success, s.failures[0].reason
        >>> anyio.run(main)
        (['One. ', 'Two. '], False, 'it is longer than 12 characters')
    """
    given = {"system": system, "tools": tools, "output": output}
    changes = {**{name: value for name, value in given.items() if value is not None}, **options}
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        msg = f"attempts is a whole number of at least 1, not {attempts!r}"
        raise InvalidRequest(msg, parameter="attempts")
    if not isinstance(repair, bool) and not callable(repair):
        msg = f"repair is True, False, or a function of the request and the failures, not {repair!r}"
        raise InvalidRequest(msg, parameter="repair")
    chunker_for(chunking)
    checks = as_requirements(requirements)
    return ValidatedStream(
        _first(source, backend, changes), requirements=checks, chunking=chunking, attempts=attempts, repair=repair
    )


def _first(source: Any, backend: Streams | str | None, changes: dict[str, Any]) -> AnyThunk:
    """The first attempt."""
    if isinstance(source, ModelOutputThunk):
        if backend is not None:
            msg = "a thunk has a backend already; to ask another one about it, write stream([thunk], backend=...)"
            raise InvalidRequest(msg, parameter="backend")
        return _another(source, Request.of(source._call.request, **changes)) if changes else source
    if backend is None:
        msg = "a prompt needs to be asked of somebody: stream(prompt, backend=...), or stream(backend.generate(prompt))"
        raise InvalidRequest(msg, parameter="backend")
    return generate(backend, source, **changes)


@final
class ValidatedStream(AsyncIterator[Chunk]):
    """A stream with validation: an async context manager, and in it an iterator over chunks. Made by `mellite.stream`.

    Attributes:
        success: whether an answer met all requirements; False until it did.
        completed: whether it is all over.
        error: what the last attempt failed with, if it was no requirement.
        failures: what each attempt failed for, so far; each knows its attempt.
        thunks: one of each attempt, so far; the last is the one that succeeded, if one did.
        validations: the verdicts on the last whole answer, in the order of the requirements; None for a check that was
            not needed.
        judges: the thunks of the models that have given a verdict as a judge.
    """

    def __init__(
        self,
        thunk: AnyThunk,
        *,
        requirements: tuple[Requirement, ...],
        chunking: Chunking,
        attempts: int,
        repair: Repair,
    ) -> None:
        self.success = False
        self.completed = False
        self.error: Exception | None = None
        self.failures: list[Failure] = []
        self.thunks: list[AnyThunk] = []
        self.validations: list[ValidationResult | None] = []
        self.judges: list[AnyThunk] = []
        self._origin = thunk
        self._requirements = requirements
        self._chunking = chunking
        self._max_attempts = attempts
        self._repair = repair
        self._outlet = Outlet()
        self._group: TaskGroup | None = None
        self._scope: anyio.CancelScope | None = None
        self._state = "new"  # new, entered, running, left
        self._begun: list[Attempt] = []
        self._delivered: list[str] = []

    # What it knows

    @property
    def text(self) -> str:
        """The text of this attempt that no requirement has failed and that you have been given."""
        return "".join(self._delivered)

    @property
    def attempts(self) -> int:
        """How many generations there were so far."""
        return len(self.thunks)

    @property
    def usage(self) -> Usage | None:
        """The tokens of all attempts together, as far as they are known; None where nothing is.

        A generation that is stopped has often not been told its usage: then this is less than what is charged.
        """
        known = [thunk.generation.usage for thunk in self.thunks]
        return sum_of([usage for usage in known if usage is not None])

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all attempts together, in USD; None if that of one is unknown."""
        costs = [thunk.generation.cost_usd for thunk in self.thunks]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal()) if known and len(known) == len(costs) else None

    @property
    def tokens_saved(self) -> int | None:
        """An estimate of the tokens that stopping early has saved; None if there is nothing to estimate it from.

        Each attempt that was stopped is taken to have become as long as the longest that was not, or, where there is
        none, as ``max_tokens`` allows. Where the usage is unknown a token is taken for four characters.
        """
        stopped = [thunk for thunk in self.thunks if thunk.cancelled]
        whole = [_tokens(thunk) for thunk in self.thunks if thunk.value is not None]
        expected = max(whole) if whole else self._origin._call.request.options.max_tokens
        if not stopped:
            return 0
        return None if expected is None else sum(max(0, expected - _tokens(thunk)) for thunk in stopped)

    @property
    def errors(self) -> tuple[Exception, ...]:
        """What your own checks raised instead of giving a verdict, over all attempts so far."""
        found = [failure.error for failure in self.failures if failure.requirement is not None]
        return tuple([error for error in found if error is not None])

    def result(self) -> Any:
        """The parsed answer that met all requirements.

        Raises:
            StreamRejected: if there is none; what your own checks raised is in its ``errors``, and the first of them is
                its cause.
            MelliteError: what the generation failed with, if that was the reason.
        """
        if self.success:
            return self.thunks[-1].parsed_repr
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

    # Reading it

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
            for attempt in self._begun:
                attempt.abandon()
            if self.thunks and self.thunks[-1].state == "running":
                await self.thunks[-1].__aexit__(kind, error, traceback)  # waits until its connection is closed
        finally:
            group, self._group = self._group, None
            try:
                if group is not None:
                    await group.__aexit__(None, None, None)  # the error of the block is not the group's
            finally:
                for attempt in self._begun:
                    attempt.close()
                self._begun.clear()  # they know this stream: keep no cycle
                self._outlet.group = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while True:
            item = await self._next()
            if isinstance(item, Chunk):
                return item
            if isinstance(item, ChunkEvent):
                return item.chunk
            if isinstance(item, CompletedEvent):
                if item.error is None:
                    raise StopAsyncIteration
                try:
                    raise item.error.with_traceback(self._traceback)  # each time the same, so that it does not grow
                finally:
                    del self, item  # the error knows this frame: keep no cycle

    def events(self) -> StreamEvents:
        """Everything that happens, as typed events, instead of the chunks alone; the last is a `CompletedEvent`.

        It is another view of the same stream: what has been taken as a chunk does not come again. A generation that
        fails is an `ErrorEvent`, and raises nothing.
        """
        self._outlet.detailed = True
        return StreamEvents(self)

    async def _next(self) -> Chunk | StreamEvent:
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
            return item  # and stays: whoever asks again gets it again
        outlet.items.popleft()
        outlet.taken()
        if kind is Chunk:
            self._delivered.append(item)  # type: ignore[arg-type]  # so says `kind`
        elif isinstance(item, ChunkEvent):
            self._delivered.append(item.chunk)
        elif kind is RetryEvent:
            self._delivered.clear()
        return item

    # Generating it

    async def _run(self) -> None:
        with self._scope or anyio.CancelScope():
            await self._try_all()
            self.completed = True
            self._outlet.put(self._completed())

    @property
    def _traceback(self) -> TracebackType | None:
        outcome = self.thunks[-1]._settled() if self.thunks else None
        return outcome.traceback if outcome is not None and outcome.error is self.error else None

    def _completed(self) -> CompletedEvent:
        return CompletedEvent(
            self.success, failures=tuple(self.failures), error=self.error, attempts=max(1, self.attempts)
        )

    async def _try_all(self) -> None:
        thunk = self._origin
        if thunk.is_computed() and thunk.value is None:
            thunk = thunk.resample(1)[0]  # it failed or was cancelled before: there is nothing in it to judge
        for number in range(1, self._max_attempts + 1):
            last = number == self._max_attempts
            attempt = self._begin(thunk, number)
            await attempt.read(last=last)
            if attempt.error is None and not attempt.rejected:
                await self._validate(attempt)
            if attempt.error is None and not attempt.rejected:
                self.success = True
                return
            if attempt.error is not None:
                self._broke_off(attempt, attempt.error)
            self.failures += attempt.failures
            if attempt.error is not None and (last or is_futile(attempt.error)):
                self.error = attempt.error
                return
            if not last:
                try:
                    thunk = await self._next_thunk()
                except InvalidRequest as error:
                    self.error = error.with_traceback(None)
                    self._outlet.put(ErrorEvent(error, attempt=number))
                    return
                self._outlet.put(RetryEvent(tuple(attempt.failures), attempt=number + 1))

    def _begin(self, thunk: AnyThunk, number: int) -> Attempt:
        self.thunks.append(thunk)
        self.validations = []
        attempt = Attempt(
            thunk,
            number=number,
            requirements=self._requirements,
            chunking=self._chunking,
            outlet=self._outlet,
            judged=self._judged,
        )
        self._begun.append(attempt)
        return attempt

    def _judged(self, result: ValidationResult | None) -> None:
        if result is not None and result.thunk is not None:
            self.judges.append(result.thunk)

    def _broke_off(self, attempt: Attempt, error: Exception) -> None:
        self._outlet.put(ErrorEvent(error, attempt=attempt.number))
        result = ValidationResult(passed=False, reason=str(error), error=error)
        attempt.failures.append(Failure(None, result, attempt=attempt.number))

    async def _validate(self, attempt: Attempt) -> None:
        """Judge the whole answer; a requirement without a check has judged it chunk by chunk."""
        outlet = self._outlet
        if outlet.detailed:
            outlet.put(DoneEvent(attempt.thunk, attempt=attempt.number))
        whole = [(index, each) for index, each in enumerate(self._requirements) if each.check is not None]
        found = await verdicts(
            [each for _, each in whole],
            attempt.thunk,
            attempt.thunk._call.context,
            until_failure=not self._repair,
        )
        validations: list[ValidationResult | None] = [ValidationResult(passed=True) for _ in self._requirements]
        for (index, requirement), result in zip(whole, found, strict=True):
            validations[index] = result
            self._judged(result)
            if result is not None and not result.passed:
                attempt.failures.append(Failure(requirement, result, attempt=attempt.number))
        self.validations = validations
        if outlet.detailed and self._requirements:
            outlet.put(FullValidationEvent(tuple(validations), attempt=attempt.number))

    async def _next_thunk(self) -> AnyThunk:
        """A fresh copy, plain or with the reasons in its prompt."""
        origin = self._origin
        request = await repaired(self._repair, origin._call.request, self.failures)
        return _another(origin, request)


@final
class StreamEvents(AsyncIterator[StreamEvent]):
    """The events of a stream with validation; the last is a `CompletedEvent`. Made by ``s.events()``."""

    def __init__(self, stream: ValidatedStream) -> None:
        self._stream = stream
        self._over = False

    async def __anext__(self) -> StreamEvent:
        if self._over:
            raise StopAsyncIteration
        item = await self._stream._next()
        self._over = isinstance(item, CompletedEvent)
        return ChunkEvent(item, attempt=self._stream.attempts) if isinstance(item, Chunk) else item


def _another(thunk: AnyThunk, request: Request) -> AnyThunk:
    """Return a pending copy of `thunk` that asks something else."""
    return ModelOutputThunk(thunk._descend(request))


def sum_of(usages: Sequence[Usage]) -> Usage | None:
    """Several usages together; None of none."""
    total: Usage | None = None
    for usage in usages:
        total = usage if total is None else total + usage
    return total


def _shown(errors: tuple[Exception, ...]) -> str:
    """The first error of a check, for a repr."""
    return f" error={type(errors[0]).__name__}({str(errors[0])[:80]!r})" if errors else ""


def _tokens(thunk: AnyThunk) -> int:
    usage = thunk.generation.usage
    known = usage.output_tokens if usage is not None else None
    return known if known is not None else len(thunk.partial) // 4
