"""Cassettes of cassetter: read as what was sent, in the order of time, and refused where they are not sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mellite.archive.replay import replay_all
from mellite.cassettes import load_cassette
from mellite.cassettes.files.vcr import read_vcr
from mellite.errors import InvalidCassette

# As cassetter 0.16.1 wrote them, with fewer headers: sorted by URL, so the second request stands first.
YAML = """\
version: 1
interactions:
- request:
    method: POST
    uri: http://127.0.0.1:9/a/v1/chat/completions
    headers:
      accept:
      - "*/*"
      content-type:
      - application/json
    body:
      type: json
      content:
        model: m
        "n":
        - 1
        - 1.0e+22
        - 2024-01-01
        - =
        - <<
        messages:
        - role: user
          content: h\u00e9
  response:
    status: 200
    headers:
      content-type:
      - text/event-stream
      x-request-id:
      - r1
    body:
      type: text
      content: |+
        data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}

        data: [DONE]

  recorded_at: 2026-11-29T16:51:02.275089+00:00
- request:
    method: POST
    uri: http://127.0.0.1:9/b
    headers: {}
    body:
      type: binary
      content: ff00
  response:
    status: 500
    headers:
      content-type:
      - image/png
    body:
      type: binary
      content: >-
        89504e47ff
  recorded_at: 2026-11-29T16:51:01.9+00:00
- request:
    method: GET
    uri: http://127.0.0.1:9/c
    headers: {}
    body:
      type: none
  response:
    status: 204
    headers: {}
    body:
      type: none
  recorded_at: 2026-11-29T16:51:00+00:00
"""

TOML = """\
version = 1

[[interactions]]
recorded_at = "2026-11-29T16:51:02.839087+00:00"

[interactions.request]
method = "POST"
uri = "http://127.0.0.1:9/v1/chat/completions"
body_type = "json"
body_content = '{"model":"m","messages":[{"role":"user","content":"hi"}]}'

[interactions.request.headers]
content-type = ["application/json"]

[interactions.response]
status = 200
body_type = "json"
body_content = '{"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]}'

[interactions.response.headers]
content-type = ["application/json"]
"""


def test_bodies_and_order() -> None:
    """Every type of body gives its bytes, and the requests stand in the order in which they were sent."""
    imported = read_vcr(YAML.encode(), path="c.yaml")
    last, middle, first = reversed(imported.cassette.http)
    assert (first.request.method, first.request.body.data, first.response.status) == ("GET", b"", 204)
    assert (middle.request.body.data, middle.response.body.data) == (b"\xff\x00", b"\x89PNG\xff")
    assert last.request.body.text == (
        '{"model":"m","n":[1,1e+22,"2024-01-01","=","<<"],"messages":[{"role":"user","content":"h\u00e9"}]}'
    )
    assert last.response.body.text.endswith('"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    assert dict(last.response.headers) == {"content-type": "text/event-stream", "x-request-id": "r1"}
    assert imported.dropped == ("of interactions: recorded_at",)


@pytest.mark.parametrize(("name", "source"), [("c.yaml", YAML), ("c.toml", TOML)])
def test_the_answers_are_read(tmp_path: Path, name: str, source: str) -> None:
    """Such files are read by their names wherever a cassette is, and say what was answered."""
    path = tmp_path / name
    path.write_text(source, encoding="utf-8")
    thunks = [thunk for _, thunk in replay_all(path)]
    assert thunks[-1] is not None
    assert thunks[-1].value == "Hello."
    assert load_cassette(path).http[-1].request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"type": "jsonl", "content": "x"}, "body of type 'json'"),
        ({"type": "text"}, "content of a body of type 'text'"),
        ({"type": "text", "content": {"a": 1}}, "content of a body of type 'text'"),
        ({"type": "none", "content": "x"}, "content of a body of type 'none'"),
        ({"type": "binary", "content": "xyz"}, "hexadecimal"),
        ({"type": "text", "content": "x", "charset": "latin-1"}, "charset"),
    ],
)
@pytest.mark.parametrize("side", ["request", "response"])
def test_what_is_not_understood_is_refused(side: str, body: Any, words: str) -> None:
    """A body of another type, or with more in it than is known, is refused by name and place: nothing is made up."""
    document = yaml.safe_load(SMALL)
    document["interactions"][0][side]["body"] = body
    with pytest.raises(InvalidCassette, match=words) as caught:
        read_vcr(yaml.safe_dump(document).encode(), path="c.yaml")
    assert "$.interactions[0]" in str(caught.value)


SMALL = """
version: 1
interactions:
- request: {method: GET, uri: 'http://127.0.0.1:9/', headers: {}, body: {type: none}}
  response: {status: 200, headers: {}, body: {type: none}}
"""


def test_damaged_toml(tmp_path: Path) -> None:
    """A file that is not TOML is refused by name."""
    path = tmp_path / "c.toml"
    path.write_text("version = \n")
    with pytest.raises(InvalidCassette, match=r"c\.toml.* is not TOML"):
        load_cassette(path)
