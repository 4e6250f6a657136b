"""TextCassetteBackend with a live backend: what is passed on, what is recorded, when, and when not."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite import Message
from mellite.backends import Constant, Failing, LiveBackend, Scripted, TextCassetteBackend
from mellite.cassettes import ScriptedTransport, TextDirectory, djb2_key
from mellite.errors import (
    CassetteError,
    CassetteMismatch,
    CassetteMiss,
    ConfigurationError,
    ConnectionLost,
    InvalidCassette,
    RecordingForbidden,
    UnsafeCassette,
)
from mellite.events import Event, Finish, ReasoningDelta, ResponseStart, TextDelta, ToolCallEvent
from mellite.messages import ToolCall
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.values.usage import Usage
from tests.cli.programs import chat_answer

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of the machine takes part."""
    for name in ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR", "RECORD", "MOCHI_LLM_CASSETTE_RECORD", "CI"):
        monkeypatch.delenv(name, raising=False)
    return


def recording(directory: Path, live: Any, mode: Any = "new_episodes", **options: Any) -> TextCassetteBackend:
    """A backend that records what another one answers."""
    return TextCassetteBackend(directory, provider="openai", live=live, mode=mode, **options)


def names(directory: Path) -> list[str]:
    """The files in a directory, which need not be there."""
    return sorted(os.listdir(directory)) if directory.exists() else []


async def test_recorded_and_replayed(tmp_path: Path) -> None:
    """What was asked live is answered from the file ever after, in the same chunks, with usage, calls and reasons."""
    usage = Usage.of(input_tokens=3, output_tokens=4)
    call = ToolCall("call_1", "look", {"at": 1}, raw_arguments='{"at": 1}')
    events: list[Event] = [
        ResponseStart(provider="openai", model="gpt-4o", response_model="gpt-4o-2024"),
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallEvent(call),
        Finish("tool-calls", usage=usage, refusal="no"),
    ]
    live = Scripted([events])
    backend = recording(tmp_path, live)
    first = await backend.generate("Say hello.").settle()
    second = await backend.generate("Say hello.").settle()
    assert live.calls == 1
    for thunk in (first, second):
        assert [delta async for delta in thunk] == ["Hel", "lo"]
        assert (thunk.tool_calls, thunk.generation.usage) == ((call,), usage)
        facts = thunk.generation
        assert (facts.finish_reason, facts.refusal, facts.response_model) == ("tool-calls", "no", "gpt-4o-2024")
    assert (first.thinking, second.thinking) == ("hm", None)
    assert (first.generation.replayed, second.generation.replayed) == (False, True)
    assert (tmp_path / f"{djb2_key('openai', '', 'Say hello.')}.txt").read_bytes() == b"Hello\n"


async def test_over_a_real_protocol(tmp_path: Path) -> None:
    """A provider's stream is recorded as text with its chunks; the recorded model stays the one of the key."""
    transport = ScriptedTransport([chat_answer("Hello there!")])
    live = LiveBackend(find("openai-chat:gpt-4o-mini", api_key="sk-test"), transport=transport)
    backend = recording(tmp_path, live)
    assert await backend.generate("Say hello.") == "Hello there!"
    sidecar = json.loads((tmp_path / names(tmp_path)[0]).read_bytes())
    assert (sidecar["provider"], sidecar["model"], sidecar["prompt"]) == ("openai", "", "Say hello.")
    assert (sidecar["chunks"], sidecar["response_model"]) == (["Hello there!"], "gpt-4o-mini-2024-07-18")
    assert sidecar["usage"]["input_tokens"] == 1000
    assert json.loads(transport.requests[0].body)["model"] == "gpt-4o-mini"


async def test_the_model_of_the_key_is_asked(tmp_path: Path) -> None:
    """The live backend is asked for the model of the key: the backend's, or the one of the call; else for its own."""
    live = Scripted(["a", "b", "c"])
    backend = recording(tmp_path, live, model="gpt-4o")
    await backend.generate("x")
    await backend.generate("x", model="gpt-5")
    await recording(tmp_path, live).generate("x")
    assert [request.model for request in live.requests] == ["gpt-4o", "gpt-5", None]
    directory = TextDirectory(tmp_path)
    assert [directory.read("openai", model, "x").text for model in ("gpt-4o", "gpt-5", "")] == ["a", "b", "c"]


