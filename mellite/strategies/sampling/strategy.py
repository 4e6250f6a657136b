"""The base of all sampling strategies: budgets, concurrency, nesting, and the result."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, TypeVar

import anyio
from attrs import field, frozen

from ...thunk.call import Streams
from ...thunk.performing import Performing
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import InvalidRequest, SamplingError
from ...values.told_errors import error_line
from ...values.whole_numbers import check_count
from ..requirements import Requirement, as_requirements
from ..requirements.requirement import Check
from ..spending import spent_on
from .budget import Meter, check_priced, check_seconds, dollars
from .in_flight import InFlight
from .result import SamplingResult
from .round import Judged, Round, Watch, is_hopeless
from .sample import AnySample, Sample, StopReason, paid

__all__ = ["Strategy"]

T = TypeVar("T")


@frozen(kw_only=True)
class Strategy:
    """A way to get one good answer out of copies of a thunk: the arguments that all strategies share.

    Use one of the subclasses. Strategies nest: with ``inner``, each attempt is a round of another strategy, as in
    ``Fallback([backup], inner=BestOfN(3, score=...))`` or ``MajorityVote(5, inner=Hedge(after=2))``.

    Args:
        max_samples: the most attempts to make. An attempt is one copy, or one round of `inner`.
        concurrency: the most attempts that run at the same time.
        max_tokens: stop when all samples and their judges together have used this many tokens.
        max_usd: stop when they have cost this much, in USD. A model without a known price is an error.
        deadline: stop after this many seconds, and take the best answer so far.
        check_all: check an answer by all requirements, also when one has failed. With False, an answer that fails one
            check is spared the async ones, such as a judge that has to be paid.
        inner: the strategy that makes each attempt. Its budgets apply to each of its rounds, those here to all.

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

    #: Whether the strategy is useless without a requirement or an output type.
    _needs_requirements: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        self._check_arguments()

    async def sample(
        self,
        thunk: ModelOutputThunk[T],
        requirements: Sequence[Requirement | Check] | None = (),
        *,
        watch: Watch | None = None,
        progress: bool = False,
    ) -> SamplingResult[T]:
        """Send copies of a thunk, check their answers, and choose one. The thunk itself is not generated.

        Args:
            thunk: the thunk to copy, in any state.
            requirements: what an answer must meet: requirements, or functions of the thunk that return a bool.
            watch: notified of every copy that is sent, and of its outcome.
            progress: show a bar on a terminal, with tokens, cost, rate and time left. It takes the place of `watch`.

        Raises:
            InvalidRequest: for arguments that make no sense, before anything is sent.
            SamplingError: if no copy gave an answer: ``errors`` are those of the samples, in order, and ``__cause__``
                is a group of them. If your own checks or scores raised on every answer: ``__cause__`` is the first
                exception. If a budget cannot be kept, because a price is unknown. Answers that merely fail their
                checks raise nothing: see `SamplingResult.success`.
        """
        required = self.checked(thunk, requirements)
        if not progress:
            return await self._sampled(self._round(thunk, required, watch), thunk)
        if watch is not None:
            msg = "sample() takes watch=... or progress=True, not both"
            raise InvalidRequest(msg, parameter="progress")
        from ..progress import progress_bar

        with progress_bar(type(self).__name__) as bar:
            return await self._sampled(self._round(thunk, required, bar), thunk)

    async def result_of(
        self,
        thunk: ModelOutputThunk[T],
        requirements: Sequence[Requirement | Check] | None = (),
        *,
        watch: Watch | None = None,
    ) -> SamplingResult[T]:
        """Sample as `sample` does, but where that raises return a result with the `error` and all samples.

        Args:
            thunk: the thunk to copy, in any state.
            requirements: what an answer must meet.
            watch: notified of every copy that is sent, and of its outcome.

        Raises:
            InvalidRequest: for arguments that make no sense, before anything is sent.
        """
        round = self._round(thunk, self.checked(thunk, requirements), watch)
        began = time.perf_counter()
        try:
            return await self._sampled(round, thunk)
        except Exception as error:
            samples = round.samples()
            best = nearest(samples) or (samples[-1] if samples else None)
            return SamplingResult(
                winner=thunk if best is None else best.thunk,
                success=False,
                samples=tuple(samples),
                stop_reason="failed",
                strategy=type(self).__name__,
                requirements=tuple([requirement.description for requirement in round.requirements]),
                duration_ms=(time.perf_counter() - began) * 1000,
                source=thunk,
                error=error,
            )

    def _round(self, thunk: AnyThunk, required: Sequence[Requirement], watch: Watch | None) -> Round:
        return Round(self._attempts(thunk), self._meter(), requirements=required, check_all=self.check_all, watch=watch)

    async def _sampled(self, round: Round, thunk: ModelOutputThunk[T]) -> SamplingResult[T]:
        watch = round.watch
        if watch is not None:
            watch.expects(round.limit)
        began = time.perf_counter()
        async with Performing("sampling", self) as looked_at:
            chosen = await self._run(round, thunk)
            result = self._result(round, chosen, thunk, (time.perf_counter() - began) * 1000)
            if looked_at is not None:
                looked_at.result = result
        return result

    # Methods that subclasses override

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
        """Raise InvalidRequest unless there is something that can fail."""
        if self._needs_requirements and not required and thunk.call.request.output is str:
            msg = f"{type(self).__name__} needs requirements, or an output type: nothing else can fail"
            raise InvalidRequest(msg, parameter="requirements")

    def _attempts(self, thunk: AnyThunk) -> int:
        """Return how many attempts there may be for this thunk."""
        return self.max_samples

    def asked_backends(self, thunk: AnyThunk) -> Sequence[Streams]:
        """Return the backends that may be asked."""
        return (thunk.call.asked,)

    def _repeats(self) -> bool:
        """Tell whether all attempts ask the same backend, so that after a wrong key further ones are pointless."""
        return self.inner is None

    def _copy(self, round: Round, thunk: AnyThunk) -> AnyThunk:
        """Make the copy that the next attempt begins with."""
        return thunk.resample(1)[0]

    def _is_one_call(self) -> bool:
        """Tell whether an attempt is the generation of one copy and what `_weighed` does, so that it needs no task."""
        return self.inner is None

    async def _attempt(self, round: Round, copy: AnyThunk) -> AnySample:
        """Make one attempt."""
        if self.inner is not None:
            found = self._weighed(round, await self.inner.sample_within(round, copy))
        else:
            round.sends(copy)
            try:
                await copy.settle()
            finally:
                del round.generating[copy]
            found = self._answered(round, copy)
        return found if isinstance(found, Sample) else await found

    def _weighed(self, round: Round, sample: AnySample) -> Judged:
        """Do what the strategy does with a sample that has been checked, such as giving it a score."""
        return sample

    def _decided(self, round: Round, sample: AnySample) -> StopReason | None:
        """Return the reason to stop if the outcome is decided, now that an attempt has ended; else None."""
        return "accepted" if sample.passed else None

    def _end(self, round: Round) -> StopReason:
        """Return the reason for the end when all attempts were made, and none decided the outcome."""
        return "max_samples"

    async def _choose(self, round: Round) -> AnySample | None:
        """Choose the winner among the outcomes; None if none is good enough."""
        return next((sample for sample in round.ordered() if sample.passed), None)

    async def _draw(self, round: Round, thunk: AnyThunk) -> None:
        """Make attempts until the outcome is decided, or no more may be made."""
        width = min(self.concurrency, round.limit)
        if width == 1:
            await self._work(round, thunk)
            return
        outside = round.group
        async with anyio.create_task_group() as group:
            round.group = group
            if self._is_one_call():
                await InFlight(round, width, partial(self._copy, round, thunk), partial(self._handled, round)).drain()
            else:
                for _ in range(width):
                    group.start_soon(round.guarded, self._work, round, thunk)
        round.group = outside
        round.raise_failure()

    # The machinery

    def _meter(self) -> Meter:
        return Meter(self.max_tokens, self.max_usd)

    def checked(self, thunk: AnyThunk, requirements: Sequence[Requirement | Check] | None) -> tuple[Requirement, ...]:
        """Check everything that can be checked before anything is sent, and return the requirements.

        Raises:
            InvalidRequest: for arguments that make no sense.
            SamplingError: if a budget in USD could not be kept.
        """
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

    async def sample_within(self, outer: Round, thunk: AnyThunk) -> AnySample:
        """Run this strategy as one attempt of another one; called by that strategy, with its round."""
        required, check_all = outer.requirements, self.check_all
        round = Round(self._attempts(thunk), self._meter(), requirements=required, check_all=check_all, outer=outer)
        try:
            chosen = await self._run(round, thunk)
        finally:
            outer.forget(round)
        outcomes = round.ordered()
        return chosen or nearest(outcomes) or (outcomes[-1] if outcomes else Sample(thunk))

    async def _run(self, round: Round, thunk: AnyThunk) -> AnySample | None:
        if self.deadline is None:
            await self._draw(round, thunk)
        else:
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group:
                round.group = group
                group.start_soon(round.ring, self.deadline, scope)
                await round.guarded(self._draw, round, thunk)
                scope.cancel()
            round.group = None
            round.raise_failure()
        return await self._choose(round)

    async def _work(self, round: Round, thunk: AnyThunk) -> None:
        is_one_call = self._is_one_call()
        while round.may_start():
            copy = self._copy(round, thunk)
            round.begin(copy)
            if not is_one_call:
                await self._finish(round, copy)
                continue
            # As `_finish` does, with fewer coroutines, each of which is gone through at every wake-up.
            round.sends(copy)
            try:
                await copy.settle()
            finally:
                del round.generating[copy]
            rest = self._handled(round, copy)
            if rest is not None:
                await rest

    async def _finish(self, round: Round, copy: AnyThunk) -> None:
        """Make the attempt that begins with this copy, and stop if it decides the outcome."""
        self._conclude(round, copy, await self._attempt(round, copy))

    def _handled(self, round: Round, copy: AnyThunk) -> Awaitable[None] | None:
        """Finish the attempt whose copy has settled; return an awaitable if that takes waiting."""
        found = self._answered(round, copy)
        if not isinstance(found, Sample):
            return self._handle_later(round, copy, found)
        self._conclude(round, copy, found)
        return None

    async def _handle_later(self, round: Round, copy: AnyThunk, found: Awaitable[AnySample]) -> None:
        self._conclude(round, copy, await found)

    def _answered(self, round: Round, copy: AnyThunk) -> Judged:
        """Check the answer of a copy that has settled, and weigh it."""
        sample = round.answered(copy)
        return self._weighed(round, sample) if isinstance(sample, Sample) else self._weigh_later(round, sample)

    async def _weigh_later(self, round: Round, checked: Awaitable[AnySample]) -> AnySample:
        found = self._weighed(round, await checked)
        return found if isinstance(found, Sample) else await found

    def _conclude(self, round: Round, copy: AnyThunk, sample: AnySample) -> None:
        """Note how an attempt ended, and stop if that decides the outcome."""
        round.end(copy, sample)
        reason = self._decided(round, sample)
        if reason is not None:
            round.stop(reason)
        elif sample.error is not None and self._repeats() and round.may_start() and is_hopeless(sample.thunk.error):
            round.stop("hopeless")

    def _result(
        self, round: Round, chosen: AnySample | None, source: AnyThunk, duration_ms: float
    ) -> SamplingResult[Any]:
        samples = round.samples()
        reason = round.stopped or self._end(round)
        best = chosen or nearest(round.ordered()) or nearest(samples)
        if best is None:
            raise _nothing(type(self).__name__, samples, reason)
        judged = [sample for sample in samples if sample.checked or sample.misjudged]
        if judged and all(sample.misjudged for sample in judged):
            raise _misjudged(type(self).__name__, samples, judged)
        for sample in samples:
            outcome = sample.thunk.outcome
            if outcome is not None:
                outcome.mark(final=sample.thunk is best.thunk)
        return SamplingResult(
            winner=best.thunk,
            success=chosen is not None,
            samples=tuple(samples),
            stop_reason=reason,
            strategy=type(self).__name__,
            requirements=tuple([requirement.description for requirement in round.requirements]),
            duration_ms=duration_ms,
            source=source,
        )


