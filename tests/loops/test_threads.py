"""Functions in threads: what they see and give, who is held up by them, and what becomes of the threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar

import anyio
import anyio.to_thread
import pytest
import uvloop
from anyio.lowlevel import checkpoint

from mellite import loops
from mellite.loops.threads import Threads
from tests.thunk.support import run_child

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_what_a_function_returns() -> None:
    """A function runs in another thread, with its arguments, and the task gets what it returns."""
    thread = await loops.run_in_thread(threading.get_ident)
    assert thread != threading.get_ident()
    assert await loops.run_in_thread(divmod, 7, 2) == (3, 1)
    assert await loops.run_in_thread(dict, a=1) == {"a": 1}


async def test_context_variables() -> None:
    """A function sees the context variables of the task; what it sets is seen by nobody else."""

    def look() -> str:
        seen = variable.get()
        variable.set("changed")
        return seen

    token = variable.set("set")
    try:
        assert await loops.run_in_thread(look) == "set"
        assert await loops.run_in_thread(look) == "set"
        assert variable.get() == "set"
    finally:
        variable.reset(token)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
async def test_what_a_function_raises(kind: type[BaseException]) -> None:
    """The task gets the very error that the function raised, whatever its kind; the thread goes on."""
    mine = kind("mine")

    def fail() -> None:
        raise mine

    with pytest.raises(kind) as caught:
        await loops.run_in_thread(fail)
    assert caught.value is mine
    assert await loops.run_in_thread(len, "abc") == 3


async def test_stop_iteration() -> None:
    """A StopIteration, which no coroutine can raise, comes as the cause of a RuntimeError."""
    with pytest.raises(RuntimeError) as caught:
        await loops.run_in_thread(next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_errors_make_no_cycles() -> None:
    """What a function raised is dropped as soon as nobody holds it."""

    class Mine(Exception):
        pass

    def fail() -> None:
        raise Mine

    gc.disable()
    try:
        try:
            await loops.run_in_thread(fail)
        except Mine as error:
            reference = weakref.ref(error)
        assert reference() is None
    finally:
        gc.enable()


async def test_threads_are_reused() -> None:
    """Calls one after another share a thread, those at the same time do not."""
    first = await loops.run_in_thread(threading.get_ident)
    assert {await loops.run_in_thread(threading.get_ident) for _ in range(20)} == {first}
    together = threading.Barrier(30)

    def meet() -> int:
        together.wait(20)
        return threading.get_ident()

    idents: list[int] = []

    async def one() -> None:
        idents.append(await loops.run_in_thread(meet))

    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(one)
    assert len(set(idents)) == 30


async def test_idle_threads_end() -> None:
    """A thread that gets no function for a while ends."""
    threads = Threads(idle_time=0.0)
    # Some of the calls meet a thread that is about to end.
    ended = [await threads.run(threading.current_thread) for _ in range(50)]
    for thread in ended:
        await anyio.to_thread.run_sync(thread.join, 20)
        assert not thread.is_alive()


async def test_an_idle_thread_keeps_nothing() -> None:
    """A thread that waits for a function holds neither the last one, nor its arguments or result."""

    class Thing:
        pass

    def make(given: Thing) -> Thing:
        return Thing()

    given = Thing()
    made = await loops.run_in_thread(make, given)
    references = weakref.ref(given), weakref.ref(made)
    del given, made
    for _ in range(500):  # the thread is about to let go
        if any(reference() is not None for reference in references):
            await anyio.sleep(0.01)
    assert [reference() for reference in references] == [None, None]


async def test_others_go_on() -> None:
    """While a function blocks its thread, the loop runs other tasks."""
    release = threading.Event()
    beats = 0
    async with anyio.create_task_group() as group:
        group.start_soon(loops.run_in_thread, release.wait, 20)
        for _ in range(1000):
            await checkpoint()
            beats += 1
        release.set()
    assert beats == 1000


async def test_a_task_that_is_cancelled_leaves_at_once() -> None:
    """A function that hangs holds neither the task that is cancelled nor later calls; what comes of it is dropped."""
    begun, release, over = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(20)
        over.set()
        raise ValueError

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(loops.run_in_thread, hang)
            await loops.run_in_thread(begun.wait, 20)
            scope.cancel()
    assert scope.cancelled_caught
    assert not over.is_set()
    with loops.move_on_after(0.01) as limit:
        await loops.run_in_thread(release.wait, 20)
    assert limit.cancelled_caught
    release.set()
    assert await loops.run_in_thread(over.wait, 20)
    assert await loops.run_in_thread(len, "abc") == 3


async def test_a_function_may_run_a_loop_of_its_own() -> None:
    """In its thread runs no loop: it may run one, and may wait for thunks without one."""

    async def inner() -> str:
        await checkpoint()
        return "inner"

    assert await loops.run_in_thread(asyncio.run, inner()) == "inner"
    for backend in ("asyncio", "trio"):
        assert await loops.run_in_thread(anyio.run, inner, backend=backend) == "inner"
    assert await loops.run_in_thread(loops.running_here) is None


def test_on_uvloop() -> None:
    """Waiting for a thread works on uvloop, too, also when that is closed before the thread is done."""
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(20)

    async def leave() -> int:
        with loops.move_on_after(0.01):
            await loops.run_in_thread(hang)
        return await loops.run_in_thread(len, "abc")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(leave()) == 3
    assert begun.wait(20)
    release.set()


@pytest.mark.parametrize("loop", ["asyncio", "trio", "uvloop"])
def test_a_function_that_hangs_holds_no_process(loop: str) -> None:
    """A function that sleeps for a minute holds neither the end of the run nor that of the process."""
    done = run_child(
        """
        import os, time
        import anyio
        from mellite import loops

        async def main():
            with loops.move_on_after(0.05) as limit:
                await loops.run_in_thread(time.sleep, 60)
            assert limit.cancelled_caught
            print("left")

        loop = os.environ["loop"]
        backend, options = ("asyncio", {"use_uvloop": True}) if loop == "uvloop" else (loop, {})
        anyio.run(main, backend=backend, backend_options=options)
        print("the run is over")
        """,
        loop=loop,
    )
    assert done.stdout.split("\n") == ["left", "the run is over", ""]
