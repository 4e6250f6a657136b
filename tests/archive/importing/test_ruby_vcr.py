"""Cassettes of Ruby's VCR: encodings of bodies, what Ruby alone can read, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mellite.cassettes import load_cassette
from mellite.errors import InvalidCassette
from tests.archive.importing.replays import DATA, converted


def written(path: Path, body: Any, **response: Any) -> Path:
    """A cassette in JSON whose answer has this body."""
    answer = {"status": {"code": 200, "message": "OK"}, "headers": {"Content-Type": "text/plain"}, "body": body}
    request = {"method": "get", "uri": "https://example.com/", "headers": None, "body": {"encoding": "", "string": ""}}
    interaction = {"request": request, "response": {**answer, **response}, "recorded_at": "now"}
    path.write_text(json.dumps({"http_interactions": [interaction], "recorded_with": "VCR 6.3.1"}))
    return path


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"encoding": "UTF-8", "string": "Größe"}, "Größe".encode()),
        ({"encoding": "ISO-8859-1", "string": "Größe"}, "Größe".encode("latin-1")),
        ({"encoding": "ASCII-8BIT", "string": "Größe"}, "Größe".encode()),
        ({"encoding": "ASCII-8BIT", "base64_string": "/wA=\n"}, b"\xff\x00"),
        ({"encoding": "US-ASCII", "string": ""}, b""),
        ({"encoding": "UTF-8", "string": None}, b""),
        ("as VCR 2.0 had it", b"as VCR 2.0 had it"),
        (None, b""),
    ],
)
def test_bodies(tmp_path: Path, body: Any, data: bytes) -> None:
    """The bytes are those that were received, whatever encoding the file has for them."""
    done = converted(
        written(tmp_path / "a.json", body, adapter_metadata={"vcr_decompressed": "gzip"}), tmp_path / "b.json"
    )
    (one,) = load_cassette(tmp_path / "b.json").http
    assert (one.response.body.data, one.response.headers) == (data, {"content-type": "text/plain"})
    assert "of responses: adapter_metadata" in done.dropped


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"encoding": "KOI-42", "string": "x"}, "body expected a text in an encoding that is known, found KOI-42"),
        ({"encoding": "US-ASCII", "string": 5}, "body.string expected a text, found 5"),
        ({"encoding": "ISO-8859-1", "string": "\u2615"}, "body expected a text in an encoding that is known"),
        ({"encoding": "UTF-8", "base64_string": "?"}, "base64_string expected base64"),
        ({"encoding": "UTF-8", "lines": []}, "the field 'string' or 'base64_string', found lines"),
        (5, "body expected an object, found 5"),
    ],
)
def test_places(tmp_path: Path, body: Any, place: str) -> None:
    """A body that cannot be read is refused with its place."""
    with pytest.raises(InvalidCassette, match=place):
        converted(written(tmp_path / "a.json", body), tmp_path / "b.json")


def test_objects_of_ruby(tmp_path: Path) -> None:
    """VCR 1 wrote Ruby's own objects, which nothing here makes: the tag is named."""
    (tmp_path / "a.yml").write_text("--- \n- !ruby/struct:VCR::HTTPInteraction \n  request: 1\n")
    with pytest.raises(InvalidCassette, match="'!ruby/struct:VCR::HTTPInteraction' stands for no plain value"):
        converted(tmp_path / "a.yml", tmp_path / "b.json")


def test_damaged_bytes(tmp_path: Path) -> None:
    """Ruby's tag for bytes is base64, too, and is checked."""
    text = (DATA / "ruby.yml").read_text()
    (tmp_path / "a.yml").write_text(text.replace("H4sIAAAAAAACA0", "H4s*"))
    with pytest.raises(InvalidCassette, match="is not base64"):
        converted(tmp_path / "a.yml", tmp_path / "b.json")