def nearest(samples: list[AnySample]) -> AnySample | None:
    """Return the answer that meets the most requirements, in a tie the first; None if there is no answer.

    Answers on which a check raised come last.
    """
    answers = [sample for sample in samples if sample.thunk.state == "done"]
    return max(answers, key=lambda sample: (not sample.misjudged, sum(map(bool, sample.validations))), default=None)


def _nothing(strategy: str, samples: list[AnySample], reason: StopReason) -> SamplingError:
    """Make the error for a round without any answer."""
    errors = tuple([sample.error for sample in samples if sample.error is not None])
    first = f"; the first error: {error_line(errors[0])}" if errors else ""
    count = f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"
    error = SamplingError(
        f"{strategy} stopped ({reason}) after {count}, none of which gave an answer{first}",
        usage=spent_on(paid(samples), priced=False).usage,
        retryable=any(getattr(each, "retryable", False) for each in errors),
        errors=errors,
    )
    if errors:
        error.__cause__ = ExceptionGroup(f"the errors of {count}", errors)
    return error


def _misjudged(strategy: str, samples: list[AnySample], judged: list[AnySample]) -> SamplingError:
    """Make the error for a round in which the caller's own checks or scores raised on every answer."""
    errors = tuple([error for sample in judged for error in sample.errors])
    first = errors[0]
    error = SamplingError(
        f"{strategy} could judge none of {len(judged)} answers; the first error of your own checks and scores: "
        + error_line(first),
        partial=judged[0].thunk.partial,
        usage=spent_on(paid(samples), priced=False).usage,
        errors=errors,
    )
    error.__cause__ = first
    return error
