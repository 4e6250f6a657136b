"""Text cassettes: the key, the files, the sidecars, what is near, and what is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import mellite
from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.cassettes.text.sidecar import call_digest
from mellite.errors import CassetteMismatch, CassetteMiss, InvalidCassette, InvalidRequest
from mellite.events import Usage

any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=40)  # lone surrogates too


# --- the key --------------------------------------------------------------------------------------


def test_keys_of_the_corpus(corpora: Path) -> None:
    """All 48 keys that other runtimes agree on."""
    vectors = json.loads((corpora / "djb2_vectors.json").read_text(encoding="utf-8"))["vectors"]
    assert len(vectors) == 48
    keys = [djb2_key(vector["provider"], vector["model"], vector["prompt"]) for vector in vectors]
    assert [str(key) for key in keys] == [vector["key"] for vector in vectors]
    assert [f"{key}.txt" for key in keys] == [vector["file"] for vector in vectors]


@given(any_text, any_text, any_text)
def test_key_is_the_formula(provider: str, model: str, prompt: str) -> None:
    """The key is h * 33 ^ byte over the UTF-8, h * 33 between the texts, and only then modulo 2 to the 64."""
    h = 5381
    for number, text in enumerate((provider, model, prompt)):
        if number:
            h *= 33
        for byte in text.encode("utf-8", "surrogatepass"):
            h = (h * 33) ^ byte
    assert djb2_key(provider, model, prompt) == h % 2**64


def test_lone_surrogates_have_a_key() -> None:
    """Half of a surrogate pair counts as its three bytes, so that it differs from its replacement."""
    keys = {djb2_key("openai", "", prompt) for prompt in ("\ud800", "\udc00", "\ufffd", "?")}
    assert len(keys) == 4


def test_a_prompt_does_not_end_at_a_nul(tmp_path: Path) -> None:
    """A NUL counts like any other character: what follows it makes another key, and another answer."""
    prompts = ["a", "a\0", "a\0b", "a\0c"]
    for prompt in prompts:
        write(tmp_path, f"answer to {prompt!r}\n", ("openai", "", prompt))
    directory = TextDirectory(tmp_path)
    assert [directory.read("openai", "", prompt).text for prompt in prompts] == [f"answer to {p!r}" for p in prompts]


@pytest.mark.parametrize("call", [("openai", "", 5), ("openai", None, "Hi"), (b"openai", "", "Hi")])
def test_only_texts_have_a_key(call: Any) -> None:
    """What is not a str is refused: its repr must not become a part of a key."""
    with pytest.raises(InvalidRequest, match="are str, not"):
        djb2_key(*call)


def test_long_prompts_are_fast_enough() -> None:
    """A prompt of a megabyte has a key; it is a loop over bytes and no more."""
    assert djb2_key("", "", "x" * 1_000_000) == djb2_key("", "", "x" * 1_000_000)


# --- reading --------------------------------------------------------------------------------------


def write(
    directory: Path, text: str | bytes, call: tuple[str, str, str] = ("openai", "", "Hi"), **sidecar: Any
) -> Path:
    """Put a cassette there, and a sidecar with these values beside it if there are any."""
    key = djb2_key(*call)
    path = directory / f"{key}.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if sidecar:
        values = {"provider": call[0], "model": call[1], "prompt": call[2], **sidecar}
        (directory / f"{key}.json").write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (b"answer\n", "answer"),
        (b"answer", "answer"),
        (b"answer\n\n", "answer\n"),
        (b"\nanswer\n", "\nanswer"),
        (b"answer\r\n", "answer\r"),
        (b"answer\r", "answer\r"),
        (b"", ""),
        (b"\n", ""),
        (b"a\x00b\n", "a\x00b"),
        ("\ufeffa\u2028b\u0085\n".encode(), "\ufeffa\u2028b\u0085"),
    ],
)
def test_exactly_one_newline_is_stripped(tmp_path: Path, stored: bytes, text: str) -> None:
    """Of what ends the file exactly one newline goes; everything else is the answer, byte for byte."""
    write(tmp_path, stored)
    assert TextDirectory(tmp_path).read("openai", "", "Hi").text == text


def test_directory_without_sidecars(tmp_path: Path) -> None:
    """A directory as other runtimes write it is read, with no chunks and no usage."""
    path = write(tmp_path, "answer\n")
    cassette = TextDirectory(tmp_path).read("openai", "", "Hi")
    assert (cassette.path, cassette.key, cassette.sidecar, cassette.chunks) == (
        str(path),
        djb2_key("openai", "", "Hi"),
        None,
        None,
    )


def test_sidecar(tmp_path: Path) -> None:
    """A sidecar brings chunks and usage; what it has beyond that is kept."""
    digest = call_digest("openai", "", "Hi")
    usage = {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 1, "raw": {"x": 1}}
    write(tmp_path, "answer\n", sha256=digest, chunks=["ans", "wer"], usage=usage, times=[0.1, 0.2])
    cassette = TextDirectory(tmp_path).read("openai", "", "Hi")
    assert cassette.chunks == ("ans", "wer")
    assert cassette.sidecar == Sidecar(
        "openai",
        "",
        prompt="Hi",
        sha256=digest,
        chunks=("ans", "wer"),
        usage=Usage.of(input_tokens=5, output_tokens=2, cache_read_input_tokens=1, raw={"x": 1}),
        extra={"times": [0.1, 0.2]},
    )


def test_edited_text_wins_over_its_chunks(tmp_path: Path) -> None:
    """Chunks of an older text are not used: the file may be edited by hand."""
    write(tmp_path, "a better answer\n", chunks=["an ", "answer"])
    cassette = TextDirectory(tmp_path).read("openai", "", "Hi")
    assert (cassette.text, cassette.chunks) == ("a better answer", None)


def test_prompt_with_a_lone_surrogate_is_found(tmp_path: Path) -> None:
    """A call that no UTF-8 can hold is recorded and found like any other."""
    call = ("openai", "", "a\ud800")
    write(tmp_path, "answer\n", call, sha256=call_digest(*call))
    found = TextDirectory(tmp_path).read(*call).sidecar
    assert found is not None
    assert found.prompt == "a\ud800"


def test_collisions_of_the_corpus(corpora: Path, tmp_path: Path) -> None:
    """Of the sixteen pairs of calls with one key, each finds its own answer and never the other's."""
    pairs = json.loads((corpora / "djb2_collisions.json").read_text(encoding="utf-8"))["pairs"]
    assert len(pairs) == 16
    directory = TextDirectory(tmp_path)
    for pair in pairs:
        one, other = [
            (
                pair["provider"],
                pair.get("model", pair.get(f"model_{side}")),
                pair.get("prompt", pair.get(f"prompt_{side}")),
            )
            for side in "ab"
        ]
        assert djb2_key(*one) == djb2_key(*other) == int(pair["same_key"])
        path = write(tmp_path, "of one\n", one, sha256=call_digest(*one))
        assert directory.read(*one).text == "of one"
        with pytest.raises(CassetteMismatch, match=f"both have the key {pair['same_key']}") as caught:
            directory.read(*other)
        assert caught.value.path == str(path)
        assert repr(one[2]) in str(caught.value)
        assert repr(other[2]) in str(caught.value)


