"""The stream events of Responses before the last: what each adds to the items of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ...values.events import Event
from ...values.provider_json import Json, JsonObject
from ..json_values import wrong
from .pieces import CALLS, Kind
from .state import Flow, State

__all__ = ["HANDLERS", "object_in"]


def object_in(event: Mapping[str, Json], name: str) -> JsonObject:
    """Return the object in a field of an event, which must have one."""
    value = event.get(name)
    if not isinstance(value, dict):
        raise wrong(value, f"{name!r} of a stream event", "an object")
    return value


def _on_response(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    response = object_in(event, "response")
    state.identify(response.get("id"), response.get("model"), events)


def _on_item_added(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    state.begin(events)
    state.flow = None
    events += state.items.added(object_in(event, "item"), event.get("output_index"))


def _on_item_done(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    state.begin(events)
    state.flow = None
    events += state.items.done(object_in(event, "item"), event.get("output_index"))


def _on_text(state: State, event: Mapping[str, Json], events: list[Event], *, kind: Kind = "output_text") -> None:
    text = _delta(event)
    if not text:
        return
    if not state.started:
        state.begin(events)
    item = state.items.of(event, "message" if kind == "output_text" else "reasoning")
    number = _number(event, _COUNTED[kind])
    block, more = state.items.text(item, kind, number, text)
    if item.held is None:
        state.flow = Flow(event.get("type"), _place(event), number, block)
    state.piece_of = block
    events += more


def _place(event: Mapping[str, Json]) -> int | str | None:
    """Return the place of the item that an event is about: its index or, without one, its id."""
    place: int | str | None = event.get("output_index")
    return event.get("item_id") if place is None else place


#: The field that says which text of its kind an event belongs to.
_COUNTED: Final[Mapping[Kind, str]] = {
    "output_text": "content_index",
    "reasoning_text": "content_index",
    "summary_text": "summary_index",
}


def _on_whole_text(state: State, event: Mapping[str, Json], events: list[Event], *, kind: Kind = "output_text") -> None:
    whole = event.get("text")
    if not isinstance(whole, str) or not whole:
        return  # it is not said here
    state.begin(events)
    state.flow = None
    events += state.items.whole_text(event, kind, _number(event, _COUNTED[kind]), whole)


def _on_part_done(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    """Take a part of a message or of thinking as a whole; it is of the kind that its type says."""
    part = event.get("part")
    if isinstance(part, Mapping):
        handler = _PARTS.get(str(part.get("type")))
        if handler is not None:
            handler(state, {**event, **part}, events)


def _on_input(state: State, event: Mapping[str, Json], events: list[Event], *, kind: str = "function_call") -> None:
    text = _delta(event)
    if not text:
        return
    if not state.started:
        state.begin(events)
    item = state.items.of(event, kind)
    state.piece_of = item
    events += state.items.input(item, text)
    place = _place(event)
    flows = item.started and item.held is None and place is not None
    state.flow = Flow(event.get("type"), place, None, item) if flows else None


def _on_whole_input(
    state: State, event: Mapping[str, Json], events: list[Event], *, kind: str = "function_call"
) -> None:
    whole = event.get(CALLS[kind])
    if not isinstance(whole, str) or not whole.strip():
        return
    state.begin(events)
    state.flow = None
    events += state.items.whole_input(event, kind, whole)


def _on_refusal(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    state.begin(events)
    place = _refused(event)
    state.refusals[place] = state.refusals.get(place, "") + _delta(event)


def _on_whole_refusal(state: State, event: Mapping[str, Json], events: list[Event]) -> None:
    whole = event.get("refusal")
    if isinstance(whole, str) and whole:
        state.begin(events)
        state.refusals[_refused(event)] = whole


def _refused(event: Mapping[str, Json]) -> tuple[Json, int]:
    """Return the place of a refusal: an item that is sent twice keeps its id."""
    names = [name for name in (event.get("item_id"), event.get("output_index")) if isinstance(name, (str, int))]
    return next(iter(names), None), _number(event, "content_index")


_PARTS: Final[Mapping[str, Callable[[State, Mapping[str, Json], list[Event]], None]]] = {
    "output_text": _on_whole_text,
    "reasoning_text": partial(_on_whole_text, kind="reasoning_text"),
    "refusal": _on_whole_refusal,
    "summary_text": partial(_on_whole_text, kind="summary_text"),
}

#: What takes an event, by its type; one of another type is only in the raw answer.
HANDLERS: Final[Mapping[str, Callable[[State, Mapping[str, Json], list[Event]], None]]] = {
    "response.created": _on_response,
    "response.queued": _on_response,
    "response.in_progress": _on_response,
    "response.output_item.added": _on_item_added,
    "response.output_item.done": _on_item_done,
    "response.output_text.delta": _on_text,
    "response.output_text.done": _on_whole_text,
    "response.content_part.done": _on_part_done,
    "response.refusal.delta": _on_refusal,
    "response.refusal.done": _on_whole_refusal,
    "response.reasoning_text.delta": partial(_on_text, kind="reasoning_text"),
    "response.reasoning_text.done": partial(_on_whole_text, kind="reasoning_text"),
    "response.reasoning_part.done": _on_part_done,
    "response.reasoning_summary.delta": partial(_on_text, kind="summary_text"),
    "response.reasoning_summary.done": partial(_on_whole_text, kind="summary_text"),
    "response.reasoning_summary_text.delta": partial(_on_text, kind="summary_text"),
    "response.reasoning_summary_text.done": partial(_on_whole_text, kind="summary_text"),
    "response.reasoning_summary_part.done": _on_part_done,
    "response.function_call_arguments.delta": _on_input,
    "response.function_call_arguments.done": _on_whole_input,
    "response.custom_tool_call_input.delta": partial(_on_input, kind="custom_tool_call"),
    "response.custom_tool_call_input.done": partial(_on_whole_input, kind="custom_tool_call"),
}


def _delta(event: Mapping[str, Json]) -> str:
    """Return the next piece of a text, which an event of this kind must have, if only null."""
    value = event.get("delta", 0)
    if value is not None and not isinstance(value, str):
        raise wrong(value, "'delta' of a stream event", "a text")
    return value or ""  # null says nothing


def _number(event: Mapping[str, Json], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0
