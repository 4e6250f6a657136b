"""The web pages that an answer cites come with it, in the words of whoever asks, for the same passages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mellite
from mellite.backends import Scripted
from mellite.cassettes import ScriptedTransport
from mellite.events import Event, Finish, ResponseStart, TextDelta
from mellite.server.running import RunningServer
from mellite.wire.aws import EventStreamDecoder
from tests.server.asking import raw

Server = Callable[..., RunningServer]

BEFORE, PASSAGE = "Über Flüsse: ", "Der Rhein ist 1.233 km lang."
TEXT = BEFORE + PASSAGE
URL, TITLE = "https://example.com/rhein", "Der Rhein"
START, END = len(BEFORE), len(TEXT)
BYTES = {"startIndex": len(BEFORE.encode()), "endIndex": len(TEXT.encode())}
ASKED = [{"role": "user", "content": "Hi."}]

ANTHROPIC = {
    "type": "web_search_result_location",
    "url": URL,
    "title": TITLE,
    "encrypted_index": "made-up",
    "cited_text": "1233 km",
}
PAGE = {"start_index": START, "end_index": END, "title": TITLE, "url": URL}
CHAT = {"type": "url_citation", "url_citation": PAGE}
RESPONSES = {"type": "url_citation", **PAGE}
COHERE = {
    "start": START,
    "end": END,
    "text": PASSAGE,
    "sources": [{"type": "document", "id": "d1", "document": {"url": URL, "title": TITLE}}],
    "type": "TEXT_CONTENT",
}
BEDROCK = {"title": TITLE, "location": {"web": {"url": URL, "domain": "example.com"}}}
GOOGLE = {
    "webSearchQueries": ["rhein"],
    "groundingChunks": [{"web": {"uri": URL, "title": TITLE}}],
    "groundingSupports": [{"segment": {**BYTES, "text": PASSAGE}, "groundingChunkIndices": [0]}],
}


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    """A piece of Chat."""
    return {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def events(*found: dict[str, Any]) -> bytes:
    """A stream of server-sent events."""
    return b"".join([b"event: %b\ndata: %b\n\n" % (str(each.get("type")).encode(), dumped(each)) for each in found])


def dumped(value: Any) -> bytes:
    """JSON in bytes."""
    return json.dumps(value).encode()


def blocks(key: str, *found: dict[str, Any]) -> bytes:
    """A whole answer of Anthropic or of Bedrock."""
    if key == "anthropic":
        usage = {"input_tokens": 1, "output_tokens": 1}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        return dumped({**head, "content": [*found], "usage": usage})
    return dumped({"output": {"message": {"role": "assistant", "content": [*found]}}, "stopReason": "end_turn"})


_MESSAGE = {"role": "assistant", "content": TEXT, "annotations": [CHAT]}
ITEM = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": TEXT, "annotations": [RESPONSES]}],
}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [ITEM]}
GOOGLE_ANSWER = {
    "content": {"parts": [{"text": TEXT}], "role": "model"},
    "finishReason": "STOP",
    "groundingMetadata": GOOGLE,
}

#: Vendor -> what its backend is called, and what the vendor answers.
ANSWERS: dict[str, tuple[str, bytes]] = {
    "anthropic": (
        "anthropic:m",
        blocks(
            "anthropic",
            {"type": "text", "text": BEFORE},
            {"type": "text", "text": PASSAGE, "citations": [ANTHROPIC]},
        ),
    ),
    "bedrock": (
        "bedrock:m",
        blocks(
            "bedrock",
            {"text": BEFORE},
            {"citationsContent": {"content": [{"text": PASSAGE}], "citations": [BEDROCK]}},
        ),
    ),
    "chat": (
        "openai-chat:m",
        dumped({"id": "1", "model": "m", "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}]}),
    ),
    "cohere": (
        "cohere:m",
        dumped(
            {
                "id": "1",
                "finish_reason": "COMPLETE",
                "message": {
                    "role": "assistant",
                    "content": [{"type": "text", "text": TEXT}],
                    "citations": [COHERE],
                },
            }
        ),
    ),
    "google": ("google:m", dumped({"candidates": [GOOGLE_ANSWER], "modelVersion": "m", "responseId": "1"})),
    "responses": ("openai:m", dumped(RESPONSE)),
}

#: Those that say it in a stream, in their own order.
STREAMS: dict[str, bytes] = {
    "chat": events(
        chunk({"role": "assistant", "content": BEFORE}),
        chunk({"content": PASSAGE}),
        chunk({"annotations": [CHAT]}),
        chunk({}, "stop"),
    )
    + b"data: [DONE]\n\n",
    "google": events(
        {"candidates": [{"content": {"parts": [{"text": BEFORE}], "role": "model"}}]},
        {"candidates": [{**GOOGLE_ANSWER, "content": {"parts": [{"text": PASSAGE}], "role": "model"}}]},
    ),
    "responses": events(
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "content": []}},
        {
            "type": "response.output_text.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": TEXT,
        },
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
        {"type": "response.completed", "response": RESPONSE},
    ),
}


def served(server: RunningServer, client: str, *, stream: bool) -> list[Any]:
    """The JSON of what a client gets: one value, or the data of each event."""
    paths: dict[str, tuple[str, dict[str, Any]]] = {
        "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": ASKED}),
        "bedrock": ("/model/m/converse", {"messages": [{"role": "user", "content": [{"text": "Hi."}]}]}),
        "chat": ("/v1/chat/completions", {"messages": ASKED}),
        "cohere": ("/v2/chat", {"messages": ASKED}),
        "google": ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}),
        "ollama": ("/api/chat", {"messages": ASKED}),
        "responses": ("/v1/responses", {"input": "Hi."}),
    }
    path, body = paths[client]
    if client == "bedrock":
        path += "-stream" if stream else ""
    elif client == "google":
        path = path.replace("generate", "streamGenerate") + "?alt=sse" if stream else path
    else:
        body = {"model": "m", "stream": stream, **body}
    found = raw(server.url, path, dumped(body))
    data = b"".join(found.pieces)
    assert (found.status, found.ended) == (200, True), data
    if not stream:
        return [json.loads(data)]
    if client == "bedrock":
        return [inner for each in EventStreamDecoder().feed(data) for inner in json.loads(each.raw).values()]
    lines = [line.removeprefix("data: ") for line in data.decode().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def cited(client: str, found: list[Any]) -> list[Any]:
    """What a client is told of sources: for each the page, its title and the passage, as far as the words have one."""
    return [*READERS[client](found)]


def _anthropic(found: list[Any]) -> Iterator[Any]:
    texts: dict[int, str] = {}
    for each in found:
        for number, block in enumerate(each.get("content", ())):
            for one in block.get("citations", ()):
                yield one["url"], one["title"], block["text"]
            texts[number] = block["text"]
        delta = each.get("delta", {})
        if delta.get("type") == "text_delta":
            texts[each["index"]] = texts.get(each["index"], "") + delta["text"]
        if delta.get("type") == "citations_delta":
            yield delta["citation"]["url"], delta["citation"]["title"], texts[each["index"]]


def _bedrock(found: list[Any]) -> Iterator[Any]:
    texts: dict[int, str] = {}
    for each in found:
        for block in each.get("output", {}).get("message", {}).get("content", ()):
            for one in block.get("citationsContent", {}).get("citations", ()):
                said = block["citationsContent"]["content"][0]["text"]
                yield one["location"]["web"]["url"], one["title"], said
        delta, number = each.get("delta", {}), each.get("contentBlockIndex", 0)
        texts[number] = texts.get(number, "") + delta.get("text", "")
        if "citation" in delta:
            yield delta["citation"]["location"]["web"]["url"], delta["citation"]["title"], texts[number]


def _chat(found: list[Any]) -> Iterator[Any]:
    said = ""
    for each in found:
        for choice in each["choices"]:
            message = choice.get("message") or choice["delta"]
            said += message.get("content") or ""
            for one in message.get("annotations", ()):
                page = one["url_citation"]
                yield page["url"], page["title"], said[page["start_index"] : page["end_index"]]


def _cohere(found: list[Any]) -> Iterator[Any]:
    for each in found:
        message = each.get("message") or each.get("delta", {}).get("message", {})
        known = message.get("citations") or ()
        for one in [known] if isinstance(known, dict) else known:
            (source,) = one["sources"]
            yield source["document"]["url"], source["document"]["title"], one["text"]


def _google(found: list[Any]) -> Iterator[Any]:
    said = b""
    for each in found:
        (candidate,) = each["candidates"]
        said += "".join(
            [part.get("text", "") for part in candidate["content"]["parts"] if "thought" not in part]
        ).encode()
        known = candidate.get("groundingMetadata", {})
        for one in known.get("groundingSupports", ()):
            segment, (number,) = one["segment"], one["groundingChunkIndices"]
            page = known["groundingChunks"][number]["web"]
            yield page["uri"], page["title"], said[segment["startIndex"] : segment["endIndex"]].decode()


def _responses(found: list[Any]) -> Iterator[Any]:
    whole = found[0] if len(found) == 1 else found[-1]["response"]
    parts = [part for item in whole["output"] if item["type"] == "message" for part in item["content"]]
    known = [(part, one) for part in parts for one in part["annotations"]]
    if len(found) > 1:
        added = [each["annotation"] for each in found if each["type"] == "response.output_text.annotation.added"]
        assert added == [one for _, one in known]
    for part, one in known:
        yield one["url"], one["title"], part["text"][one["start_index"] : one["end_index"]]


READERS = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "chat": _chat,
    "cohere": _cohere,
    "google": _google,
    "responses": _responses,
}
BY_BLOCK = ("anthropic", "bedrock")


def backend(vendor: str, body: bytes, times: int, kind: str = "application/json") -> mellite.Backend:
    """A backend that is answered with these bytes."""
    spec, _ = ANSWERS[vendor]
    transport = ScriptedTransport([(200, {"content-type": kind}, body)] * times)
    return mellite.backend(spec, api_key="sk-made-up", transport=transport, max_tokens=9)


@pytest.mark.parametrize("client", READERS)
@pytest.mark.parametrize("vendor", ANSWERS)
def test_every_pair(mellite_server: Server, vendor: str, client: str) -> None:
    """Page, title and passage come through, whole and streamed; some cite whole blocks."""
    server = mellite_server(backend(vendor, ANSWERS[vendor][1], 2))
    wide = client in BY_BLOCK and vendor not in BY_BLOCK
    for stream in (False, True):
        assert cited(client, served(server, client, stream=stream)) == [(URL, TITLE, TEXT if wide else PASSAGE)]


@pytest.mark.parametrize("client", READERS)
@pytest.mark.parametrize("vendor", STREAMS)
def test_from_a_stream(mellite_server: Server, vendor: str, client: str) -> None:
    """So it is where the provider streams, and says at the end what its answer rests on."""
    server = mellite_server(backend(vendor, STREAMS[vendor], 1, "text/event-stream"))
    expected = (URL, TITLE, TEXT if client in BY_BLOCK else PASSAGE)
    assert cited(client, served(server, client, stream=True)) == [expected]


@pytest.mark.parametrize(
    ("vendor", "native"),
    [("anthropic", ANTHROPIC), ("bedrock", BEDROCK), ("chat", CHAT), ("cohere", COHERE), ("google", GOOGLE)],
)
def test_in_their_own_words(mellite_server: Server, vendor: str, native: dict[str, Any]) -> None:
    """A client of the same vendor gets all that the vendor says of a source."""
    server = mellite_server(backend(vendor, ANSWERS[vendor][1], 2))
    for stream in (False, True):
        assert json.dumps(native) in json.dumps(served(server, vendor, stream=stream))


def test_documents(mellite_server: Server) -> None:
    """A document of the client's own is cited to a client of the same vendor only; others have no words for it."""
    document = {
        "type": "char_location",
        "cited_text": "its words",
        "document_index": 0,
        "document_title": None,
        "start_char_index": 0,
        "end_char_index": 4,
    }
    body = blocks("anthropic", {"type": "text", "text": TEXT, "citations": [document]})
    server = mellite_server(backend("anthropic", body, 2 * len(READERS)))
    for client in READERS:
        for stream in (False, True):
            found = json.dumps(served(server, client, stream=stream))
            assert ("its words" in found) == (client == "anthropic"), client


