"""Recorded answers of Gemini: cut at every event, broken at random, cut into streams, and sent back as history."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream, MelliteError
from mellite.protocols.gemini import GeminiRaw
from mellite.protocols.gemini.body import lower
from mellite.protocols.gemini.stream import unary
from mellite.providers.google import gemini_route
from mellite.request import Request
from mellite.values.fold import fold
from tests.protocols.gemini.chunks import events_of, finish_of
from tests.protocols.gemini.test_field_names import original

SEED = 34
MUTATIONS = 2000


@pytest.fixture(scope="module")
def answers(corpora: Path) -> list[tuple[bool, bytes]]:
    """The recorded answers: whether each streamed, and its body."""
    with (corpora / "expected.jsonl").open() as lines:
        rows = [row for line in lines if (row := json.loads(line))["protocol"] == "gemini"]
    streaming = {row["key"]: row["streaming"] for row in rows if row["status"] == 200}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        found = [
            row for line in lines if (row := json.loads(line))["key"] in streaming and row["set"] == "expected.jsonl"
        ]
    return [(streaming[row["key"]], base64.b64decode(row["body_b64"])) for row in found if row["body_b64"]]


@pytest.fixture(scope="module")
def streams(answers: list[tuple[bool, bytes]]) -> list[bytes]:
    """The recorded streams."""
    bodies = [body for streamed, body in answers if streamed]
    assert len(bodies) >= 10
    return bodies


@pytest.fixture(scope="module")
def wholes(answers: list[tuple[bool, bytes]]) -> list[bytes]:
    """The recorded answers in one piece."""
    bodies = [body for streamed, body in answers if not streamed]
    assert len(bodies) >= 80
    return bodies


def settled(body: bytes, *, stream: bool = True) -> ModelOutputThunk[str]:
    """What is read out of a body, by way of a route."""
    kind = "text/event-stream" if stream else "application/json"
    transport = ScriptedTransport([(200, {"content-type": kind}, [body])])
    route = gemini_route(api_key="AIza-recorded", model="recorded")
    thunk = LiveBackend(route, transport=transport, stream=stream).generate("What was recorded.")
    with suppress(MelliteError):
        thunk.result()
    return thunk


def events_in(body: bytes) -> list[bytes]:
    """A stream cut behind each of its events."""
    body = body.replace(b"\r\n", b"\n")
    return [event + b"\n\n" for event in body.rstrip().split(b"\n\n")]


def chunks_in(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.removeprefix(b"data:")) for event in events_in(body)]


def parts_of(answer: Any) -> list[dict[str, Any]]:
    """The parts of an answer in one piece; those that hold nothing are left out."""
    parts = answer["candidates"][0].get("content", {}).get("parts", [])
    return [part for part in parts if part != {"text": ""}]


def test_a_stream_that_is_cut_is_incomplete(streams: list[bytes]) -> None:
    """Cut behind any event before the finish reason, a stream is IncompleteStream with exactly the text until there."""
    cuts = 0
    for body in streams:
        events = events_in(body)
        assert b'"finishReason"' in events[-1]
        for end in range(len(events)):
            said = [part for chunk in chunks_in(b"".join(events[:end]) or body)[:end] for part in parts_of(chunk)]
            thunk = settled(b"".join(events[:end]))
            assert isinstance(thunk.error, IncompleteStream)
            assert thunk.error.partial == thunk.partial == "".join(part.get("text", "") for part in said)
            cuts += 1
        assert settled(body).error is None
    assert cuts >= 25


def test_a_merged_stream_reads_like_an_answer_in_one_piece(streams: list[bytes]) -> None:
    """What a stream was merged to, read as an answer in one piece, says the same."""
    for body in streams:
        thunk = settled(body)
        assert isinstance(thunk.raw, GeminiRaw)
        again = settled(json.dumps(thunk.raw.response).encode(), stream=False)
        assert again.error is None
        assert again.raw.response == thunk.raw.response
        assert again.generation.usage == thunk.generation.usage
        assert [part for part in again.message.content if part] == [part for part in thunk.message.content if part]
        assert again.generation.finish_reason == thunk.generation.finish_reason


def test_original_field_names(wholes: list[bytes], streams: list[bytes]) -> None:
    """Every recorded answer says the same in protobuf's original field names."""
    for body in wholes:
        answer = json.loads(body)
        answer.setdefault("responseId", "r1")  # names the calls that have no id; else it is the bytes
        answer.get("usageMetadata", {}).pop("pydantic_ai_gateway", None)
        assert unary(json.dumps(original(answer)).encode()) == unary(json.dumps(answer).encode())
    for body in streams:
        chunks = chunks_in(body)
        assert events_of(map(original, chunks)) == events_of(chunks)


