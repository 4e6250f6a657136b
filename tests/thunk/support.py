"""What the contract tests stand on: backends that record what happens to them, gates that order events, consumers.

Nothing here sleeps. A `Source` with a `Gate` stops before each event until the test lets it go on, so that a test
decides what has happened when; consumers run in tasks of their own, which can be cancelled one by one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import anyio
import sniffio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

import mellite
from mellite.events import Event, Finish, ResponseStart, TextDelta, Usage
from mellite.request import Request

__all__ = [
    "Consumer",
    "Gate",
    "Source",
    "blocked",
    "caught",
    "collect",
    "collected_then",
    "live_tasks",
    "run_child",
    "texts",
    "traceback_length",
]


class Gate:
    """Holds a source before each of its events until the test opens it; for one event loop.

    It is shut for the event with index n until more than n have been allowed.
    """

    def __init__(self) -> None:
        self._open: dict[int, anyio.Event] = defaultdict(anyio.Event)
        self._reached: dict[int, anyio.Event] = defaultdict(anyio.Event)
        self._allowed = 0

    def allow(self, count: int = 1) -> None:
        """Let `count` more events pass."""
        for index in range(self._allowed, self._allowed + count):
            self._open[index].set()
        self._allowed += count

    async def wait(self, index: int) -> None:
        """For the source: wait until the event with this index may pass."""
        self._reached[index].set()
        await self._open[index].wait()

    async def reached(self, index: int) -> None:
        """For the test: wait until the source stands before the event with this index."""
        await self._reached[index].wait()


class Source(mellite.Backend):
    """A backend that sends given events and records what happens to it.

    Args:
        pieces: texts to send as deltas, or events to send as they are; one `Finish` is added to plain texts.
        gate: to stop before each event.
        error: to raise at the end instead of finishing.
        suspend: whether to let other tasks run before each event.

    Attributes:
        requests: every request, as soon as its stream takes its first step.
        handed: how many events were taken from all streams.
        open: how many streams have begun and not ended.
        ends: how each stream ended: exhausted, failed, closed or cancelled.
        threads: the threads that it ran in.
    """

    def __init__(
        self,
        pieces: Iterable[str | Event] = ("one ", "two ", "three"),
        *,
        gate: Gate | None = None,
        error: BaseException | None = None,
        suspend: bool = True,
    ) -> None:
        items = list(pieces)
        self.events: list[Event] = [TextDelta(item) if isinstance(item, str) else item for item in items]
        if error is None and all(isinstance(item, str) for item in items):
            self.events.append(Finish("stop", usage=Usage.of(input_tokens=1, output_tokens=len(items))))
        self.gate = gate
        self.error = error
        self.suspend = suspend
        self.requests: list[Request] = []
        self.handed = 0
        self.open = 0
        self.ends: list[str] = []
        self.threads: set[int] = set()

    @property
    def calls(self) -> int:
        """How many streams have begun."""
        return len(self.requests)

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the events."""
        self.requests.append(request)
        self.threads.add(threading.get_ident())
        self.open += 1
        end = "cancelled"
        try:
            for index, event in enumerate(self.events):
                await self._before(index)
                self.handed += 1
                yield event
            await self._before(len(self.events))
            end = "exhausted" if self.error is None else "failed"
            if self.error is not None:
                raise self.error
        except GeneratorExit:
            end = "closed"
            raise
        finally:
            self.open -= 1
            self.ends.append(end)

    async def _before(self, index: int) -> None:
        if self.gate is not None:
            if index < len(self.events) or self.error is not None:
                await self.gate.wait(index)
        elif self.suspend:
            await checkpoint()


def full_answer() -> list[Event]:
    """One answer with everything in it that an answer can have."""
    from mellite import events as e
    from mellite.messages import ToolCall, ToolResult

    return [
        ResponseStart(
            provider="acme",
            protocol="acme-chat",
            model="m-1",
            status=200,
            headers={"x-request-id": "r1"},
            request_body={"messages": [{"role": "user"}]},
            streaming=True,
        ),
        e.StepStart(0),
        e.RawChunk(b'{"n": 1}'),
        e.ReasoningStart("r-0"),
        e.ReasoningDelta("let me ", id="r-0"),
        e.ReasoningDelta("think", id="r-0"),
        e.ReasoningEnd("r-0", provider_metadata={"acme": {"signature": ["s"]}}),
        e.TextStart("t-0"),
        e.TextDelta("Hel", id="t-0"),
        e.TextDelta("lo. é🎉", id="t-0"),
        e.RawChunk(b'{"n": 2}'),
        e.TextEnd("t-0"),
        e.ToolInputStart("c1", "look_up"),
        e.ToolInputDelta("c1", "look_up", '{"q": '),
        e.ToolInputDelta("c1", "look_up", '["x"]}'),
        e.ToolInputEnd("c1", "look_up"),
        e.ToolCallEvent(ToolCall("c1", "look_up", {"q": ["x"]}, raw_arguments='{"q": ["x"]}')),
        e.ToolInputError("c2", "broken", raw="{"),
        e.ToolResultEvent(ToolResult("c3", "search", {"hits": [1]}, provider_executed=True)),
        e.ToolErrorEvent("c4", "search", message="no"),
        e.StepFinish(0, reason="stop", usage=Usage.of(input_tokens=4, output_tokens=5, raw={"in": [4]})),
        ResponseStart(response_model="m-1-2026", response_id="resp-1", request_id="r1"),
        e.TextDelta("Bye.", id="t-1"),
        Finish(
            "stop",
            raw_reason="end",
            usage=Usage.of(input_tokens=4, output_tokens=5, raw={"in": [4]}),
            response={"choices": [{"text": "Hello."}]},
        ),
    ]


