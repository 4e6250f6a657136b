"""Taking secrets out of cassettes: by name, by look, in place, and without breaking what stays."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mellite.cassettes import (
    Cassette,
    CassetteWriter,
    ReplayTransport,
    Sidecar,
    TextDirectory,
    load_cassette,
    read_cassette,
)
from mellite.cassettes.bodies import Body
from mellite.cassettes.scrub import scrub_cassette, scrub_text
from mellite.cassettes.scrub_files import scrub_files
from mellite.cassettes.secrets.scan import SecretScan
from mellite.cassettes.timeline import Timeline
from mellite.errors import CassetteError, InvalidCassette
from mellite.messages import ToolCall
from mellite.wire.transports.default import HttpRequest

KEY = "sk-" + "abcdefghijklmnopqrstuvwxyz"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabc=\n-----END RSA PRIVATE KEY-----"
SCAN = SecretScan({"correct horse battery": "MY_PASSWORD"})


def cassette(body: str = "hi", *, request: dict[str, Any] | None = None, **more: Any) -> Cassette:
    """A cassette of one interaction."""
    asked = {"method": "POST", "url": "https://example.com/", "headers": {}, "body": "", **(request or {})}
    response = {"status": 200, "headers": {"x-session-token": "abc", "content-type": "text/plain"}, "body": body}
    one = {"transport": "http", "request": asked, "response": response, **more}
    return read_cassette(json.dumps({"version": 1, "metadata": {"name": "n"}, "interactions": [one]}).encode())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"Use {KEY}.", "Use [REDACTED]."),
        ("Say correct horse battery!", "Say [REDACTED]!"),
        (f"{PEM} and on", "[REDACTED] and on"),
        (json.dumps({"key": PEM}), '{"key": "[REDACTED]"}'),
        (PEM[:60], "[REDACTED]"),
        ("nothing here", "nothing here"),
    ],
)
def test_text(text: str, clean: str) -> None:
    """Keys, known values and whole private keys are replaced; the rest stays; twice is as once."""
    assert scrub_text(text, SCAN) == clean
    assert scrub_text(clean, SCAN) == clean
    assert SCAN.text(clean) == ()


def test_every_place() -> None:
    """Headers, URLs, JSON fields, events and metadata are cleaned, each told by its path."""
    stream = f'data: {{"token":"t","text":"{KEY}"}}\n\ndata: [DONE]\n\n'
    request = {
        "url": f"https://me:pw@example.com/?key=abc&q={KEY}",
        "headers": {"authorization": "Bearer x", "x-my-auth": "y", "accept": KEY},
        "body": '{"password": "p", "messages": []}',
    }
    scrubbed = scrub_cassette(cassette(stream, request=request, note=KEY), scan=SCAN)
    (one,) = scrubbed.cassette.http
    assert one.request.url == "https://%5BREDACTED%5D@example.com/?key=%5BREDACTED%5D&q=[REDACTED]"
    assert set(one.request.headers.values()) == {"[REDACTED]"}
    assert one.request.body.text == '{"password":"[REDACTED]","messages":[]}'
    assert one.response.body.text == 'data: {"token":"[REDACTED]","text":"[REDACTED]"}\n\ndata: [DONE]\n\n'
    assert dict(one.response.headers) == {"x-session-token": "[REDACTED]", "content-type": "text/plain"}
    assert one.extra == {"note": "[REDACTED]"}
    assert scrubbed.changed == tuple(
        f"$.interactions[0]{place}"
        for place in (
            ".response.body",
            ".response.headers.x-session-token",
            ".request.url",
            ".request.headers.authorization",
            ".request.headers.x-my-auth",
            ".request.headers.accept",
            ".request.body",
            "",
        )
    )
    assert scrubbed.remaining == ()
    again = scrub_cassette(scrubbed.cassette, scan=SCAN)
    assert (again.changed, again.cassette) == ((), scrubbed.cassette)


def test_nothing_to_do(corpora: Path) -> None:
    """Good cassettes stay as they are."""
    paths = sorted((corpora / "opencode").rglob("*.json"))[:40]
    assert len(paths) == 40
    for path in paths:
        loaded = load_cassette(path)
        assert scrub_cassette(loaded, scan=SecretScan({})).cassette == loaded


@pytest.mark.anyio
async def test_sizes_of_pieces() -> None:
    """Where the pieces of an answer were recorded they still come one by one, whole events as they were."""
    events = [f"data: {text}\n\n" for text in ("one", KEY, "three")]
    timing = {"started": "2026-01-01T00:00:00.000000Z", "openedUs": 5, "endedUs": 90, "end": "complete"}
    chunks = " ".join([f"{len(event)}@10" for event in events])
    scrubbed = scrub_cassette(cassette("".join(events), mellite={**timing, "chunks": chunks}), scan=SCAN).cassette
    timeline = Timeline.of(scrubbed.http[0].extra)
    assert timeline is not None
    assert [at for _, at in timeline.pieces()] == [15, 25, 35]
    transport = ReplayTransport(scrubbed)
    response = await transport.open(HttpRequest("POST", "https://example.com/"))
    pieces = [await response.read() for _ in range(3)]
    assert pieces == [b"data: one\n\n", b"data: [REDACTED]\n\n", b"data: three\n\n"]


def test_what_remains() -> None:
    """A secret in base64, or cut over two events, cannot be taken out: it is told, and the body is left alone."""
    pieces = [f"data: {json.dumps({'delta': piece})}\n\n" for piece in (KEY[:12], KEY[12:])]
    for body in (base64.b64encode(f"x {KEY} x".encode()).decode(), "".join(pieces)):
        scrubbed = scrub_cassette(cassette(body), scan=SCAN)
        assert scrubbed.remaining
        assert scrubbed.cassette.http[0].response.body.text == body


def test_bytes_are_left_alone() -> None:
    """A body of bytes, which have lengths and checksums inside, is never changed; what is in it remains."""
    data = b"\x00\xff" + KEY.encode()
    loaded = cassette("x")
    response = evolve(loaded.http[0].response, body=Body.of(data))
    scrubbed = scrub_cassette(Cassette((evolve(loaded.http[0], response=response),)), scan=SCAN)
    assert scrubbed.cassette.http[0].response.body.data == data
    assert [str(one).partition(" ")[0] for one in scrubbed.remaining] == ["$.interactions[0].response.body"]


def write(path: Path, body: str) -> Path:
    """A cassette in a file."""
    text = json.dumps(
        {
            "version": 1,
            "interactions": [
                {
                    "request": {"method": "GET", "url": "https://example.com/", "headers": {}, "body": ""},
                    "response": {"status": 200, "headers": {}, "body": body},
                }
            ],
        }
    ).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_in_place(tmp_path: Path, name: str) -> None:
    """A file is replaced by the clean one, compressed as it was; when only asked, nothing is touched."""
    path = write(tmp_path / name, f"Use {KEY}.")
    before = path.read_bytes()
    (asked,) = scrub_files([str(tmp_path)], SCAN, write=False)
    assert path.read_bytes() == before
    (done,) = scrub_files([str(tmp_path)], SCAN)
    assert (done, done.changed, done.remaining) == (asked, ("$.interactions[0].response.body",), ())
    assert load_cassette(path).http[0].response.body.text == "Use [REDACTED]."
    assert list(scrub_files([str(tmp_path)], SCAN)) == []


def test_clean_files_are_not_touched(tmp_path: Path) -> None:
    """A file in which there is nothing is not written, so its layout stays."""
    path = write(tmp_path / "a.json", "hello")
    before = path.stat()
    assert list(scrub_files([str(path)], SCAN)) == []
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_text_cassettes(tmp_path: Path) -> None:
    """An answer is cleaned with its chunks and tool calls; where a secret was cut over chunks they go."""
    directory = TextDirectory(tmp_path)
    call = ToolCall("1", "f", {"key": "K"}, raw_arguments='{"key": "K"}')
    whole = Sidecar("openai", "", prompt="whole", chunks=("Use ", "K", "."), tool_calls=(call,))
    cut = Sidecar("openai", "", prompt="cut", chunks=("Use K", "K."))
    for text, sidecar in (("Use K.", whole), ("Use KK.", cut)):
        directory.record(text, sidecar)
    half = KEY[:13], KEY[13:]
    for path in tmp_path.iterdir():
        text = path.read_text()
        text = text.replace("Use KK.", f"Use {KEY}.").replace("Use K.", f"Use {KEY}.")
        text = text.replace('"Use K"', f'"Use {half[0]}"').replace('"K."', f'"{half[1]}."').replace('"K"', f'"{KEY}"')
        path.write_text(text.replace('\\"K\\"', f'\\"{KEY}\\"'))
    assert len(list(scrub_files([str(tmp_path)], SCAN))) == 2
    stored = "".join([path.read_text() for path in tmp_path.iterdir()])
    assert all(part not in stored for part in (KEY, *half))
    found = directory.read("openai", "", "whole")
    assert (found.text, found.chunks) == ("Use [REDACTED].", ("Use ", "[REDACTED]", "."))
    assert found.sidecar is not None
    assert found.sidecar.tool_calls[0].arguments == {"key": "[REDACTED]"}
    assert directory.read("openai", "", "cut").chunks is None


def test_a_prompt_cannot_be_cleaned(tmp_path: Path) -> None:
    """The key of a text cassette is made of the prompt: a secret there remains, and nothing is written."""
    directory = TextDirectory(tmp_path)
    path = Path(directory.record("K", Sidecar("openai", "", prompt="one")).path)
    sidecar = {"provider": "openai", "model": "", "prompt": f"Is {KEY} mine?"}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    path.write_text(f"{KEY}\n")
    (done,) = scrub_files([str(path)], SCAN)
    assert [str(one).partition(" ")[0] for one in done.remaining] == ["$.prompt"]
    assert path.read_text() == f"{KEY}\n"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    """A cassette that is being recorded, one of VCR's, and a damaged one are refused and left as they are."""
    path = write(tmp_path / "a.json", KEY)
    writer = CassetteWriter.open(path)
    with pytest.raises(CassetteError, match="somebody is recording"):
        list(scrub_files([str(path)], SCAN))
    writer.finish()
    vcr = tmp_path / "b.yaml"
    vcr.write_text(
        "interactions: [{request: {method: GET, uri: 'https://example.com/', headers: {}}, "
        f"response: {{status: {{code: 200}}, headers: {{}}, body: {{string: {KEY}}}}}}}]"
    )
    with pytest.raises(CassetteError, match="convert it"):
        list(scrub_files([str(vcr)], SCAN))
    damaged = tmp_path / "c.json"
    damaged.write_bytes(b"{")
    with pytest.raises(InvalidCassette):
        list(scrub_files([str(damaged)], SCAN))
    assert damaged.read_bytes() == b"{"
