"""What a backend cites only at the end of its stream is told of the right text, also when that has long ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mellite.server.running import RunningServer
from tests.server.asking import SPECS, served_backend
from tests.server.test_citations import (
    BY_BLOCK,
    CHAT,
    COHERE,
    GOOGLE_ANSWER,
    ITEM,
    PASSAGE,
    READERS,
    RESPONSE,
    TEXT,
    TITLE,
    URL,
    backend,
    chunk,
    cited,
    events,
    served,
)

Server = Callable[..., RunningServer]

AFTER = "Mehr dazu."


def cohere(kind: str, message: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """An event of Cohere's."""
    return {"type": kind, "index": index, "delta": {"message": message}}


_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
_CALL_ITEM = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "look_up",
    "arguments": "{}",
}
_LATER_ITEM = {**ITEM, "id": "msg_2", "content": [{"type": "output_text", "text": AFTER, "annotations": []}]}
_BARE_ITEM = {**ITEM, "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}


def item(index: int, whole: dict[str, Any], text: str = "") -> list[dict[str, Any]]:
    """The events of an item of Responses."""
    place = {"item_id": whole["id"], "output_index": index, "content_index": 0}
    added = {**whole, "content": []} if text else whole
    return [
        {"type": "response.output_item.added", "output_index": index, "item": added},
        *([{"type": "response.output_text.delta", **place, "delta": text}] if text else []),
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


#: Vendor -> streams in which something else comes after the text, and what the text cites only at the end.
LATE: dict[str, tuple[bytes, ...]] = {
    "chat": (
        events(
            chunk({"role": "assistant", "content": TEXT}),
            chunk({"tool_calls": [_CALL]}),
            chunk({"annotations": [CHAT]}),
            chunk({}, "tool_calls"),
        )
        + b"data: [DONE]\n\n",
        events(
            chunk({"role": "assistant", "content": TEXT}),
            chunk({"reasoning_content": "Hm."}),
            chunk({"content": AFTER}),
            chunk({"annotations": [CHAT]}),
            chunk({}, "stop"),
        )
        + b"data: [DONE]\n\n",
    ),
    "cohere": (
        events(
            cohere("content-start", {"content": {"type": "text", "text": ""}}),
            cohere("content-delta", {"content": {"text": TEXT}}),
            cohere("content-end", {}),
            cohere("tool-call-start", {"tool_calls": {**_CALL, "function": {"name": "look_up", "arguments": "{}"}}}),
            cohere("tool-call-end", {}),
            cohere("citation-start", {"citations": COHERE}),
            cohere("citation-end", {}),
            {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
        ),
        events(
            cohere("content-start", {"content": {"type": "text", "text": ""}}),
            cohere("content-delta", {"content": {"text": TEXT}}),
            cohere("content-end", {}),
            cohere("content-start", {"content": {"type": "text", "text": ""}}, 1),
            cohere("content-delta", {"content": {"text": AFTER}}, 1),
            cohere("content-end", {}, 1),
            cohere("citation-start", {"citations": {**COHERE, "content_index": 0}}),
            cohere("citation-end", {}),
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
        ),
    ),
    "google": (
        events(
            {"candidates": [{"content": {"parts": [{"text": TEXT}], "role": "model"}}]},
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "look_up", "args": {}}}]}}]},
            {"candidates": [{**GOOGLE_ANSWER, "content": {"parts": [{"text": ""}], "role": "model"}}]},
        ),
        events(
            {"candidates": [{"content": {"parts": [{"text": TEXT}], "role": "model"}}]},
            {"candidates": [{"content": {"parts": [{"text": "Hm.", "thought": True}], "role": "model"}}]},
            {"candidates": [{**GOOGLE_ANSWER, "content": {"parts": [{"text": AFTER}], "role": "model"}}]},
        ),
    ),
    "responses": (
        events(
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
            *item(0, _BARE_ITEM, TEXT),
            *item(1, _CALL_ITEM),
            {"type": "response.completed", "response": {**RESPONSE, "output": [ITEM, _CALL_ITEM]}},
        ),
        events(
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
            *item(0, _BARE_ITEM, TEXT),
            *item(1, _LATER_ITEM, AFTER),
            {"type": "response.completed", "response": {**RESPONSE, "output": [ITEM, _LATER_ITEM]}},
        ),
    ),
}


@pytest.mark.parametrize("client", READERS)
@pytest.mark.parametrize("vendor", LATE)
def test_of_a_text_that_has_ended(mellite_server: Server, vendor: str, client: str) -> None:
    """What is cited by a text after which a call or another text has come is told of that text."""
    expected = (URL, TITLE, TEXT if client in BY_BLOCK else PASSAGE)
    for body in LATE[vendor]:
        server = mellite_server(backend(vendor, body, 2, "text/event-stream"))
        found = served(server, client, stream=True)
        assert cited(client, found) == [expected]
        assert "look_up" in json.dumps(found) or AFTER in json.dumps(found)


@pytest.mark.anyio
@pytest.mark.parametrize("between", SPECS)
async def test_by_way_of_another_server(mellite_server: Server, between: str) -> None:
    """A server that asks another one, as any vendor's client does, is told as much."""
    for body in LATE["google"]:
        first = mellite_server(backend("google", body, 1, "text/event-stream"))
        async with served_backend(first, between) as asking:
            second = mellite_server(asking)
            wide = between.partition(":")[0] in BY_BLOCK
            assert cited("chat", served(second, "chat", stream=True)) == [(URL, TITLE, TEXT if wide else PASSAGE)]
