"""Let only so many generations run at once, over all event loops and threads of the process."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Final, Protocol, final

from ..values.errors import InvalidRequest
from . import forking
from .detection import Loop, Waker, current

__all__ = ["Limit", "Place", "Rests", "check_concurrency", "current_generation", "limit_of", "stood_in"]

# A limit is a pile of tokens and a queue of tickets that wait for one, made of deques and a counter, whose single
# operations are atomic. There is no lock, because a token may be given back by the garbage collector, inside any code.
# No wake-up is lost: a waiter enters the queue and then looks at the pile again; a token is put on the pile, and then
# the queue is looked at again.


class Rests(Protocol):
    """A generation that can pause, such as `mellite.thunk.pump.Pump`.

    Attributes:
        places: those that it holds; given up while it pauses.
    """

    places: tuple[Place, ...]


#: The generation in whose stream this code runs, if any.
current_generation: Final[ContextVar[Rests | None]] = ContextVar("mellite_generation", default=None)

#: Whether what drives the generations of this context limits how many run at once, in place of their backends.
stood_in: Final[ContextVar[bool]] = ContextVar("mellite_stood_in", default=False)


def limit_of(name: str, value: object) -> Limit | None:
    """Return the limit that was asked for: a number of places, None for no limit, or what shares one.

    Raises:
        InvalidRequest: naming the argument.
    """
    shared = getattr(value, "limit", None)
    if isinstance(shared, Limit):  # of `mellite.Concurrency`
        return shared
    check_concurrency(name, value)
    return Limit(value) if isinstance(value, int) else None


def check_concurrency(name: str, value: object) -> None:
    """Refuse what is neither None, for no limit, nor a whole number of at least 1.

    Raises:
        InvalidRequest: naming the argument.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        msg = f"{name!r} must be a whole number of at least 1, or None for no limit, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


