"""Strict JSON, and bodies as text or base64."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from mellite.cassettes import Body
from mellite.cassettes.bodies import decode_json
from mellite.errors import InvalidCassette

#: Valid JSON that is refused all the same: readers disagree about what it means.
REFUSED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def test_json_vectors(corpora: Path) -> None:
    """What must be refused is, what must be accepted is, and everything else is one or the other, typed."""
    rows = [json.loads(line) for line in (corpora / "json_vectors.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 318
    wrong = []
    for row in rows:
        try:
            decode_json(base64.b64decode(row["raw_b64"]))
        except InvalidCassette:
            accepted = False
        else:
            accepted = True
        expected = {"accept": row["name"] not in REFUSED, "reject": False, "either": accepted}[row["expect"]]
        if accepted != expected:
            wrong.append(row["name"])
    assert wrong == []


def test_body_of_bytes() -> None:
    """Bytes that are UTF-8 are stored as text, others in base64; both give the bytes back."""
    for data in (b"", b"text", "\u00fc".encode(), b"\xff", bytes(range(256))):
        assert Body.of(data).data == data
    assert Body.of("text") == Body.of(b"text")
    assert Body.of(b"\xff") != Body.of("/w==")
    assert Body.of(b"\xff").text == "\ufffd"


@pytest.mark.parametrize("stored", [b'"cut off', b"5", b'"\\ud800"', b"[" * 100_000])
def test_body_whose_token_is_no_text(stored: bytes) -> None:
    """A token that is not a JSON string is damage, with the place in the file if that is known."""
    with pytest.raises(InvalidCassette, match=r"answer of cassette 'x\.json' is damaged") as caught:
        _ = Body(stored, path="x.json", where="answer", offset=100).data
    assert caught.value.path == "x.json"
    assert caught.value.offset is None or caught.value.offset >= 100


def test_text_that_no_bytes_stand_for() -> None:
    """A body with half of a surrogate pair has no bytes."""
    with pytest.raises(InvalidCassette, match="it is not text"):
        _ = Body("a\ud800").data


def test_repr_is_short() -> None:
    """A body is shown by its length: cassettes are long."""
    assert repr(Body("x" * 1000)).startswith("Body(stored=<1000>")
