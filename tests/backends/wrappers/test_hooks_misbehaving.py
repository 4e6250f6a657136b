"""Hooks that misbehave: what ends programs, what hangs, cancels, re-enters, is removed, and ten thousand deltas."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio

import mellite
from mellite import hooks
from mellite.backends import Constant, Echo
from mellite.errors import HookFailed
from mellite.events import Event, TextDelta
from tests.backends.wrappers.test_pushed_wrappers import STREAMED, WHOLE, live, server as server  # noqa: PLC0414
from tests.thunk.support import Gate, Source, blocked
from tests.wire.server import Server

pytestmark = pytest.mark.anyio

MOMENTS = ["before", "after", "on_event", "around"]


def raising(moment: str, error: BaseException, *, is_async: bool) -> Any:
    def broken(*_: Any) -> None:
        raise error

    async def later(*_: Any) -> None:
        raise error

    async def around(*_: Any) -> AsyncIterator[Event]:
        raise error
        yield TextDelta("never")

    function = around if moment == "around" else later if is_async else broken
    return getattr(hooks, moment)("generation")(function)


class Odd(BaseException):
    """Neither an Exception, nor the end of anything."""


@pytest.mark.parametrize(
    ("moment", "is_async"), [*[(moment, True) for moment in MOMENTS], *[(moment, False) for moment in MOMENTS[:3]]]
)
@pytest.mark.parametrize("error", [Odd("odd"), asyncio.CancelledError(), StopAsyncIteration()])
async def test_what_is_no_exception_is_a_failure_like_any_other(
    moment: str, error: BaseException, is_async: bool, server: Server
) -> None:
    """Nobody cancelled this task, and the program goes on."""
    for errors in ("log", "raise"):
        with hooks.use(raising(moment, error, is_async=is_async), errors=errors):  # type: ignore[arg-type]
            thunks = [Source(["a"]).generate("x")]
            async with live(server.script(*WHOLE)) as backend:
                thunks.append(backend.generate("x", stream=False))
                await mellite.gather(*thunks)
        for thunk, text in zip(thunks, ("a", "Hello!"), strict=True):
            if errors == "log":
                assert (thunk.value, thunk.error) == (text, None)
            else:
                assert isinstance(thunk.error, HookFailed)


@pytest.mark.parametrize(
    ("moment", "is_async"), [("before", False), ("on_event", False), ("after", True), ("around", True)]
)
@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_what_ends_the_program_ends_it(moment: str, run: Any, is_async: bool) -> None:
    """No hook holds back a KeyboardInterrupt."""

    async def main() -> None:
        with hooks.use(raising(moment, KeyboardInterrupt(), is_async=is_async)):
            await Source(["a"]).generate("x").avalue()

    with pytest.raises(KeyboardInterrupt):
        run(main) if run is trio.run else run(main())


@pytest.mark.parametrize("moment", MOMENTS)
async def test_one_that_hangs_is_cancelled_with_the_thunk(moment: str, server: Server) -> None:
    """At whatever moment it hangs."""

    async def hang(*_: Any) -> None:
        await anyio.sleep_forever()

    async def around(*_: Any) -> AsyncIterator[Event]:
        await anyio.sleep_forever()
        yield TextDelta("never")

    hook = getattr(hooks, moment)("generation")(around if moment == "around" else hang)
    with hooks.use(hook):
        async with live(server.script(*WHOLE)) as backend:
            for thunk in (Source(["a"]).generate("x"), backend.generate("x", stream=False)):
                with anyio.move_on_after(0.1) as scope:
                    await thunk
                assert scope.cancelled_caught
                if moment == "after":  # the answer was there
                    continue
                await thunk.settle()
                assert thunk.cancelled


async def test_one_that_cancels_the_thunk() -> None:
    """The thunk is cancelled, the stream closed, and the end told."""
    for moment in ("before", "on_event", "around"):
        source = Source(["a", "b", "c"])
        thunk = source.generate("x")

        async def cancel(*_: Any, thunk: Any = thunk) -> None:
            await thunk.cancel_generation("by a hook")

        async def around(request: Any, proceed: Any, thunk: Any = thunk) -> AsyncIterator[Event]:
            await thunk.cancel_generation("by a hook")
            async for event in proceed(request):
                yield event

        seen: list[str] = []
        hook = getattr(hooks, moment)("generation")(around if moment == "around" else cancel)
        with hooks.use(hook, hooks.after("generation")(lambda thunk: seen.append(thunk.state))):  # noqa: B023
            await thunk.settle()
        assert (thunk.cancelled, source.open, seen) == (True, 0, ["cancelled"])


async def test_one_that_waits_for_its_own_thunk_is_told_so() -> None:
    """It would wait for ever."""
    thunk = Source(["a"]).generate("x")

    async def wait(_: Any) -> None:
        await thunk

    with hooks.use(hooks.before("generation")(wait), errors="raise"):
        with anyio.fail_after(5):
            await thunk.settle()
    assert thunk.error is not None


async def test_removed_while_a_generation_runs() -> None:
    """It sees to its end what it saw beginning."""
    told: list[str] = []
    gate = Gate()
    remove = hooks.install(hooks.after("generation")(lambda thunk: told.append(thunk.state)))
    thunk = Source(["a"], gate=gate).generate("x")
    async with anyio.create_task_group() as group:
        group.start_soon(thunk.settle)
        await gate.reached(0)
        remove()
        gate.allow(2)
    await Echo().generate("y")
    assert told == ["done"]


async def test_an_after_hook_that_changes_the_copy_changes_no_thunk() -> None:
    """The copy is its own object."""

    def meddle(copied: Any) -> None:
        copied._outcome = None
        copied._call = None

    with hooks.use(hooks.after("generation")(meddle)):
        thunk = Source(["a"]).generate("x")
        assert await thunk == "a"
    assert (thunk.value, thunk.call.request.text) == ("a", "x")


async def test_a_thunk_that_is_dropped_half_way_is_told_and_leaves_nothing(server: Server) -> None:
    """Neither a warning nor an open connection."""
    told: list[str] = []

    async def after(thunk: Any) -> None:
        await blocked()
        told.append(thunk.state)
        ended.set()

    @hooks.around("generation")
    async def around(request: Any, proceed: Any) -> AsyncIterator[Event]:
        async for event in proceed(request):
            yield event

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in ([hooks.after("generation")(after)], [around, hooks.after("generation")(after)]):
            ended = anyio.Event()
            async with live(server.script(*STREAMED)) as backend:
                with hooks.use(*given):
                    thunk = backend.generate("x")
                    async for _ in thunk:
                        break
                    del thunk
                    gc.collect()
                    with anyio.fail_after(20):
                        await ended.wait()
            assert told == ["cancelled"]
            told.clear()


async def test_ten_thousand_deltas_with_all_hooks() -> None:
    """Twice all hooks: nothing is lost, doubled or quadratic."""
    seen = [0]

    def count(_: Any) -> None:
        seen[0] += 1

    @hooks.around("generation")
    async def around(request: Any, proceed: Any) -> AsyncIterator[Event]:
        async for event in proceed(request):
            yield event

    copies: list[Any] = []
    every = [around, hooks.on_event("generation")(count), hooks.after("generation")(copies.append)]
    with hooks.use(*every), hooks.use(*every):
        thunk = Source(["x"] * 10_000, suspend=False).generate("x")
        assert len([delta async for delta in thunk]) == 10_000
    assert seen == [20_002]
    assert [copied.value for copied in copies] == ["x" * 10_000] * 2


def test_many_threads_with_one_set_of_hooks(caplog: pytest.LogCaptureFixture) -> None:
    """Eight threads, with a hook that generates."""
    told: list[str | None] = []

    @hooks.before("generation")
    async def ask(_: Any) -> None:
        await Constant("inner").generate("y")

    remove = hooks.install(ask, hooks.after("generation")(lambda thunk: told.append(thunk.value)))

    def many() -> None:
        for _ in range(10):
            assert Constant("a").generate("x").result() == "a"

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(anyio.to_thread.run_sync, many)

    try:
        with caplog.at_level(logging.WARNING, "mellite"):
            anyio.run(main)
    finally:
        remove()
    assert (told, caplog.records) == (["a"] * 80, [])


async def test_a_failure_is_said_once_for_all_events(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that failed is left out for the rest of the generation."""
    hook = raising("on_event", ValueError("broken"), is_async=False)
    with hooks.use(hook), caplog.at_level(logging.WARNING, "mellite"):
        assert await Source(["a"] * 100).generate("x") == "a" * 100
    assert len(caplog.records) == 1
