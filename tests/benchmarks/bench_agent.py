"""What a run adds to the loop that a caller would write by hand around thunks and tools, on both loops."""

from __future__ import annotations

from collections.abc import AsyncIterator

import sniffio

import mellite
from mellite import Message, Request, ToolCall, stop
from mellite.events import Event, Finish, ToolCallEvent
from mellite.strategies.agent.calling import run_calls
from tests.benchmarks.measure import Effort, Row, added, in_turn, ratio
from tests.benchmarks.server import running

STEPS = 5
RUNS = 20


@mellite.tool
async def look(at: str) -> str:
    """Look at something."""
    return f"It is {at}."


class Asks(mellite.Backend):
    """Asks for the same tool each time."""

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Ask."""
        yield ToolCallEvent(ToolCall("call_1", "look", {"at": "the fox"}))
        yield Finish("tool-calls")


async def by_hand(backend: mellite.Backend, request: Request, steps: int) -> None:
    """Ask and run the tools, step by step."""
    messages = request.messages
    for _ in range(steps):
        thunk = backend.generate(list(messages), tools=[look], model=request.model, stream=request.options.stream)
        await thunk
        if thunk.tool_calls:
            called = await run_calls(thunk.tool_calls, {"look": look})
            messages = (*messages, thunk.message, Message.tool(*[each.result for each in called if each.result]))


async def run(backend: mellite.Backend, request: Request, steps: int) -> None:
    """Do the same in one run."""
    await mellite.run(backend, request, tools=[look], stop_when=stop.steps(steps) | stop.repeats(steps + 1)).settle()


async def agent(effort: Effort) -> list[Row]:
    """Measure on the loop that runs: on a fake backend, and over HTTP."""
    loop = sniffio.current_async_library()
    backend, request = Asks(), Request.of("What is it?")

    async def fake_by_hand() -> None:
        for _ in range(RUNS):
            await by_hand(backend, request, STEPS)

    async def fake_run() -> None:
        for _ in range(RUNS):
            await run(backend, request, STEPS)

    times = await in_turn({"hand": fake_by_hand, "run": fake_run}, rounds=effort.rounds(40), per=RUNS * STEPS)
    return [
        added("agent", f"run, a step, added, {loop}", times["run"], times["hand"], bar=60),
        await _live(effort, loop),
    ]


async def _live(effort: Effort, loop: str) -> Row:
    calls = effort.size(20, 10)
    request = Request.of("What is it?", model="tool", stream=False)
    with running() as base:
        async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as backend:

            async def live_by_hand() -> None:
                for _ in range(calls):
                    await by_hand(backend, request, 2)

            async def live_run() -> None:
                for _ in range(calls):
                    await run(backend, request, 9)

            times = await in_turn({"hand": live_by_hand, "run": live_run}, rounds=effort.rounds(40), per=calls * 2)
    return ratio("agent", f"run, a unary step, {loop}", times["run"], times["hand"], bar=1.2)
