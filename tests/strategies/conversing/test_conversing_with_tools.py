"""Conversations with tools: an answer is a run, and the messages of all its steps enter the history."""

from __future__ import annotations

import copy
import pickle

import pytest

import mellite
from mellite import Conversation, ToolCall
from mellite.errors import InvalidRequest, RequestError, UnknownOption
from tests.strategies.agent.played import Played, add, asks

pytestmark = pytest.mark.anyio


def roles(chat):
    return [message.role for message in chat.messages]


async def test_an_answer_is_a_run():
    """It calls the tools; all its messages are in the history of the next question, and nothing was sent before."""
    backend = Played([asks("1", a=1, b=2)], ["Three."], [asks("2", a=3, b=4)], ["Seven."])
    chat = Conversation(backend, tools=[add], system="Be brief.")
    first = chat.ask("What is 1 + 2?")
    assert isinstance(first, mellite.Run)
    after = chat.after(first)
    second = after.ask("And 4 more?")
    assert (backend.requests, len(after.messages)) == ([], 2)
    assert await second == "Seven."
    assert first.text == "Three."
    assert roles(after) == ["user", "assistant", "tool", "assistant"]
    assert roles(after.after(second)) == ["user", "assistant", "tool", "assistant"] * 2
    assert backend.requests[2].messages == (*after.messages, mellite.Message.user("And 4 more?"))
    assert backend.requests[2].system[0].text == "Be brief."


async def test_many_runs_that_nobody_awaited():
    """They are taken with the last one; copies and pickles take steps of their own."""
    turns = 20
    backend = Played(
        *[answer for turn in range(turns) for answer in ([asks(f"{turn}", a=1, b=turn)], [f"turn {turn}"])]
    )
    chat = Conversation(backend, tools=[add])
    for turn in range(turns):
        chat = chat.after(answer := chat.ask(f"question {turn}"))
    twins = copy.deepcopy(chat), pickle.loads(pickle.dumps(chat))
    assert await answer == f"turn {turns - 1}"
    assert len(backend.requests) == 2 * turns
    assert len(chat.messages) == 4 * turns
    for twin in twins:
        assert len(twin.messages) == 2 * turns
        last = twin.messages[-1].content[0].of
        assert await last == f"turn {turns - 1}"
        assert twin.messages == chat.messages


async def test_saved_and_trimmed():
    """Calls and results are saved, and stay together when it is trimmed."""
    chat = Conversation(Played([asks("1", a=1, b=2)], ["Three."]), tools=[add])
    answer = await chat.ask("What is 1 + 2?").settle()
    chat = chat.after(answer)
    again = Conversation.from_json(chat.to_json(), backend=chat.backend, tools=[add])
    assert again == chat
    assert chat.trimmed(turns=1).messages == chat.messages
    assert chat.trimmed(tokens=60).messages == ()


async def test_saved_too_early():
    """That is refused while a run is pending or goes on, and takes nothing out of the history."""
    chat = Conversation(Played([asks("1", a=1, b=2)], ["Three."], ["Yes."]), tools=[add])
    answer = chat.ask("What is 1 + 2?")
    chat = chat.after(answer)
    with pytest.raises(InvalidRequest, match=r"message 1 of the conversation is an answer that is pending: await it"):
        chat.to_json()
    with pytest.raises(InvalidRequest, match="pending"):
        answer.deferred_messages()
    async for _ in answer.events():
        with pytest.raises(InvalidRequest, match="running"):
            chat.to_json()
        break
    asked = chat.ask("Sure?")
    assert await asked == "Yes."
    assert roles(asked) == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert roles(chat) == ["user", "assistant", "tool", "assistant"]
    assert Conversation.from_json(chat.to_json(), backend=chat.backend).messages == chat.messages


async def test_a_run_that_failed_is_the_cause():
    """As with any answer."""
    chat = Conversation(Played([asks("1", a=1, b=2)], [ValueError("no luck")]), tools=[add])
    first = chat.ask("What is 1 + 2?")
    second = chat.after(first).ask("And?")
    await second.settle()
    assert isinstance(second.error, RequestError)
    assert second.error.__cause__ is first.error


async def test_a_run_that_stopped():
    """What it did until then enters the history, also where its output is missing."""
    backend = Played([asks("1", a=1, b=2)], ["Three."])
    chat = Conversation(backend, tools=[add], stop_when=mellite.stop.steps(1))
    first = chat.ask("What is 1 + 2?", output=int)
    chat = chat.after(first)
    assert await chat.ask("Well?") == "Three."
    assert first.stop_reason == "steps"
    assert roles(chat) == ["user", "assistant", "tool"]


async def test_calls_that_wait():
    """Where the caller runs the tools, the next question without content gives the results."""
    backend = Played([asks("1", a=1, b=2)], ["Three."])
    chat = Conversation(backend, tools=[add], execution="none")
    first = await chat.ask("What is 1 + 2?").settle()
    assert [call.id for call in first.pending_calls] == ["1"]
    chat = chat.after(first)
    assert await chat.ask(execution="local") == "Three."
    assert await chat.ask(results={"1": 3}) == "Three."
    assert backend.requests[-1].messages[-1].content[0].result.value == 3


async def test_options_of_runs_need_tools():
    """Without tools they are not options; with tools they are checked at once."""
    with pytest.raises(UnknownOption, match="stop_when"):
        Conversation(Played(["a"]), stop_when=mellite.stop.steps(1))
    with pytest.raises(InvalidRequest, match="max_calls"):
        Conversation(Played(["a"]), tools=[add], max_calls=0)
    with pytest.raises(InvalidRequest, match="stop_when"):
        Conversation(Played(["a"]), tools=[add], stop_when=mellite.stop.steps(1)).to_json()


async def test_a_call_without_an_answer_is_no_end():
    """With no tools there is nothing that could answer it."""
    history = [("user", "1 + 2?"), mellite.Message.assistant(ToolCall("1", "add", {"a": 1, "b": 2}))]
    with pytest.raises(InvalidRequest, match="nothing to answer"):
        Conversation.from_messages(Played(["a"]), history).ask()
