"""Order among tasks: begin in the order of being made, and give a reader time to act on an end."""

from __future__ import annotations

from typing import Final, final

import anyio

__all__ = ["TURNS", "Turns"]

#: How many turns of the loop the reader of an answer is given to act on its end: to settle, to check, to cancel others.
TURNS: Final = 32


@final
class Turns:
    """Lets tasks begin in the order in which they took their numbers; all in one event loop.

    A task runs from its turn to its next wait before the one after it begins.
    """

    __slots__ = ("_begun", "_given", "_next", "_waiting")

    def __init__(self) -> None:
        self._given = 0
        self._next = 0
        self._begun: set[int] = set()
        self._waiting: dict[int, anyio.Event] = {}

    def take(self) -> int:
        """Take the next number."""
        number = self._given
        self._given += 1
        return number

    async def wait(self, number: int) -> None:
        """Wait for the turn of `number`; then, or when that is cancelled, pass the turn on."""
        try:
            if number != self._next:
                event = self._waiting[number] = anyio.Event()
                await event.wait()
        finally:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._begun.add(number)
        while self._next in self._begun:
            self._begun.remove(self._next)
            self._next += 1
        following = self._waiting.get(self._next)
        if following is not None:
            following.set()
