"""When a failed attempt is followed by another one, and after which wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, final

from ...protocols.error_answers import retry_after
from ...values.backend_streams import name_of
from ...values.errors import CassetteMismatch, CassetteMiss, MelliteError
from ...values.events import Event, ResponseStart
from ...values.request import Request
from ...values.telling import log, reason_of
from ...values.text_answer import Batch
from .attempts import Attempts, Reader, Trial, until_something
from .clocks import SYSTEM, Clock
from .wrapper import batches_of, timeouts_of, transport_of, with_time_left

__all__ = ["Rule", "Series"]

_LONGEST_JITTER: Final = 8.0
_FIRST_JITTER: Final = 0.5
_FREE: Final = 10  # retries in a minute that the budget does not count
_MINUTE: Final = 60


@final
class Rule:
    """When to try again, and what was done in the last minute. Several loops and threads may use one.

    Args:
        attempts: how often to ask at most, the first time included.
        budget: which part of the last minute's calls retries may be, beside ten; None for no bound.
        on: which foreign exceptions to try again after.
        max_wait: the longest wait before another attempt, in seconds.
        clock: tells the time, and waits.
    """

    __slots__ = ("_calls", "_retries", "attempts", "budget", "clock", "max_wait", "on")

    def __init__(
        self,
        *,
        attempts: int,
        budget: float | None = 0.2,
        on: Callable[[Exception], bool] | None = None,
        max_wait: float = 60.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self.attempts = attempts
        self.budget = budget
        self.on = on
        self.max_wait = max_wait
        self.clock = clock
        self._calls = _Minute()
        self._retries = _Minute()

    def begin(self, backend: Any, request: Request, pump: Any) -> Trial | None:
        """Begin to push; None where the backend cannot. See `mellite.thunk.pushed.Pushes`."""
        series = Series(self, backend, request, began=self.note_call(), reader=pump)
        trial = Trial(pump, series.batches)
        flight = backend.begin_pushing(request, trial, once=True)
        if flight is None:
            return None
        trial.flight = flight
        trial.is_sent = flight.is_sent
        return trial

    def note_call(self) -> float:
        """Count a call for the budget, and return when it began."""
        now = self.clock.now()
        self._calls.add(now)
        return now

    def takes(self, error: Exception) -> bool:
        """Tell whether an error is one to try again after."""
        if isinstance(error, MelliteError) and error.retryable:
            return True
        return self.on is not None and self.on(error)

    def spend(self) -> bool:
        """Take one retry out of the budget, if one is left."""
        now = self.clock.now()
        if self.budget is not None and self._retries.total(now) >= self.budget * self._calls.total(now) + _FREE:
            return False
        self._retries.add(now)
        return True

    def jitter(self, retries: int) -> float:
        """Return how long to wait after so many retries, where nothing was asked: anything up to a bound that grows."""
        import random  # a third of what a process needs for its first call, and most calls succeed

        return random.uniform(0, min(_LONGEST_JITTER, _FIRST_JITTER * 2**retries))  # noqa: S311 - no secret

    def __reduce__(self) -> tuple[Any, ...]:
        return _rule, (self.attempts, self.budget, self.on, self.max_wait, self.clock)


def _rule(attempts: int, budget: float | None, on: Any, max_wait: float, clock: Clock) -> Rule:
    return Rule(attempts=attempts, budget=budget, on=on, max_wait=max_wait, clock=clock)


@final
class _Minute:
    """How often something happened in the last minute, a number for each second.

    There is no lock: two threads that count in the same moment may count once, which a budget bears.
    """

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._seconds = [-1] * _MINUTE
        self._counts = [0] * _MINUTE

    def add(self, now: float) -> None:
        """Count once."""
        second = int(now)
        slot = second % _MINUTE
        if self._seconds[slot] != second:
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += 1

    def total(self, now: float) -> int:
        """Return the count of the last minute."""
        since = int(now) - _MINUTE
        return sum([count for second, count in zip(self._seconds, self._counts, strict=True) if second > since])


@final
class Series:
    """The attempts at one generation, in one task.

    Args:
        rule: says what to try again, and when.
        backend: the backend to ask.
        request: what is asked.
        began: when the first attempt did, by the clock of the rule.
        reader: is told of the attempts, if anybody is.
    """

    __slots__ = ("_backend", "_began", "_reader", "_request", "_rule")

    def __init__(
        self, rule: Rule, backend: Any, request: Request, *, began: float, reader: Reader | None = None
    ) -> None:
        self._rule = rule
        self._backend = backend
        self._request = request
        self._began = began
        self._reader = reader

    async def batches(
        self, source: AsyncGenerator[Batch, None] | None = None, held: Sequence[Event] = ()
    ) -> AsyncGenerator[Batch, None]:
        """Yield the events of the first attempt that sends content, or of the last one.

        Args:
            source: the first attempt, where it was begun.
            held: what it has given so far.
        """
        source = batches_of(self._backend, self._request, once=True) if source is None else source
        attempts = Attempts(self._reader, held)
        failure: Exception | None = None
        try:
            while True:
                failure, first = await until_something(attempts, source)
                if failure is None:
                    break
                await source.aclose()
                if isinstance(failure, (CassetteMiss, CassetteMismatch)):  # there is no other attempt in the cassette
                    failure = attempts.take_back() or failure
                    break
                wait = self._wait_after(failure, attempts)
                if wait is None:
                    break
                attempts.note(failure, self._backend)
                self._tell(failure, attempts.failed, wait)
                failure = None
                if wait > 0:
                    await self._rule.clock.sleep(wait)
                request = with_time_left(self._backend, self._request, self._passed())
                source = batches_of(self._backend, request, once=True)
            for batch in attempts.told(first):
                yield batch
            if failure is not None:
                raise failure
            async for batch in source:
                yield batch
        finally:
            failure = None  # see "Cycles" in `mellite.thunk`
            await source.aclose()

    def _wait_after(self, failure: Exception, attempts: Attempts) -> float | None:
        """Return how long to wait before another attempt; None where this failure stands."""
        rule = self._rule
        if attempts.failed + 1 >= rule.attempts or not rule.takes(failure):
            return None
        transport = transport_of(self._backend)
        if getattr(transport, "remaining", None) == 0:  # a script that has no answer left
            return None
        replayed = any(type(event) is ResponseStart and event.replayed is True for event in attempts.quiet)
        if replayed or getattr(transport, "offline", False) is True:
            return 0.0
        asked = _asked_wait(failure, attempts.quiet, rule.clock)
        wait = rule.jitter(attempts.failed) if asked is None else asked
        left = self._left()
        said = "no wait was asked for" if asked is None else f"it asked to wait {asked:g} s"
        if wait > rule.max_wait and asked is not None:
            _add(failure, f"{said}, longer than max_wait={rule.max_wait:g} s: not tried again")
        elif left is not None and wait >= left:
            _add(failure, f"{said}, and {max(left, 0):.3g} s of the total timeout are left: not tried again")
        elif not rule.spend():
            _add(failure, f"not tried again: retries were over {rule.budget:g} of the last minute's calls")
        else:
            return min(wait, rule.max_wait)
        return None

    def _tell(self, failure: Exception, attempt: int, wait: float) -> None:
        reason = reason_of(failure)
        log.info(
            "attempt.failed",
            "%s: attempt %d failed, and the next one begins in %.3g s: %s",
            name_of(self._backend),
            attempt,
            wait,
            reason,
            backend=name_of(self._backend),
            attempt=attempt,
            wait_s=wait,
            reason=reason,
            error=type(failure).__name__,
            status=getattr(failure, "status", None),
            request_id=getattr(failure, "request_id", None),
        )

    def _passed(self) -> float:
        """Return how long it has been since the first attempt began, in seconds."""
        return self._rule.clock.now() - self._began

    def _left(self) -> float | None:
        """Return how much of the total timeout is left, in seconds; None if there is none."""
        timeouts = timeouts_of(self._backend, self._request)
        return None if timeouts is None or timeouts.total is None else timeouts.total - self._passed()


def _asked_wait(failure: Exception, quiet: Sequence[Event], clock: Clock) -> float | None:
    """Return the wait that was asked for, in seconds. Where a date came without the server's own, *clock* counts."""
    asked = failure.retry_after if isinstance(failure, MelliteError) else None
    for event in quiet if asked is not None else ():
        headers = event.headers if type(event) is ResponseStart else None
        if headers and "date" not in headers and clock is not SYSTEM:
            said = retry_after(headers, now=clock.wall())
            return asked if said is None else said
    return asked


def _add(failure: Exception, note: str) -> None:
    """Add a note to the text of an error of ours."""
    if isinstance(failure, MelliteError) and note not in str(failure):
        failure.args = (f"{failure}; {note}",)
