"""Let only so many generations run at once, over all event loops and threads of the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol, final

from . import loops
from .errors import InvalidRequest

__all__ = ["Limit", "Place", "Rests", "generation"]

# How it works: a limit is a pile of tokens and a queue of those who wait for one, both deques, whose `pop` and `append`
# are atomic. There is no lock: who gives a token back may be the garbage collector, inside whatever code, and a child
# may be forked at any time. No wake-up is lost: who waits stands in the queue first and then looks at the pile again;
# who gives back puts the token on the pile first and then looks at the queue again.


class Rests(Protocol):
    """Something that generates and can pause; a `mellite.generation.Pump` is one.

    Attributes:
        places: those that it holds, to be given up while it pauses.
    """

    places: tuple[Place, ...]


#: The generation in whose stream this code runs, if any.
generation: Final[ContextVar[Rests | None]] = ContextVar("mellite_generation", default=None)


class _Forks:
    """Counts how often this process is a forked child of the one before; a limit of the parent's starts afresh."""

    def __init__(self) -> None:
        self.count = 0
        self._watching = False

    def watch(self) -> None:
        """Notice forks from now on."""
        if not self._watching and hasattr(os, "register_at_fork"):
            self._watching = True
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self.count += 1


_forks: Final = _Forks()


@final
class Limit:
    """At most so many places at the same time, from any loop and thread; who comes first is served first.

    Args:
        most: how many places there are.

    Raises:
        InvalidRequest: if that is no whole number of at least 1.
    """

    __slots__ = ("_forked", "_free", "_queue", "most")

    def __init__(self, most: int) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            msg = f"'max_concurrency' must be a whole number of at least 1, or None for no limit, not {most!r}"
            raise InvalidRequest(msg, parameter="max_concurrency")
        self.most = most
        _forks.watch()
        self._begin()

    def _begin(self) -> None:
        self._forked = _forks.count
        self._free: deque[None] = deque([None] * self.most)
        self._queue: deque[_Ticket] = deque()

    def place(self) -> Place:
        """Return a place that is not held yet; `Place.take` takes it.

        In a forked child all places are free: the generations that hold them run in the parent.
        """
        if self._forked != _forks.count:
            self._begin()
        return Place(self._free, self._queue, self.most)

    def __reduce__(self) -> tuple[Any, ...]:
        return Limit, (self.most,)

    def __repr__(self) -> str:
        return f"Limit({self.most})"


@final
class Place:
    """One of the places of a `Limit`. Dropped while it is held, it is given back.

    Only one task uses it at a time: that which generates. It is `take_if_free` or `take`, then any number of times
    `rest` and `take_again`, then `give_back`.
    """

    __slots__ = ("_free", "_held", "_over", "_queue", "most")

    def __init__(self, free: deque[None], queue: deque[_Ticket], most: int) -> None:
        self.most = most
        self._free = free
        self._queue = queue
        self._held = False
        self._over = False

    def take_if_free(self) -> bool:
        """Take the place if nobody has to be waited for; return whether it is held now."""
        if self._queue or not self._take_token():
            return False
        self._register()
        return True

    async def take(self) -> None:
        """Wait for the place, behind all who wait for one."""
        await self._wait(self._queue.append)
        self._register()

    async def take_again(self) -> None:
        """Wait for the place after a rest: before all who wait, as they all began later. A no-op if it is held."""
        if not (self._held or self._over or self._take_token()):
            await self._wait(self._queue.appendleft)

    def rest(self) -> None:
        """Give the place to others for a while; from the task that generates."""
        if self._held:
            self._held = False
            self._free.append(None)
            _serve(self._free, self._queue)

    def give_back(self) -> None:
        """Give the place back for good, from any thread; a no-op if it was."""
        self._over = True
        self.rest()

    def __del__(self) -> None:
        self.rest()

    def _take_token(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        self._held = True
        return True

    def _register(self) -> None:
        """Have the generation give the place up while it pauses."""
        owner = generation.get()
        if owner is not None:
            owner.places = (*owner.places, self)

    async def _wait(self, queue_up: Callable[[_Ticket], None]) -> None:
        loop = loops.current()
        ticket = _Ticket(loop, loop.waiter())
        queue_up(ticket)
        _serve(self._free, self._queue)  # a token may have come back in between
        try:
            await ticket.waiter.wait()
        except BaseException:
            if not ticket.claim():  # it was served in the same moment: pass it on
                self._free.append(None)
                _serve(self._free, self._queue)
            raise
        self._held = True


@final
class _Ticket:
    """Somebody who waits for a place. It is claimed once: by who serves it, or by itself when it gives up."""

    __slots__ = ("_once", "loop", "waiter")

    def __init__(self, loop: loops.Loop, waiter: loops.Waiter) -> None:
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


def _serve(free: deque[None], queue: deque[_Ticket]) -> None:
    """Hand tokens to those who wait, in their order, as long as there are both."""
    while queue:
        try:
            free.pop()
        except IndexError:
            return
        if not _serve_one(queue):
            free.append(None)
            # Somebody may have come after the queue was found empty: look again.


def _serve_one(queue: deque[_Ticket]) -> bool:
    """Give the token in hand to the first who still waits, in a loop that still runs."""
    while True:
        try:
            ticket = queue.popleft()
        except IndexError:
            return False
        # Through the loop also where it is this one: this may run inside the garbage collector.
        if ticket.claim() and ticket.loop.call_soon(ticket.waiter.wake):
            return True
