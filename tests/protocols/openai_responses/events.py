"""Stream events of Responses made by hand, and what is read out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mellite.events import Event, Finish
from mellite.protocols.openai_responses import OPENAI, ResponsesDialect
from mellite.protocols.openai_responses.stream import halt, initial, step
from mellite.request import Request
from mellite.values.fold import Folded, fold

REQUEST = Request.of("hi")


def event(type: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{type}", **fields}


def added(item: dict[str, Any], index: int | None = 0) -> dict[str, Any]:
    return event("output_item.added", item=item, **({} if index is None else {"output_index": index}))


def done(item: dict[str, Any], index: int | None = 0) -> dict[str, Any]:
    return event("output_item.done", item=item, **({} if index is None else {"output_index": index}))


def text(delta: Any, index: int = 0, part: int = 0, id: str = "msg_1") -> dict[str, Any]:
    return event("output_text.delta", item_id=id, output_index=index, content_index=part, delta=delta)


def thought(delta: Any, part: int = 0, index: int = 0, id: str = "rs_1") -> dict[str, Any]:
    return event("reasoning_summary_text.delta", item_id=id, output_index=index, summary_index=part, delta=delta)


def written(delta: Any, index: int = 0, id: str = "fc_1") -> dict[str, Any]:
    return event("function_call_arguments.delta", item_id=id, output_index=index, delta=delta)


def message(*texts: str, id: str = "msg_1", **fields: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": said, "annotations": []} for said in texts]
    return {"type": "message", "id": id, "role": "assistant", "content": parts, **fields}


def call(arguments: str = "", id: str = "fc_1", **fields: Any) -> dict[str, Any]:
    known = {"type": "function_call", "id": id, "call_id": "call_1", "name": "get_weather"}
    return {**known, "arguments": arguments, **fields}


def thinking(*summary: str, id: str = "rs_1", **fields: Any) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": said} for said in summary]
    return {"type": "reasoning", "id": id, "summary": parts, **fields}


CREATED = event("created", response={"id": "resp_1", "model": "gpt-test", "status": "in_progress", "output": []})


def completed(*output: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "gpt-test", "status": status, "output": list(output), **fields}
    return event(status, response=response)


def events_of(stream: Iterable[Any], *, names: bool = True, **dialect: Any) -> list[Event]:
    """The events of a stream; each of its own is a JSON value, or the data itself as a str or bytes."""
    state = initial(REQUEST, dialect=ResponsesDialect(**dialect) if dialect else OPENAI)
    found: list[Event] = []
    for item in stream:
        data = item if isinstance(item, (str, bytes)) else json.dumps(item)
        name = item["type"] if names and isinstance(item, dict) and isinstance(item.get("type"), str) else "message"
        found += step(state, data.encode() if isinstance(data, str) else data, name)
        if state.done:
            return found
    return [*found, *halt(state)]


def read(stream: Iterable[Any], **dialect: Any) -> Folded:
    return fold(events_of(stream, **dialect))


def finish_of(events: Sequence[Event]) -> Finish:
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == [events[-1]]  # exactly one, at the end
    return finishes[0]
