"""Function calls and hosted tools of Gemini: whole, in pieces, without ids, and parts of other kinds."""

from __future__ import annotations

from typing import Any

import pytest

from mellite.errors import InvalidProviderOutput
from mellite.events import ToolCallEvent, ToolInputError
from mellite.messages import ToolCall
from mellite.values.fold import fold
from tests.protocols.gemini.chunks import call, chunk, events_of, finish_of, read


def calls_in(chunks: list[Any]) -> list[ToolCall]:
    return [event.call for event in events_of(chunks) if isinstance(event, ToolCallEvent)]


# --- function calls -------------------------------------------------------------------------------


def test_a_function_call_comes_whole() -> None:
    """A call is one event, with Gemini's id and signature kept for the next turn."""
    (made,) = calls_in([chunk(call(id="c1", signature="sig"), finish="STOP")])
    assert (made.id, made.name, made.arguments) == ("c1", "get_weather", {"city": "Paris"})
    assert made.raw_arguments == '{"city":"Paris"}'
    assert made.provider_metadata == {"google": {"id": "c1", "thoughtSignature": "sig"}}


def test_calls_without_an_id_get_one_of_their_own() -> None:
    """Where Gemini gives no id, each call has one that is different in every answer and the same in every replay."""
    chunks = [chunk(call()), chunk(call()), chunk("", finish="STOP")]
    first = [made.id for made in calls_in(chunks)]
    other = [made.id for made in calls_in([{**each, "responseId": "r2"} for each in chunks])]
    nameless = [{name: value for name, value in each.items() if name != "responseId"} for each in chunks]
    third = [made.id for made in calls_in(nameless)]
    assert len({*first, *other, *third}) == 6
    assert third == [made.id for made in calls_in(nameless)]
    assert (
        calls_in(chunks)[0].provider_metadata
        is calls_in([chunk(call(id=5), finish="STOP")])[0].provider_metadata
        is None
    )


def test_arguments_may_be_missing() -> None:
    """A call without args has none; the call stands."""
    (made,) = calls_in([chunk({"functionCall": {"name": "now"}}, finish="STOP")])
    assert (made.arguments, made.raw_arguments) == ({}, "{}")


@pytest.mark.parametrize("depth", [100, 940, 960, 980, 990, 5000])
def test_arguments_may_be_deep(depth: int) -> None:
    """Arguments that are nested too deeply to be written again are the provider's fault, not the caller's."""
    deep = '{"a":' * depth + "{}" + "}" * depth
    part = f'{{"functionCall":{{"name":"f","args":{deep}}}}}'
    data = f'{{"candidates":[{{"content":{{"parts":[{part}]}},"finishReason":"STOP"}}]}}'
    try:
        events = events_of([data])
    except (InvalidProviderOutput, RecursionError):  # a route makes the one of the other
        return
    assert fold(events).tool_calls[0].raw_arguments == deep


def test_arguments_may_be_streamed() -> None:
    """Pieces of arguments are put where their paths say, until the call does not continue."""
    pieces = [
        {"name": "book", "id": "c1", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.to.city", "stringValue": "Par", "willContinue": True}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.to.city", "stringValue": "is"}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$['days'][0]", "numberValue": 3}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[1]", "numberValue": 4}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.days[0]", "numberValue": 2}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.window", "boolValue": True}, {"jsonPath": "$.note", "nullValue": None}]},
    ]
    chunks = [chunk({"functionCall": piece}) for piece in pieces]
    chunks[0]["candidates"][0]["content"]["parts"][0]["thoughtSignature"] = "sig"
    events = events_of([*chunks, chunk({"functionCall": {}}), chunk(call("now")), chunk("", finish="STOP")])
    first, second = (event.call for event in events if isinstance(event, ToolCallEvent))
    arguments = {"to": {"city": "Paris"}, "days": [2, 4], "window": True, "note": None}
    assert (first.id, first.name, first.arguments, second.name) == ("c1", "book", arguments, "now")
    whole = {"functionCall": {"name": "book", "id": "c1", "args": arguments}, "thoughtSignature": "sig"}
    assert finish_of(events).response["candidates"][0]["content"]["parts"][0] == whole


