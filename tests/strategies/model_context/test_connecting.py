"""mellite.mcp.connect against servers in processes of their own: what they offer, and what becomes of a call."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite import Audio, Document, Image, Message, Text
from mellite.backends import Scripted
from mellite.errors import (
    ConnectError,
    InvalidCredential,
    InvalidProviderOutput,
    InvalidRequest,
    MissingExtra,
    ToolFailure,
)
from mellite.mcp import Connection, Prompt, PromptArgument, Resource, connect

pytest.importorskip("mcp")
pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
PLAIN = [sys.executable, str(HERE / "plain_server.py")]
PIXEL = b"\x89PNG a pixel"


def named(connection: Connection) -> dict[str, Any]:
    """The tools of a connection by name."""
    return {tool.name: tool for tool in connection.tools}


@asynccontextmanager
async def plain(habit: str = "good", *, patience: float = 20, **options: Any) -> AsyncIterator[dict[str, Any]]:
    """The tools of the plain server, with so many seconds for each call; its start may take as long as it likes."""
    async with connect([*PLAIN, habit], timeout=60, **options) as connection:
        connection._timeout = patience
        yield named(connection)


async def where(tools: dict[str, Any]) -> dict[str, Any]:
    """What the plain server says of its process."""
    found: dict[str, Any] = json.loads(await tools["where"]({}))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to hear of it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_all_pages_of_all_lists() -> None:
    """Tools, prompts and resources of every page are there, in order, with what the server says of itself."""
    async with connect(PLAIN) as connection:
        assert [tool.name for tool in connection.tools][:5] == ["echo", "where", "hang", "cancelled", "die"]
        assert len(connection.tools) == 21
        assert connection.tools[0].description == "The tool echo."
        assert connection.tools[0].input_schema["properties"] == {"text": {"type": "string"}}
        code = PromptArgument("code", required=True)
        assert connection.prompts == tuple([Prompt(f"p{number}", arguments=(code,)) for number in range(6)])
        assert connection.resources[5] == Resource("file:///5", "r5", size=3)
        assert (connection.name, connection.instructions) == ("plain", "Be brief.")
        assert repr(connection) == "<Connection to 'python plain_server.py', connected>".replace(
            "python", Path(sys.executable).name
        )


async def test_results() -> None:
    """Texts are str, structured results JSON, and everything else parts; what is said twice comes once."""
    async with plain() as tools:
        names = ["picture", "sound", "file", "embedded", "link", "structured", "other", "list"]
        names += ["echo", "nothing", "cancelled", "odd_name", "deep"]
        results = {name: await tools[name]({"text": "hi"}) for name in names}
    look, picture = results["picture"]
    assert (look, picture) == (Text("Look:"), Image(PIXEL, media_type="image/png"))
    assert results["sound"] == (Audio(PIXEL, media_type="audio/wav"),)
    (file,) = results["file"]
    assert isinstance(file, Document)
    assert (file.data, file.media_type, file.filename) == (PIXEL, "application/pdf", "report.pdf")
    assert [part.text for part in results["embedded"]] == ["Remember the milk."]
    assert [part.text for part in results["link"]] == ["big: file:///big.bin (A lot.)"]
    assert results["structured"] == {"degrees": 22}
    assert results["other"] == (Text('{"degrees": 22}'), Text("It is mild."))
    assert results["list"] == {"result": ["a", "b"]}
    assert (results["echo"], results["nothing"], results["cancelled"]) == ("hi", "", "[]")
    assert results["odd_name"] == "called by its own name"
    assert results["deep"] == (Text('{"degrees": 22}'), Text("[" * 100_000))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fail", "the disk is full"),
        ("refuse", "says: the database is locked"),
        ("broken", "sent image/png that cannot be read"),
        ("hang", "did not answer a call of 'hang' within 0.5 s"),
        ("die", "has ended; its last words:\nout of memory, said [REDACTED]"),
        ("exit", "has ended"),
    ],
)
async def test_what_fails_is_told_to_the_model(name: str, words: str) -> None:
    """Whatever goes wrong at a server is a ToolFailure with its words; the caller is not cancelled."""
    async with plain(patience=0.5 if name == "hang" else 20) as tools:
        with pytest.raises(ToolFailure) as caught:
            await tools[name]({})
        assert words in str(caught.value)
        if name in {"die", "exit"}:
            with pytest.raises(ToolFailure, match="has ended"):
                await tools["echo"]({"text": "hi"})
        else:
            assert await tools["echo"]({"text": "hi"}) == "hi"


async def test_a_server_that_is_killed_in_the_middle_of_a_call() -> None:
    """All calls that wait for it fail, and nothing else does."""
    async with plain() as tools, anyio.create_task_group() as group:
        pid = (await where(tools))["pid"]
        failures: list[str] = []

        async def hang() -> None:
            with pytest.raises(ToolFailure) as caught:
                await tools["hang"]({})
            failures.append(str(caught.value))

        for _ in range(3):
            group.start_soon(hang)
        await anyio.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)
    assert ["has ended" in words for words in failures] == [True] * 3


@pytest.mark.parametrize("how", ["timeout", "cancelled"])
async def test_the_server_is_told_that_an_answer_is_no_longer_wanted(how: str) -> None:
    """After a timeout or a cancellation the server knows of it, and the connection serves the next calls."""
    async with plain(patience=0.3 if how == "timeout" else 20) as tools:
        if how == "timeout":
            with pytest.raises(ToolFailure):
                await tools["hang"]({})
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(tools["hang"], {})
                await anyio.wait_all_tasks_blocked()
                await tools["echo"]({"text": "the server has read both"})
                group.cancel_scope.cancel()
        assert len(json.loads(await tools["cancelled"]({}))) == 1


async def test_calls_go_on_beside_one_another() -> None:
    """A call that hangs holds up no other."""
    async with plain() as tools, anyio.create_task_group() as group:
        group.start_soon(tools["hang"], {})
        assert [await tools["echo"]({"text": text}) for text in "abc"] == ["a", "b", "c"]
        group.cancel_scope.cancel()


async def test_prompts_and_resources() -> None:
    """A prompt comes as messages, a resource as parts; what the server does not have is an InvalidRequest."""
    async with connect(PLAIN) as connection:
        asked, shown = await connection.prompt("p1", code="x", name=3)
        assert asked == Message.user('p1: {"code": "x", "name": "3"}')
        assert shown == Message.assistant(Image(PIXEL, media_type="image/png"))
        text, file = await connection.resource("file:///notes")
        assert isinstance(text, Text)
        assert text.text == "Remember the milk."
        assert isinstance(file, Document)
        assert file.filename == "x.png"
        with pytest.raises(InvalidRequest, match="no such resource"):
            await connection.resource("file:///none")


async def test_prompts_and_resources_that_cannot_be_asked_for() -> None:
    """What is no text and no JSON is refused before it is sent; half a surrogate pair does not end the connection."""
    async with connect(PLAIN) as connection:
        for call, words in (
            (lambda: connection.prompt(3), "'name' must be a str, not 3"),  # type: ignore[arg-type]
            (
                lambda: connection.prompt("p1", when=date(2026, 1, 2)),
                "the argument 'when' of a prompt is a str",
            ),
            (lambda: connection.prompt("p1", size=math.nan), "the argument 'size' of a prompt"),
            (lambda: connection.resource(3), "'uri' must be a str, not 3"),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidRequest, match=words):
                await call()
        asked, _ = await connection.prompt("p\ud800", **{"\ud800": "\udc00"})
        assert asked == Message.user('p\ufffd: {"\\ufffd": "\\ufffd"}')
        assert len(await connection.resource("file:///\ud800")) == 2


async def test_servers_with_tools_of_one_name() -> None:
    """A prefix tells the tools of two servers apart; the servers hear their own names."""
    async with plain(prefix="a-") as first, plain(prefix="b_") as second:
        assert await first["a-echo"]({"text": "1"}) + await second["b_echo"]({"text": "2"}) == "12"
        assert not first.keys() & second.keys()
        assert await first["a-odd_name"]({}) == "called by its own name"


async def test_names_of_which_little_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """Names in another script, or with dots, stay apart; of two tools with one name the second is left out."""
    async with connect([*PLAIN, "alike"]) as connection:
        names = [tool.name for tool in connection.tools]
        assert [await tool({}) for tool in connection.tools] == ["天气", "时间", "a.b", "a_b"]
        assert await mellite.run(Scripted(["done"]), "Go.", tools=connection.tools) == "done"
    assert [names[0], names[3]] == ["__", "a_b"]
    assert [re.sub("[0-9a-f]{8}$", "#", name) for name in (names[1], names[2])] == ["___#", "a_b_#"]
    [left_out] = [record for record in caplog.records if getattr(record, "mellite_event", "") == "mcp.tool_left_out"]
    assert left_out.getMessage().endswith("its tool 'a.b' is left out: another one has its name")


async def test_a_long_name_is_cut() -> None:
    """A name that would be longer than providers take is cut, and differs from others with the same beginning."""
    async with plain(prefix="p" * 60) as tools:
        assert {len(name) for name in tools} <= {*range(61, 65)}
        assert len(tools) == 21


async def test_what_a_program_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the variables that it is given and a few others, its folder, and its words as they are, by no shell."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwxyz")
    command = f"'{sys.executable}' '{HERE / 'plain_server.py'}' 'good $HOME; ls' \"*\""
    async with connect(command, env={"CITY": "Paris"}, cwd=tmp_path) as connection:
        found = await where(named(connection))
    assert found["argv"][1:] == ["good $HOME; ls", "*"]
    assert found["cwd"].endswith(tmp_path.name)
    assert found["env"]["CITY"] == "Paris"
    assert not found["env"].keys() - {"CITY", "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}


async def test_secrets_are_in_no_error() -> None:
    """What a server says about a key that it was given comes without it."""
    async with plain(env={"THE_KEY": "hunter2"}) as tools:
        with pytest.raises(ToolFailure) as caught:
            await tools["leak"]({})
    assert str(caught.value) == "bad key [REDACTED]"
    assert "hunter2" not in repr(connect(PLAIN, env={"THE_KEY": "hunter2"}))


@pytest.mark.parametrize("habit", ["good", pytest.param("stubborn", marks=pytest.mark.slow)])
async def test_leaving_the_block_ends_the_program(habit: str) -> None:
    """When the block is over so is the process, also one that does not want to end."""
    async with plain(habit) as tools:
        pid = (await where(tools))["pid"]
        assert alive(pid)
    assert not alive(pid)


async def test_cancelling_the_block_ends_the_program() -> None:
    """A cancelled block leaves no process behind."""
    with anyio.CancelScope() as scope:
        async with plain() as tools:
            pid = (await where(tools))["pid"]
            scope.cancel()
            await anyio.sleep(1)
    assert not alive(pid)


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    """It is in no group."""
    with pytest.raises(KeyError, match="mine"):
        async with plain():
            raise KeyError("mine")


async def test_a_block_ends_while_calls_wait() -> None:
    """They fail, and do not hang."""
    async with anyio.create_task_group() as group, plain() as tools:

        async def hang() -> None:
            with pytest.raises(ToolFailure, match="is over"):
                await tools["hang"]({})

        group.start_soon(hang)
        await anyio.wait_all_tasks_blocked()


async def test_use_outside_of_the_block() -> None:
    """Before and after the block every use is refused with what to do; a connection is used once."""
    connection = connect(PLAIN)
    with pytest.raises(InvalidRequest, match="is not open: use `async with`"):
        _ = connection.tools
    async with connection:
        tools = named(connection)
    with pytest.raises(InvalidRequest, match="is closed: its `async with` block is over"):
        await tools["echo"]({"text": "hi"})
    with pytest.raises(InvalidRequest, match="is closed"):
        await connection.prompt("p1")
    with pytest.raises(InvalidRequest, match="has been used"):
        await connection.__aenter__()


async def test_two_tasks_enter_one_connection() -> None:
    """The second is refused, also while the first one is still connecting; both would have a program otherwise."""
    connection = connect(PLAIN)
    refused: list[str] = []

    async def enter() -> None:
        try:
            async with connection:
                await anyio.wait_all_tasks_blocked()
        except InvalidRequest as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        group.start_soon(enter)
    assert ["has been used" in each for each in refused] == [True]


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_use_from_another_loop(other: str) -> None:
    """A tool may be called in another thread with a loop of its own, of either kind; it takes a timeout there, too."""
    async with plain(patience=0.5) as tools:

        async def calls() -> str:
            with pytest.raises(ToolFailure, match="did not answer"):
                await tools["hang"]({})
            return str(await tools["echo"]({"text": "hi"}))

        assert await anyio.to_thread.run_sync(lambda: anyio.run(calls, backend=other)) == "hi"
        assert len(json.loads(await tools["cancelled"]({}))) == 1


async def test_copies_and_pickles_of_tools() -> None:
    """A copied tool is the tool; a pickled one keeps what the model is told, and says that it has no connection."""
    async with plain() as tools:
        assert await copy.deepcopy(tools["echo"])({"text": "hi"}) == "hi"
        pickled = pickle.loads(pickle.dumps(tools["echo"]))
    assert (pickled.name, pickled.definition) == ("echo", tools["echo"].definition)
    with pytest.raises(InvalidRequest, match="was pickled, and has no connection"):
        await pickled({"text": "hi"})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program --api-key x", "'no-such-program' cannot be started: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit('no license')"], "has ended; its last words:\nno license"),
        ([*PLAIN, "deaf"], "did not answer the first requests within 1 s"),
        ("http://127.0.0.1:9/mcp?key=secret99", "'http://127.0.0.1:9/mcp?...' gave no answer"),
    ],
    ids=["missing", "ends", "deaf", "nobody there"],
)
async def test_no_connection(command: Any, words: str) -> None:
    """A server that cannot be started or reached, that ends at once or says nothing is a ConnectError."""
    with pytest.raises(ConnectError) as caught:
        async with connect(command, timeout=1 if "deaf" in command else 60):
            pytest.fail("connected")
    assert words in str(caught.value)
    assert "secret99" not in str(caught.value)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(ConnectError, match="nowhere"):
        async with connect(PLAIN, cwd=tmp_path / "nowhere"):
            pytest.fail("connected")


async def test_connecting_can_be_cancelled(tmp_path: Path) -> None:
    """A caller that gives up connecting does not wait for the server, and leaves no process behind."""
    note = tmp_path / "pid"
    os.mkfifo(note)

    async def connecting() -> None:
        async with connect([*PLAIN, "deaf", note]):
            pytest.fail("connected")

    told = os.open(note, os.O_RDWR)  # for writing, too, so that it is open at once
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(connecting)
            with anyio.fail_after(20):
                await anyio.wait_readable(told)
            pid = int(os.read(told, 100))
            assert alive(pid)
            group.cancel_scope.cancel()
    finally:
        os.close(told)
    assert not alive(pid)


async def test_lists_without_an_end() -> None:
    """A server that always names another page is not asked for ever."""
    with pytest.raises(InvalidProviderOutput, match="does not come to the end of its tools"):
        async with connect([*PLAIN, "endless"]):
            pytest.fail("connected")


async def test_a_server_that_announces_nothing() -> None:
    """It has no tools, prompts and resources, and that is not an error."""
    async with connect([*PLAIN, "poor"]) as connection:
        assert (connection.tools, connection.prompts, connection.resources) == ((), (), ())


@pytest.mark.parametrize("habit", ["noisy", "modern"])
async def test_servers_with_habits(habit: str) -> None:
    """A server that prints what is not a message, and one that knows no handshake, can be used all the same."""
    async with plain(habit) as tools:
        assert await tools["echo"]({"text": "hi"}) == "hi"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: connect(""), "is empty"),
        (lambda: connect("python 'x"), "cannot be split into words: No closing quotation"),
        (lambda: connect(3), "is a command, as a str or a list of its words, or a URL, not int"),  # type: ignore[arg-type]
        (lambda: connect(["x", 3]), "not list"),  # type: ignore[list-item]
        (lambda: connect("ftp://x/y"), "it must begin with http:// or https://"),
        (lambda: connect("https://me:pass99@x/y"), "put it in a header"),
        (lambda: connect("https://x:port/y"), "host or port is missing or malformed"),
        (lambda: connect("https://x/y", headers={"X-Key": "a\nb"}), "'x-key'"),
        (lambda: connect("https://x/y", env={}), "env= is for a server that is started"),
        (lambda: connect("https://x/y", cwd="."), "cwd= is for a server that is started"),
        (lambda: connect("x", headers={}), "headers= is for a server with a URL"),
        (lambda: connect("x", env={"A": 3}), "env= must map names to texts"),  # type: ignore[dict-item]
        (lambda: connect("x", timeout=0), "'timeout' must be a number of seconds above 0, not 0"),
        (lambda: connect("x", timeout=True), "'timeout' must be a number"),
        (lambda: connect("x", prefix="a.b"), "'prefix' must be made of letters"),
        (lambda: connect("x", cwd=5), "'cwd' must be the path of a folder"),  # type: ignore[arg-type]
        (lambda: connect(["x", "a\0b"]), "command_or_url= has a text with a NUL character"),
        (lambda: connect(["x", "\ud800"]), "half a surrogate pair"),
        (lambda: connect("x", env={"A": "pass99\0"}), "env= has a text with a NUL character"),
        (lambda: connect("x", env={"A=pass99": "1"}), "a name is empty, or has '=' in it"),
    ],
)
def test_what_cannot_be_connected_to(call: Any, words: str) -> None:
    """Bad arguments are refused when they are given, by name, and without what may be secret."""
    with pytest.raises((InvalidRequest, InvalidCredential)) as caught:
        call()
    assert words in str(caught.value)
    assert "pass99" not in str(caught.value)


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mcp is not installed, connecting says what to install."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mellite\[mcp\]'"):
        async with connect(PLAIN):
            pytest.fail("connected")