def as_stream(answer: dict[str, Any], dice: Random) -> Iterator[dict[str, Any]]:
    """An answer in one piece, as a server might have streamed it: texts in pieces, a signature at the end of each."""
    (candidate,) = answer["candidates"]
    known = {name: value for name, value in candidate.items() if name not in ("content", "finishReason")}
    top = {name: value for name, value in answer.items() if name not in ("candidates", "usageMetadata")}
    role = {name: value for name, value in candidate.get("content", {}).items() if name != "parts"}
    for part in candidate.get("content", {}).get("parts", []):
        pieces = [part]
        if "text" in part:
            cuts = sorted(dice.sample(range(len(part["text"]) + 1), min(dice.randint(0, 4), len(part["text"]))))
            texts = [part["text"][start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
            beside = {name: value for name, value in part.items() if name not in ("text", "thoughtSignature")}
            pieces = [{"text": text, **beside} for text in texts]
            if "thoughtSignature" in part:
                if dice.random() < 0.5:
                    pieces.append({"text": "", **beside})
                pieces[-1]["thoughtSignature"] = part["thoughtSignature"]
        for piece in pieces:
            yield {"candidates": [{"content": {**role, "parts": [piece]}, "index": 0}], **top}
    last = {
        **known,
        "finishReason": candidate["finishReason"],
        **({} if "content" not in candidate else {"content": role}),
    }
    yield {"candidates": [last], "usageMetadata": answer["usageMetadata"], **top}


def test_an_answer_cut_into_a_stream_is_merged_to_itself(wholes: list[bytes]) -> None:
    """Recorded answers, streamed in random pieces, say what they say in one piece, in the raw response as well."""
    dice = Random(SEED)
    for body in wholes:
        answer = json.loads(body)
        whole = list(unary(body))
        for _ in range(3):
            streamed = events_of(as_stream(answer, dice))
            merged = finish_of(streamed).response
            merged["candidates"][0].pop("index")
            wanted = {**answer, "candidates": [{**answer["candidates"][0]}]}
            wanted["candidates"][0].pop("index", None)
            assert merged == wanted
            assert fold(streamed).parts == fold(whole).parts
            assert finish_of(streamed).usage == finish_of(whole).usage


def test_answers_go_back_as_they_came(answers: list[tuple[bool, bytes]]) -> None:
    """As history, every recorded answer has the same parts again: signatures, ids, code and hosted tools included."""
    signed = 0
    for streamed, body in answers:
        thunk = settled(body, stream=streamed)
        history = [Message.user("x"), thunk.message, Message.user("y")]
        contents = lower(Request.of(history, model="gemini-2.5-flash"), stream=True)["contents"]
        sent = [part for content in contents[:-1] for part in content["parts"][content is contents[0] :]]
        assert sent == parts_of(thunk.raw.response)
        signed += any("thoughtSignature" in part for part in sent)
    assert signed > 60


def mutated(body: bytes, dice: Random) -> bytes:
    """A body with a few bytes changed, taken out, doubled or swapped for those of JSON."""
    data = bytearray(body)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        kind = dice.randrange(4)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at : at + dice.randint(1, 20)]
        elif kind == 2:
            data[at:at] = data[at : at + dice.randint(1, 40)]
        else:
            data[at] = dice.choice(b'{}[]",:0nt\\\r\n')
        if not data:
            return b"{"
    return bytes(data)


@pytest.mark.slow
def test_damaged_answers_are_typed_or_whole(answers: list[tuple[bool, bytes]]) -> None:
    """Whatever happens to the bytes: a valid answer or one of mellite's errors, with what came before kept."""
    dice = Random(SEED)
    small = [(streamed, body) for streamed, body in answers if len(body) < 8000]
    for _ in range(MUTATIONS):
        streamed, body = dice.choice(small)
        thunk = settled(mutated(body, dice), stream=streamed)
        assert thunk.error is None or isinstance(thunk.error, MelliteError)
        assert (thunk.error is None) == (thunk.generation.finish_reason is not None)
        json.dumps(thunk.raw.response)
