"""Let the ends of recorded answers through one after the other, so that there is an order that a replay can keep."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from anyio.lowlevel import checkpoint

from ...loops import Waiter, current, forking
from ...loops.turns import TURNS

__all__ = ["Turnstile"]

#: Within so many seconds after an end its reader may still have to act on it.
_RECENT: Final = 0.05


class Turnstile:
    """One at a time, in the order in which they come; after the end of another answer not before its reader acted.

    When two answers of twenty end in the same turn of the loop, it is chance which of them is accepted first, and what
    is asked next because of it. Half a millisecond makes it an order.

    Attributes:
        inside: how many answers are on their way; with only one there is nothing to wait for.
    """

    def __init__(self) -> None:
        self.inside = 0
        self._lock = forking.lock()
        self._taken = False
        self._waiting: deque[Waiter] = deque()
        self._last = float("-inf")
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        """Forget who is inside, and waits: they do so in the parent."""
        self.inside = 0
        self._taken = False
        self._waiting.clear()

    async def enter(self) -> None:
        """Wait for one's turn; `leave` must follow."""
        waiter: Waiter | None = None
        with self._lock:
            if self._taken:
                waiter = current().waiter()
                self._waiting.append(waiter)
            self._taken = True
        try:
            if waiter is not None:
                await waiter.wait()
            if self.inside > 1 and time.monotonic() - self._last < _RECENT:
                for _ in range(TURNS):
                    await checkpoint()
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: Waiter | None) -> None:
        with self._lock:
            if waiter is not None and waiter in self._waiting:
                self._waiting.remove(waiter)
                return
        self.leave(ended=False)

    def leave(self, *, ended: bool = True) -> None:
        """Let the next one in.

        Args:
            ended: whether an answer ended here.
        """
        if ended:
            self._last = time.monotonic()
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._taken = following is not None
        if following is not None:
            following.wake()
