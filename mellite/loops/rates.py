"""Let only so many requests and tokens go in any minute, over all event loops and threads of the process.

A meter keeps what was sent in the last minute, and a queue of those that wait. Only the first of them looks at the
clock; the others wait until they are first. So it belongs to no loop: each waits in its own.

One lock guards all of it. It is never held while anything is awaited, called back or woken. It is reentrant, because
the garbage collector may settle a booking inside any code.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple, Protocol, final

import msgspec

from . import forking
from .detection import Loop, Waiter, current
from .time_limits import move_on_after

__all__ = ["WINDOW", "Booking", "Meter", "Ticking", "asked_ago", "waiting"]

#: How long a request counts, in seconds: a minute, and what one may take longer on its way than the one after it.
WINDOW: Final = 60.25

#: What an answer is taken to be long, in tokens, until the first ones have come.
_FIRST_ANSWER: Final = 512.0
_GROWTH: Final = 0.1
_RESERVE: Final = 1.25
_LEAST: Final = 0.1
_MOST: Final = 10.0

_NOTHING: Final = 1e-9  # sums of tokens are rounded

#: How long to wait for what is under way, before a clock that is not the machine's is asked to sleep.
_UNDER_WAY: Final = 5.0


#: A booking is moved if it was sent later by more than this, in seconds.
_MOVED: Final = 0.05

#: How many seconds ago the answer in hand was asked for, where that was in another process: later than it was booked.
asked_ago: Final[ContextVar[float | None]] = ContextVar("mellite_asked_ago", default=None)


class Ticking(Protocol):
    """A clock: what tells the time, and waits."""

    def now(self) -> float:
        """Return the seconds since some moment."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait so long."""
        ...


@final
class _Count:
    """A number that threads add to."""

    __slots__ = ("_lock", "now")

    def __init__(self) -> None:
        self.now = 0
        self._lock = forking.lock()

    def add(self, number: int) -> None:
        """Add a number."""
        with self._lock:
            self.now += number


_waiting: Final = _Count()


def waiting() -> int:
    """Return how many generations of the process wait for a place in a minute."""
    return _waiting.now


@final
class Booking(msgspec.Struct, eq=False):
    """What one request takes of a minute.

    Attributes:
        at: when it was sent.
        tokens: how many it takes; a guess until its usage is known.
        prompt: how many its prompt was guessed to have.
        is_late: whether it may have been sent later than it was booked.
        is_open: whether it is under way.
        counts: whether it is one of the last minute.
    """

    at: float
    tokens: float = 0.0
    prompt: float = 0.0
    is_late: bool = False
    is_open: bool = True
    counts: bool = True


class _Told(NamedTuple):
    """What the provider told of a limit: how much, what others have used of it, and until when that counts."""

    limit: float
    others: float
    until: float


@final
class _Ticket:
    """A wait for a place in the minute."""

    __slots__ = ("answer", "loop", "prompt", "waiter")

    def __init__(self, loop: Loop, prompt: float, answer: float | None) -> None:
        self.loop = loop
        self.prompt = prompt
        self.answer = answer
        self.waiter: Waiter = loop.waiter()


