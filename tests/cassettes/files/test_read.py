"""Loading HTTP cassettes: the recorder's format, an index of bodies, and every kind of damage."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    WebSocketClose,
    WebSocketInteraction,
    load_cassette,
    read_cassette,
)
from mellite.errors import CassetteMiss, InvalidCassette

REQUEST = {
    "method": "POST",
    "url": "https://example.com/v1",
    "headers": {"content-type": "application/json"},
    "body": "{}",
}
RESPONSE = {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": 'data: {"a": "\u00fc"}\n\n'}
HTTP = {"transport": "http", "request": REQUEST, "response": RESPONSE}
SOCKET = {
    "transport": "websocket",
    "open": {"url": "wss://example.com/v1", "headers": {"a": "b"}},
    "connection": {
        "sequence": 0,
        "url": "wss://example.com/v1",
        "protocols": ["p"],
        "close": {"code": 1000, "reason": ""},
    },
    "events": [
        {"direction": "client", "kind": "text", "body": "{}"},
        {"direction": "server", "kind": "binary", "body": "/wA=", "bodyEncoding": "base64"},
    ],
}
WHOLE: dict[str, Any] = {
    "version": 1,
    "metadata": {"name": "group/case", "tags": ["x"]},
    "interactions": [HTTP, SOCKET, copy.deepcopy(HTTP)],
}


def encoded(document: Any) -> bytes:
    """The bytes as the recorder writes them."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def changed(path: str, value: Any) -> dict[str, Any]:
    """`WHOLE` with another value at a path such as ``interactions.0.request.method``; ... takes it away."""
    document = copy.deepcopy(WHOLE)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = document
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


def test_every_cassette_of_the_corpus(corpora: Path) -> None:
    """Each of the recorded files loads, and its bodies are those that a plain JSON parser finds."""
    paths = sorted((corpora / "opencode").glob("**/*.json"))
    assert len(paths) == 60
    for path in paths:
        plain = json.loads(path.read_text(encoding="utf-8"))
        cassette = load_cassette(path)
        assert (cassette.path, cassette.metadata) == (str(path), plain.get("metadata"))
        assert [as_json(one) for one in cassette.interactions] == plain["interactions"]


def as_json(interaction: HttpInteraction | WebSocketInteraction) -> dict[str, Any]:
    """What stood in the file, made of the values again: nothing is lost on the way."""
    if isinstance(interaction, HttpInteraction):
        request, response = interaction.request, interaction.response
        return {
            **({} if interaction.transport is None else {"transport": interaction.transport}),
            "request": {
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                **body(request.body),
                **request.extra,
            },
            "response": {
                "status": response.status,
                "headers": dict(response.headers),
                **body(response.body),
                **response.extra,
            },
            **interaction.extra,
        }
    opened, connection = interaction.open, interaction.connection
    made: dict[str, Any] = {"transport": "websocket"}
    if opened is not None:
        made["open"] = {"url": opened.url, "headers": dict(opened.headers), **opened.extra}
    if connection is not None:
        close = connection.close
        made["connection"] = {
            "sequence": connection.sequence,
            "url": connection.url,
            "protocols": list(connection.protocols),
            **({} if close is None else {"close": {"code": close.code, "reason": close.reason, **close.extra}}),
            **connection.extra,
        }
    made["events"] = [
        {"direction": event.direction, "kind": event.kind, **body(event.body), **event.extra}
        for event in interaction.events
    ]
    return made | dict(interaction.extra)


def body(stored: Body) -> dict[str, str]:
    return {"body": stored.characters, **({} if stored.encoding is None else {"bodyEncoding": stored.encoding})}


def test_values() -> None:
    """A cassette has its interactions in order, HTTP and WebSocket, and what the file says of itself."""
    cassette = read_cassette(encoded(WHOLE), path="x.json")
    assert (cassette.name, cassette.path) == ("group/case", "x.json")
    assert [as_json(one) for one in cassette.interactions] == WHOLE["interactions"]
    assert len(cassette.http) == 2
    (socket,) = cassette.websockets
    assert [event.body.data for event in socket.events] == [b"{}", b"\xff\x00"]
    assert socket.connection is not None
    assert socket.connection.close == WebSocketClose(1000, "")
    assert cassette.http[0].response.body.data == 'data: {"a": "\u00fc"}\n\n'.encode()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(WHOLE).encode(),
        json.dumps(WHOLE, indent="\t").replace("\n", "\r\n").encode(),
        b" \r\n" + encoded(WHOLE) + b"\n\n",
        encoded({**WHOLE, "interactions": [dict(reversed(HTTP.items())), SOCKET, HTTP]}),
    ],
)
def test_formatting_does_not_count(data: bytes) -> None:
    """Compact, with tabs, with CRLF, with other orders of keys: the same cassette."""
    assert [as_json(one) for one in read_cassette(data).interactions] == WHOLE["interactions"]


