"""Storing text cassettes: what is written, collisions, compression, several writers, secrets."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.cassettes.compression import Compression
from mellite.cassettes.text.sidecar import call_digest
from mellite.errors import CassetteError, CassetteMismatch, InvalidCassette, UnsafeCassette
from mellite.messages import ToolCall
from mellite.values.usage import Usage

CALL = ("openai", "gpt-4o", "Say hello.")
KEY = djb2_key(*CALL)
any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)  # lone surrogates too


def sidecar(call: tuple[str, str, str] = CALL, **more: Any) -> Sidecar:
    """A sidecar of a call."""
    return Sidecar(call[0], call[1], prompt=call[2], **more)


def merged(text: str) -> str:
    """A text whose surrogate pairs are one character each."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def names(directory: Path) -> list[str]:
    """The files in a directory."""
    return sorted(os.listdir(directory))


def test_what_is_written(tmp_path: Path) -> None:
    """The answer and one newline, as other runtimes read it; and beside it the call with its digest, chunks, usage."""
    directory = TextDirectory(tmp_path / "made" / "here")
    usage = Usage.of(input_tokens=3, output_tokens=4, raw={"x": 1})
    directory.record("Hello!\n", sidecar(chunks=("Hel", "lo!\n"), usage=usage, response_model="gpt-4o-2024"))
    folder = tmp_path / "made" / "here"
    assert names(folder) == [f"{KEY}.json", f"{KEY}.txt"]
    assert (folder / f"{KEY}.txt").read_bytes() == b"Hello!\n\n"
    assert json.loads((folder / f"{KEY}.json").read_bytes()) == {
        "provider": "openai",
        "model": "gpt-4o",
        "prompt": "Say hello.",
        "sha256": call_digest(*CALL),
        "chunks": ["Hel", "lo!\n"],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "raw": {"x": 1}},
        "response_model": "gpt-4o-2024",
    }
    if os.name == "posix":
        assert {(folder / name).stat().st_mode & 0o077 for name in names(folder)} == {0}


@pytest.mark.parametrize("compression", [None, "gzip", "lz4"])
@settings(max_examples=25)
@given(text=any_text, call=st.tuples(any_text, any_text, any_text), cut=st.integers(0, 30))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    compression: Compression | None,
    text: str,
    call: tuple[str, str, str],
    cut: int,
) -> None:
    """Whatever is stored is read again: any text, any call, halves of surrogate pairs included."""
    directory = TextDirectory(tmp_path_factory.mktemp("d"))
    calls = (ToolCall("1", "f", {"a": [1]}, raw_arguments='{"a": [1]}'), ToolCall("2", "g", provider_executed=True))
    wanted = sidecar(call, chunks=(text[:cut], text[cut:]), tool_calls=calls, finish_reason="tool-calls")
    directory.record(text, wanted, compression=compression)
    found = directory.read(*call)
    assert (found.text, found.chunks) == (merged(text), (merged(text[:cut]), merged(text[cut:])))
    assert found.sidecar is not None
    assert found.sidecar.tool_calls == calls
    assert found.sidecar.finish_reason == "tool-calls"
    assert directory.keys() == (djb2_key(*call),)


def test_halves_of_a_character_in_two_chunks(tmp_path: Path) -> None:
    """A character whose halves came in two pieces is whole in the text, and in its pieces as it came."""
    directory = TextDirectory(tmp_path)
    chunks = ("a\ud83d", "\ude00b")
    directory.record("".join(chunks), sidecar(chunks=chunks))
    assert (tmp_path / f"{KEY}.txt").read_text(encoding="utf-8") == "a\U0001f600b\n"
    assert (directory.read(*CALL).text, directory.read(*CALL).chunks) == ("a\U0001f600b", chunks)
    half = ("a\ud83d",)
    directory.record("".join(half), sidecar(chunks=half), replace=True)
    assert (tmp_path / f"{KEY}.txt").read_text(encoding="utf-8") == "a\ufffd\n"
    assert (directory.read(*CALL).text, directory.read(*CALL).chunks) == ("a\ud83d", half)


