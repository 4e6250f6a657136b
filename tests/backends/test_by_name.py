"""`mellite.backend`: strings that name providers, cassettes and fakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.backends import Constant, Echo, LiveBackend, TextCassetteBackend
from mellite.cassettes import ScriptedTransport
from mellite.cassettes.text.directory import djb2_key
from mellite.errors import CassetteMiss, ConfigurationError, UnknownOption, UnknownProvider
from tests.benchmarks.server import running
from tests.cli.programs import cassette, chat_answer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("openai-chat:gpt-4o-mini", "openai:gpt-4o-mini"),
        ("openai-chat/gpt-4o-mini", "openai:gpt-4o-mini"),
        ("openrouter:openai/gpt-4o-mini", "openrouter:openai/gpt-4o-mini"),
        ("groq/llama-3.3-70b-versatile", "groq:llama-3.3-70b-versatile"),
    ],
)
def test_providers(spec: str, name: str) -> None:
    """A provider and its model, whichever separator comes first."""
    backend = mellite.backend(spec, api_key="sk-test")
    assert isinstance(backend, LiveBackend)
    assert backend.describe() == name


async def test_options_are_defaults() -> None:
    """Options given with the name are those of every call, unless a call says otherwise."""
    transport = ScriptedTransport([chat_answer("One."), chat_answer("Two.")])
    backend = mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", transport=transport, temperature=0.5)
    assert await backend.generate("Count.") == "One."
    assert await backend.generate("Count.", temperature=1.0) == "Two."
    assert [json.loads(request.body)["temperature"] for request in transport.requests] == [0.5, 1.0]


async def test_text_cassettes(tmp_path: Path) -> None:
    """A directory is one of text cassettes, and `provider` and `model` are those of its keys."""
    for provider, model, text in (("", "", "of anyone"), ("openai", "gpt-4o", "of gpt-4o")):
        (tmp_path / f"{djb2_key(provider, model, 'Hi.')}.txt").write_text(text)
    backend = mellite.backend(f"cassette:{tmp_path}")
    assert isinstance(backend, TextCassetteBackend)
    assert await backend.generate("Hi.") == "of anyone"
    assert (
        await mellite.backend(f"cassette:{tmp_path}", provider="openai", model="gpt-4o").generate("Hi.") == "of gpt-4o"
    )


#: How other recorders' requests differ from what the route of today would send.
DIALECTS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 9},
    {"max_completion_tokens": 9},
    {"store": False},
    {"stream_options": {"include_usage": True}},
]


@pytest.mark.parametrize("extra", DIALECTS)
@pytest.mark.parametrize("host", ["api.openai.com/v1", "api.groq.com/openai/v1", "models.example.com"])
async def test_http_cassettes(tmp_path: Path, host: str, extra: dict[str, Any]) -> None:
    """A file is an HTTP cassette: the route is read from what was recorded, also from requests of other programs."""
    path = cassette(tmp_path / "hi.json", "Hi.", ["Hello."], url=f"https://{host}/chat/completions")
    content = json.loads(path.read_text())
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi."}], "stream": True, **extra}
    content["interactions"][0]["request"]["body"] = json.dumps(body)
    path.write_text(json.dumps(content))
    options = {"max_tokens": 9} if any(name.startswith("max_") for name in extra) else {}
    thunk = mellite.backend(f"cassette:{path}").generate("Hi.", **options)
    assert await thunk == "Hello."
    assert (thunk.generation.model, thunk.generation.replayed) == ("m", True)


async def test_unary_recordings(tmp_path: Path) -> None:
    """What was not streamed when it was recorded is not streamed when it is replayed."""
    answer = {"id": "1", "choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}
    path = cassette(tmp_path / "hi.json", "Hi.", [(200, json.dumps(answer))], stream=False)
    thunk = mellite.backend(f"cassette:{path}").generate("Hi.")
    assert await thunk == "Hello."
    assert not thunk.generation.streaming


async def test_fakes() -> None:
    """The fakes that need no more than a string."""
    assert isinstance(mellite.backend("fake:echo"), Echo)
    assert await mellite.backend("fake:echo").generate("Hi.") == "Hi."
    assert isinstance(mellite.backend("fake:constant:a:b"), Constant)
    assert await mellite.backend("fake:constant:a:b").generate("Hi.") == "a:b"


@pytest.mark.parametrize(
    ("spec", "kind", "said"),
    [
        ("opneai:gpt-4o", UnknownProvider, "did you mean 'openai'"),
        ("cassete:there", UnknownProvider, "did you mean 'cassette:'"),
        ("gpt-4o-mini", UnknownProvider, "gpt-4o-mini"),
        ("", ConfigurationError, "openai:gpt-4o-mini"),
        (7, ConfigurationError, "openai:gpt-4o-mini"),
        ("cassette:", ConfigurationError, "names no cassette"),
        ("cassette:none.json", CassetteMiss, "none.json"),
        ("fake:nobody", ConfigurationError, "fake:echo"),
        ("fake:echo:more", ConfigurationError, "fake:echo"),
    ],
)
def test_mistakes(spec: Any, kind: type[Exception], said: str) -> None:
    """A string that names nothing is refused with what was meant, or with what there is."""
    with pytest.raises(kind, match=said):
        mellite.backend(spec)


@pytest.mark.parametrize("spec", ["openai-chat:m", "fake:echo", "cassette:.", "fake:constant:x"])
def test_misspelled_options(spec: str) -> None:
    """A misspelled option is refused with the nearest name, whatever the backend."""
    with pytest.raises(UnknownOption, match="temperature"):
        mellite.backend(spec, temprature=0)


def test_nobody_to_send_to() -> None:
    """A key, a URL or a transport make no sense where nobody is asked."""
    with pytest.raises(ConfigurationError, match="asks nobody"):
        mellite.backend("cassette:.", api_key="sk-test")


def test_unknown_protocol(tmp_path: Path) -> None:
    """A cassette of a protocol that mellite does not know says how to replay it all the same."""
    path = cassette(tmp_path / "weather.json", "Hi.", ["Hello."], url="https://example.com/weather")
    with pytest.raises(ConfigurationError, match="ReplayTransport"):
        mellite.backend(f"cassette:{path}")


#: What a first plain call has no use for: half of what it would cost.
UNUSED = (
    "mellite.cassettes",
    "mellite.protocols.anthropic_messages",
    "mellite.protocols.gemini",
    "mellite.protocols.openai_responses",
    "mellite.values.secrets",
    "email.utils",
    "importlib.metadata",
    "tomllib",
    "urllib.request",
    "xml",
)

FIRST = """
import asyncio, os, sys
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
before = set(sys.modules)
import mellite
async def main():
    async with mellite.backend("openai-chat:m", base_url=sys.argv[1], api_key="x", stream=False) as backend:
        assert await backend.generate("Hi.", model="unary")
asyncio.run(main())
print(*(set(sys.modules) - before))
"""


def test_a_first_call_imports_what_it_needs() -> None:
    """A plain call imports no cassettes, no protocol but its own, and no part of the standard library for errors."""
    with running() as base:
        done = subprocess.run([sys.executable, "-c", FIRST, base], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "mellite.protocols.openai_chat.body" in loaded
    assert [name for name in loaded if name in UNUSED or name.startswith(tuple(f"{each}." for each in UNUSED))] == []
