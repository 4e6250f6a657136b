"""Cassettes of VCR.py: imported, replayed, and refused where they are not what they should be."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from mellite.archive.replay import replay_all
from mellite.cassettes import Cassette, ReplayTransport, load_cassette
from mellite.cassettes.files.vcr import Imported, import_vcr, read_vcr
from mellite.errors import InvalidCassette
from mellite.wire.transports.default import HttpRequest

URL = "https://example.com/v1"


def files(corpora: Path) -> list[Path]:
    """The cassettes of the corpus."""
    found = sorted((corpora / "vcr").glob("*.yaml"))
    assert len(found) == 51
    return found


def imported(request: dict[str, Any] | None = None, response: dict[str, Any] | None = None, **more: Any) -> Imported:
    """What comes of one interaction, of which only some is said; JSON is YAML, too."""
    asked = {"method": "POST", "uri": URL, "headers": {}, "body": "{}", **(request or {})}
    answered = {"status": {"code": 200}, "headers": {}, "body": {"string": ""}, **(response or {})}
    document = {"interactions": [{"request": asked, "response": answered}], "version": 1, **more}
    return read_vcr(json.dumps(document).encode(), path="x.yaml")


async def replayed(cassette: Cassette) -> list[tuple[int, bytes]]:
    """The answers to the recorded requests, sent in order as another program would send them."""
    transport = ReplayTransport(cassette)
    answers = []
    for one in cassette.http:
        headers = {"user-agent": "other", **one.request.headers}
        request = HttpRequest(one.request.method, one.request.url, headers=headers, body=one.request.body.data)
        response = await transport.open(request)
        body = b""
        while piece := await response.read():
            body += piece
        answers.append((response.status, body))
    transport.check_used()
    return answers


@pytest.mark.anyio
async def test_the_corpus_replays(corpora: Path) -> None:
    """Every cassette of the corpus is read by its name alone, and replays to what is in it."""
    count = 0
    for path in files(corpora):
        cassette = load_cassette(path)
        for (status, body), one in zip(await replayed(cassette), cassette.http, strict=True):
            assert (status, body) == (one.response.status, one.response.body.data)
            count += 1
    assert count == 75


def test_the_corpus_means_what_it_says(corpora: Path) -> None:
    """Through the protocols that are known the answers are those that the providers' own libraries read."""
    expected = {}
    for line in (corpora / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, _, number = row["key"].rpartition("/")[2].rpartition(".yaml#")
        if number.isdecimal():
            expected[name.translate(str.maketrans("[]", "__")), int(number)] = row["expect"]
    compared = 0
    for path in files(corpora):
        for number, (_, thunk) in enumerate(replay_all(path)):
            row = expected.get((path.stem, number))
            if thunk is not None and thunk.error is None and row is not None:
                assert (thunk.partial, thunk.generation.raw_finish_reason) == (
                    row.get("text"),
                    row.get("finish_reason"),
                ), path
                compared += 1
    assert compared >= 10


def test_what_is_kept_and_what_is_not() -> None:
    """Compared and useful headers are kept, by lower-case name and joined; the rest is told by name, without values."""
    sent = {"Authorization": ["Bearer abcdefghijklmnopqrstuvwx"], "Content-Type": ["application/json"], "X": ["1", "2"]}
    came = {
        "Retry-After": ["3"],
        "X-Request-ID": ["r", "s"],
        "x-request-id": "t",
        "Set-Cookie": ["a"],
        "content-length": ["0"],
        "A": "1",
    }
    result = imported(
        {"headers": sent},
        {"headers": came, "status": {"code": 200, "message": "OK"}, "protocol": None},
        recorded_with="VCR",
    )
    (one,) = result.cassette.http
    assert dict(one.request.headers) == {"content-type": "application/json"}
    assert dict(one.response.headers) == {"retry-after": "3", "x-request-id": "r, s, t"}
    assert result.dropped == (
        "of the file: recorded_with",
        "request headers: authorization, x",
        "of responses: protocol, status.message",
        "response headers: a, set-cookie",
    )


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (None, b""),
        ("plain", b"plain"),
        ({"string": "caf\u00e9"}, "caf\u00e9".encode()),
        ({"string": None}, b""),
        ({"base64_string": "aGVs\nbG8=", "encoding": "utf-8"}, b"hello"),
        (["he", "llo"], b"hello"),
        ({"string": "\ud83d"}, b"\xed\xa0\xbd"),
    ],
)
def test_bodies(body: Any, data: bytes) -> None:
    """Every way in which a body has ever been stored gives its bytes, of requests and of responses."""
    (one,) = imported({"body": body}, {"body": body}).cassette.http
    assert (one.request.body.data, one.response.body.data) == (data, data)