class Stepwise:
    """A backend that says when it is pulled, and is closed or not."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.go_on = anyio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Two pieces, with a wait in between."""
        try:
            yield TextDelta("one ")
            await self.go_on.wait()
            yield TextDelta("two")
            yield Finish("stop")
        finally:
            self.said.append("closed")


async def test_nothing_is_held_back(tmp_path: Path) -> None:
    """A piece is handed on before the next is there, and the file is there before the end is."""
    live = Stepwise()
    thunk = recording(tmp_path, live).generate("Say hello.")
    with anyio.fail_after(5):
        async for delta in thunk:
            if delta == "one ":
                assert names(tmp_path) == []
                live.go_on.set()
    assert (len(names(tmp_path)), live.said) == (2, ["closed"])


async def test_stored_before_its_end_is_handed_on(tmp_path: Path) -> None:
    """Whoever sees that an answer is complete finds it in the file."""
    (tmp_path / "5.txt.tmp").write_text("left by a writer that died")
    events = recording(tmp_path, Scripted([["Hel", "lo"]])).generate("Say hello.").events()
    while not isinstance(await anext(events), Finish):
        assert len(names(tmp_path)) < 2
    assert TextDirectory(tmp_path).read("openai", "", "Say hello.").chunks == ("Hel", "lo")
    assert len(names(tmp_path)) == 2
    assert [event async for event in events] == []


class Pieces:
    """A stream of events that is not a generator, and closed only by whoever reads it."""

    def __init__(self) -> None:
        self.closed = False

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Itself."""
        return self

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return TextDelta("more ")

    async def aclose(self) -> None:
        """The end."""
        self.closed = True


async def test_a_stream_that_is_no_generator(tmp_path: Path) -> None:
    """The live stream is closed when the reader goes away, whatever it is made of."""
    live = Pieces()
    async with recording(tmp_path, live).generate("Say hello.") as thunk:
        async for _ in thunk:
            break
    assert live.closed
    assert names(tmp_path) == []


async def test_cancelled_and_broken_are_not_recorded(tmp_path: Path) -> None:
    """An answer that is cancelled, breaks off, fails or never ends is in no file, and the live one is closed."""
    live = Stepwise()
    async with recording(tmp_path, live).generate("Say hello.") as thunk:
        async for _ in thunk:
            break
    assert live.said == ["closed"]
    for broken in (
        Failing(ConnectionLost("gone"), after=1),
        Scripted([[TextDelta("half")]]),
        Scripted([[TextDelta("x"), Finish("error")]]),
    ):
        await recording(tmp_path, broken).generate("Say hello.").settle()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("mode", "calls", "kept"),
    [("none", 0, "old"), ("once", 1, "old"), ("new_episodes", 1, "old"), ("all", 3, "new 1"), ("rewrite", 3, "new 1")],
)
async def test_modes(tmp_path: Path, mode: Any, calls: int, kept: str) -> None:
    """What is there is replayed or replaced, and what is not is a miss or recorded, as the mode says."""
    TextDirectory(tmp_path).record("old", mellite.cassettes.Sidecar("openai", "", prompt="known"))
    live = Scripted([f"new {number}" for number in range(1, 4)])
    backend = recording(tmp_path, live, mode)
    known = await backend.generate("known").settle()
    unknown = await backend.generate("unknown").settle()
    again = await backend.generate("unknown").settle()
    assert live.calls == calls
    assert TextDirectory(tmp_path).read("openai", "", "known").text == known.value == kept
    if mode == "none":
        assert isinstance(unknown.error, CassetteMiss)
    else:
        assert TextDirectory(tmp_path).read("openai", "", "unknown").text == again.value


async def test_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mode the environment decides, each time anew; a mode that was given comes first; CI only replays."""
    live = Scripted(["one", "two", "three"])
    backend = recording(tmp_path, live, None)
    assert isinstance((await backend.generate("a").settle()).error, CassetteMiss)
    monkeypatch.setenv("MOCHI_LLM_CASSETTE_RECORD", "1")
    assert (await backend.generate("a"), await backend.generate("a")) == ("one", "one")
    monkeypatch.setenv("RECORD", "true")
    assert await backend.generate("a") == "two"
    monkeypatch.setenv("CI", "true")
    assert isinstance((await backend.generate("a").settle()).error, RecordingForbidden)
    assert await recording(tmp_path, live, "new_episodes").generate("a") == "two"
    assert isinstance((await recording(tmp_path, live).generate("b").settle()).error, CassetteMiss)
    assert live.calls == 2
    assert await recording(tmp_path, live, even_in_ci=True).generate("b") == "three"


