"""Converting cassettes: VCR to HTTP, text to HTTP and back, compression both ways; what is lost is said."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.archive.convert import Converted, convert
from mellite.archive.replay import replay_all
from mellite.backends import TextCassetteBackend
from mellite.cassettes import ReplayTransport, Sidecar, TextDirectory, load_cassette
from mellite.errors import CassetteError, CassetteMiss, ConfigurationError, InvalidCassette, UnsafeCassette
from mellite.messages import ToolCall
from mellite.protocols.writing import PROTOCOLS, Said, stream_of
from mellite.values.usage import Usage
from tests.cli.programs import cassette

KEY = "sk-" + "abcdefghijklmnopqrstuvwxyz"
SHIPPED = Path(__file__).parents[2] / "cassettes" / "text"


@pytest.fixture(autouse=True)
def _own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers are where they are, whatever the machine says."""
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "LLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def converted(source: Path, target: Path | str, **options: Any) -> list[Converted]:
    """What a conversion did."""
    return list(convert(str(source), str(target), **options))


def read_all(path: Path | str) -> list[Any]:
    """Text, finish reason and usage of every answer in an HTTP cassette."""
    thunks = [thunk for _, thunk in replay_all(path)]
    assert all(thunk is not None and thunk.error is None for thunk in thunks)
    return [(thunk.partial, thunk.generation.finish_reason, thunk.generation.usage) for thunk in thunks if thunk]


def record(directory: Path, text: str, provider: str, model: str, prompt: str, **more: Any) -> None:
    """A text cassette."""
    TextDirectory(directory).record(text, Sidecar(provider, model, prompt=prompt, **more))


# --- VCR ------------------------------------------------------------------------------------------


def test_vcr(corpora: Path, tmp_path: Path) -> None:
    """Every cassette of the corpus becomes one of mellite's that replays to the same, and what was dropped is said."""
    done = converted(corpora / "vcr", tmp_path / "out")
    assert len(done) == 51
    for one in done:
        assert one.path is not None
        before, after = load_cassette(one.source), load_cassette(one.path)
        assert [each.response.body.data for each in after.http] == [each.response.body.data for each in before.http]
        assert [each.response.status for each in after.http] == [each.response.status for each in before.http]
        assert len(after.http) == one.calls
    assert any("request headers: " in what for one in done for what in one.dropped)


def test_secrets_of_vcr(tmp_path: Path) -> None:
    """What a recording of ours would have left out is redacted and said; any other secret is refused."""
    source = tmp_path / "a.yaml"
    interaction = (
        "{request: {method: GET, uri: 'https://example.com/?key=abc', headers: {authorization: [Bearer x]}}, "
        "response: {status: {code: 200}, headers: {}, body: {string: '%s'}}}"
    )
    source.write_text(f"interactions: [{interaction % 'ok'}]")
    (done,) = converted(source, tmp_path / "a.json")
    assert done.dropped == ("request headers: authorization", "redacted: $.interactions[0].request.url")
    assert "abc" not in (tmp_path / "a.json").read_text()
    source.write_text(f"interactions: [{interaction % KEY}]")
    (done,) = converted(source, tmp_path / "b.json")
    assert KEY not in (tmp_path / "b.json").read_text()


def test_vcr_in_json(tmp_path: Path) -> None:
    """VCR's JSON is told by what is in it."""
    request = {"method": "GET", "uri": "https://example.com/", "headers": {}, "body": None}
    response = {"status": {"code": 200}, "headers": {}, "body": {"string": "hi"}}
    source = tmp_path / "a.json"
    source.write_text(json.dumps({"version": 1, "interactions": [{"request": request, "response": response}]}))
    (done,) = converted(source, tmp_path / "b.json")
    document = json.loads((tmp_path / "b.json").read_bytes())
    assert (done.calls, document["interactions"][0]["request"]["url"]) == (1, "https://example.com/")
    assert document["metadata"] == {"name": "a"}


