"""Every recorded answer of real providers is served as it was recorded, byte for byte, to whoever asks for it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, load_cassette
from mellite.server.paths import call_of
from mellite.server.running import RunningServer
from tests.server.asking import raw

Server = Callable[..., RunningServer]


def recorded(corpora: Path) -> Iterator[HttpInteraction]:
    """The recorded answers, each with its request."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            asked = "" if row["request"] is None else json.dumps(row["request"])
            body = Body.of(base64.b64decode(row["body_b64"]))
            kept = {name: row["headers"][name] for name in ("content-type",) if name in row["headers"]}
            request = RecordedRequest(row["method"], row["uri"], headers={}, body=Body(asked))
            yield HttpInteraction(request, RecordedResponse(row.get("status") or 200, headers=kept, body=body))


def same(server: RunningServer, one: HttpInteraction) -> bool:
    """Whether the server answers a recorded request with the recorded answer."""
    parts = urlsplit(one.request.url)
    before = "/prefix" if call_of(parts.path) is not None else ""
    path = f"{before}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    found = raw(server.url, path, one.request.body.data, method=one.request.method)
    return found.status == one.response.status and b"".join(found.pieces) == one.response.body.data


def test_every_answer_of_the_corpora(mellite_server: Server, corpora: Path) -> None:
    """Each answer comes as it was recorded, whatever stands before the path."""
    interactions = list(recorded(corpora))
    server = mellite_server(Cassette(tuple(interactions)))
    assert [one.request.url for one in interactions if not same(server, one)] == []
    assert len(interactions) > 400


def test_every_cassette_of_the_corpora(mellite_server: Server, corpora: Path) -> None:
    """So it is for the cassettes of another project, one by one."""
    for file in sorted((corpora / "opencode").rglob("*.json")):
        interactions = load_cassette(file).http if '"interactions"' in file.read_text() else ()
        if interactions:
            server = mellite_server(file)
            assert [one.request.url for one in interactions if not same(server, one)] == [], file
            server.stop()
