"""Recorded answers of every provider read over a kept connection, however they are cut, as they read without one."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mellite import ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import MelliteError
from mellite.events import ResponseStart
from mellite.providers.catalog import find
from mellite.wire.transports.http1 import Http1Transport
from tests.corpus_adapter import PROVIDERS
from tests.wire.answers import JSON, WHOLE
from tests.wire.server import LAST, Server, answer, head, piece, serve
from tests.wire.test_pushing import asking, at_once

ONE_IN = 9
LARGEST = 200_000
FRAMING = {"content-encoding", "content-length", "transfer-encoding", "connection", "trailer"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def recorded(corpora: Path) -> Iterator[tuple[dict[str, Any], dict[str, str], bytes]]:
    """Some of the recordings: what is known of each, its headers and its body."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        bodies = {each["key"]: each for each in map(json.loads, lines) if each["set"] == "expected.jsonl"}
    known = [json.loads(line) for line in (corpora / "expected.jsonl").read_text().splitlines()]
    for each in [each for each in known if each["protocol"] in PROVIDERS and each["key"] in bodies][::ONE_IN]:
        found = bodies[each["key"]]
        body = base64.b64decode(found["body_b64"])
        if len(body) < LARGEST:
            yield each, {name: str(text) for name, text in found["headers"].items() if name not in FRAMING}, body


async def seen(thunk: ModelOutputThunk[str]) -> list[object]:
    """All that a caller sees of an answer but its headers."""
    events = []
    with suppress(MelliteError):
        events = [event async for event in thunk.events() if type(event) is not ResponseStart]
    error, generation, raw = thunk.error, thunk.generation, thunk.raw
    facts = [getattr(error, name, None) for name in ("status", "partial", "retryable", "usage", "provider_message")]
    ids = generation.request_id, generation.response_id, generation.response_model, generation.raw_finish_reason
    said = thunk.partial, thunk.thinking, thunk.tool_calls, thunk.usage
    return [events, thunk.state, type(error), facts, ids, said, raw.response, raw.streamed_chunks]


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", sorted(PROVIDERS))
async def test_recordings(server: Server, corpora: Path, protocol: str) -> None:
    """Events, text, ids, usage, error and raw answer are those of the bytes, whole and cut anywhere."""
    chance = random.Random(protocol)
    transport = Http1Transport()
    await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)
    for each, headers, body in recorded(corpora):
        if each["protocol"] != protocol:
            continue
        name = f"{PROVIDERS[protocol]}:recorded"
        scripted = ScriptedTransport([(each["status"], headers, [body])])
        plain = LiveBackend(find(name, api_key="sk-recorded"), transport=scripted, stream=each["streaming"])
        expected = await seen(plain.generate("What was recorded."))
        places = sorted(chance.sample(range(1, len(body)), min(7, len(body) - 1)))
        parts = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
        first = head(each["status"], headers)
        for steps in ([at_once(first, piece(body), LAST)], [first, *map(piece, parts), LAST]):
            route = find(name, api_key="sk-recorded", base_url=f"{server.script(*steps).url}/v1")
            thunk = LiveBackend(route, transport=transport, stream=each["streaming"]).generate("What was recorded.")
            assert await seen(thunk) == expected, each["key"]
    await transport.aclose()