def test_what_dead_writers_left(tmp_path: Path) -> None:
    """Half-written files of writers that died are taken away; anything else stays."""
    names_there = [f"{KEY}.txt.tmp", f"{KEY}.json.gz.tmp", "notes.tmp", "x.txt.tmp"]
    for name in names_there:
        (tmp_path / name).write_text("x")
    TextDirectory(tmp_path).tidy()
    assert names(tmp_path) == ["notes.tmp", "x.txt.tmp"]
    TextDirectory(tmp_path / "none").tidy()


@pytest.mark.parametrize(("compression", "ending"), [("gzip", ".gz"), ("lz4", ".lz4")])
def test_compressed(tmp_path: Path, compression: Compression, ending: str) -> None:
    """A compressed answer has its own ending and its sidecar the same; a large one becomes small."""
    directory = TextDirectory(tmp_path)
    stored = directory.record("ab" * 50_000, sidecar(chunks=("ab",) * 50_000), compression=compression)
    assert names(tmp_path) == [f"{KEY}.json{ending}", f"{KEY}.txt{ending}"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000
    assert stored == directory.read(*CALL)
    assert directory.nearest("openai", "gpt-4o", "Say hallo.")[0].prompt == "Say hello."


def test_compressed_by_others(tmp_path: Path) -> None:
    """A file that somebody else compressed is read, with the sidecar that was there, or none."""
    (tmp_path / f"{KEY}.txt.gz").write_bytes(gzip.compress(b"hello\n"))
    assert TextDirectory(tmp_path).read(*CALL).text == "hello"
    (tmp_path / f"{KEY}.json").write_text(json.dumps({"provider": "x", "model": "", "prompt": ""}))
    with pytest.raises(CassetteMismatch):
        TextDirectory(tmp_path).read(*CALL)


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", gzip.compress(b"hello", mtime=0)[:-9], gzip.compress(bytes(70_000_000), mtime=0)],
    ids=["empty", "other", "cut", "bomb"],
)
def test_damaged_compression(tmp_path: Path, data: bytes) -> None:
    """What cannot be decompressed, or comes to too much, is damaged; it is not passed over and not overwritten."""
    path = tmp_path / f"{KEY}.txt.gz"
    path.write_bytes(data)
    for action in (lambda: TextDirectory(tmp_path).read(*CALL), lambda: TextDirectory(tmp_path).record("x", sidecar())):
        with pytest.raises(InvalidCassette, match=path.name):
            action()
    assert path.read_bytes() == data


def test_the_first_answer_stays(tmp_path: Path) -> None:
    """An answer that is there is kept, and given back; also one that another runtime recorded."""
    directory = TextDirectory(tmp_path)
    directory.record("one", sidecar())
    assert directory.record("two", sidecar(chunks=("two",))).text == "one"
    assert directory.read(*CALL).chunks is None
    (tmp_path / f"{KEY}.json").unlink()
    assert directory.record("two", sidecar()).text == "one"
    assert names(tmp_path) == [f"{KEY}.txt"]


@pytest.mark.parametrize("before", [None, "gzip"])
@pytest.mark.parametrize("after", [None, "gzip"])
def test_replacing(tmp_path: Path, before: Compression | None, after: Compression | None) -> None:
    """On request an answer is replaced, sidecar and all, and nothing is left of it if it was compressed otherwise."""
    directory = TextDirectory(tmp_path)
    directory.record("one", sidecar(chunks=("one",)), compression=before)
    assert directory.record("two!", sidecar(chunks=("two", "!")), compression=after, replace=True).text == "two!"
    found = directory.read(*CALL)
    assert (found.text, found.chunks) == ("two!", ("two", "!"))
    assert len(names(tmp_path)) == 2


def test_collisions_of_the_corpus(corpora: Path, tmp_path: Path) -> None:
    """Of the sixteen pairs with one key the second call is refused while recording, and the first keeps its answer."""
    pairs = json.loads((corpora / "djb2_collisions.json").read_text(encoding="utf-8"))["pairs"]
    assert len(pairs) == 16
    for number, pair in enumerate(pairs):
        one = (pair["provider"], pair.get("model", pair.get("model_a")), pair.get("prompt_a", pair.get("prompt")))
        other = (pair["provider"], pair.get("model", pair.get("model_b")), pair.get("prompt_b", pair.get("prompt")))
        assert djb2_key(*one) == djb2_key(*other) == int(pair["same_key"])
        directory = TextDirectory(tmp_path / str(number))
        directory.record("of one", sidecar(one))
        for replace in (False, True):
            with pytest.raises(CassetteMismatch, match="both have the key"):
                directory.record("of the other", sidecar(other), replace=replace)
        assert directory.read(*one).text == "of one"
        with pytest.raises(CassetteMismatch):
            directory.read(*other)


