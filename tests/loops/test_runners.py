"""Runners of asyncio cancel what is left when their loop ends: a generation is cancelled then, and has not failed.

In the nested task groups of anyio that this backend opens, a cancellation looks like one that nobody asked for.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
import uvloop
from aiohttp import web

import mellite
from mellite.backends import Scripted
from mellite.errors import GenerationCancelled
from mellite.events import Event, TextDelta
from tests.thunk.support import run_child


async def deep() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        await anyio.sleep_forever()


async def wait_nested(standing: threading.Event) -> None:
    """Wait for ever, in task groups inside a task group; set the event when all wait."""
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(deep)
        await anyio.wait_all_tasks_blocked()
        standing.set()
        await anyio.sleep_forever()


class Nested(mellite.Backend):
    """A backend whose stream never ends; `standing` is set when all of its tasks wait."""

    def __init__(self) -> None:
        self.standing = threading.Event()

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta("one ")
        await wait_nested(self.standing)


Main = Callable[[], Awaitable[None]]


def on_a_runner(main: Main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]


def with_eager_tasks(main: Main) -> None:
    async def eagerly() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        await main()

    asyncio.run(eagerly())


def with_tasks_of_its_own(main: Main) -> None:
    async def with_factory() -> None:
        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(factory)
        await main()

    asyncio.run(with_factory())


def in_a_web_server(main: Main) -> None:
    """Run as aiohttp does, which has a loop by itself and cancels what is left by a function of its own."""

    async def started(app: web.Application) -> None:
        await main()
        asyncio.get_running_loop().call_soon(leave)

    def leave() -> None:
        raise web.GracefulExit

    app = web.Application()
    app.on_startup.append(started)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        web.run_app(app, sock=listening, handle_signals=False, print=None)


def as_servers_do(main: Main) -> None:
    """Run as servers do that have a copy of the function with which asyncio ends a loop."""

    def _cancel_all_tasks(loop: asyncio.AbstractEventLoop) -> None:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        _cancel_all_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


RUNNERS: dict[str, Callable[[Main], None]] = {
    "asyncio.run": lambda main: asyncio.run(main()),  # type: ignore[arg-type]
    "asyncio.Runner": on_a_runner,
    "uvloop.run": lambda main: uvloop.run(main()),  # type: ignore[arg-type]
    "anyio.run": lambda main: anyio.run(main, backend_options={"use_uvloop": True}),
    "asyncio.run, with a task factory": with_tasks_of_its_own,
    "aiohttp.web": in_a_web_server,
    "a server": as_servers_do,
}
if sys.version_info >= (3, 12):
    RUNNERS["asyncio.run, with eager tasks"] = with_eager_tasks


@pytest.mark.parametrize("runner", RUNNERS)
def test_takes_nested_generations_with_it(runner: str) -> None:
    async def reads() -> None:  # in a task that ends by itself, before the runner cancels any
        reader = aiter(thunk)
        assert await anext(reader) == "one "
        held.append(reader)
        await anyio.wait_all_tasks_blocked()

    async def main() -> None:
        await asyncio.create_task(reads())

    held: list[object] = []
    thunk = Nested().generate("hi")
    RUNNERS[runner](main)
    assert (thunk.state, thunk.error, thunk.partial) == ("cancelled", None, "one ")
    with pytest.raises(GenerationCancelled, match="event loop closed"):
        thunk.result()


def test_the_background_loop_takes_them_with_it() -> None:
    """The loop for code without await ends with the process, and cancels what is left as those of asyncio do."""
    ran = run_child(
        """
        import atexit
        from tests.loops.test_runners import Nested
        atexit.register(lambda: print(thunk.state, thunk.error))  # after the end of the loop, which is registered later
        backend = Nested()
        thunk = backend.generate("hi")
        reader = thunk.iter()
        print(next(reader), backend.standing.wait(30))
        """
    )
    assert ran.stdout == "one  True\ncancelled None\n"


def test_tools_and_checks_are_cancelled_and_do_not_fail() -> None:
    """What waits in a tool or a check at the end of a loop is cancelled with it: neither is told to have failed."""
    standing = [threading.Event(), threading.Event()]
    found: list[object] = []

    async def wait() -> str:
        await wait_nested(standing[0])
        return "never"

    async def check(thunk: mellite.ModelOutputThunk[str]) -> bool:
        await wait_nested(standing[1])
        return True

    run = mellite.run(Scripted([[mellite.ToolCall("1", "wait", {})], "never said"]), "hi", tools=[wait])
    answer = Scripted(["fine"]).generate("hi")

    async def judges() -> None:
        found.append(await mellite.Requirement("stands", check).validate(answer))

    async def main() -> None:
        held.extend([asyncio.create_task(run.settle()), asyncio.create_task(judges())])
        while not all(each.is_set() for each in standing):
            await anyio.wait_all_tasks_blocked()

    held: list[object] = []
    asyncio.run(main())
    assert (run.state, run.error, found) == ("cancelled", None, [])


class OfTheProgram:
    """What a program has for tasks of its own, by the names of the functions that end a loop."""

    async def _cancel_tasks(self, first: Awaitable[object]) -> object:
        return await first

    async def _cancel_all_tasks(self, loop: asyncio.AbstractEventLoop, first: Awaitable[object]) -> object:
        return await first


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["_cancel_tasks", "_cancel_all_tasks"])
def test_functions_of_the_program_end_no_loop(name: str, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A check that meets a cancelled future has failed, also in a coroutine that is called like one of a runner's."""

    async def check(thunk: mellite.ModelOutputThunk[str]) -> bool:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone
        return True

    async def judge() -> object:
        return await mellite.Requirement("stands", check).validate(Scripted(["fine"]).generate("hi"))

    async def main() -> object:
        waits = getattr(OfTheProgram(), name)
        return await (waits(judge()) if name == "_cancel_tasks" else waits(asyncio.get_running_loop(), judge()))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        plainly = runner.run(judge())
        assert repr(runner.run(main())) == repr(plainly)
