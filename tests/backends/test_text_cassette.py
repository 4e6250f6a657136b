"""TextCassetteBackend: thunks filled from text cassettes, and what such a cassette cannot answer."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite import Image, Message
from mellite.backends import Constant, TextCassetteBackend
from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.cassettes.text.rendering import render
from mellite.errors import CassetteMiss, ConfigurationError, InvalidRequest, UnsupportedOption
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.messages import ToolCall
from mellite.request import HttpOptions, Request, ToolDefinition

pytestmark = pytest.mark.anyio

CALL = ("openai", "gpt-4o", "Say hello.")


@pytest.fixture(autouse=True)
def _no_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of the machine takes part."""
    monkeypatch.delenv("MELLITE_CASSETTE_DIR", raising=False)
    monkeypatch.delenv("MOCHI_LLM_CASSETTE_DIR", raising=False)
    return


def write(directory: Path, text: str, call: tuple[str, str, str] = CALL, **sidecar: Any) -> None:
    """Record a text, with a sidecar beside it if it has values."""
    directory.mkdir(exist_ok=True)
    key = djb2_key(*call)
    (directory / f"{key}.txt").write_text(text + "\n", encoding="utf-8", newline="")
    if sidecar:
        values = dict(zip(("provider", "model", "prompt"), call, strict=True)) | sidecar
        (directory / f"{key}.json").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def backend(tmp_path: Path) -> TextCassetteBackend:
    """A backend with one recorded answer, in three chunks, with usage."""
    write(tmp_path, "Hello, world!", chunks=["Hel", "lo, ", "world!"], usage={"input_tokens": 3, "output_tokens": 4})
    return TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o")


async def test_answer(backend: TextCassetteBackend) -> None:
    """A thunk is filled with the recorded text, its usage, and where it came from."""
    thunk = backend.generate("Say hello.")
    assert await thunk == "Hello, world!"
    facts = thunk.generation
    assert (facts.provider, facts.model, facts.protocol) == ("openai", "gpt-4o", "text-cassette")
    assert (facts.replayed, facts.streaming, facts.finish_reason) == (True, True, "stop")
    assert facts.usage == Usage.of(input_tokens=3, output_tokens=4)


async def test_recorded_chunks(backend: TextCassetteBackend) -> None:
    """The text streams in the chunks in which it was recorded, between one start and one finish."""
    assert [delta async for delta in backend.generate("Say hello.")] == ["Hel", "lo, ", "world!"]
    events = [event async for event in backend.generate("Say hello.").events()]
    assert [type(event) for event in events] == [ResponseStart, TextDelta, TextDelta, TextDelta, Finish]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("Hello there, you.", ["Hello", " there,", " you."]),
        ("  two  spaces \n\n", ["  two", "  spaces", " \n\n"]),
        ("one", ["one"]),
        ("\u2028", ["\u2028"]),
        ("", []),
    ],
)
async def test_words(tmp_path: Path, text: str, chunks: list[str]) -> None:
    """Where no chunks were recorded the text streams in words that add up to it exactly."""
    write(tmp_path, text)
    thunk = TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o").generate("Say hello.")
    assert [delta async for delta in thunk] == chunks
    assert thunk.value == text


async def test_own_chunking(tmp_path: Path) -> None:
    """A chunking of one's own comes before the recorded chunks; one that loses text is an error."""
    write(tmp_path, "abcdef", chunks=["abc", "def"])
    pairs = TextCassetteBackend(
        tmp_path, provider="openai", model="gpt-4o", chunking=lambda text: [text[:2], text[2:]] if text[2:] else [text]
    )
    assert [delta async for delta in pairs.generate("Say hello.")] == ["ab", "cd", "ef"]
    lossy = TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o", chunking=lambda text: [text[1:]])
    with pytest.raises(InvalidRequest, match="loses or adds text"):
        await lossy.generate("Say hello.")


async def test_unary(backend: TextCassetteBackend) -> None:
    """With stream=False the text comes in one piece."""
    thunk = backend.generate("Say hello.", stream=False)
    assert [delta async for delta in thunk] == ["Hello, world!"]
    assert thunk.generation.streaming is False


