"""Backends that count what they are asked, for tests of journals."""

from __future__ import annotations

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
        self.answered: set[str] = set()

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        self.asked[request.text] += 1
        count = self.asked[request.text]
        yield TextDelta(request.text.upper())
        wait = self.waits.get(request.text, 0)
        while isinstance(wait, str) and wait not in self.answered:
            await anyio.sleep(0.002)
        await anyio.sleep(0 if isinstance(wait, str) else wait)
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
