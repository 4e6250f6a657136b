"""What a run adds to the loop that a caller would write by hand around thunks and tools, on both loops."""

from __future__ import annotations

from collections.abc import AsyncIterator

import sniffio

import mellite
from mellite import Message, Request, ToolCall, stop
from mellite.events import Event, Finish, ToolCallEvent
from mellite.request import GenerateOptions
from mellite.strategies.agent.calling import run_calls
from tests.benchmarks.measure import Effort, Row, Run, added, in_turn, ratio
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
        *await _live(effort, loop),
    ]


async def _live(effort: Effort, loop: str) -> list[Row]:
    """Measure a run of two steps, with a tool call between them, beside the two calls that it makes."""
    runs = effort.size(20, 10)
    options: GenerateOptions = {"model": "tool", "stream": False}
    with running() as base:
        async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as backend:
            asked = backend.generate("What is it?", tools=[look], **options)
            await asked
            (called,) = await run_calls(asked.tool_calls, {"look": look})
            assert called.result is not None
            history = [Message.user("What is it?"), asked.message, Message.tool(called.result)]

            async def one_run() -> None:
                for _ in range(runs):
                    await mellite.run(backend, "What is it?", tools=[look], **options)

            async def same_calls() -> None:
                for _ in range(runs):
                    await backend.generate("What is it?", tools=[look], **options)
                    await backend.generate(history, tools=[look], **options)

            async def bare_calls() -> None:
                for _ in range(runs * 2):
                    await backend.generate("What is it?", model="unary", stream=False)

            async def hand_written() -> None:
                for _ in range(runs):
                    await by_hand(backend, asked.call.request, 2)

            clients: dict[str, Run] = {"run": one_run, "same": same_calls, "bare": bare_calls, "hand": hand_written}
            times = await in_turn(clients, rounds=effort.rounds(60), per=runs * 2)
    ours = times["run"]
    return [
        ratio("agent", f"run, a step, over a unary call with the same bytes, {loop}", ours, times["same"], bar=1.2),
        ratio("agent", f"run, a step, over a bare unary call, {loop}", ours, times["bare"], bar=None),
        ratio("agent", f"run, a step, over a loop by hand, {loop}", ours, times["hand"], bar=None),
    ]
