"""Order among tasks: how many turns of the loop a reader is given, and beginning in the order of being made."""

from __future__ import annotations

from typing import Final, final

import anyio

__all__ = ["TURNS", "Turns"]

#: How many turns of the loop a reader is given to act on the end of an answer: to settle, to check, to cancel others.
TURNS: Final = 32


@final
class Turns:
    """Gives out numbers, and lets whoever has one wait until all with lower ones have begun.

    What a task does between its turn and its first wait comes before what the next one does.
    """

    __slots__ = ("_begun", "_given", "_next", "_waiting")

    def __init__(self) -> None:
        self._given = 0
        self._next = 0
        self._begun: set[int] = set()
        self._waiting: dict[int, anyio.Event] = {}

    def take(self) -> int:
        """The next number."""
        number = self._given
        self._given += 1
        return number

    async def wait(self, number: int) -> None:
        """Wait for the turn of a number, and pass it on; also when that is cancelled."""
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
