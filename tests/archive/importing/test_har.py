"""HAR files of browsers: what they keep of bodies and what not, WebSockets, and what a page is made of."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mellite.archive.entries import entries_below
from mellite.cassettes import load_cassette
from mellite.errors import InvalidCassette
from tests.archive.importing.replays import answers, converted

URL = "https://api.openai.com/v1/chat/completions"


def entry(text: str = "Hello", *, prompt: str = "Hi", began: str = "2026-11-30T10:00:00.000Z", **more: Any) -> Any:
    """An entry as Chrome writes one."""
    asked = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]})
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
    made: dict[str, Any] = {
        "_initiator": {"type": "script"},
        "_resourceType": "fetch",
        "startedDateTime": began,
        "request": {
            "method": "POST",
            "url": URL,
            "httpVersion": "http/2.0",
            "headers": [
                {"name": ":authority", "value": "api.openai.com"},
                {"name": "accept", "value": "application/json"},
                {"name": "authorization", "value": "Bearer nothing"},
                {"name": "content-type", "value": "application/json"},
            ],
            "bodySize": len(asked),
            "postData": {"mimeType": "application/json", "text": asked},
        },
        "response": {
            "status": 200,
            "headers": [
                {"name": "content-encoding", "value": "br"},
                {"name": "content-type", "value": "application/json"},
                {"name": "x-request-id", "value": "req_1"},
            ],
            "content": {"size": len(answer), "mimeType": "application/json", "text": answer},
        },
    }
    for side, fields in more.items():
        made[side] = {**made.get(side, {}), **fields} if isinstance(fields, dict) else fields
    return made


def har(path: Path, *entries: Any) -> Path:
    """A HAR file, with the byte order mark that some tools put before it."""
    log = {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": entries}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"log": log}).encode())
    return path


def test_browser(tmp_path: Path) -> None:
    """A text of a body is what was decompressed, whatever the header says; base64 is decoded."""
    text = entry("Größe \u2615")
    coded = entry("In bytes.", prompt="bytes")
    content = coded["response"]["content"]
    content |= {"text": base64.b64encode(content["text"].encode()).decode(), "encoding": "base64"}
    done = converted(har(tmp_path / "a.har", text, coded), tmp_path / "a.json")
    assert answers(tmp_path / "a.json", "bytes", "Hi") == ["In bytes.", "Größe \u2615"]
    assert done.dropped == ("request headers: authorization", "of entries: cookies, times")
    (one, _) = load_cassette(tmp_path / "a.json").http
    assert one.response.headers == {"content-type": "application/json", "x-request-id": "req_1"}


def test_streams_that_were_not_kept(tmp_path: Path) -> None:
    """What a browser did not keep is left out by number, whatever the reason, and the rest is converted."""
    entries = [
        entry("one"),
        entry(prompt="stream", response={"content": {"size": 0, "mimeType": "text/event-stream"}}),
        entry(prompt="large", request={"postData": None}),
        entry(prompt="blocked", response={"status": 0, "content": {}}),
        entry(request={"method": "OPTIONS"}),
        *[entry(response={"content": {"size": 9, "mimeType": "image/png", "text": "x"}})] * 7,
        entry("two", prompt="more"),
    ]
    done = converted(har(tmp_path / "a.har", *entries), tmp_path / "a.json")
    assert answers(tmp_path / "a.json", "Hi", "more") == ["one", "two"]
    assert done.dropped[:5] == (
        "entry 1: the body of its answer was not kept, as of every stream that a page reads",
        "entry 2: the body of its request was not kept",
        "entry 3: it got no answer",
        "entry 4: it only asks what a page may ask",
        "entry 5, entry 6, entry 7, entry 8, entry 9 and 2 more: a part of a page",
    )
    with pytest.raises(InvalidCassette, match=r"no call in .*a\.har.* entry 0: the body of its answer was not kept"):
        converted(har(tmp_path / "a.har", entries[1]), tmp_path / "b.json")


def test_order(tmp_path: Path) -> None:
    """Entries are put into the order in which they began, unless one does not say when."""
    later, earlier = (
        entry(prompt="b", began="2026-11-30T10:00:01.5+01:00"),
        entry(prompt="a", began="2026-11-30T09:00:01Z"),
    )
    converted(har(tmp_path / "a.har", later, earlier), tmp_path / "a.json")
    assert [one.question for one in entries_below([str(tmp_path / "a.json")])] == ["a", "b"]
    converted(har(tmp_path / "a.har", later, {**earlier, "startedDateTime": "?"}), tmp_path / "b.json")
    assert [one.question for one in entries_below([str(tmp_path / "b.json")])] == ["b", "a"]


def test_forms(tmp_path: Path) -> None:
    """A form of which only the parameters were kept is written again; of any other body they are not enough."""
    form = {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a b", "value": "c&d"}], "text": None}
    source = har(tmp_path / "a.har", entry(request={"postData": form}))
    converted(source, tmp_path / "a.json")
    assert load_cassette(tmp_path / "a.json").http[0].request.body.text == "a+b=c%26d"
    source = har(tmp_path / "a.har", entry(request={"postData": {**form, "mimeType": "multipart/form-data"}}))
    with pytest.raises(InvalidCassette, match=r"entries\[0\]\.request\.postData\.text expected the body that was sent"):
        converted(source, tmp_path / "b.json")


def test_websocket(tmp_path: Path) -> None:
    """What went over a WebSocket is kept frame by frame, and read as the calls that it was."""
    asked = {"type": "response.create", "model": "gpt-5", "input": "Hi"}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]}
    response = {"id": "r", "object": "response", "model": "gpt-5", "status": "completed", "output": [item]}
    place = {"output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {
            "type": "response.output_text.delta",
            **place,
            "item_id": "m",
            "delta": "Hello!",
        },
        {"type": "response.completed", "response": response},
    ]
    messages = [
        {"type": "send", "time": 1.0, "opcode": 1, "data": json.dumps(asked)},
        *[{"type": "receive", "time": 2.0, "opcode": 1, "data": json.dumps(event)} for event in events],
    ]
    opened = {"method": "GET", "url": "wss://api.openai.com/v1/responses", "headers": []}
    socket = {"request": opened, "response": {"status": 101}, "_webSocketMessages": messages}
    source = har(tmp_path / "a.har", entry(), socket)
    assert converted(source, tmp_path / "a.json").calls == 2
    (_, call) = entries_below([str(tmp_path / "a.json")])
    assert (call.format, call.question, call.answer and call.answer.text) == ("websocket", "Hi", "Hello!")
    messages.append({"type": "receive", "time": 3.0, "opcode": 2, "data": base64.b64encode(b"\xff\x00").decode()})
    messages.append({"type": "receive", "time": 3.0, "opcode": 8, "data": ""})
    done = converted(har(tmp_path / "a.har", socket), tmp_path / "b.json")
    assert load_cassette(tmp_path / "b.json").websockets[0].events[-1].body.data == b"\xff\x00"
    assert done.dropped[0] == "$.log.entries[0]._webSocketMessages[5]: a frame that is neither text nor bytes"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"request": {"method": 5}}, "request.method expected a text, found 5"),
        ({"request": {"url": None}}, "request.url expected a text, found nothing"),
        ({"request": {"headers": {}}}, "request.headers expected a list"),
        ({"request": {"headers": [{"value": "x"}]}}, "request.headers expected a text"),
        ({"request": {"postData": {"encoding": "base64", "text": "?"}}}, "request.postData.text expected base64"),
        ({"request": "GET /"}, "request expected an object"),
        ({"response": {"status": "200"}}, "response.status expected a whole number, found 200"),
        ({"response": {"status": 7}}, "response expected an HTTP status, found 7"),
        (
            {"response": {"content": {"text": "x", "encoding": "rot13"}}},
            "response.content.encoding expected 'base64' or nothing",
        ),
        ({"response": {"content": []}}, "response.content expected an object"),
        ({"_webSocketMessages": [{"type": "x"}]}, r"_webSocketMessages\[0\].type expected 'send' or 'receive'"),
        ({"_webSocketMessages": {"a": 1}}, "_webSocketMessages expected a list"),
    ],
)
def test_places(tmp_path: Path, change: Any, place: str) -> None:
    """A value that is not as expected is refused with its place."""
    source = har(tmp_path / "a.har", entry(**change))
    with pytest.raises(InvalidCassette, match=rf"a\.har' is not a HAR file: at \$\.log\.entries\[0\]\.{place}"):
        converted(source, tmp_path / "b.json")


def test_a_file_without_calls_says_so(tmp_path: Path) -> None:
    """Where there is nothing to convert, what would have been left out is no reason."""
    path = tmp_path / "empty.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": []}}))
    with pytest.raises(InvalidCassette, match=r"that could be replayed: it has none$"):
        converted(path, tmp_path / "made.json")
