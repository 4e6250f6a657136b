"""What ends programs, out of a stream or a tool: whoever waits raises it, on every loop, and the loop lives on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Scripted
from mellite.errors import BackendError
from mellite.events import Event, TextDelta

LOOPS = ("asyncio", "trio")
KINDS = (KeyboardInterrupt, SystemExit)


class Ends(mellite.Backend):
    """A backend that says something and then ends the program."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta("a")
        raise self.kind("mine")


class Waits(mellite.Backend):
    """A backend that never answers."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        await anyio.sleep_forever()
        yield TextDelta("never")


def run_of(kind: type[BaseException], *, in_thread: bool) -> mellite.Run[str]:
    """A run whose tool ends the program."""

    def plain() -> None:
        raise kind("mine")

    async def awaited() -> None:
        raise kind("mine")

    function = plain if in_thread else awaited
    answers = Scripted([[mellite.ToolCall("1", function.__name__, {})], "never said"])
    return mellite.run(answers, "hi", tools=[function])


async def awaits(thunk: Any) -> object:
    return await thunk


async def settles(thunk: Any) -> object:
    return await thunk.settle()


async def gathers(thunk: Any) -> object:
    return await mellite.gather(thunk, Scripted(["x"]).generate("y"))


async def iterates(thunk: Any) -> object:
    return [delta async for delta in thunk]


async def reads_events(thunk: Any) -> object:
    return [event async for event in thunk.events()]


async def is_nested(thunk: Any) -> object:
    return await mellite.run(Ends(thunk.call.backend.kind), "hi")


async def is_part_of_a_prompt(thunk: Any) -> object:
    return await Scripted(["z"]).generate([Waits().generate("x"), thunk])


async def shares(thunk: Any) -> object:
    with mellite.share():
        return await thunk


WAYS = (awaits, settles, gathers, iterates, reads_events, is_nested, is_part_of_a_prompt, shares)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_whoever_waits_raises_it(way: Callable[[Any], Any], loop: str, kind: type[BaseException]) -> None:
    thunk = Ends(kind).generate("hi")
    with pytest.raises(kind, match="mine"):
        anyio.run(way, thunk, backend=loop)
    if way is not is_nested:
        assert (thunk.state, thunk.partial) == ("cancelled", "a")
    assert anyio.run(awaits, Scripted(["fine"]).generate("again"), backend=loop) == "fine"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("in_thread", [True, False])
def test_out_of_a_tool(loop: str, kind: type[BaseException], *, in_thread: bool) -> None:
    run = run_of(kind, in_thread=in_thread)
    with pytest.raises(kind, match="mine"):
        anyio.run(awaits, run, backend=loop)
    assert (run.state, run.stop_reason) == ("cancelled", "cancelled")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_generator_exit_of_a_backend(loop: str) -> None:
    """It is an error of the backend like any other, and not the end of the loop."""
    thunk = Ends(GeneratorExit).generate("hi")
    with pytest.raises(BackendError, match="backend Ends raised GeneratorExit: mine"):
        anyio.run(awaits, thunk, backend=loop)
    assert (thunk.state, thunk.partial) == ("failed", "a")


class EndsInAGroup(mellite.Backend):
    """A backend whose task group has what ends the program among its errors."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta("a")
        raise BaseExceptionGroup("tasks", [ValueError("another"), BaseExceptionGroup("more", [self.kind("mine")])])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop", LOOPS)
def test_out_of_a_task_group(loop: str, kind: type[BaseException]) -> None:
    thunk = EndsInAGroup(kind).generate("hi")
    with pytest.raises(kind, match="mine"):
        anyio.run(awaits, thunk, backend=loop)
    assert (thunk.state, thunk.partial) == ("cancelled", "a")

    async def ends() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fails)

    async def fails() -> None:
        raise kind("mine")

    run = mellite.run(Scripted([[mellite.ToolCall("1", "ends", {})], "never said"]), "hi", tools=[ends])
    with pytest.raises(kind, match="mine"):
        anyio.run(awaits, run, backend=loop)
    assert run.state == "cancelled"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_loop(kind: type[BaseException]) -> None:
    """The background loop goes on: others may be waiting there."""
    for ask in (
        lambda: Ends(kind).generate("hi").result(),
        lambda: list(Ends(kind).generate("hi").iter()),
        lambda: run_of(kind, in_thread=True).result(),
        lambda: run_of(kind, in_thread=False).result(),
    ):
        with pytest.raises(kind, match="mine"):
            ask()
    assert Scripted(["fine"]).generate("again").result() == "fine"