async def test_wrong_mode(tmp_path: Path) -> None:
    """A mode that is none is told with the nearest that is, and nothing is sent."""
    live = Constant("x")
    with pytest.raises(ConfigurationError, match="did you mean 'new_episodes'"):
        await recording(tmp_path, live, "new_episode").generate("a")


async def test_collision(tmp_path: Path) -> None:
    """Another call with the same key is refused before anything is sent, in every mode that records."""
    one, other = "Is the answer 0c?", "Is the answer 1B?"
    live = Scripted(["of one"])
    await recording(tmp_path, live, model="gpt-4o").generate(one)
    for mode in ("new_episodes", "rewrite"):
        with pytest.raises(CassetteMismatch):
            await recording(tmp_path, live, mode, model="gpt-4o").generate(other)
    assert live.calls == 1


async def test_damaged_is_not_replaced(tmp_path: Path) -> None:
    """Where the file is damaged nothing is sent and nothing written, in every mode that records."""
    path = tmp_path / f"{djb2_key('openai', '', 'a')}.txt"
    path.write_bytes(b"\xff")
    for mode in ("new_episodes", "rewrite"):
        with pytest.raises(InvalidCassette):
            await recording(tmp_path, Constant("x"), mode).generate("a")
    assert path.read_bytes() == b"\xff"


async def test_a_secret_is_not_recorded_but_answered(tmp_path: Path) -> None:
    """The caller gets the live answer though no file may hold it; the end of the recording says why."""
    key = "sk-" + "abcdefghijklmnopqrstuvwxyz"
    backend = recording(tmp_path, Constant(f"It is {key}."))
    assert await backend.generate("a") == f"It is {key}."
    assert names(tmp_path) == []
    (problem,) = backend.problems
    assert isinstance(problem, UnsafeCassette)
    assert key not in str(problem)
    with pytest.raises(UnsafeCassette):
        async with backend:
            pass
    await backend.aclose()


async def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A directory that cannot be is told at the end, and the caller gets the live answer."""
    (tmp_path / "file").write_text("x")
    backend = recording(tmp_path / "file" / "below", Constant("hello"))
    assert await backend.generate("a") == "hello"
    assert isinstance(backend.problems[0], CassetteError)


async def test_larger_requests_and_compression(tmp_path: Path) -> None:
    """A conversation is recorded under its rendering; the files are compressed on request."""
    history = [Message.user("a"), Message.assistant("b"), Message.user("c")]
    backend = recording(tmp_path, Scripted(["answer"]), compression="gzip")
    assert [await backend.generate(history, system="Be brief.") for _ in range(2)] == ["answer", "answer"]
    assert [name.partition(".")[2] for name in names(tmp_path)] == ["json.gz", "txt.gz"]
    assert await TextCassetteBackend(tmp_path, provider="openai").generate(history, system="Be brief.") == "answer"


async def test_copies(tmp_path: Path) -> None:
    """Of twenty copies that are asked at once the first that ends is recorded, and everybody has its own answer."""
    live = Scripted([f"answer {number}" for number in range(20)])
    thunks = await mellite.gather(*recording(tmp_path, live).generate("a").resample(20))
    assert sorted([str(thunk.value) for thunk in thunks]) == sorted([f"answer {number}" for number in range(20)])
    assert TextDirectory(tmp_path).read("openai", "", "a").text in {thunk.value for thunk in thunks}
    assert len(names(tmp_path)) == 2