def test_the_next_call_ends_the_one_before() -> None:
    """A call that never said that it is complete is, when another begins or the answer ends."""
    begun = {"functionCall": {"name": "a", "willContinue": True}}
    assert [made.name for made in calls_in([chunk(begun), chunk(call("b"), finish="STOP")])] == ["a", "b"]
    assert [made.name for made in calls_in([chunk(begun), chunk("", finish="STOP")])] == ["a"]


def test_a_call_that_was_cut_short_is_no_call() -> None:
    """Where the answer hit its limit in the middle of a call, what there was of it is shown, and nothing is run."""
    begun = {
        "functionCall": {"name": "a", "partialArgs": [{"jsonPath": "$.x", "stringValue": "hal"}], "willContinue": True}
    }
    events = events_of([chunk(begun), chunk("", finish="MAX_TOKENS")])
    (error,) = (event for event in events if isinstance(event, ToolInputError))
    assert (error.name, error.raw) == ("a", '{"x":"hal"}')
    assert not [event for event in events if isinstance(event, ToolCallEvent)]
    assert finish_of(events).reason == "length"


@pytest.mark.parametrize(
    "path", ["", "$", "$..", "$[0]", "$.a[1]", "$.b[1]", "$.b[99999999]", "$.a.b", "$.'", "$" + ".b" * 99, 5]
)
def test_a_path_that_leads_nowhere_is_typed(path: Any) -> None:
    """Pieces of arguments without a place are InvalidProviderOutput, in bounded memory."""
    pieces = [{"jsonPath": "$.a", "stringValue": "v"}, {"jsonPath": path, "numberValue": 1}]
    with pytest.raises(InvalidProviderOutput):
        events_of([chunk({"functionCall": {"name": "a", "partialArgs": pieces}})])


# --- what the provider ran itself -----------------------------------------------------------------


def test_code_that_was_run_is_a_call_with_its_result() -> None:
    """Code execution is a call and a result of the provider's own, which nobody here has to answer."""
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}, "thoughtSignature": "sig"}
    output = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
    events = events_of([chunk(code), chunk(output), chunk("It is 1.", finish="STOP")])
    folded = fold(events)
    (made,) = folded.tool_calls
    result = folded.parts[1]
    assert (made.name, made.arguments["code"], made.provider_executed) == ("code_execution", "print(1)", True)
    assert (result.id, result.result.value) == (made.id, "1\n")  # type: ignore[union-attr]
    assert (finish_of(events).reason, folded.text) == ("stop", "It is 1.")
    failed = {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no", "id": "x"}}
    assert read([chunk(failed, finish="STOP")]).parts[0].result.type == "error"  # type: ignore[union-attr]


def test_hosted_tools_are_calls_with_results() -> None:
    """What Google's own tools were asked and answered has its id and its name."""
    asked = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t1", "args": {"queries": ["x"]}}}
    answered = {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t1", "response": {"a": 1}}}
    made, result = read([chunk(asked, answered, finish="STOP")]).parts
    assert (made.id, made.name, made.arguments) == ("t1", "GOOGLE_SEARCH_WEB", {"queries": ["x"]})  # type: ignore[union-attr]
    assert (result.id, result.result.value) == ("t1", {"a": 1})  # type: ignore[union-attr]


def test_parts_of_another_kind_are_kept() -> None:
    """A picture, or a part that nobody knows yet, is an empty text that holds it, and is in the raw answer."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "sig"}
    events = events_of([chunk("Here:"), chunk(picture, {"new": 1}), chunk("", finish="STOP")])
    notes = [part.provider_metadata for part in fold(events).parts if part.provider_metadata]  # type: ignore[union-attr]
    assert notes == [{"google": {"part": picture}}, {"google": {"part": {"new": 1}}}]
    assert finish_of(events).response["candidates"][0]["content"]["parts"][1:] == [picture, {"new": 1}]