def test_what_is_missing_in_older_files() -> None:
    """A missing transport means HTTP; headers, body and metadata may be missing."""
    request = {"method": "GET", "url": "https://example.com"}
    cassette = read_cassette(
        encoded({"version": 1, "interactions": [{"request": request, "response": {"status": 204}}]})
    )
    (one,) = cassette.http
    assert (one.transport, one.request.body.text, one.response.body.data, cassette.metadata) == (None, "", b"", None)
    assert cassette.name == "in memory"


def test_unknown_keys_are_kept() -> None:
    """What mellite does not know is kept where it was found, so that it can be written again."""
    note = {"x": [1, {"body": "not a body"}]}
    document = copy.deepcopy(WHOLE) | note
    places: list[Any] = [document["interactions"][0], document["interactions"][1]]
    places += [places[0]["request"], places[0]["response"], places[1]["open"], places[1]["connection"]]
    places += [places[1]["connection"]["close"], places[1]["events"][0]]
    for place in places:
        place.update(note)
    cassette = read_cassette(encoded(document))
    assert cassette.extra == note
    assert [as_json(one) for one in cassette.interactions] == document["interactions"]


def test_bodies_that_look_alike() -> None:
    """A body is never taken for another, even where other values are called body and have the same text."""
    look_alike = {"body": "{}", "note": ' "body": "{}" ', 'y\\"body" : ': {"body": "{}"}}
    http = {
        "request": REQUEST,
        "body": "{}",
        "extra": [look_alike, {"body": 0}],
        "response": {**RESPONSE, "body": "{}"},
    }
    metadata = {"body": "{}"}
    document = {
        "a": look_alike,
        "version": 1,
        "metadata": metadata,
        "interactions": [http, SOCKET, http],
        "z": look_alike,
    }
    cassette = read_cassette(encoded(document))
    assert [as_json(one) for one in cassette.interactions] == document["interactions"]
    assert (cassette.metadata, cassette.extra) == ({"body": "{}"}, {"a": look_alike, "z": look_alike})


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_bodies_that_begin_alike(order: tuple[str, str]) -> None:
    """Bodies with a long common beginning are told apart, whichever of them comes first in the file."""
    sides = {"request": {**REQUEST, "body": "x" * 100}, "response": {**RESPONSE, "body": "x" * 100 + "y"}}
    interactions = [{name: sides[name] for name in order}] * 2
    cassette = read_cassette(encoded({"version": 1, "interactions": interactions}))
    assert [as_json(one) for one in cassette.interactions] == interactions


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.sampled_from(["{}", '"body": "{}"', "0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["body", "x", 'y"body']), inner, max_size=3)
    ),
    max_leaves=8,
)
bodies = st.sampled_from(["", "{}", "0", '"body": "{}"', "\\", '\\"body":']) | st.text(max_size=20)