async def test_lazy(tmp_path: Path) -> None:
    """Nothing is read before a thunk is driven: what is recorded in the meantime is found."""
    backend = TextCassetteBackend(tmp_path / "later", provider="openai", model="gpt-4o")
    thunk = backend.generate("Say hello.")
    write(tmp_path / "later", "here now")
    assert await thunk == "here now"


async def test_model_of_the_request(tmp_path: Path) -> None:
    """The model of the request comes before the backend's, an empty one included."""
    for model in ("", "gpt-4o", "o3"):
        write(tmp_path, f"by {model!r}", ("openai", model, "Hi"))
    backend = TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o")
    answers = [await backend.generate("Hi", **options) for options in ({}, {"model": "o3"}, {"model": ""})]
    assert answers == ["by 'gpt-4o'", "by 'o3'", "by ''"]


async def test_prompt_of_several_parts(tmp_path: Path) -> None:
    """The text parts of the only user message are joined; a thunk among them gives its text."""
    write(tmp_path, "joined")
    backend = TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o")
    assert await backend.generate(["Say ", mellite.generate(Constant("hello."), "x")]) == "joined"
    assert await backend.generate([Message.user("Say ", "hello.")]) == "joined"


async def test_options_change_nothing(backend: TextCassetteBackend) -> None:
    """How to sample is not part of the key, so code that sets it runs against text cassettes unchanged."""
    options: dict[str, Any] = {"temperature": 0.2, "max_tokens": 1, "seed": 7, "stop": ["o"], "cache": "none"}
    assert await backend.generate("Say hello.", **options, timeouts=mellite.Timeouts(total=1)) == "Hello, world!"


async def test_larger_requests(tmp_path: Path) -> None:
    """A request that is more than one message of the user has an answer of its own, under the key of its rendering."""
    asked: list[tuple[Any, dict[str, Any]]] = [
        ("Say hello.", {"system": "Be brief."}),
        ([Message.user("a"), Message.assistant("b"), Message.user("c")], {}),
        (["What?", Image(url="https://example.com/a.png")], {}),
        ("Say hello.", {"tools": [ToolDefinition("look")]}),
        ("Say hello.", {"provider_options": {"openai": {"x": 1}}}),
        ("Say hello.", {"output": int}),
    ]
    for number, (prompt, options) in enumerate(asked):
        write(tmp_path, str(number), ("openai", "", render(Request.of(prompt, **options))))
    backend = TextCassetteBackend(tmp_path, provider="openai")
    answers = [await backend.generate(prompt, **options) for prompt, options in asked]
    assert answers == ["0", "1", "2", "3", "4", 5]


async def test_larger_requests_that_are_not_recorded(backend: TextCassetteBackend) -> None:
    """Where only the plain prompt was recorded, a larger request misses: that answer was to another question."""
    thunk = await backend.generate("Say hello.", system="Be brief.").settle()
    assert isinstance(thunk.error, CassetteMiss)
    assert 'no text cassette for \'system:\\n  "Be brief."\\nuser:' in str(thunk.error)


async def test_additions_to_the_http_request(backend: TextCassetteBackend) -> None:
    """Raw additions for the provider may be dropped by leave, what is asked may not."""
    http = HttpOptions(body={"n": 2})
    with pytest.raises(UnsupportedOption) as caught:
        await backend.generate("Say hello.", http=http)
    assert caught.value.option == "http"
    options: dict[str, Any] = {"http": http, "provider_options": {"openai": {"x": 1}}, "drop_unsupported": True}
    assert await backend.generate("Say hello.", **options) == "Hello, world!"
    with pytest.raises(CassetteMiss):
        await backend.generate("Say hello.", system="Be brief.", drop_unsupported=True)


