"""Logs of inspect_ai: Zstandard, references and attachments resolved, with and without the HTTP; and damaged ones."""

from __future__ import annotations

import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from backports.zstd import zipfile as zstd_zipfile

import mellite
from mellite.archive.convert import Converted
from mellite.archive.importing.zip_members import ZipMembers
from mellite.archive.replay import replay_all
from mellite.cassettes import load_cassette
from mellite.errors import CassetteError, InvalidCassette, MissingExtra
from mellite.messages import Message, ToolResult
from tests.archive.importing.replays import DATA, answers, converted

LONG = "Name a river. " + "It must be a long one. " * 20


@pytest.mark.parametrize(
    ("name", "url", "options"),
    [
        ("inspect_chat.eval", "https://api.openai.com/v1/chat/completions", {}),
        ("inspect_responses.eval", "https://api.openai.com/v1/responses", {}),
        ("inspect_claude.json", "https://api.anthropic.com/v1/messages", {"max_tokens": 32000}),
    ],
)
def test_what_was_sent(name: str, url: str, options: Any, tmp_path: Path) -> None:
    """Where the log has what was sent and received, that is the cassette, with its references resolved."""
    done = converted(DATA / name, tmp_path / "a.json")
    assert (done.calls, done.dropped) == (2, ("scores, transcripts and all that is not a call of a model",))
    assert [thunk and thunk.result() for _, thunk in replay_all(tmp_path / "a.json")] == ["The Loire.", "Hello!"]
    if "responses" not in name:  # where inspect_ai sends what the developer says, and mellite what the system says
        told = answers(tmp_path / "a.json", LONG, "Name a river.", system="Be brief.", **options)
        assert told == ["Hello!", "The Loire."]
    (one, two) = load_cassette(tmp_path / "a.json").http
    assert one.request.url == url
    assert LONG in two.request.body.text
    assert not any(word in two.request.body.text for word in ("attachment://", "extra_headers"))


@pytest.mark.parametrize("name", ["inspect_tools.eval", "inspect_nocall.eval", "inspect_0_3_100.eval"])
def test_tools(name: str, tmp_path: Path) -> None:
    """An agent's calls are answered again with its tools, whether the log has the HTTP or only the messages."""
    converted(DATA / name, tmp_path / "a.json", source_format="inspect")
    city = {"type": "string", "description": "the city."}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"], "additionalProperties": False}
    tool = mellite.request.ToolDefinition("weather", "The weather in a city.", input_schema=schema)
    more: Any = {"system": "Be brief.", "tools": [tool], "tool_choice": "auto" if "nocall" not in name else None}
    backend = mellite.backend(f"cassette:{tmp_path / 'a.json'}")
    asked = [Message.user("How is it in Paris?")]
    first = backend.generate(asked, **more)
    first.result()
    (call,) = first.tool_calls
    assert (call.name, call.arguments, first.generation.finish_reason) == ("weather", {"city": "Paris"}, "tool-calls")
    (_, (_, second)) = replay_all(tmp_path / "a.json")
    assert second is not None
    assert second.result() == "It is mild in Paris."
    if "nocall" in name:
        result = Message.tool(ToolResult("call_1", "weather", "mild in Paris"))
        again = backend.generate([*asked, Message.assistant(call), result], **more)
        assert again.result() == "It is mild in Paris."


def sample(*events: Any, **more: Any) -> Any:
    """A sample with these events."""
    return {"id": 1, "epoch": 1, "messages": [], "events": list(events), **more}


def model_event(**more: Any) -> Any:
    """An event of a call, as a log has it without the HTTP."""
    answer = {"message": {"role": "assistant", "content": "Hello!"}, "stop_reason": "stop"}
    output = {"choices": [answer], "usage": {"input_tokens": 3, "input_tokens_cache_read": 2, "output_tokens": 1}}
    asked = {"input": [{"role": "user", "content": "Hi"}], "tools": [], "tool_choice": "none", "config": {}}
    return {"event": "model", "model": "openai/gpt-4o-mini", **asked, "output": output, **more}


def log(path: Path, *samples: Any) -> Path:
    """A log in JSON, with a score of NaN as inspect_ai writes one."""
    document = {"version": 2, "status": "success", "eval": {"task": "t"}, "results": {"score": float("nan")}}
    path.write_text(json.dumps({**document, "samples": samples}))
    return path


