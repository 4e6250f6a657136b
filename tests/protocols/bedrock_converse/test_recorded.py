"""Recorded answers of Bedrock: cut at every event, broken at random, cut into streams, and sent back as history."""

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
from mellite.backends.conformance import Recorded, check_protocol
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream, MelliteError
from mellite.protocols.bedrock_converse import BedrockConverseRaw, protocol
from mellite.protocols.bedrock_converse.stream import unary
from mellite.providers.bedrock import converse_route
from mellite.values.fold import fold
from mellite.wire.aws import EventStreamDecoder
from tests.protocols.bedrock_converse.converse import body_of, events_of, finish_of
from tests.wire.frames import message

SEED = 35
DAMAGES = 1500
AMAZON = "application/vnd.amazon.eventstream"


@pytest.fixture(scope="module")
def answers(corpora: Path) -> list[tuple[bool, bytes]]:
    """The recorded answers: whether each streamed, and its body."""
    with (corpora / "expected.jsonl").open() as lines:
        rows = [row for line in lines if (row := json.loads(line))["protocol"] == "bedrock-converse"]
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
    assert len(bodies) >= 8
    return bodies


@pytest.fixture(scope="module")
def wholes(answers: list[tuple[bool, bytes]]) -> list[dict[str, Any]]:
    """The recorded answers in one piece, decoded."""
    bodies = [json.loads(body) for streamed, body in answers if not streamed]
    assert len(bodies) >= 40
    return bodies


def settled(*pieces: bytes, stream: bool = True) -> ModelOutputThunk[str]:
    """What is read out of a body, by way of a route."""
    transport = ScriptedTransport([(200, {"content-type": AMAZON if stream else "application/json"}, list(pieces))])
    route = converse_route(api_key="recorded", model="recorded")
    thunk = LiveBackend(route, transport=transport, stream=stream).generate("What was recorded.")
    with suppress(MelliteError):
        thunk.result()
    return thunk


