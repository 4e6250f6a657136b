"""A run whose last answer came as one text: it stays unread, and whoever looks sees what there would be otherwise."""

from __future__ import annotations

import json
import pickle
from typing import Any

import anyio
import pytest

import mellite
from mellite import Run
from mellite.cassettes import ScriptedTransport
from mellite.events import Event, Finish, ResponseStart, StepFinish, TextDelta
from tests.strategies.agent.played import add

pytestmark = pytest.mark.anyio


def answer(message: dict[str, Any], reason: str) -> str:
    """A whole answer of Chat Completions."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return json.dumps({"id": "one", "model": "gpt-4o", "choices": [choice], "usage": usage})


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
ASKING = answer({"content": "Adding.", "tool_calls": [CALL]}, "tool_calls")
ANSWERING = answer({"content": "It is 3."}, "stop")


def run_over(prompt: Any = "How much?") -> Run[str]:
    """A run over answers in one piece, which are pushed where the loop can."""
    backend = mellite.backend("openai-chat:gpt-4o", api_key="sk-x", transport=ScriptedTransport([ASKING, ANSWERING]))
    return mellite.run(backend, prompt, tools=[add], stream=False)


async def events_of(run: Run[str]) -> list[Event]:
    """All events but those that hold times or what was sent."""
    return [event async for event in run.events() if not isinstance(event, ResponseStart)]


async def test_looked_at_later() -> None:
    """Text, steps, messages, usage, cost and events are there."""
    run = run_over()
    assert await run == run.value == "It is 3."
    assert (run.stop_reason, len(run.steps), run.steps[1].calls) == ("answered", 2, ())
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert run.usage is not None
    assert run.usage.total_tokens == 30
    assert run.cost_usd is not None
    assert run.generation.usage == run.usage
    assert run.generation.cost_usd == run.cost_usd
    events = await events_of(run)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Adding.", "It is 3."]
    ends = [event for event in events if isinstance(event, StepFinish)]
    assert [(end.index, end.reason, end.usage and end.usage.total_tokens) for end in ends] == [
        (0, "tool-calls", 15),
        (1, "stop", 15),
    ]
    assert isinstance(events[-1], Finish)
    assert events[-1].usage == run.usage
    assert [delta async for delta in run] == ["Adding.", "It is 3."]


async def test_looked_at_while_it_runs() -> None:
    """Whoever reads along gets the same events and deltas, each once."""
    run, read = run_over(), run_over()
    got: list[list[Any]] = []

    async def along() -> None:
        got.append(await events_of(read))

    async def texts() -> None:
        got.append([delta async for delta in read])

    async with anyio.create_task_group() as group:
        group.start_soon(along)
        group.start_soon(texts)
    await run
    assert sorted(got, key=len) == [["Adding.", "It is 3."], await events_of(run)]
    assert await events_of(read) == await events_of(run)


def test_without_await() -> None:
    """In code without await, too."""
    assert list(run_over().iter()) == ["Adding.", "It is 3."]
    assert run_over().result() == "It is 3."


async def test_copied_unread() -> None:
    """A pickle and a copy hold all of it."""
    run = run_over()
    await run
    kept = pickle.loads(pickle.dumps(run))
    assert (kept.value, kept.usage, kept.messages) == (run.value, run.usage, run.messages)
    assert await events_of(kept) == await events_of(run)


async def test_a_thunk_in_the_prompt() -> None:
    """Where the prompt has to settle first, the events are those, too."""
    run = run_over([mellite.backends.Constant("How much?").generate("x")])
    assert await run == "It is 3."
    assert [delta async for delta in run] == ["Adding.", "It is 3."]
    assert run.messages[0].text == "How much?"


async def test_behind_many_events() -> None:
    """Behind a long stream, the last text is read at once, so that no event is kept by itself."""
    pieces = "".join('data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n' for _ in range(400))
    call = f'data: {{"choices": [{{"index": 0, "delta": {{"tool_calls": [{json.dumps({"index": 0, **CALL})}]}}}}]}}\n\n'
    end = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\ndata: [DONE]\n\n'
    transport = ScriptedTransport([pieces + call + end, ANSWERING])
    backend = mellite.backend("openai-chat:gpt-4o", api_key="sk-x", transport=transport)
    run = mellite.run(backend, "How much?", tools=[add])
    assert await run == "It is 3."
    assert len([delta async for delta in run]) == 401
