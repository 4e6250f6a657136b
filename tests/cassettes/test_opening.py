"""use(): replay a file, record it, or both, as the mode and the environment say."""

from __future__ import annotations

import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite.cassettes import ScriptedTransport, load_cassette, use
from mellite.errors import (
    CassetteMismatch,
    CassetteMiss,
    ConfigurationError,
    ConnectionLost,
    InvalidCassette,
    InvalidCassetteName,
    RecordingForbidden,
    UnsafeCassette,
)
from mellite.wire.http import HttpRequest, Transport

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/chat"


def asked(question: str, *lineage: int) -> HttpRequest:
    """A request as a route makes it."""
    context = {"provider": "openai", "protocol": "openai-chat", "model": "gpt-4o-mini", "lineage": lineage}
    headers = {"content-type": "application/json", "authorization": "Bearer live-secret-0123456789"}
    return HttpRequest("POST", URL, headers=headers, body=json.dumps({"q": question}).encode(), context=context)


async def answer(transport: Transport, question: str = "q", *lineage: int) -> str:
    """The whole answer to a question."""
    response = await transport.open(asked(question, *lineage))
    body = b""
    try:
        while piece := await response.read():
            body += piece
    finally:
        await response.aclose()
    return body.decode()


def live(*answers: Any) -> ScriptedTransport:
    """A provider."""
    return ScriptedTransport(answers)


async def recorded(path: Path, *answers: str) -> None:
    """Make a cassette with these answers to the questions 0, 1, 2 ..."""
    async with use(path, mode="all", live=live(*answers), environment={}) as transport:
        for number, expected in enumerate(answers):
            assert await answer(transport, str(number)) == expected


def answers_in(path: Path) -> list[str]:
    """The answers in a cassette file."""
    return [one.response.body.text for one in load_cassette(path).http]


def names_in(folder: Path) -> list[str]:
    """The files in a folder."""
    return [entry.name for entry in folder.iterdir()]


async def test_none_only_replays(tmp_path: Path) -> None:
    """Without a mode a cassette is replayed, a miss opens nothing, and says how to record."""
    path = tmp_path / "case.json"
    with pytest.raises(
        CassetteMiss, match=r"there is no cassette .*case\.json'; to record it, run this with RECORD=true"
    ):
        use(path, environment={})
    await recorded(path, "a")
    before = path.read_bytes()
    script = live("never")
    async with use(path, live=script, environment={}) as transport:
        assert (transport.mode, await answer(transport, "0")) == ("none", "a")
        with pytest.raises(CassetteMiss, match=r"its only interaction was used(.|\n)*to record it"):
            await answer(transport, "1")
    assert (script.requests, path.read_bytes()) == ([], before)
    assert names_in(tmp_path) == ["case.json"]


def test_without_await(tmp_path: Path) -> None:
    """A plain ``with`` records and replays for code without await; an error in it leaves what is to be replaced."""
    path = tmp_path / "case.json"
    said = '{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'
    for mode, provider in (("all", live(said)), ("none", None)):
        with use(path, mode=mode, live=provider, environment={}) as transport:  # type: ignore[arg-type]
            backend = mellite.backend("openai-chat:gpt-4o", api_key="sk-test", transport=transport)
            assert backend.generate("Hi.").result() == "Hello."
        assert answers_in(path) == [said]
    assert names_in(tmp_path) == ["case.json"]

    def go_wrong() -> None:
        with use(path, mode="rewrite", live=live("other"), environment={}) as transport:
            anyio.run(answer, transport)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_wrong()
    assert answers_in(path) == [said]


async def test_once_records_where_there_is_none(tmp_path: Path) -> None:
    """The first run records, every other one replays, and what is new then is a miss."""
    path = tmp_path / "folder" / "case.json"
    async with use(path, mode="once", live=live("a", "b"), environment={}) as transport:
        assert [await answer(transport, "0"), await answer(transport, "1")] == ["a", "b"]
        assert (transport.used, transport.recorded) == (0, 2)
    async with use(path, mode="once", live=live("c"), environment={}) as transport:
        assert [await answer(transport, "0"), await answer(transport, "1")] == ["a", "b"]
        with pytest.raises(CassetteMiss):
            await answer(transport, "2")
        transport.check_used()


async def test_new_episodes_records_what_is_missing(tmp_path: Path) -> None:
    """What is recorded is replayed, the rest is asked for and added."""
    path = tmp_path / "case.json"
    async with use(path, mode="new_episodes", match="pool", live=live("a"), environment={}) as transport:
        assert await answer(transport, "0") == "a"
    script = live("b")
    async with use(path, mode="new_episodes", match="pool", live=script, environment={}) as transport:
        assert [await answer(transport, question) for question in ("1", "0")] == ["b", "a"]
        assert (transport.used, transport.recorded) == (1, 1)
    assert len(script.requests) == 1
    assert answers_in(path) == ["a", "b"]