# --- damage ---------------------------------------------------------------------------------------


def test_not_utf8(tmp_path: Path) -> None:
    """A file that is not UTF-8 is named with the byte at which that shows."""
    path = write(tmp_path, b"good \xff\xfe bad\n")
    with pytest.raises(InvalidCassette, match="at byte 5: it is not UTF-8") as caught:
        TextDirectory(tmp_path).read("openai", "", "Hi")
    assert (caught.value.path, caught.value.offset) == (str(path), 5)


def test_directory_in_its_place(tmp_path: Path) -> None:
    """A directory where the file should be is damage, not a miss."""
    (tmp_path / f"{djb2_key('openai', '', 'Hi')}.txt").mkdir()
    with pytest.raises(InvalidCassette, match="is a directory"):
        TextDirectory(tmp_path).read("openai", "", "Hi")


def test_pipe_in_its_place(tmp_path: Path) -> None:
    """A named pipe does not make the reader wait for a writer."""
    os.mkfifo(tmp_path / f"{djb2_key('openai', '', 'Hi')}.txt")
    with pytest.raises(InvalidCassette, match="not a regular file"):
        TextDirectory(tmp_path).read("openai", "", "Hi")


def test_symlink_loop_in_its_place(tmp_path: Path) -> None:
    """What cannot be opened is damage, with the reason of the system."""
    path = tmp_path / f"{djb2_key('openai', '', 'Hi')}.txt"
    path.symlink_to(path)
    with pytest.raises(InvalidCassette, match="cannot read cassette"):
        TextDirectory(tmp_path).read("openai", "", "Hi")


