"""One run of a strategy: sends copies under budgets, checks what comes back, and cancels what no longer matters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from ...thunk.thunk import AnyThunk
from ...values.errors import AuthenticationError, ConfigurationError, QuotaExceeded, RequestError
from ..requirements import Requirement, ValidationResult, verdicts
from .budget import Meter
from .sample import AnySample, Sample, StopReason

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Run", "Watch", "is_hopeless"]

#: Why a copy is cancelled: what its thunk says as its reason.
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

#: An outcome, which says more than that a budget was spent at the same time.
_OUTCOMES: Final = ("accepted", "decided")


#: In place of a verdict that could not change that the answer is refused.
_LEFT_OUT: Final = ValidationResult(passed=False, reason="not checked: another check had failed already")


class Watch(Protocol):
    """Somebody who wants to see the samples while they are made, such as a progress bar."""

    def expects(self, total: int) -> None:
        """At most this many attempts will be made; told once, before the first."""

    def started(self, thunk: AnyThunk) -> None:
        """This copy is about to be sent."""

    def ended(self, sample: AnySample) -> None:
        """A copy that was started has settled; its checks may still be to come."""


def is_hopeless(error: Exception | None) -> bool:
    """Whether the same call would fail in the same way again: a wrong key, a malformed request, an empty account."""
    return isinstance(error, (AuthenticationError, ConfigurationError, QuotaExceeded, RequestError))


class _Job:
    """A copy in flight: being generated, or being checked."""

    __slots__ = ("scope", "thunk")

    def __init__(self, thunk: AnyThunk, scope: anyio.CancelScope | None = None) -> None:
        self.thunk = thunk
        self.scope = scope  # of its checks, once it is generated


class Run:
    """One run of a strategy, maybe within a run of another one.

    Args:
        limit: how many attempts may be made.
        meter: what they may use.
        requirements: what every answer is checked against.
        check_all: whether an answer is checked further when a check has failed.
        outer: the run that this one is an attempt of; its budgets hold here too.
        watch: who wants to see the samples; an inner run has that of the outer one.

    Attributes:
        launched: how many attempts have begun.
        outcomes: what came of those that have ended, in the order in which they did.
        stopped: why it goes on no longer, if it was stopped.
        state: whatever the strategy keeps while it runs.
    """

    __slots__ = (
        "_check_all",
        "_failure",
        "_limit",
        "_open",
        "book",
        "group",
        "jobs",
        "launched",
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
        outer: Run | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._limit = limit
        self.meter = meter
        self.requirements = requirements
        self._check_all = check_all
        self.outer = outer
        self.watch: Watch | None = outer.watch if outer is not None else watch
        self.book: dict[AnyThunk, AnySample] = outer.book if outer is not None else {}
        self.within: dict[Run, None] = {}
        self.jobs: dict[_Job, None] = {}
        self._open: dict[AnyThunk, None] = {}
        self._failure: Exception | None = None
        self.group: TaskGroup | None = None
        self.launched = 0
        self.outcomes: list[AnySample] = []
        self.stopped: StopReason | None = None
        self.state: Any = None
        if outer is not None:
            outer.within[self] = None

    # What there is

    @property
    def limit(self) -> int:
        """How many attempts may be made."""
        return self._limit

    @property
    def missing(self) -> int:
        """How many attempts are still to end or to begin."""
        return self._limit - len(self.outcomes)

    def unfinished(self) -> list[tuple[int, ...]]:
        """The lineages of the copies that attempts have begun with and not ended."""
        return [copy.call.lineage for copy in self._open]

    def ordered(self) -> list[AnySample]:
        """The outcomes of the attempts, in the order of their lineage."""
        return sorted(self.outcomes, key=lambda sample: sample.lineage)

    def samples(self) -> list[AnySample]:
        """Everything that was sent, in the order of the lineage, inner runs and the outer one included."""
        return sorted(self.book.values(), key=lambda sample: sample.lineage)

    def may_start(self) -> bool:
        """Whether another attempt may be begun."""
        return self.stopped is None and self.launched < self._limit

    # Making samples

    def begin(self, copy: AnyThunk) -> None:
        """Count an attempt that begins with this copy."""
        self.launched += 1
        self._open[copy] = None

    def end(self, copy: AnyThunk, outcome: AnySample) -> None:
        """Take in what came of the attempt that began with this copy."""
        del self._open[copy]
        self.outcomes.append(outcome)

    async def attempt(self, thunk: AnyThunk) -> AnySample:
        """Generate a copy and check its answer."""
        return await self.checked(await self.generated(thunk))

    async def generated(self, thunk: AnyThunk, drive: Callable[[], Awaitable[object]] | None = None) -> AnySample:
        """Generate a copy, note it, and count what it used against the budgets.

        Args:
            drive: waits until the thunk is settled, if that is to be done in another way than by waiting.

        Raises:
            SamplingError: if there is a budget, and what it used of it is not known.
        """
        job = _Job(thunk)
        self.jobs[job] = None
        try:
            if self.watch is not None:
                self.watch.started(thunk)
            await (thunk.settle() if drive is None else drive())
        finally:
            del self.jobs[job]
        sample = self.note(Sample(thunk, error=thunk.error))
        if self.watch is not None:
            self.watch.ended(sample)
        self._charge(thunk)
        return sample

    async def checked(self, sample: AnySample) -> AnySample:
        """Check an answer against the requirements, unless there is none, or it no longer matters."""
        thunk = sample.thunk
        if thunk.state != "done":
            return sample
        if not self.requirements:
            return self.note(Sample(thunk, error=sample.error, checked=True))
        return await self.judged(sample, self._check)

    async def judged(
        self, sample: AnySample, judge: Callable[[AnySample], AnySample | Awaitable[AnySample]]
    ) -> AnySample:
        """What `judge` makes of a sample; the sample as it was if the outcome is decided before."""
        if self.stopped in _OUTCOMES or self.stopped == "deadline":
            return sample
        given = judge(sample)
        if isinstance(given, Sample):
            return self.note(given)
        known = sample.judges
        scope = anyio.CancelScope()
        job = _Job(sample.thunk, scope)
        self.jobs[job] = None
        try:
            with scope:
                sample = self.note(await given)
        finally:
            del self.jobs[job]
        for thunk in sample.judges[len(known) :]:
            self._charge(thunk)
        return sample

    async def _check(self, sample: AnySample) -> AnySample:
        thunk = sample.thunk
        found = await verdicts(self.requirements, thunk, thunk.call.context, until_failure=not self._check_all)
        return Sample(thunk, tuple([_LEFT_OUT if verdict is None else verdict for verdict in found]), checked=True)

    def note(self, sample: AnySample) -> AnySample:
        """Keep what is known of a sample, in place of what was known before."""
        self.book[sample.thunk] = sample
        return sample

    def _charge(self, thunk: AnyThunk) -> None:
        for run in self._lines():
            run.meter.charge(thunk)
        for run in self._lines():
            spent = run.meter.spent()
            if spent is not None and (run.may_start() or any(below.jobs for below in run.below())):
                run.stop(spent)

    # Stopping

    def stop(self, reason: StopReason) -> None:
        """Begin nothing more, and cancel what is in flight.

        What a spent budget stops are generations: an answer that has been paid for is still checked. After a hopeless
        failure, what is in flight may still come to a good end.
        """
        for run in self.below():
            if run.stopped is None or reason in _OUTCOMES:
                run.stopped = reason
            if reason == "hopeless":
                continue
            for job in run.jobs:
                if job.scope is None:
                    run.open_group().start_soon(job.thunk.cancel_generation, _WHY[reason])
                elif reason not in ("max_tokens", "max_usd"):
                    job.scope.cancel()

    async def ring(self, seconds: float, scope: anyio.CancelScope) -> None:
        """Stop when the deadline has passed, unless `scope` is cancelled before."""
        with scope:
            await anyio.sleep(seconds)
            self.stop("deadline")

    async def guarded(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a part of it in a task: what it raises is kept for `raise_failure`, and stops the rest."""
        try:
            await function(*args)
        except Exception as error:
            if self._failure is None:
                self._failure = error
            self.stop("decided")

    def raise_failure(self) -> None:
        """Raise what a guarded part raised, if one did; no task may be left then."""
        failure, self._failure = self._failure, None
        if failure is None:
            return
        try:
            raise failure
        finally:
            del failure  # its traceback knows this frame: keep no cycle

    def forget(self, inner: Run) -> None:
        """Let go of an inner run that is over."""
        del self.within[inner]

    def open_group(self) -> TaskGroup:
        """The nearest task group that is open around what runs here."""
        group = next((run.group for run in self._lines() if run.group is not None), None)
        if group is None:  # nothing can ask for this: only one thing runs at a time where there is no group
            msg = "a sample is stopped from outside without a task group to do it in"
            raise RuntimeError(msg)
        return group

    def _lines(self) -> Iterator[Run]:
        """This run and those around it, from the inside."""
        run: Run | None = self
        while run is not None:
            yield run
            run = run.outer

    def below(self) -> Iterator[Run]:
        """This run and those within it."""
        yield self
        for child in self.within:
            yield from child.below()
