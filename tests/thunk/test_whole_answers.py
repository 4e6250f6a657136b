"""Answers that stand in a history as a whole: their messages, once they have settled."""

from __future__ import annotations

import copy
import pickle
import time

import pytest

import mellite
from mellite import Message, Text
from mellite.backends import Echo, Failing, Scripted
from mellite.errors import GenerationCancelled, RequestError
from mellite.events import Finish, ReasoningDelta, TextDelta, ToolCallEvent
from mellite.messages import Reasoning, ToolCall, WholeAnswer

pytestmark = pytest.mark.anyio


class Turns(mellite.Backend):
    """Answers with how many messages it was sent, and counts its calls; keeps what the last one was sent."""

    def __init__(self):
        self.calls = 0
        self.last = ()

    async def stream(self, request):
        self.calls += 1
        self.last = request.messages
        yield TextDelta(f"{len(request.messages)}")
        yield Finish("stop")


def conversation(turns, backend):
    """The last turn of a conversation of which nothing has been awaited."""
    history, thunk = [], None
    for number in range(turns):
        history = [*history, Message.user(f"question {number}")]
        thunk = backend.generate(history)
        history.append(WholeAnswer.message(thunk))
    return thunk


class Thoughtful(mellite.Backend):
    """Answers with more than text."""

    async def stream(self, request):
        yield ReasoningDelta("Hm.")
        yield TextDelta("Let me see.")
        yield ToolCallEvent(call=ToolCall("call_1", "look", {"at": "it"}))
        yield Finish("tool-calls")


async def test_the_whole_message():
    """Thinking, text and calls of the answer are in the history of the next."""
    first = Thoughtful().generate("Look.")
    backend = Turns()
    await backend.generate([Message.user("Look."), WholeAnswer.message(first), Message.user("Well?")])
    answer = backend.last[1]
    assert answer == first.message
    assert [type(part) for part in answer.content] == [Reasoning, Text, ToolCall]


async def test_among_other_parts_it_is_a_text():
    """In a message with other parts, only the text of the answer is sent, as that of a thunk is."""
    backend = Echo()
    first = Scripted(["Blue."]).generate("Which colour?")
    assert await backend.generate(["They say: ", WholeAnswer(first)]) == "They say: Blue."


async def test_a_failure_is_the_cause():
    """The next turn fails, with the error of the one before as the cause, and so on."""
    failing = mellite.generate(Failing(ValueError("no luck")), "hi")
    backend = Turns()
    history = [Message.user("hi"), WholeAnswer.message(failing), Message.user("and?")]
    second = backend.generate(history)
    third = backend.generate([*history, WholeAnswer.message(second), Message.user("so?")])
    await third.settle()
    assert isinstance(third.error, RequestError)
    assert third.error.__cause__ is second.error
    assert second.error.__cause__ is failing.error
    assert "no luck" in str(third.error)
    assert backend.calls == 0


async def test_a_cancelled_one_is_the_cause():
    """One that was cancelled has no whole message; a turn before it that nobody generated is not what is blamed."""
    backend = Turns()
    first = backend.generate("hi")
    history = [Message.user("hi"), WholeAnswer.message(first), Message.user("and?")]
    second = backend.generate(history)
    second.cancel("not needed")
    third = backend.generate([*history, WholeAnswer.message(second), Message.user("so?")])
    await third.settle()
    assert isinstance(third.error.__cause__, GenerationCancelled)
    assert first.state == "pending"


async def test_an_answer_that_was_settled_when_it_was_made():
    """Turns before one that waited for nothing are generated as well."""
    backend = Turns()
    first = backend.generate("hi")
    history = [Message.user("hi"), WholeAnswer.message(first), Message.user("and?")]
    done = await Turns().generate("hi").settle()
    second = mellite.ModelOutputThunk(backend.generate(history).call, outcome=done.outcome)
    await backend.generate([*history, WholeAnswer.message(second), Message.user("so?")])
    assert [message.text for message in backend.last] == ["hi", "1", "and?", "1", "so?"]


@pytest.mark.slow
async def test_a_thousand_turns():
    """A conversation of 1,000 turns is generated when its last turn is awaited, each turn once."""
    backend = Turns()
    last = conversation(1_000, backend)
    assert await last == "1999"
    assert backend.calls == 1_000
    assert [message.role for message in backend.last[:4]] == ["user", "assistant", "user", "assistant"]
    twin = pickle.loads(pickle.dumps(last))
    assert (twin.text, len(twin.call.request.messages)) == ("1999", 1_999)


@pytest.mark.slow
@pytest.mark.parametrize("again", [copy.deepcopy, lambda thunk: pickle.loads(pickle.dumps(thunk))])
async def test_copies_of_a_thousand_turns(again):
    """Copies of a conversation that nobody awaited make calls of their own, and share each turn as the original did."""
    twin = again(conversation(1_000, Turns()))
    assert await twin == "1999"
    answers = [message.content[0].of for message in twin.call.request.messages[1::2]]
    assert {answer.state for answer in answers} == {"done"}
    assert [message.content[0].of for message in answers[-1].call.request.messages[1::2]] == answers[:-1]


async def test_copies_share_and_deep_copies_do_not():
    """A copy and a sample are asked behind the same answer, a deep copy behind one of its own."""
    backend = Turns()
    second = conversation(2, backend)
    deep = copy.deepcopy(second)
    await mellite.gather(copy.copy(second), *second.resample(2))
    assert backend.calls == 1 + 3
    await deep
    assert backend.calls == 1 + 3 + 2
    assert deep.call.request.messages[1].content[0].of.call.lineage == (0,)


async def test_its_messages_are_the_same_objects():
    """All later turns hold the same message, so that memory does not grow with their square."""
    backend = Turns()
    last = conversation(3, backend)
    await last
    before = last.call.request.messages[3].content[0].of
    assert before.outcome.generate_log("x").prompt[1] is backend.last[1]


@pytest.mark.slow
@pytest.mark.parametrize("again", [copy.deepcopy, lambda thunks: pickle.loads(pickle.dumps(thunks))])
def test_all_turns_together(again):
    """A history holds its turns from the first on; each is looked at once for all that come after it."""
    last = conversation(1_000, Turns())
    turns = [message.content[0].of for message in last.call.request.messages[1::2]]
    began = time.process_time()
    twins = again(turns)
    assert time.process_time() - began < 20
    assert twins[-1].call.request.messages[-2].content[0].of is twins[-2]
