"""Histories of pydantic-ai: what its own dump gives, kinds that are not known, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.cassettes import load_cassette
from mellite.errors import InvalidCassette
from mellite.messages import Image, Message, ToolCall, ToolResult
from tests.archive.importing.replays import DATA, converted

ASKED = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Hi"}]}
TOLD = {"kind": "response", "parts": [{"part_kind": "text", "content": "Hello!"}], "model_name": "gpt-4o-mini"}


def history(path: Path, *messages: Any) -> Path:
    """A history with these messages."""
    path.write_text(json.dumps(messages))
    return path


def test_tools(tmp_path: Path) -> None:
    """An agent's run with a tool is two calls, the second with the result; both are answered again."""
    done = converted(DATA / "pydantic_tools.json", tmp_path / "a.json")
    assert done.calls == 2
    backend = mellite.backend(f"cassette:{tmp_path / 'a.json'}")
    asked = [Message.user("How is it in Paris?")]
    first = backend.generate(asked, system="Be brief.")
    first.result()
    (call,) = first.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_1", "weather", {"city": "Paris"})
    assert first.generation.usage is not None
    assert (first.generation.finish_reason, first.generation.usage.input_tokens) == ("tool-calls", 9)
    result = Message.tool(ToolResult("call_1", "weather", {"sky": "mild", "city": "Paris"}))
    second = backend.generate([*asked, Message.assistant(call), result], system="Be brief.")
    assert second.result() == 'It is {"sky":"mild","city":"Paris"}.'


def test_claude(tmp_path: Path) -> None:
    """Calls of Claude are written as Anthropic has them; a conversation is one call for each answer."""
    done = converted(DATA / "pydantic_claude.json", tmp_path / "a.json", source_format="pydantic-ai")
    backend = mellite.backend(f"cassette:{tmp_path / 'a.json'}")
    assert backend.generate("Name a river.", system="Be brief.").result() == "The Loire."
    conversation = [Message.user("Name a river."), Message.assistant("The Loire."), Message.user("Name a lake.")]
    assert backend.generate(conversation, system="Be brief.").result() == "Lake Como."
    assert done.dropped == (
        "what went over the network: requests and answers are rewritten, as anthropic-messages has them",
        "the definitions of tools, settings and times, which a history does not have or a request does not need",
    )


def test_images(tmp_path: Path) -> None:
    """Bytes and URLs in a prompt are parts of it."""
    converted(DATA / "pydantic_images.json", tmp_path / "a.json")
    picture, link = Image(b"GIF89a", media_type="image/gif"), Image(url="https://example.com/cat.png")
    backend = mellite.backend(f"cassette:{tmp_path / 'a.json'}")
    assert backend.generate(["What is this?", picture, link]).result() == "Hello!"


def test_unknown_kinds(tmp_path: Path) -> None:
    """A part of an unknown kind does not spoil the history: it is said, and kept as it is beside the calls."""
    hologram = {"part_kind": "hologram", "content": {"deep": [1, 2]}}
    asked = {"kind": "request", "parts": [*ASKED["parts"], hologram]}
    point = {"part_kind": "user-prompt", "content": ["Hi", {"kind": "cache-point", "ttl": "5m"}]}
    source = history(tmp_path / "a.json", asked, TOLD, {"kind": "request", "parts": [point]}, TOLD)
    done = converted(source, tmp_path / "b.json")
    assert done.dropped[-2:] == (
        "parts of the kind 'cache-point', which are kept as they are beside the calls that have them",
        "parts of the kind 'hologram', which are kept as they are beside the calls that have them",
    )
    first, second = load_cassette(tmp_path / "b.json").http
    assert first.extra["unknown_parts"] == [hologram]
    assert second.extra["unknown_parts"] == [hologram, {"kind": "cache-point", "ttl": "5m"}]
    assert mellite.backend(f"cassette:{tmp_path / 'b.json'}").generate("Hi").result() == "Hello!"


def test_thinking_retries_and_broken_answers(tmp_path: Path) -> None:
    """Thinking stays with its signature, a failed tool tells its error, and an answer that broke off is not a call."""
    thought = {"part_kind": "thinking", "content": "Hm.", "signature": "sig"}
    called = {"part_kind": "tool-call", "tool_name": "f", "args": {"a": 1}, "tool_call_id": "1"}
    retry = {"part_kind": "retry-prompt", "tool_name": "f", "tool_call_id": "1", "content": "No such a."}
    again = {"part_kind": "retry-prompt", "content": [{"msg": "Field required"}]}
    first = {
        "kind": "response",
        "parts": [thought, called],
        "model_name": "claude-haiku-4-5",
        "provider_name": "anthropic",
    }
    broken = {**TOLD, "state": "interrupted"}
    messages = [
        ASKED,
        first,
        {"kind": "request", "parts": [retry]},
        broken,
        {"kind": "request", "parts": [again]},
        TOLD,
    ]
    done = converted(history(tmp_path / "a.json", *messages), tmp_path / "b.json")
    assert (done.calls, done.dropped[0]) == (2, "message 3: the answer is not complete")
    thunk = mellite.backend(f"cassette:{tmp_path / 'b.json'}").generate("Hi")
    thunk.result()
    assert (thunk.thinking, thunk.tool_calls[0].arguments) == ("Hm.", {"a": 1})
    (one, second) = load_cassette(tmp_path / "b.json").http
    assert json.loads(one.response.body.text)["content"][0] == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": "sig",
    }
    assert "No such a." in second.request.body.text
    assert "Field required" in second.request.body.text


def test_arguments_that_are_no_json(tmp_path: Path) -> None:
    """What a model wrote as arguments stays what it wrote."""
    called = {"part_kind": "tool-call", "tool_name": "f", "args": '{"a": ', "tool_call_id": "1"}
    converted(history(tmp_path / "a.json", ASKED, {**TOLD, "parts": [called]}), tmp_path / "b.json")
    thunk = mellite.backend(f"cassette:{tmp_path / 'b.json'}").generate("Hi")
    thunk.result()
    assert thunk.tool_calls == (ToolCall("1", "f", None, raw_arguments='{"a": '),)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"kind": "reply", "parts": []}, r"\$\[1\]\.kind expected 'request' or 'response', found reply"),
        ({"kind": "response", "parts": {}}, r"\$\[1\]\.parts expected a list"),
        ({"kind": "response", "parts": [1]}, r"\$\[1\]\.parts\[0\] expected an object"),
        ({"kind": "response", "parts": [{"part_kind": "text"}]}, r"parts\[0\]\.content expected a text, found nothing"),
        ({"kind": "request", "parts": [{"part_kind": "tool-return"}]}, r"parts\[0\]\.tool_name expected a text"),
        (
            {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": 5}]},
            r"content expected a list, found 5",
        ),
        (
            {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": [{"kind": "binary", "data": "?"}]}]},
            r"content\[0\]\.data expected base64",
        ),
        ("request", r"\$\[1\] expected an object"),
    ],
)
def test_places(tmp_path: Path, message: Any, place: str) -> None:
    """A value that is not as expected is refused with its place."""
    with pytest.raises(InvalidCassette, match=place):
        converted(history(tmp_path / "a.json", ASKED, message), tmp_path / "b.json")


def test_no_answer(tmp_path: Path) -> None:
    """A history that only asks holds no call."""
    with pytest.raises(InvalidCassette, match="there is no call in"):
        converted(history(tmp_path / "a.json", ASKED), tmp_path / "b.json")
