"""Whole answers are kept and given again for the same request, from memory or from a file."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite.backends import Constant, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConnectionLost, InvalidRequest, ProviderInternal
from mellite.events import (
    Event,
    Finish,
    RawChunk,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepFinish,
    TextDelta,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputStart,
    ToolResultEvent,
    Usage,
)
from tests.backends.wrappers.clocks import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where answers are kept."""
    return None if request.param == "memory" else tmp_path / "answers.sqlite"


def counting(*answers: Any) -> Scripted:
    return Scripted(list(answers) or [f"answer {number}" for number in range(20)])


USAGE = Usage.of(input_tokens=5, output_tokens=2, raw={"prompt_tokens": 5})
EVENTS: list[Event] = [
    ResponseStart(provider="p", model="m", headers={"x": "y"}, request_body={"a": [1, None]}, repairs=("one",)),
    RawChunk(b'{"x": "\xc3\xa9"}'),
    RawChunk(b"\xff\x00"),
    ReasoningStart("r", provider_metadata={"p": {"k": "v"}}),
    ReasoningDelta("hm", "r"),
    ReasoningEnd("r"),
    TextDelta("Hel"),
    TextDelta("lo \U0001f600 \ud83d"),
    ToolInputStart("1", "look_up"),
    ToolInputDelta("1", "look_up", '{"q": 1}'),
    ToolInputEnd("1", "look_up"),
    ToolCallEvent(mellite.ToolCall("1", "look_up", {"q": 1})),
    ToolResultEvent(mellite.ToolResult("1", "look_up", mellite.ToolValue("text", "found"))),
    StepFinish(0, usage=USAGE),
    Finish("tool-calls", raw_reason="tool_use", usage=USAGE, response={"id": "x"}),
]


async def test_the_same_request_is_asked_once(path: Path | None) -> None:
    inside = counting()
    async with mellite.Cached(inside, path) as backend:
        first, again = backend.generate("Hi."), backend.generate("Hi.")
        assert [await first, await again] == ["answer 0"] * 2
        assert (first.generation.replayed, again.generation.replayed) == (False, True)
        assert again.generation.attempts == 0
        assert await backend.generate("Hi.", temperature=0) == "answer 1"
        assert await backend.generate("Hi.", model="other") == "answer 2"
        assert await backend.generate("Hi.", system="Be brief.") == "answer 3"
        assert await backend.generate("Hi.", tools=[TOOL]) == "answer 4"
        assert await backend.generate("Hi.") == "answer 0"
    assert inside.calls == 5


TOOL = mellite.ToolDefinition("look_up", "Look something up.")


async def test_copies_are_there_to_be_different(path: Path | None) -> None:
    async with mellite.Cached(counting(), path) as backend:
        for _ in range(2):
            thunk = backend.generate("Hi.")
            texts = [await each for each in (thunk, *thunk.resample(2))]
            assert texts == ["answer 0", "answer 1", "answer 2"]


async def test_an_answer_comes_again_in_the_same_pieces(path: Path | None) -> None:
    async with mellite.Cached(Scripted([EVENTS]), path) as backend:
        thunk, again = backend.generate("Hi."), backend.generate("Hi.")
        events = [event async for event in thunk.events()]
        kept = [event async for event in again.events()]
        assert kept[1:] == events[1:]
        assert again.generation.usage == USAGE
        assert again.tool_calls == thunk.tool_calls
        assert again.message == thunk.message
        assert again.thinking == "hm"


async def never(request: mellite.Request) -> str:
    """Answer nothing."""
    await anyio.sleep_forever()
    return "never"


async def test_partial_and_failed_answers_are_not_kept(path: Path | None) -> None:
    inside = counting(
        ProviderInternal("down"),
        ["Hel", ConnectionLost("reset")],
        [TextDelta("Hel")],
        [TextDelta("Hel"), Finish("error")],
        "Hello.",
    )
    async with mellite.Cached(inside, path) as backend:
        for _ in range(4):
            await backend.generate("Hi.").settle()
        assert await backend.generate("Hi.") == "Hello."
        assert await backend.generate("Hi.") == "Hello."
    async with mellite.Cached(Scripted([never, "Hello."]), path) as backend:
        with anyio.move_on_after(0.01):
            await backend.generate("Cancelled.")
        thunk = backend.generate("Cancelled.")
        await thunk
        assert not thunk.generation.replayed


async def test_an_answer_is_good_for_so_long(path: Path | None) -> None:
    clock = FakeClock()
    async with mellite.Cached(counting(), path, ttl=60, clock=clock) as backend:
        assert await backend.generate("Hi.") == "answer 0"
        clock.time += 59
        assert await backend.generate("Hi.") == "answer 0"
        clock.time += 2
        assert await backend.generate("Hi.") == "answer 1"
        assert await backend.generate("Hi.") == "answer 1"


OK = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}'


def live(spec: str = "openai-chat:m", key: str = "sk-sentinel-4711", **options: Any) -> mellite.Backend:
    return mellite.backend(spec, api_key=key, transport=ScriptedTransport([OK] * 3), **options)