def test_too_large(tmp_path: Path) -> None:
    """A sparse file of a gibibyte is refused before it fills the memory."""
    path = write(tmp_path, b"")
    os.truncate(path, 1 << 30)
    with pytest.raises(InvalidCassette, match="1,073,741,824 bytes"):
        TextDirectory(tmp_path).read("openai", "", "Hi")


def test_strange_directories(tmp_path: Path) -> None:
    """A directory that is a file, has a NUL or a lone surrogate in its name, or is too long: typed errors."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidCassette, match="cannot list the cassette directory"):
        TextDirectory(tmp_path / "file").read("openai", "", "Hi")
    for name in ("a\0b", "a\ud800", "x" * 5000):
        with pytest.raises(InvalidCassette, match="cannot read cassette"):
            TextDirectory(name).read("openai", "", "Hi")


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (b"", "empty"),
        (b'{"provider": "openai"', "ends in the middle"),
        (b"[]", "expected an object"),
        (b"{}", "'provider' to be a text"),
        (b'{"provider": "openai", "model": null, "prompt": "Hi"}', "'model' to be a text"),
        (b'{"provider": "openai", "model": "", "model": "", "prompt": "Hi"}', "'model' is there twice"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "sha256": "0"}', "'sha256'"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "chunks": "abc"}', "'chunks'"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "chunks": ["a", 1]}', "'chunks'"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "usage": 5}', "'usage'"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "usage": {"input_tokens": -1}}', "usage.input_tokens"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "usage": {"input_tokens": true}}', "usage.input_tokens"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "usage": {"raw": 1}}', "usage.raw"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "x": NaN}', "at byte 57"),
        (b'{"provider": "openai", "model": "", "prompt": "Hi", "x": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x":' + b"9" * 10_000 + b"}", "damaged"),
    ],
)
def test_damaged_sidecar(tmp_path: Path, sidecar: bytes, reason: str) -> None:
    """A damaged sidecar is an error that names it: without it nobody knows whose answer the file is."""
    path = write(tmp_path, "answer\n").with_suffix(".json")
    path.write_bytes(sidecar)
    with pytest.raises(InvalidCassette, match=reason) as caught:
        TextDirectory(tmp_path).read("openai", "", "Hi")
    assert caught.value.path == str(path)


# --- misses ---------------------------------------------------------------------------------------


def test_miss_names_everything(tmp_path: Path) -> None:
    """A miss names the call, key, file and directory, counts the cassettes and shows the nearest prompts."""
    write(tmp_path, "a", ("openai", "", "Say hello."), sha256=None)
    write(tmp_path, "b", ("openai", "gpt-4o", "Say hello!"), sha256=None)
    write(tmp_path, "c", ("openai", "", "Something else altogether, and longer."), sha256=None)
    write(tmp_path, "d", ("openai", "", "no sidecar"))
    (tmp_path / "notes.txt").write_text("not a cassette")
    (tmp_path / "012.txt").write_text("not one either")
    key = djb2_key("openai", "gpt-4o", "Say hello.")
    with pytest.raises(CassetteMiss) as caught:
        TextDirectory(tmp_path).read("openai", "gpt-4o", "Say hello.")
    assert caught.value.path == str(tmp_path / f"{key}.txt")
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4o")
    assert str(caught.value) == (
        f"no text cassette for 'Say hello.' (provider 'openai', model 'gpt-4o'): key {key}, file '{key}.txt', and "
        f"there are 4 cassettes in {str(tmp_path)!r}; the nearest recorded: 'Say hello.' (provider 'openai', "
        "model ''); 'Say hello!' (provider 'openai', model 'gpt-4o')"
    )


def test_miss_without_anything(tmp_path: Path) -> None:
    """An empty directory has 0 cassettes, and one that does not exist is said not to."""
    with pytest.raises(CassetteMiss, match="there are 0 cassettes in"):
        TextDirectory(tmp_path).read("openai", "", "Hi")
    with pytest.raises(CassetteMiss, match="there is no directory"):
        TextDirectory(tmp_path / "none").read("openai", "", "Hi")


def test_damaged_sidecars_do_not_hide_a_miss(tmp_path: Path) -> None:
    """Looking for the nearest passes over what is damaged."""
    write(tmp_path, "a", ("openai", "", "Say hello."), sha256=None)
    write(tmp_path, "b", ("openai", "", "Say hallo.")).with_suffix(".json").write_text("{")
    nearest = TextDirectory(tmp_path).nearest("openai", "", "Say hullo.")
    assert [sidecar.prompt for sidecar in nearest] == ["Say hello."]


def test_keys_are_listed(tmp_path: Path) -> None:
    """The listing has the keys of all cassettes in ascending order, and nothing of what else lies there."""
    keys = sorted(djb2_key("openai", "", prompt) for prompt in ("a", "b", "c"))
    for prompt in "abc":
        write(tmp_path, "x", ("openai", "", prompt), sha256=None)
    assert TextDirectory(tmp_path).keys() == tuple(keys)
    assert TextDirectory(tmp_path / "none").keys() == ()


# --- mochi_llm_generate ----------------------------------------------------------------------------


def test_mochi_reads_the_variable_on_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory is what the variable says at the time of the call."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, f"{name}\n\n")
        monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(tmp_path / name))
        assert mellite.mochi_llm_generate("openai", "", "Hi") == f"{name}\n"
    assert capsys.readouterr() == ("", "")


def test_mochi_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A miss prints one line with the path to stderr, and gives the empty text."""
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(tmp_path))
    assert mellite.mochi_llm_generate("openai", "", "Say hello.") == ""
    assert capsys.readouterr() == ("", f"mochi_llm: cassette not found: {tmp_path}/15023835511162652990.txt\n")


@pytest.mark.parametrize("value", [None, ""])
def test_mochi_without_a_directory(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the variable it says so; mellite's own variable does not count."""
    monkeypatch.setenv("MELLITE_CASSETTE_DIR", "/somewhere")
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", value)
    assert mellite.mochi_llm_generate("openai", "", "Hi") == ""
    assert capsys.readouterr() == ("", "mochi_llm: MOCHI_LLM_CASSETTE_DIR not set\n")


def test_mochi_never_gives_another_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision, or damage, is an error here too: it is not a miss."""
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(tmp_path))
    write(tmp_path, "no", ("openai", "gpt-4o", "Is the answer 0c?"), sha256=None)
    with pytest.raises(CassetteMismatch):
        mellite.mochi_llm_generate("openai", "gpt-4o", "Is the answer 1B?")
    write(tmp_path, b"\xff")
    with pytest.raises(InvalidCassette):
        mellite.mochi_llm_generate("openai", "", "Hi")
