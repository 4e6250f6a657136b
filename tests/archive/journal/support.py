"""Backends that count what they are asked, for tests of journals."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import anyio

import mellite
from mellite.events import Event, Finish, TextDelta, ToolCallEvent


class Counting(mellite.Backend):
    """Answers with the text of the request in capitals, and counts what it is asked.

    Attributes:
        asked: how often each text was asked.
        waits: seconds that the answer to a text takes; or what must have been answered before.
    """

    def __init__(self, **waits: float | str) -> None:
        self.asked: Counter[str] = Counter()
        self.waits = waits
        self._answered: dict[str, anyio.Event] = {}

    def answered(self, name: str) -> anyio.Event:
        """What is set when an answer has been read."""
        return self._answered.setdefault(name, anyio.Event())

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        self.asked[request.text] += 1
        count = self.asked[request.text]
        yield TextDelta(request.text.upper())
        wait = self.waits.get(request.text, 0)
        if isinstance(wait, str):
            await self.answered(wait).wait()
        else:
            await anyio.sleep(wait)
        yield TextDelta(f" {count}")
        yield Finish("stop")


class ByStep(mellite.Backend):
    """Answers by how far a run has come, as the messages of the request say: as a model does, and no memory.

    Args:
        answers: what is answered in each step: a text, or calls of tools.
    """

    def __init__(self, *answers: str | Sequence[mellite.ToolCall]) -> None:
        self.answers = answers
        self.asked = 0

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        self.asked += 1
        answer = self.answers[sum(message.role == "assistant" for message in request.messages)]
        if isinstance(answer, str):
            yield TextDelta(answer)
            yield Finish("stop")
            return
        for call in answer:
            yield ToolCallEvent(call)
        yield Finish("tool-calls")


class Failing(Counting):
    """Fails when it is asked for the first time, and then answers."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        if not self.asked[request.text]:
            self.asked[request.text] += 1
            raise self.error
        async for event in super().stream(request):
            yield event


class AtRandom(mellite.Backend):
    """Answers at random, in random time.

    Attributes:
        asked: how often it was asked.
    """

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        self.asked += 1
        number = random.random()
        for word in ("the number", f"{number:.3f}", "is it"):
            await anyio.sleep(random.random() / 200)
            yield TextDelta(word.split()[0] + " ")
        yield Finish("stop")


class Breaking(mellite.Backend):
    """Raises an error of its own, or ends without an end.

    Args:
        asked: whether it is an error to ask it.
    """

    def __init__(self, *, asked: bool = False) -> None:
        self.asked = asked

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        assert not self.asked
        yield TextDelta("so far")
        if request.text == "raise":
            msg = "by itself"
            raise ValueError(msg)
