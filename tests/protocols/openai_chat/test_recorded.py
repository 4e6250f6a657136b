"""Recorded answers of Chat Completions: cut at every event, merged, cut into streams, and sent back as history."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs
import pytest

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream, InvalidProviderOutput, MelliteError
from mellite.events import Event, Finish
from mellite.messages import Reasoning, ToolResult
from mellite.protocols.openai_chat import ChatDialect
from mellite.protocols.openai_chat.body import lower
from mellite.protocols.openai_chat.stream import halt, initial, step, unary
from mellite.providers.openai import chat_route
from mellite.request import Request
from mellite.values.fold import fold
from mellite.values.usage import Usage

HEADERS = {"content-type": "text/event-stream"}
REQUEST = Request.of("What was recorded.")


@pytest.fixture(scope="module")
def answers(corpora: Path) -> list[tuple[bool, bytes]]:
    """The recorded answers that are whole: whether each streamed, and its body."""
    with (corpora / "expected.jsonl").open() as lines:
        rows = [row for line in lines if (row := json.loads(line))["protocol"] in ("openai-chat", "mistral-chat")]
    good = [row for row in rows if row["status"] == 200 and row["expect"]["kind"] == "response"]
    streaming = {row["key"]: row["streaming"] for row in good if row["expect"].get("complete") is not False}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        kept = [row for line in lines if (row := json.loads(line))["key"] in streaming]
    found = [row for row in kept if row["set"] == "expected.jsonl"]
    return [(streaming[row["key"]], base64.b64decode(row["body_b64"])) for row in found]


@pytest.fixture(scope="module")
def streams(answers: list[tuple[bool, bytes]]) -> list[bytes]:
    """The recorded streams."""
    bodies = [body for streamed, body in answers if streamed]
    assert len(bodies) >= 20
    return bodies


@pytest.fixture(scope="module")
def wholes(answers: list[tuple[bool, bytes]]) -> list[dict[str, Any]]:
    """The recorded answers in one piece."""
    found = [json.loads(body) for streamed, body in answers if not streamed]
    assert len(found) >= 20
    return found


def settled(body: bytes, *, stream: bool = True) -> ModelOutputThunk[str]:
    """What is read out of a body, by way of a route."""
    transport = ScriptedTransport([(200, HEADERS, [body])])
    route = chat_route(api_key="sk-recorded", model="recorded")
    thunk = LiveBackend(route, transport=transport, stream=stream).generate("What was recorded.")
    with suppress(MelliteError):
        thunk.result()
    return thunk


def events_in(body: bytes) -> list[bytes]:
    """A stream cut behind each of its events."""
    return [event + b"\n\n" for event in re.split(rb"\r?\n\r?\n", body.rstrip())]


def delta_of(event: bytes) -> dict[str, Any]:
    """The first choice of an event, read as simply as can be."""
    _, found, data = event.partition(b"data:")
    choices = json.loads(data).get("choices") if found and data.strip() not in (b"[DONE]", b"") else None
    return choices[0] if choices else {}


def text_of(events: list[bytes]) -> str:
    """The text in some events, read as simply as can be."""
    return "".join(
        [said for event in events if isinstance(said := (delta_of(event).get("delta") or {}).get("content"), str)]
    )


def test_a_stream_that_is_cut_is_incomplete(streams: list[bytes]) -> None:
    """Cut behind any event before the finish reason, a stream is IncompleteStream with exactly the text until there."""
    cuts = 0
    for body in streams:
        events = events_in(body)
        if b'"type":"thinking"' in body.replace(b" ", b""):
            continue  # whose content is a list of parts, tested below by what is merged
        reason = next(at for at, event in enumerate(events) if delta_of(event).get("finish_reason"))
        for end in range(0, reason + 1, 1 if len(events) < 60 else 7):
            thunk = settled(b"".join(events[:end]))
            assert isinstance(thunk.error, IncompleteStream)
            assert thunk.partial == text_of(events[:end])
            cuts += 1
        assert settled(b"".join(events[: reason + 1])).partial == text_of(events[: reason + 1])
    assert cuts > 300


def test_a_streamed_answer_is_merged_to_a_whole_one(streams: list[bytes]) -> None:
    """The merged answer, read as one in one piece, says the same as the stream."""
    for body in streams:
        thunk = settled(body)
        assert thunk.error is None
        merged = fold(unary(json.dumps(thunk.raw.response).encode()))
        assert (merged.text, merged.thinking or None) == (thunk.value, thunk.thinking or None)
        assert merged.usage == thunk.generation.usage
        assert Message("assistant", merged.parts).tool_calls == thunk.tool_calls
        assert merged.finish is not None
        assert (merged.finish.reason, merged.finish.response) == (thunk.generation.finish_reason, thunk.raw.response)


# --- cut into a stream ----------------------------------------------------------------------------


def pieces(text: str | None) -> list[str]:
    """A text in pieces of seven characters."""
    return [text[at : at + 7] for at in range(0, len(text or ""), 7)] if isinstance(text, str) else []


def chunks_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An answer in one piece as the stream that its host would have sent."""
    top = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    choice = answer["choices"][0]
    message = dict(choice["message"])
    texts = [name for name, value in message.items() if isinstance(value, str) and name != "role"]
    flows = [[{name: piece} for piece in pieces(message.pop(name))] for name in texts]
    calls = message.pop("tool_calls", None)
    rest = {name: value for name, value in choice.items() if name not in ("message", "finish_reason")}
    yield {**top, "choices": [{**rest, "delta": message, "finish_reason": None}]}
    for row in zip_longest(*flows):
        for delta in filter(None, row):
            yield {**top, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    for index, call in enumerate(calls or []):
        function = call["function"]
        head = {**call, "index": index, "function": {**function, "arguments": ""}}
        more = [{"index": index, "function": {"arguments": piece}} for piece in pieces(function["arguments"])]
        for delta in (head, *more):
            yield {**top, "choices": [{"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": None}]}
    yield {**top, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if answer.get("usage"):
        yield {**top, "choices": [], "usage": answer["usage"]}


def read(chunks: Iterator[dict[str, Any]]) -> list[Event]:
    """The events of a stream."""
    state = initial(REQUEST, dialect=ChatDialect())
    events = [event for chunk in chunks for event in step(state, json.dumps(chunk).encode())]
    return [*events, *halt(state)]


def without_nothing(value: Any) -> Any:
    """A value without what says nothing: null, and lists and texts with nothing in them."""
    if isinstance(value, dict):
        return {name: kept for name, item in value.items() if (kept := without_nothing(item)) not in (None, [], "", {})}
    if isinstance(value, list):
        return [without_nothing(item) for item in value]
    return value


def test_an_answer_cut_into_a_stream_is_merged_to_itself(wholes: list[dict[str, Any]]) -> None:
    """A recorded answer in one piece, cut into a stream, gives the same events in sum and is merged to itself."""
    for answer in wholes:
        if len(answer["choices"]) != 1 or not answer["choices"][0]["finish_reason"]:
            continue
        whole, streamed = fold(unary(json.dumps(answer).encode())), fold(read(chunks_of(answer)))
        assert (streamed.text, streamed.thinking, streamed.usage) == (whole.text, whole.thinking, whole.usage)
        assert Message("assistant", streamed.parts).tool_calls == Message("assistant", whole.parts).tool_calls
        assert isinstance(streamed.finish, Finish)
        assert isinstance(whole.finish, Finish)
        assert (streamed.finish.reason, streamed.finish.raw_reason) == (whole.finish.reason, whole.finish.raw_reason)
        merged, original = without_nothing(streamed.finish.response), without_nothing(answer)
        original["object"] = merged["object"] = "chat.completion"
        for call in original["choices"][0]["message"].get("tool_calls", []):
            call.pop("index", None)  # which says something in a stream only, but some hosts send it always
            call.setdefault("type", "function")
        assert merged == original


# --- the way back ---------------------------------------------------------------------------------


def test_answers_go_back_as_they_came(answers: list[tuple[bool, bytes]]) -> None:
    """The message of a recorded answer, sent back as history, has its text, its thinking, its calls and its details."""
    dialect = ChatDialect(reasoning_object=True)
    for streamed, body in answers:
        thunk = settled(body, stream=streamed)
        assert thunk.error is None
        results = [ToolResult(call.id, call.name, "ok") for call in thunk.tool_calls]
        history = [Message.user("Go on."), thunk.message, *([Message.tool(*results)] if results else [])]
        sent = lower(Request.of(history, model="m"), stream=False, dialect=dialect)["messages"]
        if not thunk.value and not thunk.tool_calls:
            assert len(sent) == 1
            continue
        came, back = thunk.raw.response["choices"][0]["message"], sent[1]
        assert back["content"] == (thunk.value or None)
        assert back.get("reasoning_content") == ("".join(thoughts_of(thunk)) or None)
        assert back.get("reasoning_details") == (came.get("reasoning_details") or None)
        asked = [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in came.get("tool_calls") or []
        ]
        assert [
            (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in back.get("tool_calls", [])
        ] == asked


def thoughts_of(thunk: ModelOutputThunk[str]) -> list[str]:
    return [part.text for part in thunk.message.content if isinstance(part, Reasoning)]


# --- the smallest ones ----------------------------------------------------------------------------


def test_the_fixtures_of_another_project(corpora: Path) -> None:
    """Three small streams read as the project that wrote them says."""
    text, tool, malformed = [
        settled((corpora / "opencode" / "openai-chat" / f"{name}.sse").read_bytes())
        for name in ("text", "tool-call", "malformed")
    ]
    assert (text.value, text.generation.finish_reason) == ("Hello!", "stop")
    assert text.generation.usage == attrs.evolve(
        Usage.of(input_tokens=5, output_tokens=2, total_tokens=7, cache_read_input_tokens=1, reasoning_tokens=0),
        raw=text.generation.usage and text.generation.usage.raw,
    )
    assert [(call.id, call.name, call.arguments) for call in tool.tool_calls] == [
        ("call_1", "lookup", {"query": "weather"})
    ]
    assert (tool.generation.finish_reason, tool.generation.usage) == ("tool-calls", None)
    assert isinstance(malformed.error, InvalidProviderOutput)
    assert malformed.partial == ""
