"""Output items of OpenAI Responses: tool calls of every kind, in pieces and whole, and what the provider ran itself."""

from __future__ import annotations

from typing import Any

import pytest

from mellite.errors import InvalidProviderOutput
from mellite.events import (
    Event,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
)
from mellite.messages import ToolCall
from mellite.values.fold import fold
from tests.protocols.openai_responses.events import (
    CREATED,
    added,
    call,
    completed,
    done,
    event,
    events_of,
    finish_of,
    read,
    written,
)


def of(events: list[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def test_a_tool_call_in_pieces() -> None:
    """A call is announced, written and completed while it streams, and named by its call id."""
    stream = [CREATED, added(call()), written('{"city":'), written('"Paris"}'), done(call('{"city":"Paris"}'))]
    events = events_of([*stream, completed(call('{"city":"Paris"}'))])
    noted = {"openai": {"item_id": "fc_1"}}
    arguments = {"city": "Paris"}
    assert events[2:-2] == [
        ToolInputStart("call_1", "get_weather"),
        ToolInputDelta("call_1", "get_weather", '{"city":'),
        ToolInputDelta("call_1", "get_weather", '"Paris"}'),
        ToolInputEnd("call_1", "get_weather", provider_metadata=noted),
        ToolCallEvent(
            ToolCall("call_1", "get_weather", arguments, raw_arguments='{"city":"Paris"}', provider_metadata=noted)
        ),
    ]
    assert (finish_of(events).reason, finish_of(events).raw_reason) == ("tool-calls", "completed")


def test_a_call_that_is_never_done_ends_with_the_answer() -> None:
    """Calls are completed by the end of the answer, with what it says or with what was streamed."""
    stream = [added(call()), written('{"city":"Rome"}')]
    for end in (completed(), completed(call('{"city":"Rome"}'))):
        folded = read([*stream, end])
        assert [tool.arguments for tool in folded.tool_calls] == [{"city": "Rome"}]


def test_pieces_before_their_call() -> None:
    """Arguments of a call that was not announced wait for its name."""
    events = events_of([written('{"a":'), written("1}"), done(call('{"a":1}')), completed()])
    deltas = of(events, ToolInputDelta)
    assert [delta.text for delta in deltas] == ['{"a":1}']
    assert [tool.call.arguments for tool in of(events, ToolCallEvent)] == [{"a": 1}]


def test_the_final_arguments_win() -> None:
    """Where the end of the call says other arguments than its pieces, the end counts."""
    (tool,) = read([added(call()), written('{"a"'), done(call('{"a":2}')), completed()]).tool_calls
    assert (tool.arguments, tool.raw_arguments) == ({"a": 2}, '{"a":2}')


@pytest.mark.parametrize("raw", ["{", "not json", '{"a": NaN}'])
def test_broken_arguments_are_an_event_and_a_call(raw: str) -> None:
    """Arguments that are not JSON are told, and the call is there with none."""
    events = events_of([added(call()), written(raw), done(call(raw)), completed()])
    assert of(events, ToolInputError) == [ToolInputError("call_1", "get_weather", raw=raw)]
    assert fold(events).tool_calls[0].arguments is None


def test_a_call_without_a_name() -> None:
    """A call that never gets a name breaks the protocol, unless the answer was cut short."""
    stream = [added(call(name=None)), written("{}")]
    with pytest.raises(InvalidProviderOutput, match="call_1"):
        events_of([*stream, completed()])
    end = completed(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert not of(events_of([*stream, end]), ToolCallEvent, ToolInputError)


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    """Calls that no id identifies are told apart, within an answer and between answers."""
    bare = {"type": "function_call", "name": "get_weather", "arguments": "{}"}
    folded = read([completed(bare, bare)])
    assert [tool.id for tool in folded.tool_calls] == ["call_resp_1_0", "call_resp_1_1"]
    assert read([completed({"type": "web_search_call"})]).tool_calls[0].id == "call_resp_1_0"
    assert read([added(bare), done(bare), completed()]).tool_calls[0].id == "call_0"  # before the answer has a name


def test_no_arguments_are_an_empty_object() -> None:
    """A call for which the model wrote nothing has no arguments, which is not an error."""
    assert read([added(call()), done(call("")), completed()]).tool_calls[0].arguments == {}


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_call_that_was_cut_short_is_none(reason: str) -> None:
    """What is left of a call where the answer hit its limit is not run."""
    end = completed(call('{"ci', status="incomplete"), status="incomplete", incomplete_details={"reason": reason})
    events = events_of([added(call()), written('{"ci'), end])
    assert not of(events, ToolCallEvent)
    assert of(events, ToolInputError)
    assert finish_of(events).reason == {"max_output_tokens": "length", "content_filter": "content-filter"}[reason]


def test_calls_side_by_side() -> None:
    """Pieces of several calls may come in turn."""
    second = {"id": "fc_2", "call_id": "call_2"}
    stream = [
        added(call()),
        added(call(**second), 1),
        written('{"n"', 0),
        written('{"n"', 1, "fc_2"),
        written(":1}", 0),
    ]
    folded = read([*stream, written(":2}", 1, "fc_2"), completed()])
    assert [(tool.id, tool.arguments) for tool in folded.tool_calls] == [("call_1", {"n": 1}), ("call_2", {"n": 2})]


def test_a_custom_tool_takes_any_text() -> None:
    """The input of a custom tool is text: kept raw, and no error."""
    item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "sql", "input": ""}
    delta = event("custom_tool_call_input.delta", item_id="ctc_1", output_index=0, delta="SELECT 1;")
    events = events_of([added(item), delta, done({**item, "input": "SELECT 1;"}), completed()])
    (tool,) = fold(events).tool_calls
    assert (tool.name, tool.arguments, tool.raw_arguments) == ("sql", None, "SELECT 1;")
    assert not of(events, ToolInputError)
    assert finish_of(events).reason == "tool-calls"


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "web_search_call", "action": {"query": "q"}}, "web_search", {"query": "q"}),
        ({"type": "file_search_call", "queries": ["q"], "results": None}, "file_search", {"queries": ["q"]}),
        ({"type": "code_interpreter_call", "code": "1", "container_id": "c"}, "code_interpreter",
         {"code": "1", "container_id": "c"}),
        ({"type": "image_generation_call", "result": "iVBO"}, "image_generation", {}),
        ({"type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"}, "mcp",
         {"server_label": "s", "name": "n", "arguments": "{}"}),
    ],
)  # fmt: skip
def test_tools_that_the_provider_runs(item: dict[str, Any], name: str, arguments: Any) -> None:
    """They are seen as a call and its result, and are nobody else's to run."""
    item = {**item, "id": "ws_1"}
    events = events_of([added({"type": item["type"], "id": "ws_1"}), done(item), completed(item)])
    (asked,), (given,) = of(events, ToolCallEvent), of(events, ToolResultEvent)
    assert (asked.call.id, asked.call.name, asked.call.arguments) == ("ws_1", name, arguments)
    assert (given.result.id, given.result.result.type, given.result.result.value) == ("ws_1", "json", item)
    assert asked.call.provider_executed
    assert given.result.provider_executed
    assert finish_of(events).reason == "stop"