@pytest.mark.slow
@given(st.lists(st.tuples(bodies, bodies, json_values), max_size=4), json_values)
def test_index_finds_what_a_parser_finds(pairs: list[tuple[str, str, Any]], note: Any) -> None:
    """Whatever the bodies are and whatever stands beside them, the index is right."""
    interactions = [
        {"note": beside, "request": {**REQUEST, "body": sent}, "response": {**RESPONSE, "body": got, "x": beside}}
        for sent, got, beside in pairs
    ]
    document = {"note": note, "version": 1, "interactions": interactions, "metadata": {"note": note}}
    cassette = read_cassette(json.dumps(document).encode())
    assert [as_json(one) for one in cassette.interactions] == interactions


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_truncated_at_every_byte(tmp_path: Path) -> None:
    """Half a file is an InvalidCassette that names the file and the byte; the file is left as it is."""
    data = encoded(changed("interactions.0.response.body", 'data: {"text": "\u00fc"}\n\n' * 90)).rstrip()
    assert 4000 < len(data) < 8000
    path = tmp_path / "case.json"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InvalidCassette) as caught:
            load_cassette(path)
        assert caught.value.path == str(path)
        assert caught.value.offset is not None
        assert 0 <= caught.value.offset <= length
        assert path.read_bytes() == data[:length]


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=400)
def test_any_byte_changed(place: int, byte: int) -> None:
    """With any one byte changed a cassette loads or is an InvalidCassette, its bodies included."""
    data = bytearray(encoded(WHOLE))
    data[place % len(data)] = byte
    try:
        for one in read_cassette(bytes(data)).interactions:
            as_json(one)
            if isinstance(one, HttpInteraction):
                assert one.response.body.data is not None
    except InvalidCassette:
        pass


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"", 0, "it is empty"),
        (b" \n", 0, "it is empty"),
        (b"\xef\xbb\xbf" + encoded(WHOLE), 0, "byte order mark"),
        (gzip.compress(encoded(WHOLE)), 0, "compressed with gzip"),
        (b"\x80\x04\x95\x00", 0, "not UTF-8"),
        (b"!!python/object:x {}", 0, "not JSON"),
        (b"- yaml: yes", 1, "not JSON"),
        (encoded(WHOLE) + b"{}", len(encoded(WHOLE)), "trailing characters"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "nested too deeply"),
        (b'{"version": 1, "version": 1, "interactions": []}', 15, "'version' is there twice"),
        (b'{"version": 1, "interactions": [], "x": {"a": 1, "a": 2}}', 49, "'a' is there twice"),
        (b'{"a": {"b\\"{[:": "a"}, "c": [{"b": 1}, {"b": 2, "\\u0062": 3}]}', 48, "'b' is there twice"),
        (b'{"version": 1, "interactions": [], "metadata": {"name": "\\ud800"}}', 62, "half of a surrogate pair"),
        (b'{"version": 1, "interactions": [], "x": "\xff"}', 41, "not UTF-8"),
        (b'{"version": 1, "interactions": [], "x": NaN}', 40, "not JSON"),
        (b'{"version": 1, "interactions": [], "x": ' + b"9" * 10_000 + b"}", None, "damaged"),
    ],
)
def test_no_json(data: bytes, offset: int | None, reason: str) -> None:
    """What is not JSON, or means different things to different readers, is refused with its place."""
    with pytest.raises(InvalidCassette, match=reason) as caught:
        read_cassette(data, path="x.json")
    assert (caught.value.path, caught.value.offset) == ("x.json", offset)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("version", ..., r"\$\.version expected the number 1, the only version that is read, found nothing"),
        ("version", 2, "found 2"),
        ("version", "1", "found '1'"),
        ("version", True, "found True"),
        ("metadata", [], r"\$\.metadata expected an object, found a list"),
        ("interactions", ..., r"\$\.interactions expected a list, found nothing"),
        ("interactions", {}, "expected a list, found an object"),
        ("interactions.0", 5, r"\$\.interactions\[0\] expected an object, found 5"),
        ("interactions.2.transport", "carrier pigeon", r"\[2\]\.transport expected 'http' or 'websocket'"),
        ("interactions.0.request", ..., r"\[0\]\.request expected an object"),
        ("interactions.0.response", None, r"\[0\]\.response expected an object"),
        ("interactions.0.request.method", ..., r"\.method expected a text"),
        ("interactions.0.request.url", 5, r"\.url expected a text, found 5"),
        ("interactions.0.request.headers", [], r"\.headers expected an object"),
        ("interactions.0.request.headers", {"a": ["b"]}, r"\.headers\['a'\] expected a text"),
        ("interactions.0.request.body", {"a": 1}, r"\.body expected a text, found an object"),
        ("interactions.0.request.body", 0, r"\.body expected a text, found 0"),
        ("interactions.0.response.body", 1, r"\.body expected a text, found 1"),
        ("interactions.0.response.body", None, r"\.body expected a text, found nothing"),
        ("interactions.0.response.status", "200", r"\.status expected a whole number, found '200'"),
        ("interactions.0.response.status", True, r"\.status expected a whole number"),
        ("interactions.0.response.status", 99, r"\.status expected an HTTP status"),
        ("interactions.0.response.bodyEncoding", "gzip", r"\.bodyEncoding expected 'text' or 'base64'"),
        ("interactions.1.events", ..., r"\.events expected a list"),
        ("interactions.1.events.0.direction", "up", r"\.direction expected 'client' or 'server'"),
        ("interactions.1.events.0.kind", "ping", r"\.kind expected 'text' or 'binary'"),
        ("interactions.1.events.0.body", None, r"\.body expected a text"),
        ("interactions.1.connection.protocols", "p", r"\.protocols expected a list"),
        ("interactions.1.connection.close.code", "1000", r"\.code expected a whole number"),
        ("interactions.1.open.url", ..., r"\.open\.url expected a text"),
    ],
)
def test_no_cassette(path: str, value: Any, reason: str) -> None:
    """JSON that is not a cassette of version 1 says where it is not, with the path of the place."""
    with pytest.raises(InvalidCassette, match=f"'x.json' is damaged: at .*{reason}"):
        read_cassette(encoded(changed(path, value)), path="x.json")


