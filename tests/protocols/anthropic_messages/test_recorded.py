"""Recorded streams of Claude: cut at every event, broken at random, merged, and sent back as history."""

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

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream, MelliteError
from mellite.protocols.anthropic_messages.body import lower, mend
from mellite.protocols.anthropic_messages.stream import unary
from mellite.providers.anthropic import messages_route
from mellite.request import Request
from mellite.values.fold import fold

SEED = 58
MUTATIONS = 2000
HEADERS = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def answers(corpora: Path) -> list[tuple[bool, bytes]]:
    """The recorded answers: whether each streamed, and its body."""
    with (corpora / "expected.jsonl").open() as lines:
        rows = [row for line in lines if (row := json.loads(line))["protocol"] == "anthropic-messages"]
    streaming = {row["key"]: row["streaming"] for row in rows if row["status"] == 200}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        found = [
            row for line in lines if (row := json.loads(line))["key"] in streaming and row["set"] == "expected.jsonl"
        ]
    return [(streaming[row["key"]], base64.b64decode(row["body_b64"])) for row in found]


@pytest.fixture(scope="module")
def streams(answers: list[tuple[bool, bytes]]) -> list[bytes]:
    """The recorded streams."""
    bodies = [body for streamed, body in answers if streamed]
    assert len(bodies) >= 10
    return bodies


def settled(body: bytes, *, stream: bool = True) -> ModelOutputThunk[str]:
    """What is read out of a body, by way of a route."""
    transport = ScriptedTransport([(200, HEADERS, [body])])
    route = messages_route(api_key="sk-ant-recorded", model="recorded")
    thunk = LiveBackend(route, transport=transport, stream=stream).generate("What was recorded.")
    with suppress(MelliteError):
        thunk.result()
    return thunk


def events_in(body: bytes) -> list[bytes]:
    """A stream cut behind each of its events."""
    return [event + b"\n\n" for event in body.rstrip().split(b"\n\n")]


def text_of(events: list[bytes]) -> str:
    """The text in some events, read as simply as can be."""
    said = []
    for event in events:
        value = json.loads(event[event.index(b"data:") + len(b"data:") :])
        said.append((value.get("delta") or {}).get("text") or (value.get("content_block") or {}).get("text") or "")
    return "".join(said)


def test_a_stream_that_is_cut_is_incomplete(streams: list[bytes]) -> None:
    """Cut behind any event before the stop reason, a stream is IncompleteStream with exactly the text until there."""
    cuts = 0
    for body in streams:
        events = events_in(body)
        reason = next(at for at, event in enumerate(events) if b'"message_delta"' in event)
        for end in range(0, reason + 1, 1 if len(events) < 60 else 7):
            thunk = settled(b"".join(events[:end]))
            assert isinstance(thunk.error, IncompleteStream)
            assert thunk.partial == text_of(events[:end])
            cuts += 1
        assert settled(b"".join(events[: reason + 1])).value == text_of(events)
    assert cuts > 100


@pytest.mark.slow
def test_any_bytes_are_an_answer_or_a_typed_error(answers: list[tuple[bool, bytes]]) -> None:
    """Bodies with random bytes changed, and events left out, doubled and swapped, give answers or typed errors."""
    chance = random.Random(SEED)
    small = [(streamed, body) for streamed, body in answers if len(body) < 30_000]
    for _ in range(MUTATIONS):
        streamed, body = chance.choice(small)
        broken = shuffled(body, chance) if streamed and chance.random() < 0.3 else damaged(body, chance)
        thunk = settled(broken, stream=streamed)
        assert thunk.error is None or isinstance(thunk.error, MelliteError)
        json.dumps([thunk.partial, thunk.thinking, thunk.raw.response])


def damaged(body: bytes, chance: random.Random) -> bytes:
    data = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(data))
        how = chance.randrange(4)
        if how == 0:
            data[at] = chance.randrange(256)
        elif how == 1:
            del data[at : at + chance.randrange(1, 30)]
        elif how == 2:
            data[at:at] = bytes(chance.choices(b'{}[]",:0159truefalsnu\\ \n\xff\x00', k=chance.randrange(1, 6)))
        else:
            data[at:at] = data[at : at + chance.randrange(1, 60)]
        if not data:
            break
    return bytes(data)


def shuffled(body: bytes, chance: random.Random) -> bytes:
    events = events_in(body)
    at, other = chance.randrange(len(events)), chance.randrange(len(events))
    how = chance.randrange(3)
    if how == 0:
        del events[at]
    elif how == 1:
        events.insert(other, events[at])
    else:
        events[at], events[other] = events[other], events[at]
    return b"".join(events)


def test_a_streamed_answer_is_merged_to_a_whole_one(streams: list[bytes]) -> None:
    """The merged answer, read as one in one piece, says the same as the stream."""
    for body in streams:
        thunk = settled(body)
        merged = fold(unary(json.dumps(thunk.raw.response).encode()))
        assert (merged.text, merged.thinking or None) == (thunk.value, thunk.thinking or None)
        assert merged.usage == thunk.generation.usage
        assert Message("assistant", merged.parts).tool_calls == written_compactly(thunk)
        assert merged.finish is not None
        assert merged.finish.response == thunk.raw.response


def written_compactly(thunk: ModelOutputThunk[str]) -> tuple[Any, ...]:
    """The calls of a thunk with their input as an answer in one piece has it."""
    from attrs import evolve

    return tuple(
        evolve(call, raw_arguments=json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":")))
        if call.arguments
        else call
        for call in thunk.tool_calls
    )


def test_answers_go_back_as_they_came(answers: list[tuple[bool, bytes]]) -> None:
    """The message of a recorded answer, sent back as history, has the same blocks as the answer."""
    for streamed, body in answers:
        thunk = settled(body, stream=streamed)
        assert thunk.error is None
        content = list(expected_back(thunk.raw.response))
        request = Request.of([Message.user("Go on."), thunk.message], cache="none", model="claude-sonnet-4-5")
        sent = lower(mend(request)[0], stream=False)["messages"]
        assert sent[1]["content"] == content if content else len(sent) == 1


def expected_back(response: Any) -> Iterator[dict[str, Any]]:
    """The blocks of an answer as they are to go back: without what says nothing, and space at the very end."""
    blocks = response["content"]
    for number, block in enumerate(blocks):
        kept = {name: value for name, value in block.items() if value or name in ("content", "input", "thinking")}
        if kept.get("caller") == {"type": "direct"}:
            del kept["caller"]
        if kept["type"] == "text" and number == len(blocks) - 1:
            kept["text"] = kept["text"].rstrip()
        if kept["type"] != "text" or kept.get("text", "").strip():
            yield kept
