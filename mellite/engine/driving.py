"""Begin items one after another, at most so many at a time, and give each back as soon as it has settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, final

from .. import loops
from ..loops.places import stood_in
from ..strategies.batch import Board, Notice
from ..strategies.requirements import Requirement
from ..strategies.sampling import SamplingResult, Strategy
from ..strategies.spending import failed_attempts, used_nothing
from ..thunk import observing
from ..thunk.observing import Interceptor
from ..thunk.thunk import AnyThunk, ModelOutputThunk
from ..values.errors import InvalidRequest, JournalError
from ..values.prices.totals import Totals
from .engines import Engine, Gathering
from .errands import Driven, Errand, Sampled, Settlement, asked_in, failure_of, state_of
from .feeding import NOT_YET, OVER, Feed, feed_of
from .limits import Limits, Purse

__all__ = ["Driving", "Rules", "Settled"]

#: After so many items that needed no waiting, other tasks get their turn.
_MANY: Final = 64

#: What a feed notes on the board: no item has this number.
_FED: Final = -1


class Settled(NamedTuple):
    """A settled item with its number: the item itself, or the result that a strategy made of it."""

    number: int
    item: Settlement


class Rules(NamedTuple):
    """The settings by which items are driven.

    Args:
        engine: where the calls are made.
        concurrency: how many are begun and not given back, at most.
        limits: what stands before each call; None for nothing.
        purse: what may be spent.
        journal: what keeps each call, and gives again what it has; None for nothing. It is asked before the limits.
        strategy: samples each item; None to drive each as it is.
        requirements: the demands on the answers, for the strategy.
    """

    engine: Engine
    concurrency: int
    limits: Limits | None
    purse: Purse
    journal: Interceptor | None = None
    strategy: Strategy | None = None
    requirements: Sequence[Requirement] = ()


@final
class Driving:
    """Items in progress. One task or thread at a time calls `next` or `block`, which also begin those that follow.

    The driving is a consumer of each thunk, which wants all of it. `leave` is called from the same task or thread,
    `cancel` and `drop` from anywhere.

    Args:
        items: any iterable or async iterable of thunks.
        rules: how they are driven.
        loop: returns the loop to begin thunks in.

    Attributes:
        totals: what those that were given back have used and cost together.
        counts: by state, how many were given back; and how many run.
        failures: how many have failed, by the name of the error.

    Raises:
        InvalidRequest: if `items` is not an iterable.
    """

    __slots__ = (
        "_begun",
        "_board",
        "_counts",
        "_error",
        "_feed",
        "_gathering",
        "_has_told",
        "_is_over",
        "_loop",
        "_open",
        "_quick",
        "_rules",
        "_seen",
        "_taken",
        "_watchers",
        "failures",
        "totals",
    )

    def __init__(self, items: object, rules: Rules, loop: Callable[[], loops.Loop]) -> None:
        self._rules = rules
        self._loop = loop
        self._board = Board()
        self._taken = 0
        self._open: dict[int, Errand] = {}
        self._begun: set[int] = set()  # of those, the numbers of errands that had not settled before
        self._seen: dict[int, int] = {}  # id of a thunk in progress -> how often it is
        self._error: Exception | None = None  # to be raised once all that was begun is given back
        self._is_over = self._has_told = False
        self._quick = 0
        self._counts = {"done": 0, "failed": 0, "cancelled": 0}
        self.failures: Counter[str] = Counter()
        self.totals = Totals()
        wake = _Fed(self._board).wake
        stands = rules.engine.begin(rules.concurrency, rules.limits, wake)
        self._watchers = stands if rules.journal is None else (*stands, rules.journal)
        self._gathering = rules.engine if isinstance(rules.engine, Gathering) else None
        self._feed: Feed = feed_of(items, wake, loop, min(rules.concurrency, 64))

    @property
    def counts(self) -> dict[str, int]:
        """How many run, and how many were given back, by their state."""
        return {"running": len(self._open), **self._counts}

    # Beginning

    def _fill(self) -> None:
        """Begin as many as may run."""
        engine = self._rules.engine
        if self._is_over or len(self._open) >= engine.room:
            return
        with self._in_force():
            while not self._is_over and len(self._open) < engine.room:
                thunk = self._next_item()
                if thunk is NOT_YET:
                    return
                if thunk is not OVER:
                    self._begin(thunk)

    @contextmanager
    def _in_force(self) -> Generator[None]:
        """Have what is begun in this block stand under the rules."""
        leave = observing.enter(*self._watchers) if self._watchers else None
        token = stood_in.set(True)
        try:
            yield
        finally:
            stood_in.reset(token)
            if leave is not None:
                leave()

    def _next_item(self) -> Any:
        """Return the next item, or what a feed says; an item that is wrong is the last one."""
        error = self._rules.engine.trouble or self._rules.purse.charged(self.totals, None)
        if error is None:
            try:
                item = self._feed.take()
                if item is NOT_YET:
                    return item
                if item is not OVER:
                    self._check(item)
                    return item
            except Exception as failure:  # of the caller's iterable, or of the item: told when all others are back
                error = failure
        self._end(error)
        return OVER

    def _check(self, item: object) -> None:
        if not isinstance(item, ModelOutputThunk):
            msg = f"mellite.engine.map takes thunks and runs, not {type(item).__name__} (item {self._taken})"
            raise InvalidRequest(msg, parameter="items")
        strategy = self._rules.strategy
        if strategy is not None:
            strategy.checked(item, self._rules.requirements)
        if strategy is not None or not item.is_computed():
            self._rules.engine.check(item)
            self._rules.purse.check(item)

    def _end(self, error: Exception | None) -> None:
        """Take no more; raise this, if it is something, once all that was begun is given back."""
        self._is_over = True
        self._feed.stop()
        if self._gathering is not None:
            self._gathering.no_more()
        if self._error is None:
            self._error = error

    def _begin(self, thunk: AnyThunk) -> None:
        number = self._taken
        self._taken = number + 1
        rules = self._rules
        errand: Errand = Driven(thunk) if rules.strategy is None else Sampled(thunk, rules.strategy, rules.requirements)
        self._open[number] = errand
        if not errand.begin(self._loop, Notice(self._board, number)):
            self._board.settled.append(number)
            return
        self._begun.add(number)
        if rules.strategy is None:
            self._seen[id(thunk)] = self._seen.get(id(thunk), 0) + 1

    # Giving back

    def _take(self) -> Settled | None:
        """Take one that has settled, if there is one."""
        settled = self._board.settled
        while settled:
            number = settled.popleft()
            errand = self._open.pop(number, None)
            if errand is not None:  # else it was noted twice, or is what a feed noted
                item = errand.settlement()
                self._count(item, was_begun=number in self._begun)
                self._begun.discard(number)
                return Settled(number, item)
        return None

    def _count(self, item: Settlement, *, was_begun: bool) -> None:
        self._counts[state_of(item)] += 1
        kind = failure_of(item)
        if kind is not None:
            self.failures[kind] += 1
        if not was_begun:  # it had settled before: it was paid for elsewhere, or by its first place in this map
            return
        twins = self._seen.pop(id(item), 1) - 1
        if twins:  # given several times, asked once: the last to be given back is counted
            self._seen[id(item)] = twins
            return
        for thunk in asked_in(item):
            self._charge(thunk)
        error = self._rules.purse.charged(self.totals, item.winner if isinstance(item, SamplingResult) else item)
        error = error or self._journal_trouble(item.error)
        if error is not None and not self._is_over:
            self._end(error)

    def _journal_trouble(self, error: Exception | None) -> Exception | None:
        """Return an error of the map's own journal, such as of a disk that is full: no other call could be kept."""
        journal = self._rules.journal
        is_its_own = type(error) is JournalError and error.path == getattr(journal, "path", None)
        return error if is_its_own else None

    def _charge(self, thunk: AnyThunk) -> None:
        made = thunk.generation
        if made.replayed:
            return
        if not used_nothing(thunk):
            self.totals = self.totals.plus(made.usage, made.cost_usd)
        for usage, cost in failed_attempts(made):
            self.totals = self.totals.plus(usage, cost)

    async def next(self) -> Settled | None:
        """Wait for the next one that has settled; None when all are given back. May be called again when cancelled.

        Raises:
            Exception: why no more were taken, once all that was begun is given back.
        """
        if self._quick >= _MANY:
            self._quick = 0
            await loops.checkpoint()  # here, where nothing is in hand that a cancellation could lose
        while True:
            self._fill()
            settled = self._take()
            if settled is not None:
                self._quick += 1
                return settled
            if self._is_done():
                return None
            self._quick = 0
            waiter = loops.waiter()
            with self._board.watched_by(waiter) as is_quiet:
                if is_quiet():
                    await waiter.wait()

    def block(self, timeout: float | None) -> Settled | None:
        """Do as `next` does, blocking the thread.

        Raises:
            TimeoutError: if none settles within `timeout` seconds; it has no message.
        """
        while True:
            self._fill()
            settled = self._take()
            if settled is not None or self._is_done():
                return settled
            waiter = loops.ThreadWaiter()
            with self._board.watched_by(waiter) as is_quiet:
                if is_quiet() and not waiter.block(timeout):
                    raise TimeoutError

    def _is_done(self) -> bool:
        if self._open or not self._is_over:
            return False
        told, self._has_told = self._has_told, True
        error = None if told else self._error or self._rules.engine.trouble
        if error is not None:
            raise error
        return True

    # Leaving

    def cancel(self, reason: str) -> list[Any]:
        """Take no more, and have all that run cancelled; from any thread. Return what waits for each."""
        self._end(None)
        asked = [errand.cancel(reason) for errand in list(self._open.values())]
        self._board.note(_FED)
        return asked

    def leave(self) -> list[Errand]:
        """Take no more, and want those that run no longer; return those that end by it, to be lingered for."""
        self._end(None)
        return [errand for errand in self._open.values() if errand.leave()]

    def drop(self) -> None:
        """Do as `leave` does, from any thread, also in a ``__del__``: each generation is told in its own loop."""
        self._end(None)
        for errand in list(self._open.values()):
            errand.drop()
        self._open.clear()


@final
class _Fed:
    """Notes on a board that a feed has something; it keeps the board alive, and nothing else."""

    __slots__ = ("_board",)

    def __init__(self, board: Board) -> None:
        self._board = board

    def wake(self) -> None:
        self._board.note(_FED)
