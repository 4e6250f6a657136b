"""Histories that a provider would refuse, and what is sent instead; and that whatever is changed can be seen."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies as st

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.messages import Image, Message, Part, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.protocols.history import HistoryRules, mend
from mellite.providers.catalog import find
from mellite.request import Request, ToolDefinition

HI = Message.user("hi")
NEXT = Message.user("And now?")


def calls(*ids: str, name: str = "f") -> Message:
    return Message.assistant(*[ToolCall(id, name, {}) for id in ids])


def results(*ids: str, says: str = "ok") -> Message:
    return Message.tool(*[ToolResult(id, "f", says) for id in ids])


def mended(*messages: Message, tools: Any = (), **rules: Any) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    request, changes = mend(Request.of(list(messages), tools=tools), rules=HistoryRules(**rules))
    return request.messages, changes


NO_RESULT = ToolValue("error", "There is no result: the call was not answered.")


# --- what is in order -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [HI],
        [HI, Message.assistant("yo"), NEXT],
        [HI, calls("a"), results("a"), NEXT],
        [HI, calls("a", "b"), results("a", "b")],
        [HI, calls("a", "b"), results("b"), results("a")],
        [HI, calls("a"), results("a"), calls("b"), results("b"), Message.assistant("Done."), NEXT],
        [HI, Message.assistant(ToolCall("s", "search", {}, provider_executed=True), "Found."), NEXT],
    ],
)
def test_a_history_in_order_is_left_alone(messages: list[Message]) -> None:
    """Where every call has its results behind it the request is the same object, and nothing is said to be changed."""
    request = Request.of(messages)
    assert mend(request, rules=HistoryRules(ids="openai", calls_last=True)) == (request, ())
    assert mend(request, rules=HistoryRules())[0] is request


# --- results --------------------------------------------------------------------------------------


def test_a_call_without_a_result_gets_one() -> None:
    """A call that nobody answered gets a result that says so, at the end of the history and in the middle."""
    messages, changes = mended(HI, calls("a", "b"), results("b"), NEXT, calls("c"))
    assert messages == (
        HI, calls("a", "b"), results("b"), Message.tool(ToolResult("a", "f", NO_RESULT)), NEXT, calls("c"),
        Message.tool(ToolResult("c", "f", NO_RESULT)),
    )  # fmt: skip
    assert changes == tuple(f"tool call {id!r} has no result: it gets one that says so" for id in "ac")


def test_a_late_result_moves_up_to_its_call() -> None:
    """A result that comes after something else stands behind its call; what was between follows."""
    messages, changes = mended(HI, calls("a", "b"), results("a"), NEXT, Message.system("Be brief."), results("b"))
    assert messages == (HI, calls("a", "b"), results("a"), results("b"), NEXT, Message.system("Be brief."))
    assert changes == ("the result of tool call 'b' is moved up to its call",)


def test_results_in_a_message_of_the_user_become_messages_of_their_own() -> None:
    """Some write results as parts of what the user says next: they are taken out, and the rest stays."""
    both = Message.user(ToolResult("a", "f", "ok"), "And now?")
    messages, changes = mended(HI, calls("a"), both)
    assert messages == (HI, calls("a"), results("a"), NEXT)
    assert changes == ("the result of tool call 'a' is moved up to its call",)


def test_of_two_results_the_later_counts() -> None:
    """A tool that was run again gave a better result: the earlier one is left out, and that is said."""
    messages, changes = mended(HI, calls("a"), results("a", says="old"), NEXT, results("a", says="new"))
    assert messages == (HI, calls("a"), results("a", says="new"), NEXT)
    assert any("the earlier one is left out" in change for change in changes)


def test_a_result_without_a_call_becomes_text() -> None:
    """After a history was cut off at the front, a result may have lost its call: the model can still read it."""
    picture = Image(b"\x89PNG", media_type="image/png")
    stray = Message.tool(ToolResult("a", "f", {"x": 1}), ToolResult("b", "g", [Text("see"), picture]))
    messages, changes = mended(stray, NEXT)
    assert messages == (
        Message.user("Result of the tool 'f': {\"x\":1}", "Result of the tool 'g': see", picture), NEXT,
    )  # fmt: skip
    assert len(changes) == 2
    assert mended(stray, NEXT, stray_results="keep") == ((stray, NEXT), ())


def test_an_id_that_is_used_in_every_turn() -> None:
    """Some servers begin anew with the ids in each answer: each call keeps its own result, and gets its own id."""
    messages, changes = mended(
        HI, calls("a"), results("a", says="1"), calls("a"), NEXT, calls("a"), results("a", says="3")
    )
    turns = [(m.tool_calls[0].id, r.content[0]) for m, r in pairwise(messages) if m.tool_calls]
    said = []
    for id, result in turns:
        assert isinstance(result, ToolResult)
        assert result.id == id
        said.append(result.result.value)
    assert said == ["1", NO_RESULT.value, "3"]
    assert len({id for id, _ in turns}) == 3
    assert sum("is sent as" in change for change in changes) == 2


def test_parallel_calls_that_share_an_id() -> None:
    """Two calls of one answer with the same id have their results in order."""
    asked = Message.assistant(ToolCall("a", "f", {"n": 1}), ToolCall("a", "f", {"n": 2}))
    messages, _ = mended(HI, asked, Message.tool(ToolResult("a", "f", "1"), ToolResult("a", "f", "2")))
    first, second = messages[1].tool_calls
    assert first.id != second.id
    assert messages[2].content == (ToolResult(first.id, "f", "1"), ToolResult(second.id, "f", "2"))


# --- ids, names, order in a message ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "ids", "sent"),
    [
        ("any", ["call_1", "", "x" * 100], ["call_1", "call", "x" * 100]),
        ("openai", ["call_1", "x" * 50, "x" * 40 + "y"], ["call_1", "x" * 40, None]),
        ("responses", ["call_1", "x" * 70], ["call_1", "x" * 64]),
        (
            "mistral",
            ["Df1cqWOle", "call_ab-12345", "call_ab-12346", "a"],
            ["Df1cqWOle", "callab123", None, "a00000000"],
        ),
        ("claude", ["toolu_1", "call|1:ä", "call_1__"], ["toolu_1", "call_1__", None]),
    ],
)
def test_ids_are_brought_into_the_form_that_is_taken(
    form: Literal["any", "claude", "mistral", "openai", "responses"], ids: list[str], sent: list[str | None]
) -> None:
    """Ids are shortened and scrubbed; a call and its result agree; two calls never get the same id."""
    messages, _ = mended(calls(*ids), results(*ids), ids=form)
    made = [call.id for call in messages[0].tool_calls]
    assert [id for id, wanted in zip(made, sent, strict=True) if wanted] == [wanted for wanted in sent if wanted]
    assert len(set(made)) == len(ids)
    assert [part.id for part in messages[1].content if isinstance(part, ToolResult)] == made


def test_names_that_no_tool_can_have() -> None:
    """A name that the model made up is brought into a form that is taken, unless a tool of the request has it."""
    messages, changes = mended(HI, calls("a", name="a b/c"), results("a"))
    assert (messages[1].tool_calls[0].name, len(changes)) == ("a_b_c", 1)
    assert isinstance(messages[2].content[0], ToolResult)
    assert messages[2].content[0].name == "a_b_c"
    assert mended(HI, calls("a", name="a b"), results("a"), tools=[ToolDefinition("a b")])[1] == ()
    assert mended(HI, calls("a", name=""), results("a"))[0][1].tool_calls[0].name == "unknown"
    assert mended(HI, calls("a", name="a.b"), results("a"))[0][1].tool_calls[0].name == "a_b"


def test_calls_may_have_to_be_last() -> None:
    """Where a host wants calls at the end of a message, what was said behind them is moved before them."""
    asked = Message.assistant(Reasoning("Hm."), ToolCall("a", "f", {}), "Let me see.")
    assert mended(HI, asked, results("a"))[1] == ()
    messages, changes = mended(HI, asked, results("a"), calls_last=True)
    assert [type(part) for part in messages[1].content] == [Reasoning, Text, ToolCall]
    assert len(changes) == 1


# --- whatever the history -------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "", "ä" * 50])
PARTS: st.SearchStrategy[Part] = (
    st.builds(ToolCall, IDS, st.just("f"), st.none(), provider_executed=st.booleans())
    | st.builds(ToolResult, IDS, st.just("f"), st.just("ok"), provider_executed=st.booleans())
    | st.just(Text("x"))
)
MESSAGES = st.builds(
    Message, st.sampled_from(["user", "assistant", "tool", "system"]), st.lists(PARTS, max_size=4).map(tuple)
)
RULES = st.builds(HistoryRules, ids=st.sampled_from(["any", "claude", "mistral", "openai"]), calls_last=st.booleans())


def test_a_result_inside_the_message_of_its_call() -> None:
    """A result that an assistant message has beside its call goes behind it; mended once, nothing is left to mend."""
    inside = Message("assistant", (ToolCall("a", "f", {}), ToolResult("a", "f", "ok"), ToolResult("b", "g", "stray")))
    request, changes = mend(Request.of([Message.assistant(ToolCall("a", "f", {})), inside]), rules=HistoryRules())
    roles = [message.role for message in request.messages]
    assert roles == ["assistant", "tool", "assistant", "tool", "user"]
    assert request.messages[3].content[0].result.value == "ok"  # type: ignore[union-attr]
    assert len(changes) == 4
    assert mend(request, rules=HistoryRules()) == (request, ())


@pytest.mark.slow
@settings(max_examples=400, derandomize=True)
@given(st.lists(MESSAGES, min_size=1, max_size=7), RULES)
def test_any_history(history: list[Message], rules: HistoryRules) -> None:
    """Each call has exactly one result behind it, no result lacks its call, ids are unique; twice changes nothing."""
    request, _ = mend(Request.of(history), rules=rules)
    waiting: set[str] = set()
    used: set[str] = set()
    for message in request.messages:
        local = [
            part for part in message.content if isinstance(part, (ToolCall, ToolResult)) and not part.provider_executed
        ]
        answered = {part.id for part in local if isinstance(part, ToolResult)}
        if message.role == "tool" and answered:
            assert answered <= waiting
            waiting -= answered
        elif message.role == "assistant":
            asked = [part.id for part in local if isinstance(part, ToolCall)]
            assert not waiting
            assert len({*asked, *used}) == len(asked) + len(used)
            used |= {*asked}
            waiting |= {*asked}
        elif local:
            assert not any(isinstance(part, ToolResult) for part in local)
    assert not waiting
    again, changes = mend(request, rules=rules)
    assert (again.messages, changes) == (request.messages, ())


# --- where it can be seen -------------------------------------------------------------------------


@pytest.mark.anyio
async def test_repairs_can_be_seen() -> None:
    """What was changed stands on the thunk and in what would be sent; the log keeps the prompt as it was."""
    answer = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
    backend = LiveBackend(find("groq:m", api_key="k"), transport=ScriptedTransport([answer, answer]))
    history = [HI, calls("a")]
    thunk = backend.generate(history)
    await thunk
    assert thunk.generation.repairs == ("tool call 'a' has no result: it gets one that says so",)
    assert thunk.generate_log is not None
    assert thunk.generate_log.prompt == tuple(history)
    prepared = backend.prepare(Request.of(history))
    assert prepared.context["repairs"] == thunk.generation.repairs
    assert json.loads(prepared.body)["messages"][-1]["role"] == "tool"
    in_order = backend.generate("hi")
    await in_order
    assert in_order.generation.repairs == ()