def test_binary_bodies() -> None:
    """Bytes that are not text are kept as they are, in base64."""
    data = bytes(range(256))
    text = base64.encodebytes(data).decode().replace("\n", "\n        ")
    source = f"""
version: 1
interactions:
- request: {{method: POST, uri: '{URL}', body: '', headers: {{accept: [!!binary YXBwbGljYXRpb24vanNvbg==]}}}}
  response:
    status: {{code: 200}}
    headers: {{}}
    body:
      string: !!binary |
        {text}
"""
    (one,) = read_vcr(source.encode()).cassette.http
    assert (one.response.body.data, one.response.body.encoding) == (data, "base64")
    assert dict(one.request.headers) == {"accept": "application/json"}


def test_parsed_bodies() -> None:
    """A body that was stored parsed is JSON again, in the order of its keys; an escape stays where UTF-8 has none."""
    value = {"b": [1, 2.5, None, True], "a": "\u20ac"}
    (one,) = imported({"parsed_body": value, "body": "other"}, {"parsed_body": {"x": "\ud800"}}).cassette.http
    assert one.request.body.text == '{"b":[1,2.5,null,true],"a":"\u20ac"}'
    assert one.response.body.text == '{"x":"\\ud800"}'


@pytest.mark.parametrize(
    ("encoding", "stored", "kept"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0), False),
        ("deflate", zlib.compress(b"hello"), False),
        ("br", b"\x0b\x02\x80hello\x03", False),
        ("zstd", zstd.compress(b"hello"), False),
        *[(encoding, b"hello", False) for encoding in ("gzip", "x-gzip", "deflate", "br", "zstd")],
        ("compress", b"\x1f\x9dhello", True),
    ],
)
def test_compressed_bodies(encoding: str, stored: bytes, kept: bool) -> None:
    """What is compressed is undone, and what was decoded by whoever recorded it is taken as it is.

    The header goes with it. What mellite cannot undo stays as it is.
    """
    body = {"base64_string": base64.b64encode(stored).decode()}
    (one,) = imported(response={"headers": {"Content-Encoding": [encoding]}, "body": body}).cassette.http
    assert one.response.headers.get("content-encoding") == (encoding if kept else None)
    assert one.response.body.data == (stored if kept else b"hello")
    assert (one.response.body.encoding == "base64") == kept


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"model": "m", "n": [1, 2.5], "x": {"y": None}}, '{"model":"m","n":[1,2.5],"x":{"y":null}}'),
        ({"string": "x", "model": "m"}, '{"string":"x","model":"m"}'),
        ([{"a": 1}, "b"], '[{"a":1},"b"]'),
        ([], ""),
        (5, "5"),
        (True, "true"),
        (None, ""),
    ],
)
def test_bodies_given_as_json(body: Any, text: str) -> None:
    """Of a request that aiohttp made with ``json=`` VCR.py keeps the value; it is JSON again."""
    (one,) = imported({"body": body}).cassette.http
    assert one.request.body.text == text


def test_a_form_is_refused() -> None:
    """Of a form VCR.py keeps the value, too; what was sent cannot be told from it."""
    headers = {"Content-Type": ["application/x-www-form-urlencoded"]}
    with pytest.raises(InvalidCassette, match=r"request\.body expected a form as it was sent"):
        imported({"body": {"a": "b"}, "headers": headers})


