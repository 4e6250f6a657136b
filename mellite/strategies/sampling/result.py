"""The result of sampling: the winner, every sample, their total cost, and the reason why it stopped."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import fields, frozen

from ...thunk.thunk import ModelOutputThunk
from ...values.pictured import Pictured
from ...values.shortened import shortened
from ...values.usage import Usage
from ..spending import spent_on
from .sample import Sample, StopReason, exact, paid

if TYPE_CHECKING:
    from rich.table import Table

    from ...values.portrait import Portrait

__all__ = ["SamplingResult"]

T = TypeVar("T")


@frozen(kw_only=True, repr=False)
class SamplingResult(Pictured, Generic[T]):
    """The result of a strategy. Truthy on success.

    Args:
        winner: the chosen thunk; without success, the one that came closest.
        success: whether the winner passed every check. Look at this before you use `value`.
        samples: every copy that was sent, in the order of the lineage, whichever finished first.
        stop_reason: why no more was generated:
            ``accepted``: a sample passed;
            ``decided``: the missing samples could not change the outcome;
            ``completed``: all n samples have come;
            ``max_samples``, ``max_tokens``, ``max_usd``, ``deadline``: that budget was spent;
            ``hopeless``: a sample failed in a way that a retry cannot mend, such as a wrong key;
            ``failed``, ``cancelled``: of `mellite.engine.map`, which gives no error but a result: see `error`.
        strategy: the name of the strategy.
        requirements: the descriptions of the requirements, in the order of the verdicts.
        duration_ms: how long the sampling took, in ms.
        source: the thunk that was copied. It was not generated itself.
        error: what `Strategy.sample` would have raised; None except in results of `mellite.engine.map`. If no sample
            has an answer, the winner is the last sample, or the source if there is none.
    """

    winner: ModelOutputThunk[T]
    success: bool
    samples: tuple[Sample[T], ...]
    stop_reason: StopReason
    strategy: str = ""
    requirements: tuple[str, ...] = ()
    duration_ms: float | None = None
    source: ModelOutputThunk[T] | None = None
    error: Exception | None = None

    @property
    def value(self) -> str | None:
        """The winner's text."""
        return self.winner.value

    @property
    def parsed_repr(self) -> T | None:
        """The winner's parsed value."""
        return self.winner.parsed_repr

    @property
    def attempts(self) -> int:
        """The number of copies that were sent."""
        return len(self.samples)

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The errors of the samples, in order: of generations, and of your own checks and scores."""
        return tuple([error for sample in self.samples for error in sample.errors])

    @property
    def usage(self) -> Usage | None:
        """The tokens of all samples and their judges together, as far as providers reported them; None if none did.

        A lower bound if `unmetered` is above 0.
        """
        return spent_on(paid(self.samples), priced=False).usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all samples and their judges together, in USD; None if the cost of one is unknown."""
        return spent_on(paid(self.samples)).cost_usd

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The sum of the known costs, in USD: a lower bound if `cost_usd` is None."""
        return spent_on(paid(self.samples)).known_cost_usd

    @property
    def unmetered(self) -> int:
        """The number of generations that ended before their provider reported usage; `usage` lacks them."""
        return spent_on(paid(self.samples), priced=False).unmetered

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-compatible values; costs are exact, as str."""
        index = next((at for at, sample in enumerate(self.samples) if sample.thunk is self.winner), None)
        spent = spent_on(paid(self.samples))
        return {
            "strategy": self.strategy,
            "success": self.success,
            "stop_reason": self.stop_reason,
            "value": self.value,
            "winner": index,
            "requirements": list(self.requirements),
            "attempts": self.attempts,
            "unmetered": spent.unmetered,
            "usage": None if spent.usage is None else spent.usage.counts(),
            "cost_usd": exact(spent.cost_usd),
            "known_cost_usd": exact(spent.known_cost_usd),
            "duration_ms": self.duration_ms,
            "samples": [sample.to_dict() for sample in self.samples],
        }

    def to_json(self, indent: int | None = None) -> str:
        """Return the result as JSON, in ASCII, so that any text survives in a file of any encoding."""
        import json

        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(type(self))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an earlier version lacks later fields.
        for name, value in {"source": None, "error": None, **state}.items():
            object.__setattr__(self, name, value)

    def __bool__(self) -> bool:
        return self.success

    def __repr__(self) -> str:
        shown = shortened(self.value or "", 40)
        how = "success" if self.success else "no success"
        errors = self.errors
        first = f", {len(errors)} x error, first {type(errors[0]).__name__}({str(errors[0])[:80]!r})" if errors else ""
        return f"<SamplingResult {how}, {self.stop_reason} after {self.attempts}, value={shown!r}{first}>"

    def _portrait(self) -> Portrait:
        from .portraying import portrait_of_sampling

        return portrait_of_sampling(
            self.strategy,
            self.samples,
            winner=self.winner,
            success=self.success,
            stop_reason=self.stop_reason,
            requirements=self.requirements,
            duration_ms=self.duration_ms,
        )

    def __rich__(self) -> Table:
        from .table import table_of, totals_of

        how = "success" if self.success else "no success"
        title = f"{self.strategy}: {how}, {self.stop_reason}"
        totals = totals_of(self.attempts, spent_on(paid(self.samples)), self.duration_ms)
        return table_of(self.samples, self.winner, title=title, totals=totals)