async def test_what_a_text_cannot_hold(tmp_path: Path) -> None:
    """Tool calls, why it ended, a refusal and the model that answered are in the sidecar, and replayed."""
    calls = [{"id": "call_1", "name": "look", "arguments": {"at": 1}, "raw_arguments": '{"at": 1}'}]
    more = {"finish_reason": "tool-calls", "response_model": "gpt-4o-2024-08-06", "refusal": "no"}
    write(tmp_path, "Looking.", tool_calls=calls, **more)
    thunk = await TextCassetteBackend(tmp_path, provider="openai", model="gpt-4o").generate("Say hello.").settle()
    assert thunk.tool_calls == (ToolCall("call_1", "look", {"at": 1}, raw_arguments='{"at": 1}'),)
    facts = thunk.generation
    assert (facts.finish_reason, facts.response_model, facts.refusal) == ("tool-calls", "gpt-4o-2024-08-06", "no")


async def test_directory_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument counts first, then MELLITE_CASSETTE_DIR, then MOCHI_LLM_CASSETTE_DIR, each as it is now."""
    for name in ("argument", "ours", "theirs"):
        write(tmp_path / name, name)
    backend = TextCassetteBackend(provider="openai", model="gpt-4o")
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_DIR", str(tmp_path / "theirs"))
    assert await backend.generate("Say hello.") == "theirs"
    monkeypatch.setenv("MELLITE_CASSETTE_DIR", str(tmp_path / "ours"))
    assert await backend.generate("Say hello.") == "ours"
    given = TextCassetteBackend(str(tmp_path / "argument"), provider="openai", model="gpt-4o")
    assert await given.generate("Say hello.") == "argument"


async def test_no_directory() -> None:
    """Without a directory the error names both variables; making the thunk is not an error."""
    thunk = TextCassetteBackend(provider="openai").generate("Say hello.")
    with pytest.raises(ConfigurationError, match="neither MELLITE_CASSETTE_DIR nor MOCHI_LLM_CASSETTE_DIR is set"):
        await thunk


async def test_miss(backend: TextCassetteBackend) -> None:
    """A miss fails the thunk, with the nearest recorded prompt in its words."""
    thunk = await backend.generate("Say hullo.").settle()
    assert isinstance(thunk.error, CassetteMiss)
    assert f"key {djb2_key('openai', 'gpt-4o', 'Say hullo.')}" in str(thunk.error)
    assert "the nearest recorded: 'Say hello.' (provider 'openai', model 'gpt-4o')" in str(thunk.error)
    assert (thunk.state, thunk.partial) == ("failed", "")


async def test_a_miss_among_many_does_not_hold_up_others(tmp_path: Path) -> None:
    """The nearest of many prompts is looked for while other tasks go on, and is found."""
    directory = TextDirectory(tmp_path)
    for number in range(200):
        directory.record("x", Sidecar("openai", "", prompt=f"Summarise chapter {number} of the book. " + "abc " * 40))
    backend = TextCassetteBackend(str(tmp_path), provider="openai")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await anyio.lowlevel.checkpoint()
        before = turns
        thunk = await backend.generate("Summarise chapter 77 of my book. " + "abc " * 40).settle()
        group.cancel_scope.cancel()
    assert "chapter 77 of the book" in str(thunk.error)
    assert turns - before > 20  # a miss that holds up the loop leaves some five turns around it


async def test_copies_and_gather(backend: TextCassetteBackend) -> None:
    """Copies of a thunk are answered each on its own, all alike."""
    thunks = await mellite.gather(*backend.generate("Say hello.").resample(20))
    assert [thunk.value for thunk in thunks] == ["Hello, world!"] * 20


async def test_pickled_by_its_configuration(backend: TextCassetteBackend) -> None:
    """A copy or a pickle of the backend has the same directory, provider and model, and answers alike."""
    for again in (pickle.loads(pickle.dumps(backend)), copy.deepcopy(backend)):
        assert (again.directory, again.provider, again.model) == (backend.directory, "openai", "gpt-4o")
        assert await again.generate("Say hello.") == "Hello, world!"


@pytest.mark.parametrize(
    ("directory", "options"), [(5, {}), (b"x", {}), ("", {}), ("x", {"provider": None}), ("x", {"model": 4})]
)
async def test_wrong_arguments(directory: Any, options: dict[str, Any]) -> None:
    """An argument of the wrong type is refused when the backend is made."""
    with pytest.raises(ConfigurationError):
        TextCassetteBackend(directory, **options)
