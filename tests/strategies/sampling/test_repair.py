"""Repair: what the model is told, in one turn or in a conversation."""

from __future__ import annotations

import pytest

from mellite import (
    Message,
    ModelFriendlyRepair,
    MultiTurnRepair,
    RepairSampling,
    Request,
    Requirement,
    ToolCall,
    ValidationResult,
)
from mellite.backends import Scripted
from mellite.errors import ConnectionLost, SamplingError
from mellite.events import Finish, ReasoningDelta, TextDelta, ToolCallEvent
from mellite.strategies.sampling.repair import model_friendly
from tests.strategies.sampling.support import Calls, failing, sampling, short

pytestmark = pytest.mark.anyio

NO_E = Requirement("no letter e", lambda thunk: "e" not in thunk.value)


def said(request):
    """Role and text of each message."""
    return [(message.role, message.text) for message in request.messages]


async def test_a_single_turn_adds_the_reasons_to_the_prompt():
    """The next copy asks the same with what was wrong with the latest answer, and not with what was wrong before."""
    backend = Scripted(["hello", "eee", "ok"])
    result = await RepairSampling().sample(backend.generate("Greet me."), [short(), NO_E])
    assert (result.value, result.success, result.stop_reason) == ("ok", True, "accepted")
    first, second, third = backend.requests
    assert said(first) == [("user", "Greet me.")]
    head = "Greet me.\n\nAn earlier answer did not meet these requirements:\n"
    assert said(second) == [("user", head + "- at most 3 characters: it has 5\n- no letter e")]
    assert said(third) == [("user", head + "- no letter e")]


@pytest.mark.parametrize("strategy", [RepairSampling, MultiTurnRepair])
async def test_a_request_without_a_message_gets_one(strategy):
    """Where instructions are all that is asked, the reasons are the first message of the user."""
    backend = Scripted(["hello", "ok"])
    result = await strategy().sample(backend.generate(Request(messages=(), system="Greet me.")), [short()])
    assert result.value == "ok"
    assert backend.requests[1].text.startswith("An earlier answer did not meet these requirements:")


async def test_the_latest_failure_counts_by_lineage():
    """Under concurrency the feedback is that of the failed sample with the latest lineage, whichever ended last."""
    backend = Calls()
    async with sampling(RepairSampling(concurrency=2, max_samples=4), backend.generate("hi"), [short()]) as run:
        calls = await backend.called(2)
        calls[1].answer("12345")
        third = (await backend.called(3))[2]
        assert "it has 5" in third.request.text
        calls[0].answer("1234567")
        fourth = (await backend.called(4))[3]
        assert "it has 5" in fourth.request.text
        fourth.answer("ok")
    assert run.result.success


async def test_errors_repair_nothing():
    """After a transport error or a check that broke, the same is asked again: the model did nothing wrong."""
    backend = Scripted([ConnectionLost("gone"), "hello"])
    with pytest.raises(SamplingError, match="ValueError: broken"):
        await RepairSampling(max_samples=2).sample(backend.generate("hi"), [failing(ValueError("broken"))])
    assert [said(request) for request in backend.requests] == [[("user", "hi")]] * 2


async def test_an_earlier_failure_is_still_told_after_an_error():
    """A transport error in between does not make the model forget what it has been told."""
    backend = Scripted(["hello", ConnectionLost("gone"), "ok"])
    await RepairSampling().sample(backend.generate("hi"), [short()])
    assert said(backend.requests[2]) == said(backend.requests[1])
    assert "it has 5" in backend.requests[2].text


async def test_an_answer_that_cannot_be_parsed_is_told_the_schema():
    """An answer that does not fit the output type is told what does, and where it did not."""
    backend = Scripted(["seven", "7"])
    result = await RepairSampling().sample(backend.generate("hi", output=int))
    assert result.parsed_repr == 7
    assert '{"type": "integer"}' in backend.requests[1].text
    assert "does not fit the output type int" in backend.requests[1].text


async def test_after_a_message_that_is_not_the_users_the_reasons_are_one_of_their_own():
    """When the last message is not the user's, the feedback is a new user message."""
    backend = Scripted(["hello", "ok"])
    history = [Message.user("hi"), Message.assistant("well")]
    await RepairSampling().sample(backend.generate(history), [short()])
    assert [role for role, _ in said(backend.requests[1])] == ["user", "assistant", "user"]