def test_secrets_are_not_shown() -> None:
    """A value in the wrong place is not shown if it looks like a key."""
    key = "sk-" + "a1B2" * 8
    with pytest.raises(InvalidCassette, match="REDACTED") as caught:
        read_cassette(encoded(changed("interactions.0.transport", key)))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b'"\\ud800 text"', "half of a surrogate pair"),
        (b'"good \\q bad"', "not JSON"),
        (b'"good \xff bad"', "not UTF-8"),
        (b'"good \x01 bad"', "not JSON"),
    ],
)
def test_damage_inside_a_body(token: bytes, reason: str) -> None:
    """A body is not decoded when the cassette is loaded, but it is checked, and the error has the place in it."""
    data = encoded(changed("interactions.0.response.body", "BODY")).replace(b'"BODY"', token)
    with pytest.raises(InvalidCassette, match=reason) as caught:
        read_cassette(data, path="x.json")
    start = data.index(token)
    assert caught.value.path == "x.json"
    assert caught.value.offset is not None
    assert start <= caught.value.offset <= start + len(token)


def test_base64_follows_its_key_and_is_strict() -> None:
    """The encoding key decides, not the content type; what is not base64 is damage."""
    document = changed("interactions.0.response.bodyEncoding", "base64")
    document["interactions"][0]["response"]["body"] = base64.b64encode(b"\x00\xff").decode()
    assert read_cassette(encoded(document)).http[0].response.body.data == b"\x00\xff"
    for bad in ("AA", "A===", "AA==AA==", "\u00fc", "AA=="[:3]):
        document["interactions"][0]["response"]["body"] = bad
        with pytest.raises(InvalidCassette, match="it is not base64"):
            _ = read_cassette(encoded(document)).http[0].response.body.data


def test_files(tmp_path: Path) -> None:
    """A missing file is a miss; a directory, or more bytes than the limit, is an InvalidCassette."""
    with pytest.raises(CassetteMiss, match="there is no cassette"):
        load_cassette(tmp_path / "none.json")
    with pytest.raises(InvalidCassette, match="is a directory"):
        load_cassette(tmp_path)
    path = tmp_path / "case.json"
    path.write_bytes(encoded(WHOLE))
    assert load_cassette(path, limit=path.stat().st_size) == Cassette(
        read_cassette(encoded(WHOLE)).interactions, metadata=WHOLE["metadata"], path=str(path)
    )
    with pytest.raises(InvalidCassette, match="at most 100 are read"):
        load_cassette(path, limit=100)
    os.truncate(path, 1 << 30)
    tracemalloc.start()
    with pytest.raises(InvalidCassette, match="1,073,741,824 bytes"):
        load_cassette(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_large_cassette_is_only_indexed() -> None:
    """Finding the bodies of a large cassette takes less time than decoding them with the JSON parser of Python."""
    stream = "".join(
        f'data: {{"id": "x", "choices": [{{"delta": {{"content": "word {n}"}}}}]}}\n\n' for n in range(500)
    )
    interactions = [
        {"request": {**REQUEST, "body": str(n)}, "response": {**RESPONSE, "body": stream}} for n in range(50)
    ]
    data = encoded({"version": 1, "interactions": interactions})

    def seconds(function: Any) -> float:
        def once() -> float:
            start = time.process_time()
            function(data)
            return time.process_time() - start

        return min(once() for _ in range(5))

    assert seconds(read_cassette) < seconds(json.loads)
    assert read_cassette(data).http[7].response.body.text == stream
