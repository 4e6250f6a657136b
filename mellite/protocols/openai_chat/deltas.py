"""Events for the deltas of a Chat answer: text, thinking, refusals, tool calls in the new form and the old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ...values.events import Event, ReasoningDelta, ReasoningEnd, ReasoningStart, TextDelta, TextStart
from ...values.provider_json import Json
from ..json_values import json_text, listed, wrong
from .answer import REASONING_FIELDS
from .state import State

__all__ = ["MISSES", "end_reasoning", "on_delta"]

#: After so many chunks that held more than text, those of this host are no longer tried as plain.
MISSES: Final = 8
_LONGEST_INDEX: Final = 10  # digits

#: The fields of thinking that a plain chunk may have.
_PLAIN_THINKING: Final = ("reasoning_content", "reasoning")


def on_delta(state: State, delta: Mapping[str, Json], events: list[Event], *, whole: bool = False) -> None:
    """Take more of the answer; or all of it, if `whole`, so that each tool call is one of its own."""
    content = delta.get("content")
    thinking = field = ""
    for name in REASONING_FIELDS:
        if name in delta and isinstance(delta[name], str) and delta[name]:
            thinking, field = delta[name], name
            break
    if type(content) is list:
        parts = _on_parts(content)
        thinking, content = thinking or parts[0], parts[1]
    elif content is not None and type(content) is not str:
        raise wrong(content, "content", "a text")
    if delta.get("reasoning_details"):
        state.has_details = True
    if thinking:
        _on_thinking(state, thinking, field, events)
    if content:
        _on_text(state, content, events)
    if "refusal" in delta and isinstance(delta["refusal"], str) and delta["refusal"]:
        state.go_on()
        state.refusal.append(delta["refusal"])
    if "tool_calls" in delta or "function_call" in delta:
        _on_calls(state, delta, events, whole=whole)


def _on_calls(state: State, delta: Mapping[str, Json], events: list[Event], *, whole: bool) -> None:
    calls = listed(delta.get("tool_calls"), "tool_calls")
    old = delta.get("function_call")
    if isinstance(old, dict) and not any(old.values()):  # Snowflake gives one that says nothing with every text
        old = None
    state.old_call = state.old_call or (bool(old) and not calls and not len(state.inputs))
    if state.old_call and old:
        calls = [{"function": old}]
    if calls:
        state.begin(events)
        _close_reasoning(state, events)
    grown = state.inputs.grown
    for place, call in enumerate(calls):
        _on_tool_call(state, call, place, events, whole=whole)
    if state.inputs.grown != grown:
        state.go_on()
        state.plain = "arguments" if state.misses < MISSES and not (state.old_call or whole) else ""


def _on_parts(parts: Sequence[Json]) -> tuple[str, str]:
    """Return the thinking and the text of a content in parts; parts of other types are only in the raw answer."""
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


def _on_thinking(state: State, text: str, field: str, events: list[Event]) -> None:
    """Take more thinking out of a field of the delta; out of the content, if it is not a name."""
    if not state.started:
        state.begin(events)
    state.go_on()
    if not state.reasoning_id:
        state.reasoning_id = f"reasoning-{state.blocks}"
        state.blocks += 1
        events.append(ReasoningStart(state.reasoning_id))
    events.append(ReasoningDelta(text, state.reasoning_id))
    state.plain = field if state.misses < MISSES and field in _PLAIN_THINKING else ""


def _on_text(state: State, text: str, events: list[Event]) -> None:
    if not state.started:
        state.begin(events)
    state.go_on()
    if state.reasoning_id:
        _close_reasoning(state, events)
    if not state.text_open:
        state.text_open = True
        events.append(TextStart("text-0"))
    events.append(TextDelta(text))
    state.plain = "text" if state.misses < MISSES else ""


def _on_tool_call(state: State, call: Json, place: int, events: list[Event], *, whole: bool) -> None:
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


def _index_of(call: Mapping[str, Json]) -> int | None:
    index = call.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < _LONGEST_INDEX:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _close_reasoning(state: State, events: list[Event]) -> None:
    """End thinking, as something else begins; thinking with details, which may come late, ends at the very end."""
    if state.reasoning_id and not state.has_details:
        events.append(ReasoningEnd(state.reasoning_id))
        state.reasoning_id = state.plain = ""


def end_reasoning(state: State, details: Json, events: list[Event]) -> None:
    """End the open block of thinking, with the `details` that have to be sent back."""
    if details and not state.reasoning_id:  # encrypted thinking, of which nothing is shown
        state.reasoning_id = f"reasoning-{state.blocks}"
        events.append(ReasoningStart(state.reasoning_id))
    if state.reasoning_id:
        metadata = {"openai": {"reasoning_details": details}} if details else None
        events.append(ReasoningEnd(state.reasoning_id, provider_metadata=metadata))
        state.reasoning_id = ""
