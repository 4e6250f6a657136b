"""Requests for approval: a model asks whether it may use a tool of an MCP server, and somebody answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mellite
from mellite import Backend, Message, ModelOutputThunk
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidRequest
from mellite.messages import ToolResult, ToolValue
from tests.protocols.openai_responses.events import added, completed, done, event, message

REQUEST = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "files",
    "name": "delete",
    "arguments": '{"path": "old.txt"}',
}
CLEAN = Message.user("Clean up.")


def stream(*events: dict[str, Any]) -> str:
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)


ASKS = stream(added({**REQUEST, "arguments": ""}), done(REQUEST), completed(REQUEST))
ASKS_IN_ONE_PIECE = json.dumps(completed(REQUEST)["response"])


def backend(*answers: str) -> tuple[Backend, ScriptedTransport]:
    transport = ScriptedTransport(list(answers))
    return mellite.backend("openai:m", api_key="k", transport=transport), transport


def asked(answer: str = ASKS) -> ModelOutputThunk[str]:
    """A thunk of an answer that asks for approval, settled."""
    thunk = backend(answer)[0].generate([CLEAN])
    thunk.result()
    return thunk


def sent(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    """The input items of a request with these messages."""
    live, transport = backend(stream(completed(message("Done."))))
    live.generate(list(messages), **options).result()
    items: list[dict[str, Any]] = json.loads(transport.requests[0].body)["input"]
    return items


@pytest.mark.parametrize("answer", [ASKS, ASKS_IN_ONE_PIECE])
def test_a_request_for_approval_is_a_call(answer: str) -> None:
    """It is seen as a call that the provider makes, and the answer did not just stop."""
    thunk = asked(answer)
    (call,) = thunk.tool_calls
    assert (call.id, call.name, call.arguments) == ("mcpr_1", "delete", {"path": "old.txt"})
    assert call.provider_executed
    assert thunk.generation.finish_reason == "tool-calls"


def test_arguments_that_are_no_json() -> None:
    """What the model wrote is kept as it is."""
    thunk = asked(stream(done({**REQUEST, "arguments": "{"}), completed()))
    assert [(call.arguments, call.raw_arguments) for call in thunk.tool_calls] == [(None, "{")]


@pytest.mark.parametrize("store", [False, True])
def test_the_request_stays_in_the_history(store: bool) -> None:
    """Whoever says yes in words sends it along, too."""
    options = {"provider_options": {"openai": {"store": store}}}
    items = sent(CLEAN, asked().message, Message.user("Yes, do."), **options)
    assert items[1] == REQUEST
    assert [item.get("type") for item in items] == [None, "mcp_approval_request", None]


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (True, {"approve": True}),
        (False, {"approve": False}),
        ({"approve": False, "reason": "Too dear."}, {"approve": False, "reason": "Too dear."}),
        (ToolValue("error", "Too dear."), {"approve": False, "reason": "Too dear."}),
    ],
)
def test_the_answer_to_the_request(result: Any, answer: dict[str, Any]) -> None:
    """The result of the call is the yes or the no; an error of a tool is a no, and why."""
    thunk = asked()
    (call,) = thunk.tool_calls
    items = sent(CLEAN, thunk.message, Message.tool(ToolResult(call.id, call.name, result)))
    assert items[1:] == [REQUEST, {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", **answer}]


def test_the_answer_where_the_server_keeps_the_request() -> None:
    """A request that goes on from a stored answer only says yes."""
    options = {"provider_options": {"openai": {"store": True, "previous_response_id": "resp_1"}}}
    assert sent(Message.tool(ToolResult("mcpr_1", "delete", True)), **options) == [
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    ]


@pytest.mark.parametrize("result", ["yes", 1, {"approve": "yes"}, {"approved": True}, None])
def test_an_answer_that_is_neither_yes_nor_no(result: Any) -> None:
    """It is an error that says what to give; nothing is guessed where something gets deleted."""
    with pytest.raises(InvalidRequest, match=r"'mcpr_1'.*True or False"):
        sent(CLEAN, asked().message, Message.tool(ToolResult("mcpr_1", "delete", result)))


def test_what_the_provider_ran_needs_no_answer() -> None:
    """A result for a call that has one is told as text, as before."""
    ran = {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"}
    thunk = asked(stream(done(ran), completed(ran)))
    items = sent(CLEAN, thunk.message, Message.tool(ToolResult("mcp_1", "n", True)))
    assert items[-1]["role"] == "user"


def test_other_companies_get_the_answer_as_text() -> None:
    """A history that is continued over another protocol keeps what was said."""
    said = {"message": {"content": "Done."}, "finish_reason": "stop"}
    transport = ScriptedTransport([json.dumps({"choices": [said]})])
    chat = mellite.backend("openai-chat:m", api_key="k", transport=transport, stream=False)
    answered = Message.tool(ToolResult("mcpr_1", "delete", True))
    chat.generate([CLEAN, asked().message, answered]).result()
    assert "delete" in json.loads(transport.requests[0].body)["messages"][-1]["content"]


def test_a_call_of_the_approved_tool_follows() -> None:
    """The next answer has the call and its result, as the provider ran it."""
    ran = {"type": "mcp_call", "id": "mcp_1", "approval_request_id": "mcpr_1", "name": "delete", "output": "gone"}
    thunk = asked(stream(event("in_progress", response={"id": "r"}), done(ran), completed(ran, message("Done."))))
    assert (thunk.value, thunk.generation.finish_reason) == ("Done.", "stop")
