"""Chunks of a chat stream made by hand, and what is read out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mellite.events import Event, Finish, ToolCallEvent
from mellite.protocols.openai_chat import ChatDialect
from mellite.protocols.openai_chat.stream import halt, initial, step
from mellite.request import Request
from mellite.values.fold import Folded, fold

REQUEST = Request.of("hi")
DONE = "[DONE]"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def events_of(chunks: Iterable[Any], **dialect: Any) -> list[Event]:
    """The events of a stream; each chunk is a JSON value, or the data itself as a str or bytes."""
    state = initial(REQUEST, dialect=ChatDialect(**dialect))
    events: list[Event] = []
    for chunk in chunks:
        data = chunk if isinstance(chunk, (str, bytes)) else json.dumps(chunk)
        events += step(state, data.encode() if isinstance(data, str) else data)
        if state.done:
            return events
    return [*events, *halt(state)]


def read(chunks: Iterable[Any], **dialect: Any) -> Folded:
    return fold(events_of(chunks, **dialect))


def finish_of(events: Sequence[Event]) -> Finish:
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == [events[-1]]  # exactly one, at the end
    return finishes[0]


def call(
    index: int | str | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None, **more: Any
) -> Any:
    """A piece of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {
        **({} if index is None else {"index": index}),
        **({} if id is None else {"id": id}),
        "function": function,
        **more,
    }


WEATHER = [
    call(0, "call_1", "get_weather", ""),
    call(0, arguments='{"city":'),
    call(0, arguments='"Paris"}'),
]


def called(pieces: Sequence[Any], finish: str = "tool_calls", **more: Any) -> list[Event]:
    """The events of a stream with one piece of a tool call in each chunk."""
    return events_of([*[delta(tool_calls=[piece]) for piece in pieces], delta(finish, **more), DONE])


def calls_in(events: Sequence[Event]) -> list[tuple[str, str, Any]]:
    return [
        (event.call.id, event.call.name, event.call.arguments) for event in events if isinstance(event, ToolCallEvent)
    ]