def test_older_shapes() -> None:
    """The flat answers that VCR.py wrote for httpx are read as well, and a body as bytes of JSON."""
    source = f"""
interactions:
- request: {{method: GET, uri: '{URL}', headers: null, body: ''}}
  response: {{status_code: 404, http_version: HTTP/1.1, headers: [], content: gone}}
"""
    with pytest.raises(InvalidCassette, match=r"\$\.interactions\[0\]\.response\.headers expected an object"):
        read_vcr(source.encode())
    result = read_vcr(source.replace("[]", "{}").encode())
    assert (result.cassette.http[0].response.status, result.cassette.http[0].response.body.text) == (404, "gone")
    assert result.dropped == ("of responses: http_version",)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 2}, r"\$\.version"),
        ({"interactions": {}}, r"\$\.interactions"),
        ({"interactions": [5]}, r"\$\.interactions\[0\]"),
        ({"interactions": [{"request": {}}]}, r"\$\.interactions\[0\]\.response"),
        ({"interactions": [{"request": {"method": 5}, "response": {}}]}, r"request\.method"),
        ({"interactions": [{"request": {"method": "GET"}, "response": {}}]}, r"request\.uri"),
    ],
)
def test_refused(change: dict[str, Any], where: str) -> None:
    """What is not as VCR.py writes it is refused, with the place where."""
    with pytest.raises(InvalidCassette, match=where):
        imported(**change)


@pytest.mark.parametrize(
    ("response", "where"),
    [
        ({"status": {"code": "200"}}, "status"),
        ({"status": True}, "status"),
        ({"status": 42}, "status"),
        ({"headers": {"a": [{}]}}, "headers"),
        ({"body": {"string": 5}}, "body"),
        ({"body": {"base64_string": "?"}}, "base64_string"),
        ({"body": {"base64_string": "H4sIAAAA"}, "headers": {"content-encoding": "gzip"}}, "gzip data"),
        ({"body": {"base64_string": "KLUv/QA="}, "headers": {"content-encoding": "zstd"}}, "zstd data"),
        ({"body": {"base64_string": "CwKAaGVs"}, "headers": {"content-encoding": "br"}}, "br data"),
        ({"body": {"base64_string": "eJzL"}, "headers": {"content-encoding": "deflate"}}, "deflate data"),
        ({"body": {"string": "x", "chunks": [1]}}, "chunks"),
        ({"body": {"type": "json", "content": {}}}, "content, type"),
        ({"body": {"string": "x", "base64_string": "eA=="}}, "both"),
        ({"body": [{"a": 1}]}, "body"),
    ],
)
def test_refused_responses(response: dict[str, Any], where: str) -> None:
    """A response that cannot be one is refused, with the place where."""
    with pytest.raises(InvalidCassette, match=where):
        imported(response=response)


def test_by_name(tmp_path: Path) -> None:
    """`load_cassette` reads them by their ending, compressed too, and those in JSON by what is in them."""
    source = json.dumps(
        {
            "version": 1,
            "interactions": [
                {
                    "request": {"method": "GET", "uri": URL, "headers": {}, "body": None},
                    "response": {"status": {"code": 200}, "headers": {}, "body": {"string": "hi"}},
                }
            ],
        }
    ).encode()
    for name, data in {"a.yaml": source, "a.yml": source, "a.json": source, "a.yaml.gz": gzip.compress(source)}.items():
        (tmp_path / name).write_bytes(data)
        assert load_cassette(tmp_path / name).http[0].response.body.text == "hi"
    for name in ("b.yaml", "b.yml"):
        (tmp_path / name).write_text("interactions: []\n")
        assert load_cassette(tmp_path / name).interactions == ()
    assert import_vcr(tmp_path / "a.yaml.gz").cassette.path == str(tmp_path / "a.yaml.gz")
