"""Best of n: generate n answers, score each, keep the best."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from attrs import Factory, evolve, field, frozen

from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, SamplingError
from ...values.finite_numbers import is_finite
from ...values.signatures import write_signature
from ...values.whole_numbers import check_count
from ..requirements import Requirement
from .round import Judged, Round
from .sample import AnySample, Sample, StopReason
from .strategy import Strategy

__all__ = ["ALL_AT_ONCE", "BestOfN", "Fixed", "Score"]

#: What scores an answer; higher is better.
Score: TypeAlias = Callable[[AnyThunk], float | Awaitable[float]] | Requirement

#: The defaults of these arguments of `Fixed`, for signatures.
ALL_AT_ONCE: Final = {"max_samples": "n", "concurrency": "n"}


@frozen
class Fixed(Strategy):
    """The base of the strategies with a fixed number of samples.

    Args:
        n: the number of attempts; also the default of `max_samples` and `concurrency`.
    """

    n: int
    max_samples: int = field(default=Factory(lambda self: self.n, takes_self=True), kw_only=True)
    concurrency: int = field(default=Factory(lambda self: self.n, takes_self=True), kw_only=True)

    def _check_arguments(self) -> None:
        check_count("n", self.n)
        super()._check_arguments()

    def _attempts(self, thunk: AnyThunk) -> int:
        return min(self.n, self.max_samples)

    def _decided(self, round: Round, sample: AnySample) -> StopReason | None:
        return None

    def _end(self, round: Round) -> StopReason:
        return "completed" if round.limit == self.n else "max_samples"


@frozen
class BestOfN(Fixed):
    """Generate n answers at once and keep the one with the highest score; in a tie, the first.

    Only answers that pass the requirements are scored. The other arguments are those of `Strategy`.

    Args:
        n: the number of answers to choose from.
        score: a function of the thunk, sync or async, that returns a number; or a requirement whose verdicts have a
            score, such as an LLM judge. By default, the mean of the requirements' scores.
        enough: stop as soon as an answer has this score, and cancel the rest.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Scripted
        >>> thunk = Scripted(["short", "much longer", "longer"]).generate("Say something long.")
        >>> result = asyncio.run(BestOfN(3, score=lambda thunk: len(thunk.value)).sample(thunk))
        >>> result.value, [sample.score for sample in result.samples]
        ('much longer', [5.0, 11.0, 6.0])
    """

    score: Score | None = field(default=None, kw_only=True)
    enough: float | None = field(default=None, kw_only=True)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.score is not None and not callable(self.score) and not isinstance(self.score, Requirement):
            msg = f"'score' must be a function of a thunk or a Requirement, not {type(self.score).__name__}"
            raise InvalidRequest(msg, parameter="score")
        if self.enough is not None and not (isinstance(self.enough, (int, float)) and is_finite(self.enough)):
            msg = f"'enough' must be a finite number, not {self.enough!r}"
            raise InvalidRequest(msg, parameter="enough")

    def check_required(self, thunk: AnyThunk, required: Sequence[Requirement]) -> None:
        if self.score is None and not required:
            msg = "BestOfN needs a score to choose by: score=..., or requirements"
            raise InvalidRequest(msg, parameter="score")

    def _answered(self, round: Round, copy: AnyThunk) -> Judged:
        score = self.score
        if score is None or isinstance(score, Requirement) or not round.takes_as_is(copy):
            return super()._answered(round, copy)
        # Common: nothing but the score decides. The same steps, with one sample for what is true at the end of them.
        try:
            found = score(copy)
            if isinstance(found, (float, int)) and is_finite(found):
                sample = round.book[copy] = Sample(copy, score=float(found), checked=True)
                return sample
        except Exception as error:
            return round.note(Sample(copy, error=error, checked=True))
        return round.judged(round.note(Sample(copy, checked=True)), partial(self._given, found))

    def _weighed(self, round: Round, sample: AnySample) -> Judged:
        return round.judged(sample, self._scored) if sample.passed else sample

    def _scored(self, sample: AnySample) -> Judged:
        score = self.score
        if isinstance(score, Requirement):
            return self._by_verdict(sample, score)
        try:
            if score is None:
                return _with(sample, _mean([verdict.score for verdict in sample.validations]))
            found = score(sample.thunk)
        except Exception as error:
            return _failed(sample, error)
        return self._given(found, sample)

    def _given(self, found: object, sample: AnySample) -> Judged:
        """Return the sample with what the score function gave."""
        try:
            return self._by_waiting(sample, found) if inspect.isawaitable(found) else _with(sample, found)
        except Exception as error:
            return _failed(sample, error)

    async def _by_waiting(self, sample: AnySample, found: Awaitable[object]) -> AnySample:
        try:
            return _with(sample, await found)
        except Exception as error:
            return _failed(sample, error)

    async def _by_verdict(self, sample: AnySample, score: Requirement) -> AnySample:
        verdict = await score.validate(sample.thunk, sample.thunk.call.context)
        sample = evolve(sample, verdict=verdict)
        if verdict.error is not None:
            return _failed(sample, verdict.error)
        return _with(sample, float(verdict.passed) if verdict.score is None else verdict.score)

    def _decided(self, round: Round, sample: AnySample) -> StopReason | None:
        if self.enough is None or not sample.passed or sample.score is None:
            return None
        return "accepted" if sample.score >= self.enough else None

    async def _choose(self, round: Round) -> AnySample | None:
        passed = [sample for sample in round.ordered() if sample.passed]
        return max(passed, key=lambda sample: -math.inf if sample.score is None else sample.score, default=None)


def _mean(scores: Sequence[float | None]) -> float:
    given = [score for score in scores if score is not None]
    return math.fsum(given) / len(given) if given else 0.0


def _with(sample: AnySample, score: object) -> AnySample:
    """Return the sample with its score; or with an error, if the score is not a finite number."""
    if not isinstance(score, (int, float)) or not is_finite(score):
        msg = f"a score must be a finite number, not {score!r}"
        return _failed(sample, SamplingError(msg))
    return Sample(sample.thunk, sample.validations, score=float(score), verdict=sample.verdict, checked=True)


def _failed(sample: AnySample, error: Exception) -> AnySample:
    return evolve(sample, error=error)


write_signature(BestOfN, ALL_AT_ONCE)
