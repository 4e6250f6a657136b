"""Chunks of a Gemini stream made by hand, and what is read out of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mellite.events import Event, Finish
from mellite.messages import Message
from mellite.protocols.gemini.body import lower
from mellite.protocols.gemini.stream import halt, initial, step
from mellite.request import Request
from mellite.values.fold import Folded, fold

REQUEST = Request.of("hi")


def chunk(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with one candidate of these parts; a str stands for a text."""
    parts = tuple({"text": part} if isinstance(part, str) else part for part in parts)
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-m", "responseId": "r1", **more}


def thought(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "thought": True, **more}


def call(name: str = "get_weather", signature: str | None = None, **fields: Any) -> dict[str, Any]:
    """A part with a function call."""
    signed = {} if signature is None else {"thoughtSignature": signature}
    return {"functionCall": {"name": name, "args": {"city": "Paris"}, **fields}, **signed}


def events_of(chunks: Iterable[Any]) -> list[Event]:
    """The events of a stream; each chunk is a JSON value, or the data itself as a str or bytes."""
    state = initial(REQUEST)
    events: list[Event] = []
    for each in chunks:
        data = each if isinstance(each, (str, bytes)) else json.dumps(each)
        events += step(state, data.encode() if isinstance(data, str) else data)
    return [*events, *halt(state)]


def read(chunks: Iterable[Any]) -> Folded:
    return fold(events_of(chunks))


def finish_of(events: Sequence[Event]) -> Finish:
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == [events[-1]]  # exactly one, at the end
    return finishes[0]


def contents_of(*messages: Message, model: str = "gemini-2.5-flash", **options: Any) -> list[dict[str, Any]]:
    """The contents of a request with these messages."""
    contents: list[dict[str, Any]] = lower(Request.of(list(messages), model=model, **options), stream=True)["contents"]
    return contents


def sent_back(chunks: Iterable[Any], **options: Any) -> list[dict[str, Any]]:
    """The parts of an answer as they go back with the history."""
    answer = Message.assistant(*read(chunks).parts)
    contents = contents_of(Message.user("hi"), answer, Message.user("more"), **options)
    parts: list[dict[str, Any]] = contents[1]["parts"]
    return parts
