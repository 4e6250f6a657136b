"""One round of a strategy: send copies under budgets, check the answers, cancel what no longer matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import anyio

from ...thunk.thunk import AnyThunk
from ...values.errors import AuthenticationError, ConfigurationError, QuotaExceeded, RequestError
from ..requirements import Requirement, ValidationResult
from ..requirements.checking import Verdicts, begin
from .budget import Meter
from .sample import AnySample, Sample, StopReason

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Judged", "Round", "Watch", "is_hopeless"]

#: A sample, or what gives it once something has been waited for.
Judged: TypeAlias = AnySample | Awaitable[AnySample]

#: Reason to stop -> the reason that cancelled copies give.
_WHY: Final[dict[StopReason, str]] = {
    "accepted": "another sample was accepted",
    "decided": "it cannot change the outcome any more",
    "completed": "there are enough samples",
    "max_samples": "there are enough samples",
    "max_tokens": "the budget of tokens is spent",
    "max_usd": "the budget of dollars is spent",
    "deadline": "the deadline of the sampling has passed",
    "hopeless": "another sample failed in a way that asking again does not mend",
}

#: Reasons to stop that mean a result. They replace a budget that ran out at the same time.
_OUTCOMES: Final = ("accepted", "decided")

#: Stands for the verdict of a check that was not needed, because another one had failed.
_LEFT_OUT: Final = ValidationResult(passed=False, reason="not checked: another check had failed already")


class Watch(Protocol):
    """An observer of the samples while they are made, such as a progress bar. Called in the loop of the sampling."""

    def expects(self, total: int) -> None:
        """Note that at most `total` attempts will be made. Called once, before the first."""

    def started(self, thunk: AnyThunk) -> None:
        """Note that a copy is about to be sent."""

    def ended(self, sample: AnySample) -> None:
        """Note that a copy has settled. Its checks may still follow."""


def is_hopeless(error: Exception | None) -> bool:
    """Tell whether the same call would fail again: because of a wrong key, a malformed request, an empty account."""
    return isinstance(error, (AuthenticationError, ConfigurationError, QuotaExceeded, RequestError))


#: The place of a sample in the result.
_lineage: Final[Callable[[AnySample], tuple[int, ...]]] = attrgetter("thunk.call.lineage")


class Round:
    """One round of a strategy, maybe as an attempt of another round.

    A round and all rounds inside it belong to one event loop; no lock is needed. Its methods are called by the
    strategy, from the task of the caller and from tasks of the open task group, and change the round only between two
    ``await``.

    Args:
        limit: how many attempts may be made.
        meter: the budgets, and what has been used of them.
        requirements: the demands on every answer.
        check_all: whether the checks of an answer go on when one has failed.
        outer: the round that this one is an attempt of; its budgets hold for this one, too.
        watch: told of the samples; an inner round takes over that of the outer one.

    Attributes:
        launched: how many attempts have begun.
        outcomes: the samples of the attempts that have ended, in the order in which they ended.
        stopped: the reason why nothing more is begun; None while the round goes on.
        group: the task group that is open around the attempts, if any.
        outer: the round around this one.
        within: the rounds inside this one, as keys.
        book: every sample by its thunk; shared with the rounds around and inside.
        generating: the copies that are being generated, as keys.
        checking: the scopes of the checks that are waited for, as keys.
        state: what the strategy keeps while it runs.
    """

    __slots__ = (
        "_check_all",
        "_failure",
        "_metered",
        "_open",
        "book",
        "checking",
        "generating",
        "group",
        "launched",
        "limit",
        "meter",
        "outcomes",
        "outer",
        "requirements",
        "state",
        "stopped",
        "watch",
        "within",
    )

    def __init__(
        self,
        limit: int,
        meter: Meter,
        *,
        requirements: Sequence[Requirement],
        check_all: bool = True,
        outer: Round | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.limit = limit
        self.meter = meter
        self.requirements = requirements
        self._check_all = check_all
        self.outer = outer
        self.watch: Watch | None = outer.watch if outer is not None else watch
        self.book: dict[AnyThunk, AnySample] = outer.book if outer is not None else {}
        self.within: dict[Round, None] = {}
        self.generating: dict[AnyThunk, None] = {}
        self.checking: dict[anyio.CancelScope, None] = {}
        self._metered = any(round.meter.is_limited for round in self._lines())
        self._open: dict[AnyThunk, None] = {}
        self._failure: Exception | None = None
        self.group: TaskGroup | None = None
        self.launched = 0
        self.outcomes: list[AnySample] = []
        self.stopped: StopReason | None = None
        self.state: Any = None
        if outer is not None:
            outer.within[self] = None

    # State

    @property
    def missing(self) -> int:
        """The number of attempts that have not ended or not begun."""
        return self.limit - len(self.outcomes)

    def unfinished(self) -> list[tuple[int, ...]]:
        """Return the lineages of the copies whose attempts have begun and not ended."""
        return [copy.call.lineage for copy in self._open]

    def ordered(self) -> list[AnySample]:
        """Return the outcomes of the attempts, in the order of the lineage."""
        return sorted(self.outcomes, key=_lineage)

    def samples(self) -> list[AnySample]:
        """Return everything that was sent, also by the rounds around and inside, in the order of the lineage."""
        return sorted(self.book.values(), key=_lineage)

    def may_start(self) -> bool:
        """Tell whether another attempt may begin."""
        return self.stopped is None and self.launched < self.limit

    def is_busy(self) -> bool:
        """Tell whether copies are being generated or checked, by this round or those inside."""
        return any(round.generating or round.checking for round in self.below())

    # Samples

    def begin(self, copy: AnyThunk) -> None:
        """Note that an attempt begins, with this copy."""
        self.launched += 1
        self._open[copy] = None

    def end(self, copy: AnyThunk, outcome: AnySample) -> None:
        """Note the outcome of the attempt that began with this copy."""
        del self._open[copy]
        self.outcomes.append(outcome)

    async def generated(self, thunk: AnyThunk, drive: Callable[[], Awaitable[object]] | None = None) -> AnySample:
        """Generate a copy, note the sample, and charge the budgets.

        Args:
            thunk: the copy.
            drive: waits until the thunk is settled, and may do more; by default its ``settle``.

        Raises:
            SamplingError: if there is a budget, and how much of it was used is unknown.
        """
        self.sends(thunk)
        try:
            await (thunk.settle() if drive is None else drive())
        finally:
            del self.generating[thunk]
        return self._settled(thunk)

    def sends(self, thunk: AnyThunk) -> None:
        """Note that a copy is about to be sent; `generating` has it until the caller takes it out, once it settled."""
        if self.watch is not None:
            self.watch.started(thunk)
        self.generating[thunk] = None

    def _settled(self, thunk: AnyThunk) -> AnySample:
        sample = self.book[thunk] = Sample(thunk, error=thunk.error)
        if self.watch is not None:
            self.watch.ended(sample)
        if self._metered:
            self._charge(thunk)
        return sample

    def answered(self, thunk: AnyThunk) -> Judged:
        """Note what a copy came to that has settled, charge the budgets, and check the answer.

        Raises:
            SamplingError: as `generated` does.
        """
        outcome = thunk.outcome
        if self.requirements or self.watch is not None or outcome is None or outcome.state != "done":
            return self.checked(self._settled(thunk))
        # Common, an answer that nothing checks: the two steps above, with one sample instead of two.
        sample = self.book[thunk] = Sample(thunk, checked=True)
        if self._metered:
            self._charge(thunk)
        return sample

    def takes_as_is(self, thunk: AnyThunk) -> bool:
        """Tell whether a settled copy is done, and nothing is to be checked, charged, told or left out."""
        if self.requirements or self.watch is not None or self._metered or self.stopped is not None:
            return False
        outcome = thunk.outcome
        return outcome is not None and outcome.state == "done"

    def checked(self, sample: AnySample) -> Judged:
        """Check an answer against the requirements, unless there is no answer, or it no longer matters."""
        thunk = sample.thunk
        if thunk.state != "done":
            return sample
        if not self.requirements:
            return self.note(Sample(thunk, error=sample.error, checked=True))
        return self.judged(sample, self._check)

    def judged(self, sample: AnySample, judge: Callable[[AnySample], Judged]) -> Judged:
        """Return the sample that `judge` makes of this one, or this one if the outcome is decided before."""
        if self.stopped in _OUTCOMES or self.stopped == "deadline":
            return sample
        given = judge(sample)
        if isinstance(given, Sample):
            self.book[given.thunk] = given
            return given
        scope = anyio.CancelScope()
        self.checking[scope] = None  # now, not when it is waited for: `stop` may come before
        return self._awaited(sample, given, scope)

    async def _awaited(self, sample: AnySample, given: Awaitable[AnySample], scope: anyio.CancelScope) -> AnySample:
        known = sample.judges
        try:
            with scope:
                sample = self.note(await given)
        finally:
            del self.checking[scope]
        if self._metered:
            for thunk in sample.judges[len(known) :]:
                self._charge(thunk)
        return sample

    def _check(self, sample: AnySample) -> Judged:
        thunk = sample.thunk
        found = begin(self.requirements, thunk, thunk.call.context, until_failure=not self._check_all)
        if isinstance(found, list):
            return _with_verdicts(thunk, found)
        return self._check_later(thunk, found)

    async def _check_later(self, thunk: AnyThunk, found: Awaitable[Verdicts]) -> AnySample:
        return _with_verdicts(thunk, await found)

    def note(self, sample: AnySample) -> AnySample:
        """Enter a sample in the book, in place of what it said about the same thunk, and return it."""
        self.book[sample.thunk] = sample
        return sample

    def _charge(self, thunk: AnyThunk) -> None:
        """Charge a settled thunk to this round and those around it, and stop those whose budget is spent."""
        for round in self._lines():
            round.meter.charge(thunk)
        for round in self._lines():
            spent = round.meter.spent()
            if spent is not None and (
                round.may_start() or any(below.generating or below.checking for below in round.below())
            ):
                round.stop(spent)

    # The end

    def stop(self, reason: StopReason) -> None:
        """Begin nothing more in this round and those inside it, and cancel what is in flight.

        A spent budget cancels generations only: an answer that has been paid for is still checked. A hopeless failure
        cancels nothing: what is in flight may still succeed.
        """
        for round in self.below():
            if round.stopped is None or reason in _OUTCOMES:
                round.stopped = reason
            if reason == "hopeless":
                continue
            for thunk in list(round.generating):
                round.open_group().start_soon(thunk.cancel_generation, _WHY[reason])
            if reason not in ("max_tokens", "max_usd"):
                for scope in list(round.checking):
                    scope.cancel()

    async def ring(self, seconds: float, scope: anyio.CancelScope) -> None:
        """Wait for `seconds`, then stop the round; the caller cancels `scope` when the round ends before."""
        with scope:
            await anyio.sleep(seconds)
            self.stop("deadline")

    async def guarded(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run a part of the sampling in a task; if it raises, stop the round and keep the error for `raise_failure`."""
        try:
            await function(*args)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stop the round because of an error that the caller is to get; the first is kept for `raise_failure`."""
        if self._failure is None:
            self._failure = error
        self.stop("decided")

    def raise_failure(self) -> None:
        """Raise the first exception of a guarded part, if any. Called when all tasks have ended."""
        failure, self._failure = self._failure, None
        if failure is None:
            return
        try:
            raise failure
        finally:
            del failure  # break the cycle: error, traceback, this frame, error

    def forget(self, inner: Round) -> None:
        """Remove an inner round that has ended."""
        del self.within[inner]

    def open_group(self) -> TaskGroup:
        """Return the innermost open task group, of this round or of those around it."""
        group = next((round.group for round in self._lines() if round.group is not None), None)
        if group is None:  # cannot happen: without a group, one task does everything, and cancels no other
            msg = "a sample is stopped from outside without a task group to do it in"
            raise RuntimeError(msg)
        return group

    def _lines(self) -> Iterator[Round]:
        """Give this round and those around it, from the inside out."""
        round: Round | None = self
        while round is not None:
            yield round
            round = round.outer

    def below(self) -> Iterator[Round]:
        """Give this round and all inside it."""
        yield self
        for child in self.within:
            yield from child.below()


def _with_verdicts(thunk: AnyThunk, found: Verdicts) -> AnySample:
    return Sample(thunk, tuple([_LEFT_OUT if verdict is None else verdict for verdict in found]), checked=True)