class Consumer:
    """A function run in a task of its own, in a task group; it can be cancelled alone.

    Attributes:
        value: what it returned.
        error: the `Exception` that it raised.
        was_cancelled: whether it was cancelled.
    """

    def __init__(self, group: TaskGroup, function: Callable[[], Awaitable[Any]]) -> None:
        self.scope = anyio.CancelScope()
        self.value: Any = None
        self.error: Exception | None = None
        self.was_cancelled = False
        self._over = anyio.Event()
        group.start_soon(self._run, function)

    async def _run(self, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            with self.scope:
                self.value = await function()
        except Exception as error:
            self.error = error
        self.was_cancelled = self.scope.cancelled_caught
        self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._over.is_set()

    def cancel(self) -> None:
        """Cancel it, and nothing else."""
        self.scope.cancel()

    async def over(self) -> None:
        """Wait until it has ended."""
        await self._over.wait()


async def blocked() -> None:
    """Let every other task, and every callback that a loop was given, run until all wait for something."""
    for _ in range(3):  # asyncio's callbacks are not tasks, and one leads to another
        await checkpoint()
        await anyio.wait_all_tasks_blocked()


async def collect(items: Any) -> list[Any]:
    """Everything that an asynchronous iterable gives.

    A loop and no comprehension: that would keep the iterator in a variable of its frame, hence in tracebacks.
    """
    got: list[Any] = []
    iterator = [aiter(items)]
    del items
    async for item in iterator.pop():
        got.append(item)  # noqa: PERF401
    return got


async def collected_then(items: Any) -> tuple[list[Any], Exception | None]:
    """Everything that an asynchronous iterable gives, and the error with which it ended, if it did."""
    got: list[Any] = []
    iterator = [aiter(items)]
    del items  # as above
    try:
        async for item in iterator.pop():
            got.append(item)  # noqa: PERF401 - a comprehension that fails gives nothing
    except Exception as error:
        return got, error
    return got, None


async def caught(awaitable: Awaitable[Any]) -> Exception | None:
    """The error that awaiting it raises; None if it raises none."""
    try:
        await awaitable
    except Exception as error:
        return error
    return None


def texts(events: Sequence[Event]) -> list[str]:
    """The text deltas among events."""
    return [event.text for event in events if isinstance(event, TextDelta)]


def live_tasks() -> set[Any]:
    """Every task of the running loop but this one: asyncio's, or trio's whole tree, system tasks included."""
    if sniffio.current_async_library() == "asyncio":
        import asyncio

        return asyncio.all_tasks() - {asyncio.current_task()}
    import trio

    root = trio.lowlevel.current_root_task()
    found, waiting = set(), [root]
    while waiting:
        task = waiting.pop()
        if task is not None:
            found.add(task)
            waiting.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return found - {trio.lowlevel.current_task()}


def traceback_length(error: BaseException) -> int:
    """How many frames the traceback of an error has."""
    length, traceback = 0, error.__traceback__
    while isinstance(traceback, TracebackType):
        length, traceback = length + 1, traceback.tb_next
    return length


SLOW_STEP = re.compile(r"Executing <(Task|Handle).* took \d+\.\d+ seconds$")


def run_child(code: str, *flags: str, strict: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter in development mode, with warnings as errors; it must end well and in silence."""
    packages = [str(Path(mellite.__file__).parent.parent), str(Path(__file__).parent.parent.parent)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", *flags, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(packages), **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    if strict:
        assert done.returncode == 0, done.stderr
        # In development mode asyncio says which step took long: that depends on what else the machine does.
        said = [line for line in done.stderr.splitlines() if not SLOW_STEP.match(line)]
        assert not said, done.stderr
    return done
