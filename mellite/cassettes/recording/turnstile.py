"""Put the ends of recorded answers in an order that a replay can keep, by letting them through one at a time."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from anyio.lowlevel import checkpoint

from ...loops import Waiter, current, forking
from ...loops.turns import TURNS

__all__ = ["Turnstile"]

#: For so many seconds after an end, its reader may not have acted on it yet.
_RECENT: Final = 0.05

#: How long a thread waits in one go, and in all, in seconds. Whoever is inside may need the very loop that the thread
#: holds up, so that waiting for ever would be a deadlock; what is lost is only the order.
_BRIEF: Final = 0.0005
_PATIENCE: Final = 0.25


class Turnstile:
    """Admit one waiter at a time, FIFO, leaving the previous reader time to react.

    When two answers of twenty end in the same turn of the loop, chance decides which of them is accepted first, and
    what is asked next because of that. A wait of half a millisecond makes it an order.

    Tasks of several loops and threads may use one turnstile. ``_lock`` is held for a few instructions only, and no
    other lock is taken under it.

    Attributes:
        inside: how many answers are on their way. After the end of the only one, `enter` does not wait.
    """

    def __init__(self) -> None:
        self.inside = 0
        self._lock = forking.lock()
        self._taken = False
        self._waiting: deque[Waiter] = deque()
        self._last = float("-inf")
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        """Forget the answers and waiters of the parent, which do not go on in a forked child."""
        self.inside = 0
        self._taken = False
        self._waiting.clear()

    def enters_at_once(self) -> bool:
        """Enter if that needs no wait, and return whether it did; `leave` must follow then."""
        with self._lock:
            free = not self._taken and time.monotonic() - self._last >= _RECENT
            self._taken = self._taken or free
        return free

    async def enter(self) -> None:
        """Wait until admitted. `leave` must follow, unless this raises."""
        waiter: Waiter | None = None
        with self._lock:
            if self._taken:
                waiter = current().waiter()
                self._waiting.append(waiter)
            self._taken = True
        try:
            if waiter is not None:
                await waiter.wait()
            if time.monotonic() - self._last < _RECENT:
                for _ in range(TURNS):
                    await checkpoint()
        except BaseException:
            self._give_up(waiter)
            raise

    def enter_blocking(self) -> bool:
        """Wait until admitted, in code without await; return False, without having entered, if that takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self._lock:
                if not self._taken:
                    self._taken = True
                    break
            if time.monotonic() >= deadline:
                return False
            time.sleep(_BRIEF)
        if time.monotonic() - self._last < _RECENT:
            time.sleep(_BRIEF)
        return True

    def _give_up(self, waiter: Waiter | None) -> None:
        """Withdraw a cancelled waiter; if it was admitted already, admit the next one in its place."""
        with self._lock:
            if waiter is not None and waiter in self._waiting:
                self._waiting.remove(waiter)
                return
        self.leave(ended=False)

    def leave(self, *, ended: bool = True) -> None:
        """Admit the next waiter.

        Args:
            ended: whether the caller let an answer end, so that its reader needs time to react.
        """
        if ended and self.inside:  # whoever is still on the way may be let through next, also the last one
            self._last = time.monotonic()
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._taken = following is not None
        if following is not None:
            following.wake()
