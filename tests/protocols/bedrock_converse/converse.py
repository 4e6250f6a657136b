"""Events of a Converse stream made by hand, and what is read out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mellite.events import Event, Finish
from mellite.protocols.bedrock_converse.body import lower, mend
from mellite.protocols.bedrock_converse.stream import halt, initial, step, unary
from mellite.request import Request
from mellite.values.fold import Folded, fold

REQUEST = Request.of("hi")
CLAUDE = "us.anthropic.claude-sonnet-4-6"
NOVA = "us.amazon.nova-micro-v1:0"
USED = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
BEGIN = {"messageStart": {"role": "assistant", "p": "abc"}}


def begin(index: int, **start: Any) -> dict[str, Any]:
    """A block begins."""
    return {"contentBlockStart": {"contentBlockIndex": index, "start": start, "p": "abc"}}


def more(index: int, **delta: Any) -> dict[str, Any]:
    """A block grows."""
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": "abcd"}}


def text(index: int, said: str) -> dict[str, Any]:
    return more(index, text=said)


def thought(index: int, **facts: str) -> dict[str, Any]:
    return more(index, reasoningContent=facts)


def called(index: int, id: str, name: str, *pieces: str, **facts: Any) -> list[dict[str, Any]]:
    """A whole tool call."""
    begun = begin(index, toolUse={"toolUseId": id, "name": name, **facts})
    return [begun, *[more(index, toolUse={"input": piece}) for piece in pieces], stop(index)]


def stop(index: int) -> dict[str, Any]:
    return {"contentBlockStop": {"contentBlockIndex": index, "p": "ab"}}


def end(reason: str = "end_turn", *, usage: Mapping[str, Any] = USED, **facts: Any) -> list[dict[str, Any]]:
    """The last two events."""
    told = {"usage": usage, "metrics": {"latencyMs": 7}, "p": "abcdef", **facts}
    return [{"messageStop": {"stopReason": reason, "p": "ab"}}, {"metadata": told}]


SAYS_A = [BEGIN, text(0, "a"), stop(0)]


def events_of(values: Iterable[Any]) -> list[Event]:
    """The events of a stream; each value is one of its events, or the data itself as a str or bytes."""
    state = initial(REQUEST)
    events: list[Event] = []
    for value in values:
        data = value if isinstance(value, (str, bytes)) else json.dumps(value)
        events += step(state, data.encode() if isinstance(data, str) else data)
        if state.done:
            return events
    return [*events, *halt(state)]


def read(values: Iterable[Any]) -> Folded:
    return fold(events_of(values))


def finish_of(events: Sequence[Event]) -> Finish:
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == [events[-1]]  # exactly one, at the end
    return finishes[0]


def answer(*content: Any, reason: str = "end_turn", **facts: Any) -> dict[str, Any]:
    """An answer in one piece."""
    message = {"role": "assistant", "content": list(content)}
    rest = {"stopReason": reason, "usage": USED, "metrics": {"latencyMs": 7}, **facts}
    return {"output": {"message": message}, **rest}


def whole(*content: Any, **facts: Any) -> list[Event]:
    """The events of an answer in one piece."""
    return list(unary(json.dumps(answer(*content, **facts)).encode()))


def body_of(prompt: Any = "hi", *, model: str = NOVA, **options: Any) -> dict[str, Any]:
    """The body of a request, after its history was mended."""
    request, _ = mend(Request.of(prompt, **{"model": model, "cache": "none", **options}))
    return lower(request, stream=True)
