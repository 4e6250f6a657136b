"""Events of an Anthropic stream made by hand, and what is read out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mellite.events import Event, Finish
from mellite.protocols.anthropic_messages.body import lower, mend
from mellite.protocols.anthropic_messages.stream import halt, initial, step, unary
from mellite.request import Request
from mellite.values.fold import Folded, fold

REQUEST = Request.of("hi")
USED = {"input_tokens": 3, "output_tokens": 1}


def begin(**fields: Any) -> dict[str, Any]:
    """The first event."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], **fields}
    return {"type": "message_start", "message": {"stop_reason": None, "usage": USED, **message}}


def start(index: int, type: str, **fields: Any) -> dict[str, Any]:
    """A block begins."""
    return {"type": "content_block_start", "index": index, "content_block": {"type": type, **fields}}


def delta(index: int, type: str, **fields: Any) -> dict[str, Any]:
    """A block grows."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": type, **fields}}


def text(index: int, said: str) -> dict[str, Any]:
    return delta(index, "text_delta", text=said)


def thought(index: int, said: str) -> dict[str, Any]:
    return delta(index, "thinking_delta", thinking=said)


def written(index: int, said: str) -> dict[str, Any]:
    """More of the input of a tool call."""
    return delta(index, "input_json_delta", partial_json=said)


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", *, usage: Any = None, **fields: Any) -> list[dict[str, Any]]:
    """The last two events."""
    given = {"stop_reason": reason, "stop_sequence": None, **fields}
    used = {"output_tokens": 5} if usage is None else usage
    return [{"type": "message_delta", "delta": given, "usage": used}, {"type": "message_stop"}]


def block(index: int, type: str, *deltas: Any, **fields: Any) -> list[dict[str, Any]]:
    """A whole block."""
    return [start(index, type, **fields), *deltas, stop(index)]


SAYS_A = [begin(), *block(0, "text", text(0, "a"), text="")]
CALL = {"id": "toolu_1", "name": "get_weather", "input": {}}


def events_of(values: Iterable[Any], *, named: bool = True) -> list[Event]:
    """The events of a stream; each value is one of its events, or the data itself as a str or bytes."""
    state = initial(REQUEST)
    events: list[Event] = []
    for value in values:
        data = value if isinstance(value, (str, bytes)) else json.dumps(value)
        name = value.get("type", "message") if named and isinstance(value, dict) else "message"
        events += step(state, data.encode() if isinstance(data, str) else data, str(name))
        if state.done:
            return events
    return [*events, *halt(state)]


def read(values: Iterable[Any]) -> Folded:
    return fold(events_of(values))


def whole(*content: Any, reason: str | None = "end_turn", **fields: Any) -> list[Event]:
    """The events of an answer in one piece."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "usage": USED}
    return list(unary(json.dumps({**head, "content": list(content), "stop_reason": reason, **fields}).encode()))


def finish_of(events: Sequence[Event]) -> Finish:
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == [events[-1]]  # exactly one, at the end
    return finishes[0]


def body_of(prompt: Any, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The body of a request as a route makes it: mended first."""
    request = Request.of(prompt, **{"model": "claude-sonnet-4-5", "cache": "none", **fields})
    return lower(mend(request)[0], stream=stream)


def messages_of(*messages: Any, **fields: Any) -> list[dict[str, Any]]:
    return list(body_of(list(messages), **fields)["messages"])