def test_messages_of_all_kinds(tmp_path: Path) -> None:
    """Content of every kind is read; what no message can hold is kept beside the call, and said."""
    picture = {"type": "image", "image": "data:image/gif;base64,R0lGODlh"}
    unknown = {"type": "tool_use", "tool_type": "web_search", "id": "1"}
    call = {"id": "1", "function": "f", "arguments": {"a": 1}, "type": "function"}
    failed = {"role": "tool", "tool_call_id": "1", "function": "f", "content": "", "error": {"message": "No."}}
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, picture]},
        {
            "role": "assistant",
            "content": [{"type": "reasoning", "reasoning": "Hm.", "signature": "s"}, unknown],
            "tool_calls": [call],
        },
        failed,
        {
            "role": "user",
            "content": [{"type": "document", "document": "/some/where.pdf"}, {"type": "text", "text": "Go."}],
        },
    ]
    tool = {"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {}}}
    config = {"temperature": 0.5, "max_tokens": 9, "stop_seqs": ["x"], "max_retries": 3}
    event = model_event(input=asked, tools=[tool], tool_choice="any", config=config)
    done = converted(log(tmp_path / "a.json", sample(event)), tmp_path / "b.json")
    (one,) = load_cassette(tmp_path / "b.json").http
    body = json.loads(one.request.body.text)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "user"]
    assert (body["temperature"], body["stop"], body["tool_choice"]) == (0.5, ["x"], "required")
    assert one.extra["unknown_parts"] == [unknown, {"type": "document", "document": "/some/where.pdf"}]
    assert "content of the type 'tool_use', which is kept as it is beside the calls that have it" in done.dropped
    assert json.loads(one.response.body.text)["usage"]["prompt_tokens"] == 5


def test_left_out(tmp_path: Path) -> None:
    """Calls that failed, wait or have no answer are left out by their places."""
    lost = model_event(input=[{"role": "user", "content": f"See attachment://{7:032x}"}])
    events = [
        model_event(error="x"),
        model_event(pending=True),
        model_event(output={"choices": []}),
        lost,
        model_event(),
    ]
    done = converted(log(tmp_path / "a.json", sample(*events)), tmp_path / "b.json")
    assert done.calls == 1
    assert done.dropped[:4] == (
        "$.samples[0].events[0]: the call failed",
        "$.samples[0].events[1]: the call has no answer yet",
        "$.samples[0].events[2]: the call has no answer",
        "$.samples[0].events[3]: it refers to attachment://00000000000000000000000000000007, which is not in the log",
    )
    assert answers(tmp_path / "b.json", "Hi") == ["Hello!"]


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"input": [], "input_refs": [[0, 2]]}, r"input_refs expected a range within 0 items, found \[0, 2\]"),
        ({"input": [], "input_refs": [[2, 0]]}, "input_refs expected ranges of numbers"),
        ({"input": [], "input_refs": 5}, "input_refs expected a list"),
        ({"input": [{"role": "robot"}]}, r"input\[0\]\.role expected system, user, assistant or tool, found robot"),
        (
            {"input": [{"role": "user", "content": [{"type": "text"}]}]},
            r"input\[0\]\.content\[0\]\.text expected a text",
        ),
        ({"output": {"choices": [5]}}, r"output\.choices\[0\] expected an object"),
        ({"call": {"request": {}, "response": {}, "call_refs": [[0, 1]]}}, r"call\.call_key expected a text"),
        ({"model": 5}, "model expected a text"),
    ],
)
def test_places(tmp_path: Path, event: Any, place: str) -> None:
    """A reference that leads nowhere, and a value that is not as expected, are refused with their places."""
    source = log(tmp_path / "a.json", sample(model_event(**event)))
    with pytest.raises(InvalidCassette, match=rf"not a log of inspect_ai: at \$\.samples\[0\]\.events\[0\]\.{place}"):
        converted(source, tmp_path / "b.json")


def attempt(source: Path, target: Path) -> tuple[Converted | None, CassetteError | None]:
    """What a conversion did, or the error of ours that it ended with."""
    try:
        return converted(source, target, replace=True), None
    except CassetteError as error:
        return None, error