def test_a_shell_of_the_provider() -> None:
    """What came of a shell in a container is an item of its own; a shell elsewhere is ours to run."""
    ran = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}}
    contained = {**ran, "environment": {"type": "container_reference", "container_id": "c"}}
    came = {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": [{"stdout": "a.csv"}]}
    events = events_of([added(contained), done(contained), added(came, 1), done(came, 1), completed(contained, came)])
    (asked,), (given,) = of(events, ToolCallEvent), of(events, ToolResultEvent)
    assert (asked.call.id, asked.call.name, asked.call.arguments) == ("call_1", "shell", {"commands": ["ls"]})
    assert (given.result.id, given.result.result.value) == ("call_1", [{"stdout": "a.csv"}])
    assert (asked.call.provider_executed, given.result.provider_executed) == (True, True)
    assert finish_of(events).reason == "stop"
    (ours,) = read([completed({**ran, "environment": {"type": "local"}})]).tool_calls
    assert (ours.id, ours.provider_executed) == ("call_1", False)


def test_a_tool_that_failed_at_the_providers() -> None:
    """The error of a hosted tool is its result."""
    item = {"type": "mcp_call", "id": "mcp_1", "error": {"message": "down"}}
    (given,) = of(events_of([completed(item)]), ToolResultEvent)
    assert (given.result.result.type, given.result.result.value) == ("error", {"message": "down"})


def test_calls_of_other_kinds_are_ours_to_run() -> None:
    """A computer, shell or patch call is answered by whoever asked; the item goes back as it was."""
    item = {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "action": {"type": "click", "x": 1}}
    events = events_of([added(item), done(item), completed(item)])
    (asked,) = of(events, ToolCallEvent)
    assert (asked.call.id, asked.call.name, asked.call.arguments) == ("call_1", "computer", {"type": "click", "x": 1})
    assert asked.call.provider_metadata == {"openai": {"item_id": "cu_1", "item": item}}
    assert not asked.call.provider_executed
    assert finish_of(events).reason == "tool-calls"
