"""mellite.watch: what is seen of a thunk while it settles, in a pipe and on a real terminal, and what it returns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator

import anyio
import pytest

import mellite
from mellite.backends import Echo, Scripted
from mellite.errors import InvalidRequest
from mellite.events import Event, Finish, TextDelta
from mellite.messages import ToolCall
from tests import terminal
from tests.terminal import ROOT, Seen

pytestmark = pytest.mark.anyio

PREAMBLE = """
import os, sys
import anyio, anyio.to_thread, mellite
from mellite.backends import Echo, Scripted
from mellite.events import Finish, ResponseStart, TextDelta, Usage

async def a_line():  # comes when the terminal has shown what the test waits for
    await anyio.to_thread.run_sync(sys.stdin.readline)

class Model(mellite.Backend):  # each answer begins with the prompt, and goes on when its gate is open
    def __init__(self, end="the end"):
        self.end, self.calls, self.gates = end, 0, {}

    async def stream(self, request):
        self.calls += 1
        name = request.messages[-1].text
        yield ResponseStart(provider="openai", model="gpt-4o-mini")
        yield TextDelta(f"{name} begins, ")
        await self.gates.setdefault(name, anyio.Event()).wait()
        if isinstance(self.end, Exception):
            raise self.end
        yield TextDelta(f"{name}: {self.end}")
        yield Finish("stop", usage=Usage.of(input_tokens=17, output_tokens=10))

    def open(self, name):
        self.gates.setdefault(name, anyio.Event()).set()

"""


def program(code: str, loop: str) -> list[str]:
    """A Python that runs the body of an `async def main()` on a loop."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"{PREAMBLE}async def main():\n{body}\nanyio.run(main, backend={loop!r})",
    ]


def on_terminal(code: str, loop: str, *when: tuple[str, ...]) -> Seen:
    """What a program draws on a terminal of 24 lines; for `when`, see `tests.terminal`."""
    seen = terminal.on_terminal(program(code, loop), when=when)
    assert seen.code == 0, seen.drawn
    return seen


def last_screen(seen: Seen) -> str:
    """What stays on the terminal: what was drawn over is gone."""
    lines = [""]
    at = 0
    rest = seen.drawn
    while rest:
        if rest.startswith("\x1b["):
            end = next(i for i, letter in enumerate(rest[2:], 2) if letter.isalpha())
            count, kind, rest = rest[2:end], rest[end], rest[end + 1 :]
            if kind == "A":
                at -= int(count or 1)
            elif kind == "K":
                lines[at] = ""
            continue
        letter, rest = rest[0], rest[1:]
        if letter == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif letter != "\r":
            lines[at] += letter
    return "\n".join(lines).rstrip("\n") + "\n"


async def test_text_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe the text is written, with a newline at its end, and the settled thunk comes back."""
    thunk = Echo().generate("Two\nlines")
    assert await mellite.watch(thunk) is thunk
    assert (thunk.state, thunk.value) == ("done", "Two\nlines")
    assert capsys.readouterr() == ("Two\nlines\n", "")


async def test_settled_before(capsys: pytest.CaptureFixture[str]) -> None:
    """A thunk that settled before is shown whole, and asks for nothing."""
    model = Scripted(["once"])
    thunk = model.generate("x")
    await thunk
    await mellite.watch(thunk)
    await mellite.watch(thunk)
    assert capsys.readouterr().out == "once\nonce\n"
    assert model.calls == 1


async def test_failed_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A thunk that fails raises nothing: what had come stays, and standard error says what happened."""
    thunk = Scripted([ValueError("no such thing")]).generate("x")
    assert await mellite.watch(thunk) is thunk
    assert thunk.state == "failed"
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "thunk ✗ failed" in seen.err
    assert seen.err.endswith("BackendError: backend Scripted raised ValueError: no such thing\n")


async def test_cancelled_before(capsys: pytest.CaptureFixture[str]) -> None:
    """A thunk that was cancelled raises nothing, and standard error says so."""
    thunk = Echo().generate("x")
    await thunk.cancel("enough")
    assert (await mellite.watch(thunk)).cancelled
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("thunk ⊘ cancelled")


async def test_run_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Each step of a run has lines of its own."""

    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    asks = [TextDelta("Let me look."), ToolCall("1", "weather", {"city": "Oslo"}), Finish("tool_calls")]
    run = mellite.run(Scripted([asks, "It rains."]), "How is it?", tools=[weather])
    assert await mellite.watch(run) is run
    assert capsys.readouterr() == ("Let me look.\nIt rains.\n", "")


class Held(mellite.Backend):
    """Begins, waits to be let go, and says whether it was cancelled meanwhile."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.cancelled = False

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta("begun ")
        self.begun.set()
        try:
            await self.go.wait()
        except BaseException:
            self.cancelled = True
            raise
        yield TextDelta("done")
        yield Finish("stop")


