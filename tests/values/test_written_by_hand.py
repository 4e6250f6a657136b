"""Values that people write by hand: brought into form, or refused where they are made, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from mellite import (
    CacheHint,
    CachePolicy,
    HttpOptions,
    Image,
    Message,
    Options,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
    ToolValue,
    Usage,
)
from mellite.backends import Echo, Scripted
from mellite.errors import InvalidRequest, UnknownOption
from mellite.events import (
    Finish,
    StepFinish,
    TextDelta,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
)

HI = Message.user("Hi.")


def look(what: str) -> str:
    """Look at something."""
    return what


def test_a_request_is_brought_into_form() -> None:
    """A Request made by hand is what `Request.of` makes of the same."""
    made: Any = Request(
        [{"role": "user", "content": "Hi."}],  # type: ignore[arg-type]
        "gpt-4o",
        system="Be brief.",  # type: ignore[arg-type]
        tools=[look],  # type: ignore[arg-type]
        tool_choice="required",  # type: ignore[arg-type]
        options={"temperature": 0, "stop": "END"},  # type: ignore[arg-type]
        metadata={"a": 1},
    )
    by_of = Request.of(
        "Hi.",
        model="gpt-4o",
        system="Be brief.",
        tools=[look],
        tool_choice="required",
        temperature=0,
        stop="END",
        metadata={"a": 1},
    )
    assert made == by_of
    assert made.system == (Text("Be brief."),)
    assert made.options == Options(temperature=0, stop=("END",)) == Options(temperature=0, stop="END")  # type: ignore[arg-type]
    assert Request("Hi.") == Request((HI,)) == Request(HI) == Request([HI])  # type: ignore[arg-type]
    assert Request([]) == Request(())  # type: ignore[arg-type]
    changed = attrs.evolve(made, messages=[HI, ("assistant", "Yes?"), HI])
    assert [message.role for message in changed.messages] == ["user", "assistant", "user"]
    assert Echo().generate(Request([HI])).result() == "Hi."  # type: ignore[arg-type]


WRONG_REQUESTS: dict[str, dict[str, Any]] = {
    "prompt": {"messages": 5},
    "role": {"messages": [{"role": "human", "content": "x"}]},
    "model": {"model": 5},
    "system": {"system": 5},
    "tools": {"tools": 5},
    "tool_choice": {"tool_choice": 5},
    "options": {"options": 5},
    "temperature": {"options": {"temperature": "hot"}},
    "provider_options": {"provider_options": 5},
    "http": {"http": {"headers": {}}},
    "cache": {"cache": "never"},
    "metadata": {"metadata": 5},
    "output_mode": {"output_mode": "json"},
}


@pytest.mark.parametrize(("field", "wrong"), WRONG_REQUESTS.items(), ids=WRONG_REQUESTS)
def test_a_request_refuses_what_it_is_not_made_of(field: str, wrong: dict[str, Any]) -> None:
    make: Any = Request
    with pytest.raises(InvalidRequest) as caught:
        make(**{"messages": (HI,), **wrong})
    assert caught.value.parameter == field or field in ("role", "tool_choice")


def test_a_misspelled_option_of_a_request() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'temperature'"):
        Request((HI,), options={"temprature": 0})  # type: ignore[arg-type]


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "id of a call": (lambda: ToolCall(5, "look", {}), "'id' of ToolCall must be a str, not 5"),  # type: ignore[arg-type]
    "name of a call": (lambda: ToolCall("1", None, {}), "'name' of ToolCall must be a str, not None"),  # type: ignore[arg-type]
    "id of a result": (lambda: ToolResult(5, "look", "x"), "'id' of ToolResult must be a str, not 5"),  # type: ignore[arg-type]
    "kind of a result": (lambda: ToolValue("xml", 1), "'type' of ToolValue must be one of 'json', "),  # type: ignore[arg-type]
    "thinking": (lambda: Reasoning(5), "'text' of Reasoning must be a str, not 5"),  # type: ignore[arg-type]
    "URL": (lambda: Image(url=5), "'url' of Image must be a str, or None, not 5"),  # type: ignore[arg-type]
    "media type": (lambda: Image(b"x", media_type=5), "'media_type' of Image must be a str, or None"),  # type: ignore[arg-type]
    "hint": (lambda: CacheHint("short"), "'type' of CacheHint must be one of 'ephemeral', 'persistent', not"),  # type: ignore[arg-type]
    "time of a hint": (lambda: CacheHint(ttl_seconds="1h"), "whole number of seconds, or None, not '1h'"),  # type: ignore[arg-type]
    "hint at a text": (lambda: Text("x", cache="auto"), "'cache' of Text must be a CacheHint, or None, not 'auto'"),  # type: ignore[arg-type]
    "hint at a tool": (lambda: ToolDefinition("look", cache=True), "must be a CacheHint, or None, not True"),  # type: ignore[arg-type]
    "policy": (lambda: CachePolicy(messages="all"), "'messages' of CachePolicy must be 'latest-user-message'"),  # type: ignore[arg-type]
    "time of a policy": (lambda: CachePolicy(ttl_seconds=0), "a whole number of seconds, or None, not 0"),
    "name of a tool": (lambda: ToolDefinition(5), "'name' of ToolDefinition must be a str, not 5"),  # type: ignore[arg-type]
    "schema": (lambda: ToolDefinition("look", input_schema=5), "must be a JSON Schema, not 5"),  # type: ignore[arg-type]
    "choice": (lambda: ToolChoice("any"), "'type' of ToolChoice must be one of 'auto', 'none', 'required', 'tool'"),  # type: ignore[arg-type]
    "headers": (lambda: HttpOptions(headers=5), "'headers' of HttpOptions must be a mapping, not 5"),  # type: ignore[arg-type]
    "option": (lambda: Options(max_tokens="many"), "'max_tokens' must be a whole number of at least 1"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("make", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_told_where_it_is_made(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "reason"),
    [("tool_calls", "tool-calls"), ("content_filter", "content-filter"), ("max_tokens", "length"), ("eos", "unknown")],
)
def test_other_words_for_the_end(word: Any, reason: str) -> None:
    """A backend of one's own may hand on the word of a vendor: it is kept, and translated."""
    for event in (Finish(word), StepFinish(0, reason=word)):
        assert (event.reason, event.raw_reason) == (reason, word)
    assert Finish(word, raw_reason="theirs").raw_reason == "theirs"
    made = Scripted([[TextDelta("x"), Finish(word)]]).generate("hi")
    made.result()
    assert (made.finish_reason, made.generation.raw_finish_reason) == (reason, word)
    nothing: Any = None
    assert (Finish(nothing).reason, Finish(nothing).raw_reason) == ("unknown", None)


def call_of(*events: Any) -> ToolCall:
    """Return the call that a backend writes with these events."""
    made = Scripted([[*events]]).generate("hi")
    made.result()
    return made.tool_calls[0]


def test_a_call_that_is_only_written() -> None:
    """Its arguments are read when they have ended, or the answer has; what is not whole, or no JSON, stays text."""
    begun, ended = ToolInputStart("1", "look"), ToolInputEnd("1", "look")
    whole = [ToolInputDelta("1", "look", '{"what":'), ToolInputDelta("1", "look", ' "x"}')]
    assert call_of(begun, *whole, ended, Finish("tool-calls")).arguments == {"what": "x"}
    assert call_of(begun, *whole, ended, Finish("tool-calls")).raw_arguments == '{"what": "x"}'
    assert call_of(*whole, Finish("stop", usage=Usage())).arguments == {"what": "x"}
    assert call_of(begun, ended, Finish("tool-calls")).arguments == {}
    assert call_of(begun, whole[0], ended, Finish("tool-calls")).arguments is None
    assert call_of(*whole, Finish("length")).arguments is None
    assert call_of(begun, *whole, ended, ToolInputError("1", "look", raw="{}"), Finish("stop")).arguments is None
