"""A coroutine that is awaited in a context of its own, without a task."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from mellite.loops.own_context import in_own_context

pytestmark = pytest.mark.anyio

NAME: ContextVar[str] = ContextVar("NAME", default="outside")


async def test_what_it_sets_does_not_stay() -> None:
    """It sees what is set around it, sets what it likes over many steps, and none of that is seen outside."""
    seen: list[str] = []

    async def inside() -> int:
        seen.append(NAME.get())
        NAME.set("first")
        await anyio.lowlevel.checkpoint()
        seen.append(NAME.get())
        async with anyio.create_task_group() as group:
            group.start_soon(record)
        return 3

    async def record() -> None:
        seen.append(NAME.get())

    NAME.set("around")
    assert await in_own_context(inside()) == 3
    assert (seen, NAME.get()) == (["around", "first", "first"], "around")


async def test_errors_and_cancellation_pass() -> None:
    """An error comes out, a cancellation gets in and may be cleaned up after; both as without the context."""
    told: list[str] = []

    async def fails() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError("no")

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            told.append(NAME.get())
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            told.append("closed")

    with pytest.raises(LookupError, match="no"):
        await in_own_context(fails())
    with anyio.move_on_after(0.01) as scope:
        await in_own_context(waits())
    assert scope.cancelled_caught
    assert told == ["outside", "closed"]


async def test_left_in_the_middle() -> None:
    """Where it is closed in the middle, so is the coroutine inside."""
    told: list[str] = []

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            told.append("closed")

    async def around() -> None:
        await in_own_context(waits())

    code = around()
    code.send(None)
    code.close()
    assert told == ["closed"]