async def test_what_is_sent_and_where_to_make_a_request_and_the_key_does_not(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"

    async def is_kept(backend: mellite.Backend) -> bool:
        async with mellite.Cached(backend, path) as cached:
            thunk = cached.generate("Hi.")
            await thunk
        return thunk.generation.replayed

    assert not await is_kept(live())
    assert await is_kept(live())
    assert await is_kept(live(key="another-key-0815"))
    assert not await is_kept(live(temperature=0.5))
    assert not await is_kept(live("openai-chat:other"))
    assert not await is_kept(live(base_url="https://example.com/v1"))
    assert not await is_kept(live(stream=False))
    assert await is_kept(live(stream=False))
    check_files(tmp_path)


async def test_a_whole_answer_of_text_comes_again(path: Path | None) -> None:
    """Whether anybody looked at it or not, it is the same again, but for who gave it."""
    limited = mellite.RateLimit(live(), tokens_per_minute=10**6)
    async with mellite.Cached(limited, path) as backend:
        first, *again = [backend.generate("Hi.", stream=False) for _ in range(3)]
        assert [await first, *[await thunk for thunk in again]] == ["Hello!"] * 3
        for thunk in again:
            made, known = thunk.generation, first.generation
            assert (made.replayed, made.attempts, known.replayed, known.attempts) == (True, 0, False, 1)
            assert (made.usage, made.model, made.finish_reason) == (known.usage, "m", "stop")
            assert thunk.raw.response == first.raw.response
            assert thunk.raw.request_body == first.raw.request_body


async def test_a_request_that_is_not_sent_is_not_kept() -> None:
    """Once it has been answered from what is kept, a request is freed with its thunk."""
    async with mellite.Cached(live()) as backend:
        for _ in range(3):
            assert await backend.generate("Kept by nobody.", stream=False) == "Hello!"
        await anyio.lowlevel.checkpoint()
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is mellite.Request]
        assert not any(each.text == "Kept by nobody." for each in kept)


def check_files(folder: Path) -> None:
    """Nothing but the caller may read them, and no key is in them."""
    for file in folder.iterdir():
        assert b"4711" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_caches_of_one_process_share_a_file_with_others(tmp_path: Path) -> None:
    """A second cache that opens the file takes no lock of the first away: what that keeps later is there for all."""
    path = tmp_path / "answers.sqlite"
    code = """
import mellite, sys
from mellite.backends import Scripted
backend = mellite.Cached(Scripted([sys.argv[3]]), sys.argv[1])
print(backend.generate(sys.argv[2]).result())
    """

    def elsewhere(prompt: str, answer: str) -> str:
        command = [sys.executable, "-c", code, str(path), prompt, answer]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first, second = [mellite.Cached(Scripted(["here", "here, too"]), path) for _ in range(2)]
    assert first.generate("one").result() == "here"
    assert second.generate("one").result() == "here"
    assert elsewhere("two", "there") == "there\n"
    assert first.generate("three").result() == "here, too"
    assert elsewhere("three", "not kept") == "here, too\n"


@pytest.mark.slow
def test_a_file_is_kept_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    code = (
        "import mellite, sys; backend = mellite.Cached(mellite.backends.Constant(sys.argv[2]), sys.argv[1]);"
        "print(backend.generate('Hi.').result())"
    )
    said = [
        subprocess.run([sys.executable, "-c", code, path, "same"], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said == ["same\n"] * 2
    thunk = mellite.Cached(Constant("same"), path).generate("Hi.")
    thunk.result()
    assert thunk.generation.replayed


@pytest.mark.parametrize("how", ["del backend", "backend.itself = backend; del backend; gc.collect()", "pass"])
def test_a_file_is_closed_with_the_cache(tmp_path: Path, how: str) -> None:
    """One that is dropped, one that is part of a cycle, and one that there is at the end: no warning, and all is kept.

    From 3.13 on Python warns of a database that nobody closed.
    """
    code = """
import gc, mellite, sys
backend = mellite.Cached(mellite.backends.Constant("kept"), sys.argv[1])
print(backend.generate("Hi.").result())
    """
    command = [sys.executable, "-W", "error", "-c", f"{code}\n{how}", str(tmp_path / "answers.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("kept\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["answers.sqlite"]  # SQLite has put its own files away


async def test_a_file_that_is_no_cache_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_text("This is a letter, and no database at all. " * 100)
    with caplog.at_level(logging.WARNING):
        async with mellite.Cached(counting(), path) as backend:
            assert await backend.generate("Hi.") == "answer 0"
            assert await backend.generate("Hi.") == "answer 1"
    assert len(caplog.records) == 1
    assert "cannot be used" in caplog.text
    assert path.read_text().startswith("This is a letter")
    async with mellite.Cached(counting(), tmp_path / "nowhere" / "answers.sqlite") as backend:
        assert await backend.generate("Hi.") == "answer 0"


def test_it_may_be_used_from_many_loops_and_a_fork(tmp_path: Path) -> None:
    backend = mellite.Cached(counting(), tmp_path / "answers.sqlite")
    assert backend.generate("Hi.").result() == "answer 0"

    async def again() -> str:
        return await backend.generate("Hi.")

    assert anyio.run(again) == anyio.run(again, backend="trio") == "answer 0"
    anyio.run(backend.aclose)
    assert backend.generate("Hi.").result() == "answer 0"
    anyio.run(backend.aclose)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "60", True])
def test_a_time_that_makes_no_sense_is_refused(ttl: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mellite.Cached(Constant("x"), ttl=ttl)
    assert caught.value.parameter == "ttl"


def test_it_is_pickled_by_its_arguments(tmp_path: Path) -> None:
    backend = mellite.Cached(Constant("x"), tmp_path / "answers.sqlite", ttl=60)
    again = pickle.loads(pickle.dumps(backend))
    assert repr(again) == repr(backend)
    assert os.fspath(tmp_path) in repr(again)
    assert again.generate("Hi.").result() == "x"
    anyio.run(again.aclose)