async def test_many_turns_are_one_conversation():
    """Multi-turn repair sends the answer that failed and what was wrong with it, and so on from there."""
    backend = Scripted(["hello", "eee", "ok"])
    result = await MultiTurnRepair().sample(backend.generate("Greet me."), [short(), NO_E])
    assert result.success
    head = "An earlier answer did not meet these requirements:\n"
    first = [
        ("user", "Greet me."),
        ("assistant", "hello"),
        ("user", head + "- at most 3 characters: it has 5\n- no letter e"),
    ]
    assert said(backend.requests[1]) == first
    assert said(backend.requests[2]) == [*first, ("assistant", "eee"), ("user", head + "- no letter e")]
    assert [sample.lineage for sample in result.samples] == [(0,), (1,), (2,)]


async def test_a_conversation_keeps_signed_thinking_and_drops_tool_calls():
    """The failed answer goes back with its thinking; a tool call would want a result, so it is left out."""
    from mellite.events import ReasoningEnd, ReasoningStart

    answer = [
        ReasoningStart("r"),
        ReasoningDelta("hmm", id="r"),
        ReasoningEnd("r", provider_metadata={"anthropic": {"signature": "s"}}),
        TextDelta("hello"),
        ToolCallEvent(ToolCall("c1", "look_up", {})),
        Finish("stop"),
    ]
    backend = Scripted([answer, "ok"])
    await MultiTurnRepair().sample(backend.generate("hi"), [short()])
    turn = backend.requests[1].messages[1]
    assert [type(part).__name__ for part in turn.content] == ["Reasoning", "Text"]
    assert turn.content[0].provider_metadata == {"anthropic": {"signature": "s"}}


async def test_an_answer_without_text_is_repaired_in_a_single_turn():
    """An assistant message without text is refused by providers, so none is sent."""
    backend = Scripted([[Finish("stop")], "ok"])
    never_empty = Requirement("not empty", lambda thunk: bool(thunk.value))
    await MultiTurnRepair().sample(backend.generate("hi"), [never_empty])
    assert [role for role, _ in said(backend.requests[1])] == ["user"]
    assert "not empty" in backend.requests[1].text


async def test_model_friendly_feedback_says_what_to_do():
    """Model-friendly feedback has the fault, what to do, what to keep, and the answer; not what broke in a check."""
    backend = Scripted(["hello", "ok"])
    requirements = [short(), Requirement("starts with h", lambda thunk: thunk.value[0] == "h"), NO_E]
    broken = failing(ValueError("internal detail"))
    with pytest.raises(SamplingError, match="internal detail"):
        await ModelFriendlyRepair(max_samples=2).sample(backend.generate("Greet me."), [*requirements, broken])
    told = backend.requests[1].text
    assert told.startswith("Greet me.\n\nYour answer was checked and needs changes.")
    assert "1. Make sure of this: at most 3 characters. What the check found: it has 5" in told
    assert "2. Make sure of this: no letter e. Your answer did not do this." in told
    assert "keep them so:\n- starts with h\n" in told
    assert "> hello" in told
    assert "internal detail" not in told


async def test_a_long_answer_is_quoted_in_part():
    """The quotation of the failed answer is bounded: the prompt does not grow with it."""
    backend = Scripted(["x" * 100_000, "ok"])
    await ModelFriendlyRepair().sample(backend.generate("hi"), [short()])
    assert len(backend.requests[1].text) < 3_000


async def test_feedback_in_a_conversation_may_be_model_friendly():
    """The feedback of one strategy can be used in another."""
    backend = Scripted(["hello", "ok"])
    await MultiTurnRepair(feedback=model_friendly).sample(backend.generate("hi"), [short()])
    assert "needs changes" in backend.requests[1].text


async def test_feedback_of_your_own():
    """A function of the sample and the requirements says what the model is told; an error in it is typed."""

    def shout(sample, requirements):
        return "".join(verdict.reason.upper() for verdict in sample.validations if not verdict)

    backend = Scripted(["hello", "ok"])
    await RepairSampling(feedback=shout).sample(backend.generate("hi"), [short()])
    assert backend.requests[1].text == "hi\n\nIT HAS 5"

    def broken(sample, requirements):
        raise KeyError("x")

    with pytest.raises(SamplingError, match="broken raised KeyError"):
        await RepairSampling(feedback=broken).sample(Scripted(["hello", "ok"]).generate("hi"), [short()])


async def test_reasons_are_told_as_they_are():
    """A reason with braces, quotes or line breaks reaches the model as plain text."""
    reason = 'use {name} not "{0.__class__}"\nplease'
    tricky = Requirement("{x}", lambda thunk: ValidationResult(False, reason))
    backend = Scripted(["a", "b"])
    await RepairSampling(max_samples=2).sample(backend.generate("hi"), [tricky])
    assert f"- {{x}}: {reason}" in backend.requests[1].text