def events_in(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream: name and value."""
    return [(message.event, json.loads(message.payload)) for message in EventStreamDecoder().feed(body)]


def frames_in(body: bytes) -> list[bytes]:
    """A stream cut behind each of its events."""
    frames = []
    while body:
        length = int.from_bytes(body[:4], "big")
        frames.append(body[:length])
        body = body[length:]
    return frames


def text_of(events: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join([value["delta"].get("text", "") for name, value in events if name == "contentBlockDelta"])


def content_of(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["output"]["message"]["content"]
    return found


def test_a_stream_that_is_cut_is_incomplete(streams: list[bytes]) -> None:
    """Cut behind any event before the stop reason, a stream is IncompleteStream with exactly the text until there."""
    cuts = 0
    for body in streams:
        frames = frames_in(body)
        names = [name for name, _ in events_in(body)]
        for end in range(len(frames) + 1):
            thunk = settled(*frames[:end])
            said = text_of(events_in(b"".join(frames[:end])))
            assert thunk.partial == said
            if "messageStop" in names[:end]:
                assert thunk.error is None
                assert (thunk.generation.usage is not None) is ("metadata" in names[:end])
            else:
                assert isinstance(thunk.error, IncompleteStream)
                assert thunk.error.partial == said
            cuts += 1
    assert cuts >= 150


def test_a_stream_that_is_cut_inside_an_event(streams: list[bytes]) -> None:
    """Cut anywhere, also inside an event, a stream has the text of its whole events and is incomplete."""
    dice = Random(SEED)
    for _ in range(200):
        body = dice.choice(streams)
        at = dice.randrange(len(body) - 400)  # before the stop reason
        thunk = settled(body[:at])
        assert isinstance(thunk.error, IncompleteStream)
        assert thunk.partial == text_of(events_in(body[:at]))


def test_a_merged_stream_reads_like_an_answer_in_one_piece(streams: list[bytes]) -> None:
    """What a stream was merged to, read as an answer in one piece, says the same; its events are kept as they came."""
    for body in streams:
        thunk = settled(body)
        assert isinstance(thunk.raw, BedrockConverseRaw)
        assert thunk.raw.streamed_chunks == [{name: value} for name, value in events_in(body)]
        again = settled(json.dumps(thunk.raw.response).encode(), stream=False)
        assert again.error is None
        assert again.raw.response == thunk.raw.response
        assert again.generation.usage == thunk.generation.usage
        assert again.generation.finish_reason == thunk.generation.finish_reason
        assert again.partial == thunk.partial
        assert [call.arguments for call in again.tool_calls] == [call.arguments for call in thunk.tool_calls]


def as_stream(answer: dict[str, Any], dice: Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """An answer in one piece, as Bedrock might have streamed it."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(content_of(answer)):
        for kind, value in block.items():
            if kind == "toolUse":
                start = {name: fact for name, fact in value.items() if name != "input"}
                yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": start}}
                deltas = [{"toolUse": {"input": piece}} for piece in cut(json.dumps(value["input"]), dice)]
            elif kind == "text":
                deltas = [{"text": piece} for piece in cut(value, dice)]
            elif "redactedContent" in value:
                pieces = cut(base64.b64decode(value["redactedContent"]).decode("latin-1"), dice)
                hidden = [base64.b64encode(piece.encode("latin-1")).decode() for piece in pieces]
                deltas = [{"reasoningContent": {"redactedContent": piece}} for piece in hidden]
            else:
                said = value["reasoningText"]
                deltas = [{"reasoningContent": {"text": piece}} for piece in cut(said["text"], dice)]
                signature = said.get("signature")
                deltas += [
                    {"reasoningContent": {"signature": piece}} for piece in cut(signature or "", dice) if signature
                ]
            for delta in deltas:
                yield (
                    "contentBlockDelta",
                    {"contentBlockIndex": index, "delta": delta, "p": "abc"[: dice.randint(0, 3)]},
                )
            yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": answer["stopReason"]}
    yield "metadata", {name: value for name, value in answer.items() if name not in ("output", "stopReason")}


def cut(text: str, dice: Random) -> list[str]:
    """A text in one to five pieces, some of which may be empty."""
    cuts = sorted(dice.choices(range(len(text) + 1), k=dice.randint(0, 4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]


def test_an_answer_cut_into_a_stream_is_merged_to_itself(wholes: list[dict[str, Any]]) -> None:
    """Every recorded answer, streamed in random pieces, gives the same parts, usage and raw response as whole."""
    dice = Random(SEED)
    for answer in wholes:
        whole = list(unary(json.dumps(answer).encode()))
        for _ in range(3):
            streamed = events_of([{name: value} for name, value in as_stream(answer, dice)])
            assert finish_of(streamed).response == answer
            assert finish_of(streamed).usage == finish_of(whole).usage
            ours, theirs = fold(streamed), fold(whole)
            assert (ours.text, ours.thinking) == (theirs.text, theirs.thinking)
            assert [part.provider_metadata for part in ours.parts] == [part.provider_metadata for part in theirs.parts]  # type: ignore[union-attr]
            assert [call.arguments for call in ours.tool_calls] == [call.arguments for call in theirs.tool_calls]


def written(blocks: list[dict[str, Any]]) -> list[str]:
    return sorted([json.dumps(block, sort_keys=True) for block in blocks])


def test_answers_go_back_as_they_came(answers: list[tuple[bool, bytes]]) -> None:
    """As history, every recorded answer has the same blocks again, hidden thinking included, but for blank ones."""
    hidden = 0
    for streamed, body in answers:
        thunk = settled(body, stream=streamed)
        history = [Message.user("x"), thunk.message, Message.user("y")]
        talk = body_of(history, model="qwen.recorded")["messages"]
        sent = talk[1]["content"] if len(talk) > 1 else []
        blocks = [block for block in content_of(thunk.raw.response) if block.get("text", "x").strip()]
        for block in blocks:
            block.get("toolUse", {}).pop("type", None)
        assert written(sent) == written(blocks)
        hidden += any("redactedContent" in block.get("reasoningContent", {}) for block in blocks)
    assert hidden >= 2


def test_the_checks_that_others_may_use(answers: list[tuple[bool, bytes]]) -> None:
    """The protocol passes the public checks of protocols with every recorded answer."""
    recordings = [Recorded(body, streaming=streamed) for streamed, body in answers if len(body) < 4000]
    check_protocol(protocol(), recordings[:20], framing=EventStreamDecoder)


def damaged(values: list[tuple[str, dict[str, Any]]], dice: Random) -> list[bytes]:
    """The events of a stream, with some left out, doubled or swapped, and bytes of their payloads changed."""
    frames = [(name, json.dumps(value).encode()) for name, value in values]
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(frames))
        kind = dice.randrange(5)
        name, payload = frames[at]
        if kind == 0 and len(frames) > 1:
            del frames[at]
        elif kind == 1:
            frames.insert(at, frames[dice.randrange(len(frames))])
        elif kind == 2:
            frames[at] = (dice.choice([other for other, _ in frames] + ["throttlingException", "new"]), payload)
        else:
            data = bytearray(payload)
            place = dice.randrange(len(data))
            data[place : place + dice.randint(0, 3)] = dice.choice(
                [b"null", b"5", b"{}", b'"', b"[", b"\\ud800", b"\xff"]
            )
            frames[at] = (name, bytes(data))
    return [reframed(name, payload) for name, payload in frames]


def reframed(name: str, payload: bytes) -> bytes:
    """An event whose payload need not be JSON; its checksums are right."""
    kind = "exception" if name.endswith("Exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return message(headers, payload)


@pytest.mark.slow
def test_damaged_answers_are_typed_or_whole(streams: list[bytes]) -> None:
    """Whatever the events hold: a valid answer or one of mellite's errors, with what came before kept."""
    dice = Random(SEED)
    recorded = [events_in(body) for body in streams]
    outcomes = set()
    for _ in range(DAMAGES):
        thunk = settled(*damaged(dice.choice(recorded), dice))
        outcomes.add(type(thunk.error))
        assert thunk.error is None or isinstance(thunk.error, MelliteError)
        assert (thunk.error is None) == (thunk.generation.finish_reason is not None)
        json.dumps(thunk.raw.response)
    assert len(outcomes) >= 4