def test_every_damaged_byte(tmp_path: Path) -> None:
    """Whatever byte of an archive is changed or missing, the log is read as it was, or refused by its path."""
    data = (DATA / "inspect_tools.eval").read_bytes()
    source = tmp_path / "a.eval"
    refused = 0
    for at in range(0, len(data), 37):
        for damaged in (data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :], data[:at]):
            source.write_bytes(damaged)
            done, error = attempt(source, tmp_path / "b.json")
            assert error is None or "a.eval" in str(error)
            assert done is None or done.calls == 2
            refused += error is not None
    assert refused > 200


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file as inspect_ai wrote it before it had Zstandard."""
    with zstd_zipfile.ZipFile(path, "w", method) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


START = {"_journal/start.json": b"{}", "header.json": b"{}"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_older_archives(tmp_path: Path, method: int) -> None:
    """Archives without Zstandard are read, too."""
    members = {**START, "samples/1_epoch_1.json": json.dumps(sample(model_event())).encode()}
    assert converted(archive(tmp_path / "a.eval", members, method), tmp_path / "b.json").calls == 1


def test_refused_archives(tmp_path: Path) -> None:
    """Samples in chunks, other archives, unknown compression, a bomb: each is refused for what it is."""
    chunks = {**START, "samples/1_epoch_1/events/0.json": b"[]"}
    with pytest.raises(InvalidCassette, match="found samples in chunks, which are not read"):
        converted(archive(tmp_path / "a.eval", chunks), tmp_path / "b.json")
    with pytest.raises(InvalidCassette, match=r"header\.json expected a member"):
        converted(archive(tmp_path / "a.eval", {"word/document.xml": b""}), tmp_path / "b.json")
    with pytest.raises(InvalidCassette, match="no format that can be converted"):
        converted(archive(tmp_path / "a.zip", {"word/document.xml": b""}), tmp_path / "b.json")
    with pytest.raises(InvalidCassette, match="compressed by method 12, which is not read"):
        converted(
            archive(tmp_path / "a.eval", {**START, "samples/1.json": b"{}"}, zipfile.ZIP_BZIP2), tmp_path / "b.json"
        )


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, 93])
def test_bomb(tmp_path: Path, method: int) -> None:
    """A member that says that it is too large is refused unread, and one that hides it at the limit."""
    large = bytes(5_000_000)
    source = archive(tmp_path / "a.eval", {**START, "samples/1_epoch_1.json": large}, method)
    data = source.read_bytes()
    size = struct.pack("<I", len(large))
    assert data.count(size) == 2
    source.write_bytes(data.replace(size, struct.pack("<I", 300 * 1024 * 1024)))
    with pytest.raises(InvalidCassette, match=r"'samples/1_epoch_1\.json' is larger than 268,435,456 bytes"):
        converted(source, tmp_path / "b.json")
    source.write_bytes(data.replace(size, struct.pack("<I", 5)))
    with pytest.raises(InvalidCassette, match=r"samples/1_epoch_1\.json"):
        converted(source, tmp_path / "b.json")
    with (
        ZipMembers(str(source), limit=1_000_000) as members,
        pytest.raises(InvalidCassette, match=r"larger than 1,000,000|Bad CRC"),
    ):
        members.read("samples/1_epoch_1.json")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package for Zstandard the extra is named."""
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"mellite\[zstd\]"):
        converted(DATA / "inspect_chat.eval", tmp_path / "b.json")


def test_deep(tmp_path: Path) -> None:
    """A sample that is nested without end is refused."""
    deep = "[" * 5000 + "]" * 5000
    members = {**START, "samples/1_epoch_1.json": b'{"events": [{"event": "model", "x": %s}]}' % deep.encode()}
    with pytest.raises(InvalidCassette, match="nested too deeply"):
        converted(archive(tmp_path / "a.eval", members), tmp_path / "b.json")


def test_nearly_too_deep(tmp_path: Path) -> None:
    """What JSON still decodes may be too deep to be walked through: that is not a traceback, either."""
    deep = b"[" * 480 + b"]" * 480
    members = {**START, "samples/1.json": b'{"events": [{"event": "model", "x": %s}, {"event": "model"}]}' % deep}
    with pytest.raises(InvalidCassette, match=r"nested too deeply|model expected a text"):
        converted(archive(tmp_path / "a.eval", members), tmp_path / "b.json")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, 93])
def test_checksums(tmp_path: Path, method: int) -> None:
    """A member whose bytes are not those that were written is refused, however it is compressed."""
    sampled = json.dumps(sample(model_event())).encode()
    source = archive(tmp_path / "a.eval", {**START, "samples/1_epoch_1.json": sampled}, method)
    assert converted(source, tmp_path / "b.json").calls == 1
    right, wrong = (struct.pack("<I", zlib.crc32(sampled) ^ change) for change in (0, 1))
    source.write_bytes(source.read_bytes().replace(right, wrong))
    with pytest.raises(InvalidCassette, match=r"Bad CRC|checksum"):
        converted(source, tmp_path / "c.json")