@final
class Limit:
    """A semaphore over all loops and threads; first come, first served.

    Args:
        most: how many places there are, at least 1.
    """

    __slots__ = ("_free", "_process", "_queue", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._begin()

    def _begin(self) -> None:
        self._process = forking.process.number
        self._free = _Tokens(self.most)
        self._queue: deque[_Ticket] = deque()

    def place(self) -> Place:
        """Return a place that is not held yet; `Place.take` waits for it.

        In a forked child all places are free, because the generations that hold them run in the parent.
        """
        if self._process != forking.process.number:
            self._begin()
        return Place(self._free, self._queue, self.most)

    def __reduce__(self) -> tuple[type[Limit], tuple[int]]:
        return Limit, (self.most,)

    def __repr__(self) -> str:
        return f"Limit({self.most})"


@final
class Place:
    """One of the places of a `Limit`, for one generation. One that is dropped is given back.

    The task that generates calls `take_if_free` or `take`, then `rest` and `take_again` any number of times. Any thread
    may call `give_back`.
    """

    __slots__ = ("_free", "_held", "_over", "_queue", "_ticket", "most")

    def __init__(self, free: _Tokens, queue: deque[_Ticket], most: int) -> None:
        self.most = most
        self._free = free
        self._queue = queue
        self._held = False
        self._over = False
        self._ticket: _Ticket | None = None  # of `take_later`

    def take_if_free(self, owner: Rests | None = None) -> bool:
        """Take the place if one is free and nothing waits for it; return whether it is held now.

        Args:
            owner: the generation that is to give the place up while it pauses; by default the current one.
        """
        if self._held:
            return True
        if self._queue or not self._free.take():
            return False
        self._held = True
        self._register(owner)
        return True

    def take_again_if_free(self) -> bool:
        """Take the place after a rest, if that needs no waiting; return whether it is held now, or given back."""
        return self._held or self._over or self._take_token()

    async def take(self) -> None:
        """Wait for the place, at the end of the queue."""
        await self._wait(self._queue.append)
        self._register()

    def take_later(self, owner: Rests, loop: Loop, taken: Callable[[], None]) -> None:
        """Take the place once it is free, at the end of the queue, then call `taken` in this context.

        That is in the thread of the loop, between its tasks, and not before this has returned. Nothing is called once
        the place has been given back.
        """
        seat = _Seat(self, owner, partial(copy_context().run, taken))
        self._ticket = ticket = _Ticket(loop, seat)
        self._queue.append(ticket)
        _serve(self._free, self._queue)  # a token may have come back in between

    def sit_down(self, owner: Rests) -> bool:
        """Take the token that has been handed to the ticket; pass it on, and return False, if it comes too late."""
        self._ticket = None
        self._held = True
        if self._over:
            self.rest()
            return False
        self._register(owner)
        return True

    async def take_again(self) -> None:
        """Wait for the place after a rest, at the head of the queue: the others began later. A no-op if it is held."""
        if not self.take_again_if_free():
            await self._wait(self._queue.appendleft)

    def rest(self, *, between_tasks: bool = False) -> None:
        """Let others have the place for a while."""
        if self._held:
            self._held = False
            self._free.put_back()
            if self._queue:
                _serve(self._free, self._queue, between_tasks=between_tasks)

    def give_back(self, *, between_tasks: bool = False) -> None:
        """Give the place back for good, from any thread; a no-op the second time.

        Args:
            between_tasks: whether a loop calls this, between its tasks: who is next in that loop goes on at once.
        """
        self._over = True
        ticket, self._ticket = self._ticket, None
        if ticket is not None and ticket.claim():
            ticket.waiter = _NOBODY  # the ticket may stand in the queue for long
        self.rest(between_tasks=between_tasks)

    def __del__(self) -> None:
        if self._held:
            self.rest()

    def _take_token(self) -> bool:
        self._held = self._free.take()
        return self._held

    def _register(self, owner: Rests | None = None) -> None:
        """Have the generation give the place up while it pauses."""
        owner = current_generation.get() if owner is None else owner
        if owner is not None:
            owner.places = (*owner.places, self)

    async def _wait(self, queue_up: Callable[[_Ticket], None]) -> None:
        loop = current()
        waiter = loop.waiter()
        ticket = _Ticket(loop, waiter)
        queue_up(ticket)
        _serve(self._free, self._queue)  # a token may have come back in between
        try:
            await waiter.wait()
        except BaseException:
            if not ticket.claim():  # served in the same moment: pass the token on
                self._free.put_back()
                _serve(self._free, self._queue)
            raise
        self._held = True


@final
class _Tokens:
    """A pile of tokens. Each is made when it is first needed: a limit may be as large as `sys.maxsize`."""

    __slots__ = ("_back", "_made", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._made = itertools.count(1)
        self._back: deque[None] = deque()  # those that were taken and have come back

    def take(self) -> bool:
        """Take a token, if there is one."""
        try:
            self._back.pop()
        except IndexError:
            return next(self._made) <= self._most
        return True

    def put_back(self) -> None:
        """Put a token back, from anywhere."""
        self._back.append(None)


@final
class _Ticket:
    """A wait for a place. Claimed once: when it is served, or when it gives up."""

    __slots__ = ("_once", "loop", "waiter")

    def __init__(self, loop: Loop, waiter: Waker) -> None:
        self.loop = loop
        self.waiter = waiter
        self._once = [None]

    def claim(self) -> bool:
        """Return whether this is the first claim."""
        try:
            self._once.pop()
        except IndexError:
            return False
        return True


@final
class _Seat:
    """The waiter of a ticket in place of a task: takes the place, and reports it."""

    __slots__ = ("_owner", "_place", "_taken")

    def __init__(self, place: Place, owner: Rests, taken: Callable[[], None]) -> None:
        self._place = place
        self._owner = owner
        self._taken = taken

    def wake(self) -> None:
        """Take the place, and tell; called once, in the thread of the loop."""
        if self._place.sit_down(self._owner):
            self._taken()


@final
class _Nobody:
    """The waiter of a wait that was given up; waking it does nothing."""

    __slots__ = ()

    def wake(self) -> None:
        """Do nothing."""


_NOBODY: Final = _Nobody()


def _serve(free: _Tokens, queue: deque[_Ticket], *, between_tasks: bool = False) -> None:
    """Hand tokens to tickets, in their order, as long as there are both."""
    while queue:
        if not free.take():
            return
        if not _serve_one(queue, between_tasks=between_tasks):
            free.put_back()
            # A ticket may have come after the queue was found empty: look again.


def _serve_one(queue: deque[_Ticket], *, between_tasks: bool) -> bool:
    """Give the token in hand to the first ticket that still waits, in a loop that still runs."""
    while True:
        try:
            ticket = queue.popleft()
        except IndexError:
            return False
        if not ticket.claim():
            continue
        if between_tasks and ticket.loop.is_here():
            ticket.waiter.wake()
            return True
        # Else through the loop, even where that is this one: this may run inside the garbage collector.
        if ticket.loop.call_soon(ticket.waiter.wake):
            return True