# --- compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".gz", ".lz4"])
def test_http_both_ways(tmp_path: Path, corpora: Path, ending: str) -> None:
    """Compressed and decompressed again a cassette is the same, byte for byte."""
    source = next(path for path in sorted((corpora / "opencode" / "recordings").rglob("*.json")))
    converted(source, tmp_path / f"a.json{ending}")
    (done,) = converted(tmp_path / f"a.json{ending}", tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == source.read_bytes()
    assert (tmp_path / f"a.json{ending}").stat().st_size < source.stat().st_size
    assert done.dropped == ()


def test_folder_of_http(tmp_path: Path) -> None:
    """A folder's cassettes keep their places below the target."""
    for name in ("a.json", "group/b.json"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cassette(tmp_path / "in" / name, "Hi", ["Hello"])
    done = converted(tmp_path / "in", tmp_path / "out", compression="gzip")
    assert [os.path.relpath(one.path or "", tmp_path / "out") for one in done] == ["a.json.gz", "group/b.json.gz"]


def test_text_in_place(tmp_path: Path) -> None:
    """Text cassettes are compressed where they are, with and without sidecars, and decompressed again."""
    record(tmp_path / "deep", "hello", "openai", "", "Hi", chunks=("hel", "lo"))
    (tmp_path / "5.txt").write_text("no sidecar\n")
    converted(tmp_path, tmp_path, compression="gzip")
    files = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))]
    assert [name.partition(".")[2] for name in files] == ["txt.gz", "json.gz", "txt.gz"]
    assert TextDirectory(tmp_path).answer(5).text == "no sidecar"  # type: ignore[union-attr]
    converted(tmp_path, tmp_path)
    assert (tmp_path / "5.txt").read_text() == "no sidecar\n"
    assert TextDirectory(tmp_path / "deep").read("openai", "", "Hi").chunks == ("hel", "lo")
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_two_files_of_one_key(tmp_path: Path) -> None:
    """The one that is read is converted, and counted; the other one is told of."""
    (tmp_path / "in").mkdir()
    for number in (5, 6):
        (tmp_path / "in" / f"{number}.txt").write_text(f"plain {number}\n")
    (tmp_path / "in" / "5.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    (done,) = converted(tmp_path / "in", tmp_path / "out")
    read = "plain 5" if (answer := TextDirectory(tmp_path / "in").answer(5)) is None else answer.text
    other = "5.txt.gz" if read == "plain 5" else "5.txt"
    assert (done.calls, done.dropped) == (2, (f"{other}: another file of the same key is read instead",))
    assert sorted([path.name for path in (tmp_path / "out").iterdir()]) == ["5.txt", "6.txt"]
    assert (tmp_path / "out" / "5.txt").read_text() == f"{read}\n"


def test_without_a_target(tmp_path: Path) -> None:
    """Without a target it is the folder of the source: another ending for HTTP cassettes, text where it is."""
    request = {"method": "GET", "uri": "https://example.com/", "headers": {}, "body": None}
    response = {"status": {"code": 200}, "headers": {}, "body": {"string": "hi"}}
    vcr = tmp_path / "a.yaml"
    vcr.write_text(json.dumps({"version": 1, "interactions": [{"request": request, "response": response}]}))
    (done,) = list(convert(str(vcr)))
    assert done.path == str(tmp_path / "a.json")
    (done,) = list(convert(str(tmp_path / "a.json"), compression="gzip"))
    assert done.path == str(tmp_path / "a.json.gz")
    with pytest.raises(CassetteError, match="is there already"):
        list(convert(str(tmp_path / "a.json.gz")))
    for name in ("a.json", "a.json.gz"):
        (tmp_path / name).unlink()
    cassette(tmp_path / "b.json", "Hi", ["Hello"])
    record(tmp_path, "x", "openai", "", "x")
    assert sorted([str(one.path) for one in convert(str(tmp_path))]) == [str(tmp_path), str(tmp_path / "a.json")]


# --- text and HTTP --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("chunks", [("Hel", "lo \u20ac\U0001f600\n"), (), ("",), ("a\ud800b",), ("\ud83d", "\ude00")])
@pytest.mark.parametrize("cut_short", [False, True])
def test_bodies(tmp_path: Path, protocol: str, chunks: tuple[str, ...], cut_short: bool) -> None:
    """What is written for a protocol is read by that protocol as the same text, chunks, reason and usage."""
    spec = {
        "openai-chat": ("groq", "llama"),
        "openai-responses": ("openai", "gpt-5"),
        "anthropic-messages": ("anthropic", "claude-haiku-4-5"),
        "cohere-chat": ("cohere", "command-a-03-2025"),
        "gemini": ("google", "gemini-2.5-flash"),
    }[protocol]
    usage = Usage.of(input_tokens=10, output_tokens=4, cache_read_input_tokens=3, reasoning_tokens=1)
    reason = "length" if cut_short else None
    record(tmp_path / "text", "".join(chunks), *spec, "Hi", chunks=chunks, usage=usage, finish_reason=reason)
    (done,) = converted(tmp_path / "text", tmp_path / "a.json")
    assert (done.calls, done.dropped) == (1, ())
    ((text, finish, read),) = read_all(tmp_path / "a.json")
    assert (text, finish) == ("".join(chunks), reason or "stop")
    counts = ("input_tokens", "output_tokens", "cache_read_input_tokens")
    assert [getattr(read, name) for name in counts] == [getattr(usage, name) for name in counts]
    ((_, thunk),) = replay_all(tmp_path / "a.json")
    assert thunk is not None
    assert [delta for delta in thunk.iter() if delta] == [chunk for chunk in chunks if chunk]


def test_unknown_protocol() -> None:
    """For a protocol whose stream cannot be written there is none."""
    assert stream_of("bedrock-converse", Said("m", ["x"])) is None


def test_shipped_scenarios(tmp_path: Path) -> None:
    """The shipped text cassettes become one HTTP cassette, which answers a live backend's requests."""
    (done,) = converted(SHIPPED, tmp_path / "a.json.gz")
    assert done.calls == 11
    assert any("no sidecar" in what for what in done.dropped)
    assert any("default model, which is 'gpt-4o-mini' now" in what for what in done.dropped)
    transport = ReplayTransport(tmp_path / "a.json.gz", match="pool")
    backend = mellite.backend("openai:gpt-4o-mini", api_key="test-key", transport=transport)
    assert backend.generate("Say hello.").result() == "Hello! It is good to meet you."


def test_text_to_http_and_back(tmp_path: Path) -> None:
    """There and back a text cassette with a model is the same: call, text, chunks, usage, reason."""
    calls = [
        ("openai", "gpt-4o", "What is\n1 + 1?"),
        ("anthropic", "claude-haiku-4-5", "Hi"),
        ("google", "gemini-2.5-flash", "Hi"),
        ("groq", "llama-3.3-70b-versatile", "Hi"),
    ]
    for number, call in enumerate(calls):
        usage = Usage.of(input_tokens=number + 1, output_tokens=2)
        record(tmp_path / "in", f"Answer {number}.", *call, chunks=("Answer ", f"{number}."), usage=usage)
    converted(tmp_path / "in", tmp_path / "a.json")
    (done,) = converted(tmp_path / "a.json", tmp_path / "out", to="text", compression="lz4")
    assert (done.calls, done.dropped) == (4, ())
    for number, call in enumerate(calls):
        found = TextDirectory(tmp_path / "out").read(*call)
        assert (found.text, found.chunks) == (f"Answer {number}.", ("Answer ", f"{number}."))
        assert found.sidecar is not None
        assert found.sidecar.usage is not None
        assert found.sidecar.usage.input_tokens == number + 1


def test_recorded_http_to_text(corpora: Path, tmp_path: Path) -> None:
    """Of recorded cassettes only plain questions become text; why the others do not is said of each."""
    done = converted(corpora / "opencode" / "recordings", tmp_path / "out", to="text")
    made = sum([one.calls for one in done])
    total = sum([len(load_cassette(one.source).interactions) for one in done])
    assert made + sum([": " in what and "its thinking" not in what for one in done for what in one.dropped]) == total
    reasons = {what.partition(": ")[2].partition(":")[0] for one in done for what in one.dropped}
    assert reasons == {"it asks more than one message of text", "its protocol is not known"}


def test_http_to_text(tmp_path: Path) -> None:
    """A plain question is answered from text as it was over HTTP; options do not count."""
    source = cassette(tmp_path / "a.json", "Hi", ["Hello"], temperature=1, max_tokens=5)
    (done,) = converted(source, tmp_path / "out", to="text")
    assert (done.calls, done.dropped) == (1, ())
    backend = TextCassetteBackend(tmp_path / "out", provider="openai", model="gpt-4o-mini")
    assert backend.generate("Hi").result() == "Hello"


MARK = {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("url", "body", "protocol"),
    [
        (
            "https://api.openai.com/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
            "openai-chat",
        ),
        ("https://api.openai.com/v1/responses", {"input": "Hi"}, "openai-responses"),
        (
            "https://api.openai.com/v1/responses",
            {"input": [{"type": "message", "role": "user", "content": "Hi"}]},
            "openai-responses",
        ),
        (
            "https://api.anthropic.com/v1/messages",
            {"messages": [{"role": "user", "content": "Hi"}]},
            "anthropic-messages",
        ),
        (
            "https://api.anthropic.com/v1/messages",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": MARK}]}]},
            "anthropic-messages",
        ),
    ],
)
def test_one_question_in_many_forms(tmp_path: Path, url: str, body: dict[str, Any], protocol: str) -> None:
    """However a protocol lets one message of text be said, it is one; a system prompt makes it more."""
    answer = stream_of(protocol, Said("m", ["Hello"]))
    for more, calls in (({}, 1), ({"system": "x", "instructions": "x"}, 0)):
        asked = json.dumps({"model": "m", "stream": True, **body, **more})
        one = {
            "request": {"method": "POST", "url": url, "headers": {}, "body": asked},
            "response": {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": answer},
        }
        (tmp_path / "a.json").write_text(json.dumps({"version": 1, "interactions": [one]}))
        (done,) = converted(tmp_path / "a.json", tmp_path / "out", to="text")
        assert done.calls == calls, done.dropped


def test_failed_answers(tmp_path: Path) -> None:
    """An answer that stands for an error is not text."""
    source = cassette(tmp_path / "a.json", "Hi", [(429, '{"error": {"message": "slow down"}}')])
    (done,) = converted(source, tmp_path / "out", to="text")
    assert (done.path, done.calls) == (None, 0)
    assert done.dropped[0].startswith("interaction 0: it is not a whole answer: ")


def test_two_answers_to_one_call(tmp_path: Path) -> None:
    """A directory has one answer for a call: a second, different one is refused, and replaced only by force."""
    source = cassette(tmp_path / "a.json", "Hi", ["Hello", "Hullo"])
    with pytest.raises(CassetteError, match="holds another answer to that call"):
        converted(source, tmp_path / "out", to="text")
    assert TextDirectory(tmp_path / "out").read("openai", "gpt-4o-mini", "Hi").text == "Hello"
    converted(source, tmp_path / "out", to="text", replace=True)
    assert TextDirectory(tmp_path / "out").read("openai", "gpt-4o-mini", "Hi").text == "Hullo"


def test_what_text_cannot_become(tmp_path: Path) -> None:
    """A conversation, tool calls, a refusal, an unknown provider: each is left out, with its reason."""
    directory = tmp_path / "in"
    record(directory, "a", "openai", "m", "%mellite-request 1\nuser:\n")
    record(directory, "b", "openai", "m", "tools", tool_calls=(ToolCall("1", "f", {}),))
    record(directory, "c", "openai", "m", "no", refusal="no")
    record(directory, "d", "openai", "m", "filter", finish_reason="content-filter")
    record(directory, "e", "acme", "m", "who")
    record(directory, "f", "groq", "", "which")
    record(directory, "g", "bedrock", "amazon.nova-micro-v1:0", "aws")
    (done,) = converted(directory, tmp_path / "a.json")
    assert (done.path, done.calls, len(done.dropped)) == (None, 0, 7)
    assert not (tmp_path / "a.json").exists()
    reasons = " ".join(done.dropped)
    for word in (
        "more than one message",
        "tool calls or a refusal",
        "'content-filter'",
        "'acme:m'",
        "'groq:'",
        "bedrock-converse",
    ):
        assert word in reasons


# --- what is refused ------------------------------------------------------------------------------


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A target that is there is not replaced, unless that is asked for."""
    source = cassette(tmp_path / "a.json", "Hi", ["Hello"])
    target = tmp_path / "b.json"
    target.write_text("mine")
    with pytest.raises(CassetteError, match="is there already"):
        converted(source, target)
    assert target.read_text() == "mine"
    converted(source, target, replace=True)
    assert target.read_bytes() == source.read_bytes()


def test_secrets_are_refused(tmp_path: Path) -> None:
    """A cassette with a secret is not copied anywhere, in no format."""
    source = cassette(tmp_path / "a.json", "Hi", [f"Use {KEY}."])
    for target, options in ((tmp_path / "b.json", {}), (tmp_path / "out", {"to": "text"})):
        with pytest.raises(UnsafeCassette):
            converted(source, target, **options)
        assert not target.exists()


def test_damaged_and_missing(tmp_path: Path) -> None:
    """A damaged source, none at all, an empty folder, or two for one file: typed errors, and nothing is written."""
    (tmp_path / "a.json").write_bytes(b"{")
    with pytest.raises(InvalidCassette):
        converted(tmp_path / "a.json", tmp_path / "b.json")
    with pytest.raises(CassetteMiss):
        converted(tmp_path / "none.json", tmp_path / "b.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no cassettes"):
        converted(tmp_path / "empty", tmp_path / "b.json")
    for name in ("a.json", "c.json"):
        cassette(tmp_path / "empty" / name, "Hi", ["Hello"])
    with pytest.raises(ConfigurationError, match="name a folder"):
        converted(tmp_path / "empty", tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