def test_collision_with_an_answer_that_is_being_written(tmp_path: Path) -> None:
    """The sidecar is the claim: where another call's is there, nothing is written, though no answer is there yet."""
    directory = TextDirectory(tmp_path)
    one, other = ("openai", "gpt-4o", "Is the answer 0c?"), ("openai", "gpt-4o", "Is the answer 1B?")
    directory.record("of one", sidecar(one))
    (tmp_path / f"{djb2_key(*one)}.txt").unlink()
    with pytest.raises(CassetteMismatch):
        directory.record("of the other", sidecar(other))
    assert directory.find(*other) is None
    assert directory.record("again", sidecar(one)).text == "again"


def test_damaged_is_not_overwritten(tmp_path: Path) -> None:
    """A damaged sidecar or answer is told, and stays as it is."""
    directory = TextDirectory(tmp_path)
    directory.record("one", sidecar())
    for name, data in ((f"{KEY}.json", b"{"), (f"{KEY}.txt", b"\xff")):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data)
        for replace in (False, True):
            with pytest.raises(InvalidCassette, match=name):
                directory.record("two", sidecar(), replace=replace)
        assert (tmp_path / name).read_bytes() == data
        (tmp_path / name).write_bytes(kept)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("My key is sk-abcdefghijklmnopqrstuvwx", "ok"), ("ok", "Use Bearer abcdefghijklmnopqrstuvwxyz0123456789")],
)
def test_secrets_are_not_written(tmp_path: Path, prompt: str, answer: str) -> None:
    """What looks like a secret, in the prompt or in the answer, is in no file; the error does not show it either."""
    with pytest.raises(UnsafeCassette) as caught:
        TextDirectory(tmp_path / "d").record(answer, sidecar(("openai", "", prompt)))
    assert "abcdefgh" not in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_secrets_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a variable that is secret by its name is not written either, also if two chunks share it."""
    monkeypatch.setenv("ACME_API_KEY", "quite-harmless-words")
    with pytest.raises(UnsafeCassette):
        TextDirectory(tmp_path).record(
            "it is quite-harmless-words.", sidecar(chunks=("it is quite-harm", "less-words."))
        )
    assert names(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A path that is not a directory is a typed error that names the file."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(CassetteError, match=f"{KEY}"):
        TextDirectory(tmp_path / "file").record("x", sidecar())


def test_threads(tmp_path: Path) -> None:
    """Of many threads that store answers to one call one wins, and everybody is given what it stored."""
    directory = TextDirectory(tmp_path)

    def store(number: int) -> tuple[str, tuple[str, ...] | None]:
        text = f"answer {number}"
        found = directory.record(text, sidecar(chunks=(text,)))
        return found.text, directory.read(*CALL).chunks

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(store, range(64)))
    assert len({text for text, _ in results}) == 1
    final = directory.read(*CALL)
    assert final.chunks == (final.text,)
    assert names(tmp_path) == [f"{KEY}.json", f"{KEY}.txt"]


PROCESS = """
import sys
from mellite.cassettes import Sidecar, TextDirectory
directory, name, count = TextDirectory(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    directory.record(f"{name} {number}", Sidecar("openai", name, prompt=f"What is {number}?"))
    directory.record(f"{name} {number}", Sidecar("openai", "", prompt=f"What is {number}?"))
"""


@pytest.mark.slow
def test_processes(tmp_path: Path) -> None:
    """Eight processes that record into one directory lose nothing, of one answer there is one, and nothing is torn."""
    count = 12
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    children = [subprocess.Popen([*command, f"p{number}", str(count)]) for number in range(8)]
    assert [child.wait(60) for child in children] == [0] * 8
    directory = TextDirectory(tmp_path)
    assert len(directory.keys()) == 8 * count + count
    for number in range(count):
        for process in range(8):
            assert directory.read("openai", f"p{process}", f"What is {number}?").text == f"p{process} {number}"
        assert directory.read("openai", "", f"What is {number}?").text.endswith(f" {number}")
    assert {name.rpartition(".")[2] for name in names(tmp_path)} == {"json", "txt"}