async def test_the_twenty_first_copy(tmp_path: Path) -> None:
    """Of twenty recorded copies and one more, only that one is asked for and recorded, whatever the order."""
    path = tmp_path / "case.json"
    answers = [str(number) for number in range(20)]
    async with use(path, mode="once", match="keyed", live=live(*answers), environment={}) as transport:
        assert [await answer(transport, "q", number) for number in range(20)] == answers
    async with use(path, mode="new_episodes", match="keyed", live=live("new"), environment={}) as transport:
        found = [await answer(transport, "q", number) for number in range(20, -1, -1)]
        assert (found, transport.recorded) == (["new", *reversed(answers)], 1)
    async with use(path, match="keyed", environment={}) as transport:
        assert await answer(transport, "q", 20) == "new"


async def test_all_is_always_live_and_appended(tmp_path: Path) -> None:
    """With all every request is sent, and what comes is added to what is there."""
    path = tmp_path / "case.json"
    await recorded(path, "a", "b")
    await recorded(path, "c")
    assert answers_in(path) == ["a", "b", "c"]


async def test_rewrite_replaces_when_it_ended_well(tmp_path: Path) -> None:
    """A recording that goes wrong leaves the old cassette; one that ends well replaces it."""
    path = tmp_path / "case.json"
    await recorded(path, "old")
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        await rewritten(path, fails=True)
    assert path.read_bytes() == before
    await rewritten(path)
    assert answers_in(path) == ["new"]
    assert names_in(tmp_path) == ["case.json"]


async def rewritten(path: Path, *, fails: bool = False) -> None:
    """Record anew; the old answers are there until it has ended."""
    async with use(path, mode="rewrite", live=live("new"), environment={}) as transport:
        assert await answer(transport) == "new"
        assert answers_in(path) == ["old"]
        if fails:
            _ = 1 / 0


async def test_nothing_recorded_changes_nothing(tmp_path: Path) -> None:
    """A recording without a request writes no file and replaces none."""
    path = tmp_path / "case.json"
    async with use(path, mode="rewrite", live=live(), environment={}):
        pass
    assert names_in(tmp_path) == []


async def test_what_a_cassette_says_of_itself(tmp_path: Path) -> None:
    """A new cassette has its name, when, from whom and how it was recorded, and what else is given."""
    async with use(
        "group/case",
        directory=tmp_path,
        mode="once",
        live=live("a"),
        environment={},
        metadata={"tags": ["tool"], "note": "mine"},
    ) as transport:
        await answer(transport)
    said = dict(load_cassette(tmp_path / "group" / "case.json").metadata or {})
    assert said.pop("recordedAt").endswith("Z")
    assert said == {
        "name": "group/case",
        "transport": "http",
        "provider": "openai",
        "protocol": "openai-chat",
        "model": "gpt-4o-mini",
        "tags": ["provider:openai", "protocol:openai-chat", "tool"],
        "note": "mine",
    }


@pytest.mark.parametrize("name", ["../case", "/case", "a/../../case", ""])
async def test_names_stay_in_the_directory(tmp_path: Path, name: str) -> None:
    """With a directory the name cannot lead out of it, recording or not."""
    with pytest.raises(InvalidCassetteName):
        use(name, directory=tmp_path / "inside", mode="all", environment={})
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2, "interactions": []}', b"\x00\x01"])
@pytest.mark.parametrize("mode", ["none", "once", "new_episodes", "all", "rewrite"])
async def test_damaged_files_are_never_overwritten(tmp_path: Path, mode: Any, content: bytes) -> None:
    """A damaged cassette is an error in every mode, before anything is sent, and stays as it is."""
    path = tmp_path / "case.json"
    path.write_bytes(content)
    script = live("never")
    with pytest.raises(InvalidCassette):
        await answer(use(path, mode=mode, live=script, environment={}))
    assert (script.requests, path.read_bytes()) == ([], content)


async def test_ci_never_records(tmp_path: Path) -> None:
    """With CI=true once and new_episodes replay, all and rewrite are refused, and nothing is sent."""
    path = tmp_path / "case.json"
    await recorded(path, "a")
    script = live("never")
    for mode in ("once", "new_episodes"):
        transport = use(path, mode=mode, live=script, environment={"CI": "true"})  # type: ignore[arg-type]
        assert (transport.mode, await answer(transport, "0")) == ("none", "a")
        with pytest.raises(CassetteMiss, match="CI=true forbids both"):
            await answer(transport, "1")
    for mode in ("all", "rewrite"):
        with pytest.raises(RecordingForbidden):
            use(path, mode=mode, live=script, environment={"CI": "true"})  # type: ignore[arg-type]
    with pytest.raises(RecordingForbidden):
        use(path, live=script, environment={"CI": "true", "RECORD": "true"})
    assert script.requests == []
    async with use(path, mode="all", live=live("b"), environment={"CI": "true"}, even_in_ci=True) as transport:
        assert await answer(transport, "1") == "b"
    assert answers_in(path) == ["a", "b"]


