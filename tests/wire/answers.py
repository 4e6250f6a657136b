"""Answers made by hand for a route, and what it makes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from mellite.cassettes import ScriptedTransport
from mellite.errors import MelliteError
from mellite.events import Event, TextDelta
from mellite.providers.openai import chat_route
from mellite.request import Request
from mellite.wire.http import HttpRequest
from mellite.wire.route import Route

KEY = "sk-sentinel-4711-do-not-show"


def route(**changes: Any) -> Route:
    return chat_route(api_key=KEY, model="gpt-test").with_(**changes)


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": [choice], **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STREAM = chunk("Hello") + chunk(", you.") + chunk(finish="stop") + DONE
WHOLE = b'{"id": "c1", "model": "m", "choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'
JSON = {"content-type": "application/json"}


async def run(answer: Any, *, of: Route | None = None, keep_raw: bool = True, **options: Any) -> list[Event]:
    """All events that a route makes of one scripted answer."""
    stream = (of or route()).stream(Request.of("hi", **options), ScriptedTransport([answer]), keep_raw=keep_raw)
    return [event async for event in stream]


async def received(stream: AsyncGenerator[Event, None]) -> tuple[list[Event], MelliteError | None]:
    """The events up to an error, and the error."""
    events: list[Event] = []
    try:
        async with aclosing(stream):
            async for event in stream:
                events.append(event)  # noqa: PERF401 - kept also when an error follows
    except MelliteError as error:
        return events, error
    return events, None


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def shown(error: BaseException) -> str:
    """All that a crash report could show of an error: its text, its fields, and the locals of mellite's own frames."""
    parts = [repr(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]
    frame = error.__traceback__
    while frame is not None:
        if "mellite" in str(frame.tb_frame.f_globals.get("__name__")):
            parts += [f"{name}={value!r}" for name, value in frame.tb_frame.f_locals.items()]
        frame = frame.tb_next
    return "\n".join(parts)


def body_of(http: HttpRequest) -> Any:
    return json.loads(http.body)
