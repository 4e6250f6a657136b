"""What the deltas of a Chat answer stand for: text, thinking, refusals, tool calls in their new form and in the old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...values.errors import MelliteError
from ...values.events import Event, ReasoningDelta, ReasoningEnd, ReasoningStart, StepStart, TextDelta, TextStart
from ...values.usage import Usage
from ..json_values import json_text, listed, wrong
from ..tool_inputs import ToolInputs
from .answer import REASONING_FIELDS, MergedChat
from .body import ChatDialect

__all__ = ["MISSES", "ChatState", "begin", "end_reasoning", "on_delta"]

#: After so many chunks that held more than text, those of this host are no longer tried as plain.
MISSES: Final = 8
_LONGEST_INDEX: Final = 10  # digits


class ChatState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the finish reason has come, and no content since.
        done: the end of the stream has come.
    """

    __slots__ = (
        "blocks",
        "complete",
        "dialect",
        "done",
        "failure",
        "finish_word",
        "has_details",
        "inputs",
        "merged",
        "misses",
        "old_call",
        "plain",
        "reasoning_id",
        "refusal",
        "response_id",
        "response_model",
        "started",
        "text_open",
        "usage",
    )

    def __init__(self, dialect: ChatDialect) -> None:
        self.dialect = dialect
        self.complete = False
        self.done = False
        self.plain = ""  # what is flowing, "text" or "reasoning", so that the next chunk is likely to be more of it
        self.misses = 0
        self.started = False
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.text_open = False
        self.reasoning_id = ""  # the open block
        self.blocks = 0  # of thinking, so far
        self.has_details = False
        self.refusal: list[str] = []
        self.inputs = ToolInputs()
        self.old_call = False  # the only call comes in the form that `tool_calls` replaced
        self.merged = MergedChat()
        self.finish_word: str | None = None
        self.failure: MelliteError | None = None  # of the choice, to be raised at the end
        self.usage: Usage | None = None


def on_delta(state: ChatState, delta: Mapping[str, Any], events: list[Event], *, whole: bool = False) -> None:
    """More of the answer; `whole` if it is all of it, so that each tool call is one of its own."""
    content = delta.get("content")
    thinking = next((text for name in REASONING_FIELDS if isinstance(text := delta.get(name), str) and text), "")
    if isinstance(content, list):
        parts = _on_parts(content)
        thinking, content = thinking or parts[0], parts[1]
    elif content is not None and not isinstance(content, str):
        raise wrong(content, "content", "a text")
    state.has_details = state.has_details or bool(delta.get("reasoning_details"))
    if thinking:
        _on_thinking(state, thinking, events)
    if content:
        _on_text(state, content, events)
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        _go_on(state)
        state.refusal.append(refusal)
    _on_calls(state, delta, events, whole=whole)


def _on_calls(state: ChatState, delta: Mapping[str, Any], events: list[Event], *, whole: bool) -> None:
    calls = listed(delta.get("tool_calls"), "tool_calls")
    old = delta.get("function_call")
    if isinstance(old, dict) and not any(old.values()):  # Snowflake gives one that says nothing with every text
        old = None
    state.old_call = state.old_call or (bool(old) and not calls and not len(state.inputs))
    if state.old_call and old:
        calls = [{"function": old}]
    if calls:
        begin(state, events)
        _close_reasoning(state, events)
    grown = state.inputs.grown
    for place, call in enumerate(calls):
        _on_tool_call(state, call, place, events, whole=whole)
    if state.inputs.grown != grown:
        _go_on(state)


def _on_parts(parts: Sequence[Any]) -> tuple[str, str]:
    """The thinking and the text of a content in parts; those of other types are only in the raw answer."""
    thinking: list[str] = []
    text: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            raise wrong(part, "a part of the content", "an object")
        kind, said = part.get("type"), part.get("text")
        if kind == "thinking":
            inner = part.get("thinking")
            thinking += [inner] if isinstance(inner, str) else [_on_parts(listed(inner, "thinking"))[1]]
        elif kind == "text" and isinstance(said, str):
            text.append(said)
    return "".join(thinking), "".join(text)


def _on_thinking(state: ChatState, text: str, events: list[Event]) -> None:
    begin(state, events)
    _go_on(state)
    if not state.reasoning_id:
        state.reasoning_id = f"reasoning-{state.blocks}"
        state.blocks += 1
        events.append(ReasoningStart(state.reasoning_id))
    events.append(ReasoningDelta(text, state.reasoning_id))
    state.plain = "reasoning" if state.misses < MISSES else ""


def _on_text(state: ChatState, text: str, events: list[Event]) -> None:
    begin(state, events)
    _go_on(state)
    _close_reasoning(state, events)
    if not state.text_open:
        state.text_open = True
        events.append(TextStart("text-0"))
    events.append(TextDelta(text))
    state.plain = "text" if state.misses < MISSES else ""


def _on_tool_call(state: ChatState, call: Any, place: int, events: list[Event], *, whole: bool) -> None:
    function = (call.get("function") or call.get("custom") or {}) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise wrong(call, "a tool call", "an object with a function")
    index, id, name = _index_of(call), call.get("id"), function.get("name")
    arguments = function.get("arguments", function.get("input"))
    if isinstance(arguments, (dict, list)):  # some hosts send the object itself
        arguments = json_text(arguments, what="the arguments")
    for what, value in (("name", name), ("arguments", arguments)):
        if value is not None and not isinstance(value, str):
            raise wrong(value, f"the {what} of a tool call", "a text")
    id = None if id is None else str(id)
    extra = {key: value for key, value in call.items() if key not in _CALL_FIELDS}
    if state.old_call:
        events += state.inputs.add_to_first(name=name, arguments=arguments)
    elif whole:
        events += state.inputs.add_whole(place, id=id, name=name, arguments=arguments, extra=extra)
    else:
        fresh = bool(name) and place > 0 and index is None and not id  # the others in one delta are other calls
        events += state.inputs.add(index=index, id=id, name=name, arguments=arguments, extra=extra, fresh=fresh)


_CALL_FIELDS: Final = frozenset({"custom", "function", "id", "index", "type"})


def _index_of(call: Mapping[str, Any]) -> int | None:
    index = call.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < _LONGEST_INDEX:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _go_on(state: ChatState) -> None:
    """Content has come: a finish reason before it was none."""
    if state.finish_word:
        state.finish_word = None
        state.complete = False


def begin(state: ChatState, events: list[Event]) -> None:
    """Begin the step, unless it has begun."""
    if not state.started:
        state.started = True
        events.append(StepStart())


def _close_reasoning(state: ChatState, events: list[Event]) -> None:
    """Thinking ends where something else begins; where details belong to it, which may come late, at the very end."""
    if state.reasoning_id and not state.has_details:
        events.append(ReasoningEnd(state.reasoning_id))
        state.reasoning_id = ""


def end_reasoning(state: ChatState, details: Any, events: list[Event]) -> None:
    """End the open block of thinking, with the `details` that have to be sent back."""
    if details and not state.reasoning_id:  # encrypted thinking, of which nothing is shown
        state.reasoning_id = f"reasoning-{state.blocks}"
        events.append(ReasoningStart(state.reasoning_id))
    if state.reasoning_id:
        metadata = {"openai": {"reasoning_details": details}} if details else None
        events.append(ReasoningEnd(state.reasoning_id, provider_metadata=metadata))
        state.reasoning_id = ""
