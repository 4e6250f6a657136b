"""A sample: one copy that was sent, with its answer or error, its verdicts, tokens, cost and time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from decimal import Context, Decimal
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.usage import Usage
from ..requirements import ValidationResult

__all__ = ["AnySample", "Sample", "Status", "StopReason", "counts", "exact", "total_cost", "total_usage"]

T = TypeVar("T")

#: Why sampling stopped; see `SamplingResult`.
StopReason: TypeAlias = Literal[
    "accepted", "decided", "completed", "max_samples", "max_tokens", "max_usd", "deadline", "hopeless"
]

#: What became of a sample; see `Sample.status`.
Status: TypeAlias = Literal["passed", "rejected", "unchecked", "failed", "cancelled"]


@frozen
class Sample(Generic[T]):
    """One copy that was sent, and what came of it.

    Args:
        thunk: the copy, settled.
        validations: the verdicts, in the order of the requirements.
        error: what went wrong: in the generation, in parsing the answer, or in scoring it. What checks raised is in
            `errors`, and in their verdicts.
        score: how good the strategy found it: the score of `BestOfN`, the votes for its answer in `MajorityVote`, the
            mean similarity to the others in `MinimumBayesRisk`; None for the other strategies.
        verdict: what the requirement said that gave the score, if one did.
        checked: whether it went through the checks; not so for a loser, or for a step on the way to an answer.
    """

    thunk: ModelOutputThunk[T]
    validations: tuple[ValidationResult, ...] = ()
    error: Exception | None = field(default=None, kw_only=True, eq=False)
    score: float | None = field(default=None, kw_only=True)
    verdict: ValidationResult | None = field(default=None, kw_only=True)
    checked: bool = field(default=False, kw_only=True)

    @property
    def lineage(self) -> tuple[int, ...]:
        """Which copy it is; samples are listed in this order."""
        return self.thunk.call.lineage

    @property
    def errors(self) -> tuple[Exception, ...]:
        """All that went wrong: `error`, and what checks raised instead of giving a verdict."""
        found = [self.error, *[verdict.error for verdict in self.validations]]
        return tuple({id(error): error for error in found if error is not None}.values())

    @property
    def misjudged(self) -> bool:
        """Whether there is an answer, and a check, a score or a key raised over it."""
        return self.thunk.state == "done" and bool(self.errors)

    @property
    def passed(self) -> bool:
        """Whether it is an answer that every check accepts."""
        return self.checked and self.error is None and all(self.validations)

    @property
    def status(self) -> Status:
        """``passed`` or ``rejected`` by the checks, ``unchecked``, ``failed`` (see `errors`), or ``cancelled``."""
        if self.thunk.cancelled:
            return "cancelled"
        if self.errors:
            return "failed"
        if not self.checked:
            return "unchecked"
        return "passed" if self.passed else "rejected"

    @property
    def judges(self) -> tuple[AnyThunk, ...]:
        """What models answered that were asked to judge it."""
        verdicts = self.validations if self.verdict is None else (*self.validations, self.verdict)
        return tuple([verdict.thunk for verdict in verdicts if verdict.thunk is not None])

    @property
    def usage(self) -> Usage | None:
        """The tokens used, as far as the provider told; without those of judges."""
        return self.thunk.generation.usage

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost, in USD; None when the price or the usage is unknown. Without judges."""
        return self.thunk.generation.cost_usd

    @property
    def duration_ms(self) -> float | None:
        """How long it took, in ms."""
        return self.thunk.generation.duration_ms

    def to_dict(self) -> dict[str, Any]:
        """The sample as JSON knows values: dict, list, str, int, float, bool and None."""
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
            "usage": counts(self.usage),
            "cost_usd": exact(self.cost_usd),
            "duration_ms": self.duration_ms,
        }


#: A sample whose output type does not matter to the code that handles it.
AnySample: TypeAlias = Sample[Any]

#: More digits than any sum of costs has, whatever the caller's own decimal context says.
_EXACT: Final = Context(prec=100)


def total_usage(samples: Iterable[AnySample]) -> Usage | None:
    """The tokens of some samples and their judges together; None if none of them knows."""
    total: Usage | None = None
    for thunk in _paid(samples):
        usage = thunk.generation.usage
        if usage is not None:
            total = usage if total is None else total + usage
    return total


def total_cost(samples: Iterable[AnySample]) -> Decimal | None:
    """The cost of some samples and their judges together; None if one of them used tokens at an unknown price."""
    total: Decimal | None = None
    for thunk in _paid(samples):
        about = thunk.generation
        cost = about.cost_usd
        if cost is not None:
            total = cost if total is None else _EXACT.add(total, cost)
        elif about.usage is not None and not about.usage.is_zero:
            return None
    return total


def _paid(samples: Iterable[AnySample]) -> Iterator[AnyThunk]:
    for sample in samples:
        yield sample.thunk
        yield from sample.judges


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def exact(cost: Decimal | None) -> str | None:
    """A cost as JSON can hold it without loss."""
    return None if cost is None else str(cost)


def _described(error: Exception | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": str(error)}


def counts(usage: Usage | None) -> dict[str, int | None] | None:
    """The tokens of a usage by name."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "non_cached_input_tokens": usage.non_cached_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_write_input_tokens": usage.cache_write_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
