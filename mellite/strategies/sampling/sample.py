"""A sample: one copy that was sent, with its answer or error, verdicts, tokens, cost and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.finite_numbers import is_finite
from ...values.told_errors import error_text
from ...values.usage import Usage
from ..requirements import ValidationResult

__all__ = ["AnySample", "Sample", "Status", "StopReason", "exact", "paid"]

T = TypeVar("T")

#: The reason why sampling stopped; see `SamplingResult`.
StopReason: TypeAlias = Literal[
    "accepted",
    "decided",
    "completed",
    "max_samples",
    "max_tokens",
    "max_usd",
    "deadline",
    "hopeless",
    "failed",
    "cancelled",
]

#: The outcome of a sample; see `Sample.status`.
Status: TypeAlias = Literal["passed", "rejected", "unchecked", "failed", "cancelled"]


@frozen
class Sample(Generic[T]):
    """One copy that was sent, and its outcome.

    Args:
        thunk: the copy, settled.
        validations: the verdicts, in the order of the requirements.
        error: the error of the generation, of parsing the answer, or of scoring it. The exceptions of checks are in
            `errors`, and in the verdicts.
        score: the score given by the strategy: that of `BestOfN`; in `MajorityVote`, the votes for the answer; in
            `MinimumBayesRisk`, the mean similarity to the other answers; None in other strategies.
        verdict: the verdict of the requirement that gave the score, if one did.
        checked: whether the answer was checked. Losing answers, and steps on the way to an answer, are not.
    """

    thunk: ModelOutputThunk[T]
    validations: tuple[ValidationResult, ...] = ()
    error: Exception | None = field(default=None, kw_only=True, eq=False)
    score: float | None = field(default=None, kw_only=True)
    verdict: ValidationResult | None = field(default=None, kw_only=True)
    checked: bool = field(default=False, kw_only=True)

    @property
    def lineage(self) -> tuple[int, ...]:
        """The lineage of the copy; samples are listed in this order."""
        return self.thunk.call.lineage

    @property
    def value(self) -> str | None:
        """The text of the answer; None if there is none."""
        return self.thunk.value

    @property
    def errors(self) -> tuple[Exception, ...]:
        """All errors of the sample: `error`, and the exceptions that checks raised."""
        found = [self.error, *[verdict.error for verdict in self.validations]]
        return tuple({id(error): error for error in found if error is not None}.values())

    @property
    def misjudged(self) -> bool:
        """Whether there is an answer on which a check, a score or a key raised."""
        return self.thunk.state == "done" and bool(self.errors)

    @property
    def passed(self) -> bool:
        """Whether every check accepts the answer."""
        return self.checked and self.error is None and (not self.validations or all(self.validations))

    @property
    def status(self) -> Status:
        """The outcome: ``passed`` or ``rejected`` by the checks, ``unchecked``, ``failed`` or ``cancelled``."""
        if self.thunk.cancelled:
            return "cancelled"
        if self.errors:
            return "failed"
        if not self.checked:
            return "unchecked"
        return "passed" if self.passed else "rejected"

    @property
    def judges(self) -> tuple[AnyThunk, ...]:
        """The thunks of the models that judged the sample."""
        verdicts = self.validations if self.verdict is None else (*self.validations, self.verdict)
        return tuple([verdict.thunk for verdict in verdicts if verdict.thunk is not None])

    @property
    def usage(self) -> Usage | None:
        """The tokens used, if the provider reported them; without those of judges."""
        return self.thunk.generation.usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in USD, without that of judges; None if the price or the usage is unknown."""
        return self.thunk.generation.cost_usd

    @property
    def duration_ms(self) -> float | None:
        """The duration of the generation, in ms."""
        return self.thunk.generation.duration_ms

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as JSON-compatible values: dict, list, str, int, float, bool and None."""
        about = self.thunk.generation
        return {
            "lineage": list(self.lineage),
            "status": self.status,
            "text": self.thunk.partial,
            "score": _finite(self.score),
            "validations": [
                {
                    "passed": verdict.passed,
                    "reason": verdict.reason,
                    "score": _finite(verdict.score),
                    "error": _described(verdict.error),
                }
                for verdict in self.validations
            ],
            "error": _described(self.error),
            "model": about.model,
            "finish_reason": about.finish_reason,
            "usage": None if self.usage is None else self.usage.counts(),
            "cost_usd": exact(self.cost_usd),
            "duration_ms": self.duration_ms,
        }


#: A sample whose output type does not matter to the code that handles it.
AnySample: TypeAlias = Sample[Any]


def paid(samples: Iterable[AnySample]) -> Iterator[AnyThunk]:
    """Give the thunks that samples and their judges have used tokens in."""
    for sample in samples:
        yield sample.thunk
        yield from sample.judges


def _finite(number: float | None) -> float | None:
    return number if number is not None and is_finite(number) else None


def exact(cost: Decimal | None) -> str | None:
    """Return a cost as a str, which JSON can hold without loss."""
    return None if cost is None else str(cost)


def _described(error: Exception | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": error_text(error)}
