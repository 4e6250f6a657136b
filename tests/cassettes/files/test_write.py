"""Saving: what was read comes out as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
    load_cassette,
    read_cassette,
)
from mellite.cassettes.files.write import encode_cassette, encode_interaction
from mellite.errors import InvalidCassette


def test_every_recording_of_the_corpora(corpora: Path) -> None:
    """Load, save, load: the same values, the same keys in the same order, the same texts and numbers."""
    count = 0
    for path in sorted((corpora / "opencode").rglob("*.json")):
        data = path.read_bytes()
        if b'"interactions"' not in data:
            continue
        cassette = load_cassette(path)
        saved = encode_cassette(cassette)
        assert json.dumps(json.loads(saved)) == json.dumps(json.loads(data)), path
        assert read_cassette(saved, path=str(path)) == cassette, path
        count += 1
    assert count >= 60


def test_everything_that_there_is() -> None:
    """All fields of all kinds of interaction, with keys that mellite does not know, are there when it is read again."""
    http = HttpInteraction(
        RecordedRequest("GET", "u", headers={"a": "b"}, body=Body("c"), extra={"d": [1.5]}),
        RecordedResponse(204, headers={"e": "f"}, body=Body.of(b"\xff"), extra={"g": None}),
        transport=None,
        extra={"h": {"i": "j"}},
    )
    frames = WebSocketInteraction(
        (
            WebSocketEvent("client", "text", body=Body("k"), extra={"l": 1}),
            WebSocketEvent("server", "binary", body=Body("/w==", encoding="base64")),
        ),
        open=WebSocketOpen("m", headers={"n": "o"}, extra={"p": "q"}),
        connection=WebSocketConnection(0, "r", protocols=("s",), close=WebSocketClose(1000, "t"), extra={"u": 2}),
        extra={"v": 3},
    )
    cassette = Cassette((http, frames), metadata={"w": "x"}, extra={"y": True})
    assert read_cassette(encode_cassette(cassette)) == cassette


def test_layout() -> None:
    """A file is indented by two, in the order that other tools write, with a newline at its end."""
    cassette = Cassette((HttpInteraction(RecordedRequest("GET", "u"), RecordedResponse(200)),), metadata={})
    assert encode_cassette(cassette).decode() == (
        '{\n  "version": 1,\n  "metadata": {},\n  "interactions": [\n    {\n      "transport": "http",\n'
        '      "request": {\n        "method": "GET",\n        "url": "u",\n        "headers": {},\n'
        '        "body": ""\n      },\n      "response": {\n        "status": 200,\n        "headers": {},\n'
        '        "body": ""\n      }\n    }\n  ]\n}\n'
    )


def test_a_line() -> None:
    """One interaction is JSON on one line, whatever is in it."""
    one = HttpInteraction(RecordedRequest("GET", "a\nb"), RecordedResponse(200, body=Body("\r\n\u2028")))
    data = encode_interaction(one)
    assert b"\n" not in data
    assert json.loads(data)["response"]["body"] == "\r\n\u2028"


@pytest.mark.parametrize("value", [object(), "\ud800", {1: 2}.keys()])
def test_what_is_no_json(value: object) -> None:
    """What JSON in UTF-8 cannot hold is an InvalidCassette."""
    with pytest.raises(InvalidCassette, match="cannot be stored"):
        encode_cassette(Cassette(metadata={"a": value}))