async def test_cancelled_watch(capsys: pytest.CaptureFixture[str]) -> None:
    """Cancelling the last watch cancels the generation; cancelling one of two does not."""
    for others in (False, True):
        model = Held()
        thunk = model.generate("x")
        async with anyio.create_task_group() as group:
            if others:
                group.start_soon(thunk.settle)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as watchers:
                    watchers.start_soon(mellite.watch, thunk)
                    await model.begun.wait()
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            assert model.cancelled is (not others)
            model.go.set()
        assert thunk.state == ("done" if others else "cancelled")
        assert capsys.readouterr().out == "begun \n"


async def test_no_thunk() -> None:
    """What is not a thunk is refused by name."""
    with pytest.raises(InvalidRequest, match=r"mellite\.watch\(\) shows a thunk or a run, not str: 'text'"):
        await mellite.watch("text")  # type: ignore[type-var]


async def test_several_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several at once the first writes; the texts of the others follow whole, and not in between."""
    first, second = Held(), Held()
    async with anyio.create_task_group() as group:
        group.start_soon(mellite.watch, first.generate("x"))
        await first.begun.wait()
        await anyio.wait_all_tasks_blocked()
        group.start_soon(mellite.watch, second.generate("x"))
        await second.begun.wait()
        second.go.set()
        await anyio.wait_all_tasks_blocked()
        assert capsys.readouterr().out == "begun "
        first.go.set()
    assert capsys.readouterr().out == "done\nbegun done\n"


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_grow_on_a_terminal(loop: str) -> None:
    """On a terminal texts grow below each other; in the end each stands there once, and how it went."""
    seen = on_terminal(
        r"""
        bad, left = Model(end=ConnectionError("lost")), Model()
        answers = Model(end="done\x1b[2J [bold]" + "word " * 40)
        good = answers.generate("good")
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    group.start_soon(mellite.watch, good)
                    group.start_soon(mellite.watch, bad.generate("bad"))
                    inner.start_soon(mellite.watch, left.generate("left"))
                    await a_line()
                    scope.cancel()
            bad.open("bad")
            await a_line()
            answers.open("good")
        print("over")
        await mellite.watch(good)
        """,
        loop,
        ("good begins", "bad begins", "left begins"),
        ("thunk ✗ failed",),
    )
    running = r"\nthunk ◐ running[^\n]*\n"  # trio begins tasks in any order
    assert re.search(rf"(good begins, *{running}bad|bad begins, *{running}good) begins, *{running}", seen.plain)
    assert "\x1b[2J" not in seen.drawn
    shown = last_screen(seen)
    assert "running" not in shown
    left, bad, good = (shown.index(f"{name} begins, ") for name in ("left", "bad", "good"))
    assert left < bad < good
    assert "\nthunk ⊘ cancelled" in shown[left:bad]
    assert re.search(r"\nthunk ✗ failed .*\nBackendError: .* raised ConnectionError: lost\n$", shown[bad:good])
    text = "good begins, good: done\ufffd[2J [bold]" + "word " * 40
    once = f"{text}\nthunk ● done · openai:gpt-4o-mini · stop · 17 + 10 tokens"
    settled, _, again = shown[good:].partition("\nover\n")
    assert settled.startswith(once)
    assert again.startswith(once)
    assert seen.drawn.count("\x1b[?25l") == seen.drawn.count("\x1b[?25h")


def test_terminal_without_rich() -> None:
    """Without rich a terminal gets the text as it comes, without what would move its cursor."""
    seen = on_terminal(
        r"""
        sys.modules["rich"] = None
        await mellite.watch(Echo().generate("one\ntwo \x1b[2J three"))
        """,
        "asyncio",
    )
    assert seen.drawn == "one\r\ntwo \ufffd[2J three\r\n"


def test_odd_outputs() -> None:
    """Without standard output a watch waits; one that nobody reads is an error; what it cannot encode is escaped."""
    code = r"""
        out, sys.stdout = sys.stdout, None
        print((await mellite.watch(Echo().generate("unseen"))).state, file=out)
        read, write = os.pipe()
        os.close(read)
        sys.stdout = os.fdopen(write, "w")
        try:
            await mellite.watch(Echo().generate("lost"))
        except BrokenPipeError as error:
            print(type(error).__name__, file=out)
        try:
            sys.stdout.close()
        except BrokenPipeError:
            sys.stdout = out
        await mellite.watch(Echo().generate("1 €"))
        """
    done = subprocess.run(
        program(code, "asyncio"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.stdout, done.stderr) == ("done\nBrokenPipeError\n1 \\u20ac\n", "")


async def test_watching_oneself() -> None:
    """A tool that watches its own run is told that it would wait for itself."""

    async def look() -> str:
        """Look."""
        await mellite.watch(run)
        return "seen"

    run: mellite.Run[str] = mellite.run(Scripted([[ToolCall("1", "look", {})], "end"]), "Go.", tools=[look])
    await run.settle()
    assert run.state == "failed"
    assert "its own generation" in f"{run.error} {getattr(run.error, '__cause__', '')}"
