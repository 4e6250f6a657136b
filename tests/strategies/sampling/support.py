"""What the tests of sampling stand on: a backend that answers each call when the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import anyio

import mellite
from mellite.events import Event, Finish, ResponseStart, TextDelta, Usage
from mellite.request import Request

__all__ = ["Call", "Calls", "failing", "sampling", "short"]


class Call:
    """One call that a backend got; it waits until the test answers it.

    Attributes:
        request: what was asked.
        end: how its stream ended: "" while it runs, "answered", "failed" or "cancelled".
    """

    def __init__(self, request: Request, usage: Usage | None) -> None:
        self.request = request
        self.end = ""
        self._usage = usage
        self._answer: list[str | Event | BaseException] = []
        self._come = anyio.Event()

    @property
    def lineage(self) -> tuple[int, ...]:
        """Which copy asks."""
        lineage: tuple[int, ...] = self.request.metadata["lineage"]
        return lineage

    def answer(self, text: str) -> None:
        """Let it answer with this text, whole."""
        self._answer = [TextDelta(text), Finish("stop", usage=self._usage)]
        self._come.set()

    def fail(self, error: BaseException) -> None:
        """Let it fail."""
        self._answer = [error]
        self._come.set()

    async def stream(self) -> AsyncIterator[Event]:
        """Send what the test said, when it has."""
        self.end = "cancelled"
        await self._come.wait()
        for step in self._answer:
            if isinstance(step, BaseException):
                self.end = "failed"
                raise step
            if isinstance(step, Finish):
                self.end = "answered"
            yield step if not isinstance(step, str) else TextDelta(step)


class Calls(mellite.Backend):
    """A backend whose calls the test answers one by one.

    Args:
        provider: which provider it says it is, for prices.
        model: which model.
        usage: what every whole answer is said to have used.
    """

    def __init__(
        self,
        *,
        provider: str = "fake",
        model: str = "fake-1",
        usage: Usage | None = Usage.of(input_tokens=4, output_tokens=6),  # noqa: B008 - a frozen value
    ) -> None:
        self.provider = provider
        self.model = model
        self.usage = usage
        self.calls: list[Call] = []
        self.open = 0
        self._more = anyio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Wait for the test's answer to this call."""
        call = Call(request, self.usage)
        self.calls.append(call)
        self._more.set()
        self.open += 1
        stream = call.stream()
        try:
            yield ResponseStart(provider=self.provider, model=self.model, streaming=True)
            async for event in stream:
                yield event
        finally:
            await stream.aclose()
            self.open -= 1

    async def called(self, count: int) -> list[Call]:
        """The calls so far, by lineage, when there are this many; trio begins tasks in any order."""
        while len(self.calls) < count:
            self._more = anyio.Event()
            await self._more.wait()
        return sorted(self.calls, key=lambda call: call.lineage)

    @property
    def ends(self) -> list[str]:
        """How each call ended, by lineage."""
        return [call.end for call in sorted(self.calls, key=lambda call: call.lineage)]


def short(most: int = 3) -> mellite.Requirement:
    """A requirement on the length of the answer, in characters."""

    def check(thunk: Any) -> mellite.ValidationResult:
        long = len(thunk.value) > most
        return mellite.ValidationResult(not long, f"it has {len(thunk.value)}" if long else None)

    return mellite.Requirement(f"at most {most} characters", check)


def failing(error: Exception) -> mellite.Requirement:
    """A requirement whose check raises."""

    def check(thunk: Any) -> bool:
        raise error

    return mellite.Requirement("a check that breaks", check)


class sampling:  # noqa: N801 - reads as what it does
    """Runs a strategy in a task of its own: ``async with sampling(strategy, thunk) as run: ...; run.result``.

    Leaving the block waits for it. What it raised is in ``error``.
    """

    def __init__(self, strategy: mellite.sampling.Strategy, thunk: Any, requirements: Any = (), **options: Any) -> None:
        self._start: Callable[[], Any] = lambda: strategy.sample(thunk, requirements, **options)
        self._group = anyio.create_task_group()
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()
        self.result: Any = None
        self.error: Exception | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._group.__aexit__(*error)

    async def _run(self) -> None:
        with self.scope:
            try:
                self.result = await self._start()
            except Exception as error:
                self.error = error
        self.over.set()
