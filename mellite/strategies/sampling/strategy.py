"""What all sampling strategies share: budgets, concurrency, one strategy inside another, and the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import anyio
from attrs import evolve, field, frozen

from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import InvalidRequest, SamplingError
from ..requirements import Requirement, as_requirements
from .budget import Meter, check_count, check_priced, check_seconds, dollars
from .result import SamplingResult
from .run import Run, Watch, is_hopeless
from .sample import AnySample, Sample, StopReason, total_usage

__all__ = ["Strategy"]

T = TypeVar("T")


@frozen(kw_only=True)
class Strategy:
    """How to get one good answer out of copies of a thunk: the arguments that all strategies have.

    Use one of its subclasses. They compose: with ``inner``, every attempt is a run of another strategy, as in
    ``Fallback([backup], inner=BestOfN(3, score=...))`` or ``MajorityVote(5, inner=Hedge(after=2))``.

    Args:
        max_samples: how many attempts to make at most. An attempt is one copy, or one run of `inner`.
        concurrency: how many attempts run at the same time at most.
        max_tokens: stop when all samples and their judges together have used this many tokens.
        max_usd: stop when they have cost this much, in USD. A model without a known price is an error.
        deadline: stop after this many seconds, and take the best there is.
        check_all: whether an answer is checked by all requirements, also when one has failed. With False, async checks,
            such as a judge that has to be paid, are spared for an answer that another check refuses.
        inner: the strategy that makes each attempt; its budgets hold for each run of it, those here for all together.

    Raises:
        InvalidRequest: for an argument that makes no sense, such as a negative budget.
    """

    max_samples: int = 3
    concurrency: int = 1
    max_tokens: int | None = None
    max_usd: Decimal | None = field(default=None, converter=dollars)
    deadline: float | None = None
    check_all: bool = True
    inner: Strategy | None = None

    #: Whether there is nothing for it to do without a requirement, or an output type.
    _needs_requirements: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        self._check_arguments()

    async def sample(
        self,
        thunk: ModelOutputThunk[T],
        requirements: Sequence[Requirement | Callable[..., Any]] | None = (),
        *,
        watch: Watch | None = None,
        progress: bool = False,
    ) -> SamplingResult[T]:
        """Send copies of a thunk, check their answers, and choose one. The thunk itself is not generated.

        Args:
            thunk: what to sample, in any state.
            requirements: what an answer must meet: requirements, or functions of the thunk that give a bool.
            watch: told of every copy that is sent, and of what came of it.
            progress: show a bar on a terminal, with tokens, cost, rate and time left; it is a `watch` of its own.

        Raises:
            InvalidRequest: before anything is sent, for arguments that make no sense.
            SamplingError: if no copy gave an answer at all. Its ``errors`` are those of the samples, in their order,
                and ``__cause__`` is a group of them. Answers that fail their checks raise nothing: see
                `SamplingResult.success`. Also if a check or score of yours raised over every answer that it judged:
                ``__cause__`` is the first. And if a budget cannot be kept, because a price is not known.
        """
        required = self._checked(thunk, requirements)
        if not progress:
            return await self._sampled(thunk, required, watch)
        if watch is not None:
            msg = "sample() takes watch=... or progress=True, not both"
            raise InvalidRequest(msg, parameter="progress")
        from ..progress import progress_bar

        with progress_bar(type(self).__name__) as bar:
            return await self._sampled(thunk, required, bar)

    async def _sampled(
        self, thunk: ModelOutputThunk[T], required: Sequence[Requirement], watch: Watch | None
    ) -> SamplingResult[T]:
        run = Run(self._attempts(thunk), self._meter(), requirements=required, check_all=self.check_all, watch=watch)
        if watch is not None:
            watch.expects(run.limit)
        began = time.perf_counter()
        chosen = await self._run(run, thunk)
        return self._result(run, chosen, (time.perf_counter() - began) * 1000)

    # What subclasses may do differently

    def _check_arguments(self) -> None:
        """Raise `InvalidRequest` for arguments that make no sense."""
        check_count("max_samples", self.max_samples)
        check_count("concurrency", self.concurrency)
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens)
        if self.deadline is not None:
            check_seconds("deadline", self.deadline)
        if self.inner is not None and not isinstance(self.inner, Strategy):
            msg = f"'inner' must be a strategy, not {type(self.inner).__name__}"
            raise InvalidRequest(msg, parameter="inner")

    def check_required(self, thunk: AnyThunk, required: Sequence[Requirement]) -> None:
        """Raise `InvalidRequest` if this is nothing to work with."""
        if self._needs_requirements and not required and thunk.call.request.output is str:
            msg = f"{type(self).__name__} needs requirements, or an output type: nothing else can fail"
            raise InvalidRequest(msg, parameter="requirements")

    def _attempts(self, thunk: AnyThunk) -> int:
        """How many attempts there may be for this thunk."""
        return self.max_samples

    def asked_backends(self, thunk: AnyThunk) -> Sequence[Streams]:
        """The backends that may be asked."""
        return (thunk.call.backend,)

    def _repeats(self) -> bool:
        """Whether every attempt asks the same backend, so that an error like a wrong key makes others pointless."""
        return self.inner is None

    def _copy(self, run: Run, thunk: AnyThunk) -> AnyThunk:
        """The copy that the next attempt begins with."""
        return thunk.resample(1)[0]

    async def _attempt(self, run: Run, copy: AnyThunk) -> AnySample:
        """Make one attempt."""
        return await run.attempt(copy) if self.inner is None else await self.inner.sample_within(run, copy)

    def _decided(self, run: Run, sample: AnySample) -> StopReason | None:
        """Whether the outcome is decided, now that this attempt has ended."""
        return "accepted" if sample.passed else None

    def _end(self, run: Run) -> StopReason:
        """Why it stopped when all attempts were made and none of them decided it."""
        return "max_samples"

    async def _choose(self, run: Run) -> AnySample | None:
        """The winner among the outcomes; None if none is good enough."""
        return next((sample for sample in run.ordered() if sample.passed), None)

    async def _draw(self, run: Run, thunk: AnyThunk) -> None:
        """Make attempts until it is decided, or no more may be made."""
        width = min(self.concurrency, run.limit)
        if width == 1:
            await self._work(run, thunk)
            return
        outside = run.group
        async with anyio.create_task_group() as group:
            run.group = group
            for _ in range(width):
                group.start_soon(run.guarded, self._work, run, thunk)
        run.group = outside
        run.raise_failure()

    # The machinery

    def _meter(self) -> Meter:
        return Meter(self.max_tokens, self.max_usd)

    def _checked(
        self, thunk: AnyThunk, requirements: Sequence[Requirement | Callable[..., Any]] | None
    ) -> tuple[Requirement, ...]:
        """The requirements, when everything that can be wrong before anything is sent has been looked at."""
        if not isinstance(thunk, ModelOutputThunk):
            msg = f"{type(self).__name__}.sample takes a thunk, not {type(thunk).__name__}; backend.generate makes one"
            raise InvalidRequest(msg, parameter="thunk")
        required = as_requirements(requirements)
        strategy: Strategy | None = self
        priced, asked = False, dict[int, Streams]()
        while strategy is not None:
            strategy.check_required(thunk, required)
            priced = priced or strategy.max_usd is not None
            asked.update((id(backend), backend) for backend in strategy.asked_backends(thunk))
            strategy = strategy.inner
        if priced:
            check_priced(asked.values())
        return required

    async def sample_within(self, outer: Run, thunk: AnyThunk) -> AnySample:
        """Run as an attempt of another strategy."""
        required, check_all = outer.requirements, self.check_all
        run = Run(self._attempts(thunk), self._meter(), requirements=required, check_all=check_all, outer=outer)
        try:
            chosen = await self._run(run, thunk)
        finally:
            outer.forget(run)
        outcomes = run.ordered()
        return chosen or nearest(outcomes) or (outcomes[-1] if outcomes else Sample(thunk))

    async def _run(self, run: Run, thunk: AnyThunk) -> AnySample | None:
        if self.deadline is None:
            await self._draw(run, thunk)
        else:
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group:
                run.group = group
                group.start_soon(run.ring, self.deadline, scope)
                await run.guarded(self._draw, run, thunk)
                scope.cancel()
            run.group = None
            run.raise_failure()
        return await self._choose(run)

    async def _work(self, run: Run, thunk: AnyThunk) -> None:
        while run.may_start():
            copy = self._copy(run, thunk)
            run.begin(copy)
            await self._finish(run, copy)

    async def _finish(self, run: Run, copy: AnyThunk) -> None:
        """Make the attempt that begins with this copy, and stop if it decides the outcome."""
        sample = await self._attempt(run, copy)
        run.end(copy, sample)
        reason = self._decided(run, sample)
        if reason is not None:
            run.stop(reason)
        elif self._repeats() and run.may_start() and is_hopeless(sample.thunk.error):
            run.stop("hopeless")

    def _result(self, run: Run, chosen: AnySample | None, duration_ms: float) -> SamplingResult[Any]:
        samples = run.samples()
        reason = run.stopped or self._end(run)
        best = chosen or nearest(run.ordered()) or nearest(samples)
        if best is None:
            raise _nothing(type(self).__name__, samples, reason)
        judged = [sample for sample in samples if sample.checked or sample.misjudged]
        if judged and all(sample.misjudged for sample in judged):
            raise _misjudged(type(self).__name__, samples, judged)
        for sample in samples:
            log = sample.thunk.generate_log
            if log is not None:
                sample.thunk.generate_log = evolve(log, is_final_result=sample.thunk is best.thunk)
        return SamplingResult(
            winner=best.thunk,
            success=chosen is not None,
            samples=tuple(samples),
            stop_reason=reason,
            strategy=type(self).__name__,
            requirements=tuple([requirement.description for requirement in run.requirements]),
            duration_ms=duration_ms,
        )


def nearest(samples: list[AnySample]) -> AnySample | None:
    """The answer that meets the most requirements, the first of several; None if there is no answer at all.

    One over which a check raised comes behind all that were judged.
    """
    answers = [sample for sample in samples if sample.thunk.state == "done"]
    return max(answers, key=lambda sample: (not sample.misjudged, sum(map(bool, sample.validations))), default=None)


def _nothing(strategy: str, samples: list[AnySample], reason: StopReason) -> SamplingError:
    """The error for a run without any answer."""
    errors = tuple([sample.error for sample in samples if sample.error is not None])
    first = f"; the first error: {type(errors[0]).__name__}: {errors[0]}" if errors else ""
    count = f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"
    error = SamplingError(
        f"{strategy} stopped ({reason}) after {count}, none of which gave an answer{first}",
        usage=total_usage(samples),
        retryable=any(getattr(each, "retryable", False) for each in errors),
        errors=errors,
    )
    if errors:
        error.__cause__ = ExceptionGroup(f"the errors of {count}", errors)
    return error


def _misjudged(strategy: str, samples: list[AnySample], judged: list[AnySample]) -> SamplingError:
    """The error for a run in which your own check or score raised over every answer that it was given."""
    errors = tuple([error for sample in judged for error in sample.errors])
    first = errors[0]
    error = SamplingError(
        f"{strategy} could judge none of {len(judged)} answers; the first error of your own checks and scores: "
        f"{type(first).__name__}: {first}",
        partial=judged[0].thunk.partial,
        usage=total_usage(samples),
        errors=errors,
    )
    error.__cause__ = first
    return error