@final
class Meter:
    """What was sent in the last minute, and who waits to send.

    Args:
        requests: how many requests may go in a minute; None if that is to be learned, or is not bounded.
        tokens: how many tokens may.
        clock: tells the time, and waits.
        is_system: whether that is the clock of the machine, so that a wait for it can be a wait of the loop.

    Attributes:
        counts_tokens: whether tokens are bounded, or may turn out to be.
        waiting: how many wait.
    """

    __slots__ = (
        "_answer",
        "_booked",
        "_clock",
        "_fixed",
        "_is_system",
        "_lock",
        "_open",
        "_paused_until",
        "_probes",
        "_queue",
        "_ratio",
        "_spent",
        "_sure",
        "_told",
        "counts_tokens",
    )

    def __init__(self, requests: float | None, tokens: float | None, *, clock: Ticking, is_system: bool) -> None:
        given = {"requests": requests, "tokens": tokens}
        #: The limits that were given, as `_limits` has them.
        self._fixed: dict[str, tuple[tuple[float, _Told | None], ...]] = {
            kind: () if limit is None else ((limit, None),) for kind, limit in given.items()
        }
        self._told: dict[str, _Told] = {}  # by the provider
        #: How much may be booked whatever others do: the least of the limits, without what they have used.
        self._sure = {kind: math.inf if limit is None else limit for kind, limit in given.items()}
        self._probes = requests is None and tokens is None  # one at a time, until the first answer tells more
        self.counts_tokens = tokens is not None or self._probes
        self._clock = clock
        self._is_system = is_system
        self._lock = forking.rlock()
        self._queue: deque[_Ticket] = deque()
        self._booked: deque[Booking] = deque()  # in the order of sending
        self._spent = 0.0  # the tokens of those
        self._open = 0  # how many are under way
        self._paused_until = 0.0
        self._answer = _FIRST_ANSWER  # how long answers are
        self._ratio = 1.0  # of the tokens of prompts to what they were guessed to be

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    # Sending

    def take_if_free(self, prompt: float, answer: float | None, *, most: int | None = None) -> Booking | None:
        """Take a place in the minute, if there is one and nobody waits for it; see `take`."""
        with self._lock:
            if not self._queue:
                now = self._clock.now()
                needed = self._needed(prompt, answer)
                if self._has_room(needed, now) or self._delay(needed, now) == 0:
                    return self._book(needed, prompt, now, most)
        return None

    async def take(
        self, prompt: float, answer: float | None, *, most: int | None = None, until: float | None = None
    ) -> Booking | None:
        """Wait for a place in the minute, first come, first served.

        Args:
            prompt: how many tokens the prompt may have.
            answer: how many the answer may have; None for as many as answers had so far.
            most: how many may be under way before another one is sent later than it is booked.
            until: when the time for it is over.

        Returns:
            The booking; None if it did not come in time.
        """
        ticket = _Ticket(current(), prompt, answer)
        with self._lock:
            self._drop_the_lost()
            self._queue.append(ticket)
        _waiting.add(1)
        try:
            return await self._wait(ticket, most, until)
        finally:
            _waiting.add(-1)
            self._leave(ticket)

    async def _wait(self, ticket: _Ticket, most: int | None, until: float | None) -> Booking | None:
        while True:
            with self._lock:
                is_first = self._queue[0] is ticket
                now = self._clock.now()
                needed = self._needed(ticket.prompt, ticket.answer)
                delay = self._delay(needed, now) if is_first else None
                if delay == 0:
                    return self._book(needed, ticket.prompt, now, most)
                ticket.waiter = ticket.loop.waiter()
                is_under_way = self._open > 0
            if delay is not None and until is not None and self._clock.now() + delay >= until:
                return None
            await self._sleep(ticket.waiter, delay, is_under_way=is_under_way)

    async def _sleep(self, waiter: Waiter, delay: float | None, *, is_under_way: bool) -> None:
        """Wait until something changes; None for no other end."""
        if delay is None:
            await waiter.wait()
            return
        if self._is_system:
            with move_on_after(delay):
                await waiter.wait()
            return
        if is_under_way:  # such a clock may jump: what was sent has to arrive before that
            with move_on_after(_UNDER_WAY) as limit:
                await waiter.wait()
            if not limit.cancelled_caught:
                return
        await self._clock.sleep(delay)

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket in self._queue:
                self._queue.remove(ticket)
        self._wake_first()

    def _drop_the_lost(self) -> None:
        """Drop those whose loops are gone."""
        while self._queue and self._queue[0].loop.is_closed():
            self._queue.popleft()

    def _wake_first(self) -> None:
        """Have the first one look again. One that comes to the queue from here on looks at what holds now anyhow."""
        if not self._queue:
            return
        with self._lock:
            self._drop_the_lost()
            first = self._queue[0].waiter if self._queue else None
        if first is not None:
            first.wake()

    def _book(self, needed: float, prompt: float, now: float, most: int | None) -> Booking:
        booking = Booking(now, needed, prompt, most is not None and self._open >= most)
        self._booked.append(booking)
        self._spent += needed
        self._open += 1
        return booking

    def _needed(self, prompt: float, answer: float | None) -> float:
        """Return how many tokens to book."""
        prompt *= self._ratio
        if answer is not None:
            return prompt + answer
        needed = prompt + self._answer * _RESERVE
        if needed <= self._sure["tokens"]:
            return needed
        for limit, _ in self._limits("tokens", 0.0):
            needed = min(needed, limit)
        return max(prompt, needed)

    def _limits(self, kind: str, now: float) -> tuple[tuple[float, _Told | None], ...]:
        """Return the limits that hold, with what others have used of each."""
        told = self._told.get(kind)
        given = self._fixed[kind]
        return given if told is None else (*given, (told.limit, told if told.until > now else None))

    def _has_room(self, needed: float, now: float) -> bool:
        """Tell at once whether one can go that needs so many tokens; where this cannot tell, `_delay` does."""
        booked, sure = self._booked, self._sure
        if self._probes or (booked and booked[0].at + WINDOW <= now):
            return False
        return len(booked) < sure["requests"] and self._spent + needed <= sure["tokens"] and self._paused_until <= now

    def _delay(self, needed: float, now: float) -> float | None:
        """Return how long the first one waits, which needs so many tokens; None where only an answer can tell."""
        self._forget(now)
        if self._probes and self._open:
            return None
        wait = max(0.0, self._paused_until - now)
        for limit, told in self._limits("requests", now):
            used = len(self._booked) + (0.0 if told is None else told.others)
            over = min(used + 1 - limit, used)
            if over > _NOTHING:
                wait = max(wait, self._until_free(over, _one, told, now))
        for limit, told in self._limits("tokens", now):
            used = self._spent + (0.0 if told is None else told.others)
            over = min(used + needed - limit, used)  # one that is too large goes alone
            if over > _NOTHING:
                wait = max(wait, self._until_free(over, _tokens_of, told, now))
        return wait

    def _until_free(self, over: float, weight: Callable[[Booking], float], told: _Told | None, now: float) -> float:
        """Return how long it takes until so much has run out of the minute."""
        others, until = (0.0, now) if told is None else (told.others, told.until)
        for booking in self._booked:
            at = booking.at + WINDOW
            if others and until <= at:  # that of others runs out before
                over -= others
                if over <= _NOTHING:
                    return until - now
                others = 0.0
            over -= weight(booking)
            if over <= _NOTHING:
                return at - now
        return until - now if others else 0.0

    def _forget(self, now: float) -> None:
        while self._booked and self._booked[0].at + WINDOW <= now:
            gone = self._booked.popleft()
            gone.counts = False
            self._spent -= gone.tokens
        if not self._booked:
            self._spent = 0.0

    # What comes back

    def wants_head(self, booking: Booking) -> bool:
        """Whether a head that tells of no limits tells something all the same: that, or when it was sent."""
        return self._probes or booking.is_late or asked_ago.get() is not None

    def note_head(self, booking: Booking, told: Mapping[str, tuple[float | None, float | None, float]]) -> None:
        """Note what the head of an answer tells of limits.

        Args:
            booking: that of the request.
            told: by "requests" and "tokens": how many there may be in a minute, how many of them are left, and when all
                of them will be, in seconds.
        """
        with self._lock:
            now = self._clock.now()
            self._probes = False
            ago = asked_ago.get()
            at = now if booking.is_late and ago is None else booking.at if ago is None else now - ago
            if at > booking.at + _MOVED:
                booking.at = at
                self._booked = deque(sorted(self._booked, key=lambda each: each.at))
            booking.is_late = False
            self._forget(now)
            for kind, (limit, left, reset) in told.items():
                used = self._spent if kind == "tokens" else float(len(self._booked))
                if limit is not None and limit > 0:
                    others = 0.0 if left is None else max(0.0, limit - left - used)
                    self._told[kind] = _Told(limit, others, now + min(max(reset, 0.0), 60.0) + WINDOW - 60.0)
                    self._sure[kind] = min([limit - others, *[given for given, _ in self._fixed[kind]]])
            self.counts_tokens = bool(self._fixed["tokens"]) or "tokens" in self._told
        self._wake_first()

    def note_usage(self, booking: Booking, tokens: int | None, answer: int | None) -> None:
        """Note what a request has really used, if that is known, of which so much was the answer."""
        with self._lock:
            self._correct(booking, tokens, answer)
        if self._queue:
            self._wake_first()

    def _correct(self, booking: Booking, tokens: int | None, answer: int | None) -> None:
        """Put what a request has really used in place of the guess, and guess better from now on."""
        if tokens is None:
            return
        if booking.counts:
            self._spent += tokens - booking.tokens
        booking.tokens = tokens
        if answer is None:
            return
        mean, ratio, prompt = self._answer, self._ratio, booking.prompt
        self._answer = float(answer) if mean == _FIRST_ANSWER else mean + _GROWTH * (answer - mean)
        if prompt > 0:
            seen = (tokens - answer) / prompt
            if not _LEAST < seen < _MOST:
                seen = _LEAST if seen <= _LEAST else _MOST
            self._ratio = seen if ratio == 1.0 else ratio + _GROWTH * (seen - ratio)

    def note_more(self, requests: int) -> None:
        """Note that an attempt was made of so many more requests."""
        with self._lock:
            for _ in range(requests):
                booking = Booking(self._clock.now())
                booking.is_open = False
                self._booked.append(booking)

    def note_before(self, made: Iterable[tuple[float, float | None]]) -> None:
        """Note requests that went before this meter was made.

        Args:
            made: for each, how many seconds ago it went, and how many tokens it took; None where that is not known,
                which counts as the mean of the others.

        Example:
            >>> from mellite.backends.wrappers.clocks import SYSTEM
            >>> meter = Meter(2, 1000, clock=SYSTEM, is_system=True)
            >>> meter.note_before([(30.0, 400.0), (90.0, 400.0)])
            >>> [meter.take_if_free(10.0, 500.0) is not None for _ in range(2)]
            [True, False]
        """
        recent = [(age, tokens) for age, tokens in made if 0 <= age < WINDOW]
        known = [tokens for _, tokens in recent if tokens is not None]
        unknown = sum(known) / len(known) if known else _FIRST_ANSWER
        with self._lock:
            now = self._clock.now()
            before = [Booking(now - age, unknown if tokens is None else tokens) for age, tokens in recent]
            for booking in before:
                booking.is_open = False
                self._spent += booking.tokens
            self._booked = deque(sorted([*before, *self._booked], key=lambda each: each.at))

    def pause(self, seconds: float) -> None:
        """Let nothing go for so long: the provider asked for it."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.now() + seconds)

    def settle(
        self, booking: Booking, used: tuple[int | None, int | None] | None = None, *, was_sent: bool = True
    ) -> None:
        """Note that a request is over; if it was not sent, it takes nothing.

        Args:
            used: how many tokens it has used, and how many of them were the answer, where that is not noted yet.
        """
        with self._lock:
            if used is not None:
                self._correct(booking, *used)
            if booking.is_open:
                booking.is_open = False
                self._open -= 1
            if not was_sent and booking.counts:
                booking.counts = False
                self._booked.remove(booking)
                self._spent -= booking.tokens
        if self._queue:
            self._wake_first()


def _one(_: Booking) -> float:
    return 1.0


def _tokens_of(booking: Booking) -> float:
    return booking.tokens