def test_what_no_client_is_told(mellite_server: Server) -> None:
    """Ollama has no word for a source: its clients get the text alone."""
    server = mellite_server(backend("chat", ANSWERS["chat"][1], 1))
    (found,) = served(server, "ollama", stream=False)
    assert found["message"] == {"role": "assistant", "content": TEXT}


@pytest.mark.parametrize("client", READERS)
def test_odd_sources(mellite_server: Server, client: str) -> None:
    """What a backend says of sources that makes no sense is left out, and breaks no answer."""
    odd: list[Any] = [
        {"choices": [{"message": {"annotations": [7, {}, {"url_citation": {"url": URL, "start_index": "x"}}]}}]},
        {"choices": "none"},
        {"output": [{"type": "message", "content": [{"text": 7, "annotations": [{"url": URL, "end_index": 10**9}]}]}]},
        {"candidates": [{"groundingMetadata": {"groundingSupports": [{"groundingChunkIndices": [0, -1, "x"]}]}}]},
        {"candidates": []},
    ]
    answers: list[list[Event]] = [[ResponseStart(), TextDelta("Hi!"), Finish("stop", response=each)] for each in odd]
    server = mellite_server(Scripted([*answers, *answers]))
    for _ in odd:
        for stream in (False, True):
            assert "Hi!" in json.dumps(served(server, client, stream=stream))