async def test_filters_choose_what_the_environment_records(tmp_path: Path) -> None:
    """RECORD=true records only what the filters select; a mode given in code does not ask them."""
    path = tmp_path / "case.json"
    await recorded(path, "a")
    about = {"tags": ["provider:openai"]}
    others = {"RECORD": "true", "RECORDED_PROVIDER": "groq"}
    assert use(path, environment=others, metadata=about).mode == "none"
    assert use(path, environment={**others, "RECORDED_PROVIDER": "openai"}, metadata=about).mode == "rewrite"
    assert use(path, environment={**others, "RECORDED_TEST": "cas", "RECORDED_PROVIDER": ""}).mode == "rewrite"
    assert use(path, environment=others, mode="all").mode == "all"


async def test_a_secret_is_refused_and_the_answer_given(tmp_path: Path) -> None:
    """An answer with a key in it reaches the caller, is not stored, and the recording ends with the reason."""
    key = "sk-" + "a1B2" * 8
    path = tmp_path / "case.json"
    transport = use(path, mode="all", live=live("safe", f"it is {key}", "it is live-secret-0123456789"), environment={})
    assert await answer(transport, "0") == "safe"
    assert key in await answer(transport, "1")
    assert "live-secret" in await answer(transport, "2")
    with pytest.raises(UnsafeCassette, match=r"refusing to write") as caught:
        await transport.aclose()
    assert key not in str(caught.value)
    assert answers_in(path) == ["safe"]


async def test_broken_and_interrupted_survive_the_file(tmp_path: Path) -> None:
    """What broke off or was left comes out of the file as such, in its pieces."""
    path = tmp_path / "case.json"
    async with use(path, mode="once", live=live(["a", "b", ConnectionLost("gone")], ["c", "d"]), environment={}) as one:
        with pytest.raises(ConnectionLost, match="gone"):
            await answer(one, "0")
        response = await one.open(asked("1"))
        assert await response.read() == b"c"
        await response.aclose()
    transport = use(path, deadline=0.01, environment={})
    response = await transport.open(asked("0"))
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    with pytest.raises(ConnectionLost, match="gone"):
        await response.read()
    with pytest.raises(CassetteMismatch, match="its reader went away"):
        await answer(transport, "1")


async def test_recordings_of_several_tasks(tmp_path: Path) -> None:
    """Fifty requests at once are all stored, in the order in which they were sent."""
    path = tmp_path / "case.json"

    async def slow(request: HttpRequest) -> str:
        number = json.loads(request.body)["q"]
        await anyio.sleep((7 * int(number) % 5) / 1000)
        return str(number)

    script = live(*[slow] * 50)
    async with use(path, mode="all", live=script, environment={}) as transport, anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(answer, transport, str(number))
    sent = [json.loads(request.body)["q"] for request in script.requests]
    assert answers_in(path) == sent
    assert sorted(sent, key=int) == [str(number) for number in range(50)]


async def test_sync_code_can_end_it(tmp_path: Path) -> None:
    """finish() and abandon() do without a loop what leaving the block does."""
    path = tmp_path / "case.json"
    transport = use(path, mode="all", live=live("a"), environment={})
    await answer(transport)
    transport.finish()
    assert answers_in(path) == ["a"]
    other = use(path, mode="rewrite", live=live("b"), environment={})
    await answer(other)
    other.abandon()
    assert answers_in(path) == ["a"]
    use(path, environment={}).finish()


async def test_pickles(tmp_path: Path) -> None:
    """A pickle of it opens the same file in the same mode, from the start."""
    path = tmp_path / "case.json"
    await recorded(path, "a")
    transport = use(path, match="pool", environment={})
    await answer(transport, "0")
    again = pickle.loads(pickle.dumps(transport))
    assert (again.mode, again.used, again.unused[0].response.body.text) == ("none", 0, "a")


async def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    """A mode or a match that does not exist is told when the transport is made."""
    with pytest.raises(ConfigurationError):
        use(tmp_path / "case.json", mode="rewrit", environment={})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        use(tmp_path / "case.json", mode="all", match="nearest", environment={})  # type: ignore[arg-type]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the threads bring loops of their own
async def test_threads_share_a_recording(tmp_path: Path, anyio_backend: str) -> None:
    """Calls from several threads and loops are all stored, and none waits for ever."""
    path = tmp_path / "case.json"
    transport = use(path, mode="all", live=live(*[["a", "b"]] * 200), environment={})

    async def ask() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(25):
                tasks.start_soon(answer, transport, str(number))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(anyio.run, ask, backend=loop) for loop in ("asyncio", "trio") * 4]:
            future.result(60)
    transport.finish()
    assert answers_in(path) == ["ab"] * 200


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_loop_that_ends(tmp_path: Path, loop: str) -> None:
    """A generation that its loop takes with it is stored as interrupted."""
    path = tmp_path / "case.json"
    started = threading.Event()
    script = live(
        ['data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n', started.set, anyio.sleep_forever]
    )
    transport = use(path, mode="all", live=script, environment={})
    thunk = mellite.backend("openai-chat:m", api_key="sk-test", transport=transport).generate("hi")

    async def leave() -> None:
        async for _ in thunk:
            break
        while not started.is_set():
            await checkpoint()

    anyio.run(leave, backend=loop)
    assert thunk.cancelled
    transport.finish()
    (one,) = load_cassette(path).http
    assert (one.extra["mellite"]["end"], "Hel" in one.response.body.text) == ("interrupted", True)
