"""The eleven shipped scenarios: each a small program, run with mochi_llm_generate and with thunks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

import mellite
from mellite.backends import TextCassetteBackend
from mellite.cassettes import TextDirectory, djb2_key

SHIPPED = Path(__file__).parents[2] / "cassettes" / "text"

#: ``generate provider { model: ..., prompt: ... }``: what a program calls, whatever stands behind it.
Generate: TypeAlias = Callable[[str, str, str], str]


@pytest.fixture(params=["mochi_llm_generate", "a thunk", "a streamed thunk"])
def generate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generate:
    """Three ways to ask for an answer; all must give the same."""
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(SHIPPED))
    monkeypatch.delenv("MELLITE_CASSETTE_DIR", raising=False)

    def thunk(provider: str, model: str, prompt: str) -> str:
        return TextCassetteBackend(provider=provider).generate(prompt, model=model).result()

    def streamed(provider: str, model: str, prompt: str) -> str:
        return "".join(TextCassetteBackend(provider=provider, model=model).generate(prompt).iter())

    ways = {"mochi_llm_generate": mellite.mochi_llm_generate, "a thunk": thunk, "a streamed thunk": streamed}
    return ways[request.param]


def test_generate_text(generate: Generate, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer is printed as it is, and nothing else is."""
    r = generate("openai", "", "Say hello.")
    assert r == "Hello! It is good to meet you."
    assert capsys.readouterr() == ("", "")


def test_generate_anthropic(generate: Generate) -> None:
    """The default model of another provider has a key of its own."""
    assert generate("anthropic", "", "Count to 3") == "1, 2, 3"


def test_generate_anthropic_model(generate: Generate) -> None:
    """An explicit model is a part of the key."""
    assert generate("anthropic", "claude-3-haiku-20240307", "Repeat: hello world") == "hello world"


def test_generate_concat(generate: Generate) -> None:
    """An answer is joined to other text: "Answer: " + r."""
    r = generate("openai", "", "What is the capital of France?")
    assert "Answer: " + r == "Answer: Paris"


def test_generate_google(generate: Generate) -> None:
    """The third provider."""
    assert generate("google", "", "Add 1 and 1") == "2"


def test_generate_in_fun(generate: Generate) -> None:
    """An answer is generated inside a user's function."""

    def story() -> str:
        return generate("openai", "", "Tell me a story about a lighthouse in five sentences.")

    assert story().startswith("The lighthouse on the point had been dark")
    assert len(re.findall(r"\.(?:\s|$)", story())) == 5


def test_generate_in_var(generate: Generate) -> None:
    """An answer initialises a variable, joined to other text: let s = "Sky color: " + r."""
    s = "Sky color: " + generate("openai", "", "What color is the sky? Answer with one word.")
    assert s == "Sky color: blue"


def test_generate_llama(generate: Generate) -> None:
    """The fourth provider, from a file without a sidecar."""
    assert generate("llama", "", "Hello via local llama") == "Hello from a llama on this machine."


def test_generate_multiple(generate: Generate) -> None:
    """Two calls in one program read two files."""
    answers = [generate("openai", "", prompt) for prompt in ("Name a primary color.", "Name an animal.")]
    assert answers == ["red", "heron"]


def test_generate_openai_model(generate: Generate) -> None:
    """An explicit model of the first provider."""
    assert generate("openai", "gpt-4o", "Square root of 16") == "4"


def test_generate_with_model(generate: Generate) -> None:
    """Another explicit model of the first provider."""
    assert generate("openai", "gpt-4o-mini", "Say hi") == "Hi!"


def table() -> list[tuple[str, str, str, str]]:
    """Provider, model, prompt and key of each row of the README's table."""
    text = (SHIPPED / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| generate_\w+ \| (.*?) \| (.*?) \| (.*?) \| `(\d+)` \|$", text, re.MULTILINE)


def test_readme_lists_what_is_there() -> None:
    """Every row of the README's table is the key of its call, and every shipped file has a row."""
    rows = table()
    assert len(rows) == 12
    for provider, model, prompt, key in rows:
        assert str(djb2_key(provider, model.replace("(default)", ""), prompt)) == key
    assert {path.name for path in SHIPPED.glob("*.txt")} == {f"{key}.txt" for *_, key in rows}


def test_sidecars_agree_with_their_files() -> None:
    """Each sidecar is of the call that names it, with a digest, usage and chunks that add up to the text."""
    directory = TextDirectory(SHIPPED)
    without = []
    keys = directory.keys()
    for key in keys:
        sidecar = directory.sidecar(key)
        if sidecar is None:
            without.append(key)
            continue
        cassette = directory.read(sidecar.provider, sidecar.model, sidecar.prompt)
        assert (cassette.key, sidecar.sha256 is not None, sidecar.usage is not None) == (key, True, True)
        assert cassette.chunks == sidecar.chunks
    assert without == [djb2_key("llama", "", "Hello via local llama")]


def test_files_end_with_one_newline() -> None:
    """A shipped file is the answer and one newline, as every runtime of the format expects."""
    paths = [*SHIPPED.glob("*.txt")]
    assert paths
    for path in paths:
        data = path.read_bytes()
        assert data.endswith(b"\n"), path
        assert not data.endswith((b"\n\n", b"\r\n")), path
