"""What the tests of runs stand on: a backend that plays given answers, one after the other, and some tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import mellite
from mellite.events import Event, Finish, ResponseStart, StepFinish, StepStart, TextDelta, ToolCallEvent, Usage
from mellite.messages import Message, ToolCall, ToolResult
from mellite.request import Request
from tests.thunk.support import Gate

__all__ = ["Answer", "Played", "add", "asks", "results_of", "shouts"]

#: What a step answers: texts and calls, or events as they are; or an error to raise.
Answer: TypeAlias = list[Any]


class Played(mellite.Backend):
    """Answers the k-th step of a history with the k-th of given answers, whoever asks.

    Args:
        answers: for each step its texts, calls and events; `Finish` is added unless there is one.
        gate: to stop before each event.
        usage: what each step uses.
        provider: who answers, and `model` with what.

    Attributes:
        requests: every request, in order.
        open: how many streams have begun and not ended.
    """

    def __init__(
        self,
        *answers: Answer,
        gate: Gate | None = None,
        usage: Usage | None = None,
        provider: str | None = "acme",
        model: str | None = "anvil-1",
    ) -> None:
        self.answers = answers
        self.gate = gate
        self.usage = usage if usage is not None else Usage.of(input_tokens=10, output_tokens=4)
        self.names = (provider, model)
        self.requests: list[Request] = []
        self.open = 0
        self.sent = 0

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Play the answer that is next in this history."""
        index = sum(message.role == "assistant" for message in request.messages)
        self.requests.append(request)
        self.open += 1
        try:
            for event in self._answer(self.answers[index]):
                if self.gate is not None:
                    await self.gate.wait(self.sent)
                self.sent += 1
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.open -= 1

    def _answer(self, answer: Answer) -> Iterator[Event | BaseException]:
        provider, model = self.names
        yield ResponseStart(provider=provider, model=model, response_id=f"response-{len(self.requests)}")
        yield StepStart(0)
        reason: Any = "stop"
        for item in answer:
            if isinstance(item, ToolCall):
                reason = reason if item.provider_executed else "tool-calls"
                yield ToolCallEvent(item)
            else:
                yield TextDelta(item) if isinstance(item, str) else item
        if not any(isinstance(item, Finish) for item in answer):
            yield StepFinish(0, reason=reason, usage=self.usage)
            yield Finish(reason, raw_reason=f"raw {reason}", usage=self.usage)


def asks(id: str, name: str = "add", **arguments: Any) -> ToolCall:
    """A call of a tool."""
    return ToolCall(id, name, arguments)


@mellite.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@mellite.tool
async def shouts(text: str) -> str:
    """Shout, or fail on an empty text."""
    if not text:
        raise mellite.errors.ToolFailure("there is nothing to shout")
    return text.upper()


def results_of(messages: tuple[Message, ...]) -> list[tuple[str, Any]]:
    """The ids and values of all results in a history."""
    parts = [part for message in messages for part in message.content if isinstance(part, ToolResult)]
    return [(part.id, part.result.value) for part in parts]


def raises(error: Exception) -> Callable[..., Any]:
    """A function that raises this."""

    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function
