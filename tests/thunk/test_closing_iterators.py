"""Iterators that are closed before their end, as contextlib.aclosing and others do with any iterator of text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing, closing
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Echo, Scripted
from mellite.events import Finish, TextDelta
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


class Held(mellite.Backend):
    """A backend that stops after its first words until it may go on; `open` counts the streams that are."""

    def __init__(self) -> None:
        self.allowed = anyio.Event()
        self.open = self.calls = 0

    async def stream(self, request):
        self.open += 1
        self.calls += 1
        try:
            yield TextDelta("[1, ")
            await self.allowed.wait()
            yield TextDelta("2]")
            yield Finish("stop")
        finally:
            self.open -= 1


ITERATORS: dict[str, Callable[[Any], Any]] = {
    "iterate": aiter,
    "events": lambda thunk: thunk.events(),
    "astream": lambda thunk: thunk.astream(),
    "characters": lambda thunk: thunk.astream(1),
    "partials": lambda thunk: thunk.partials(),
    "items": lambda thunk: thunk.items(),
}
every_iterator = pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS)


@every_iterator
async def test_closed_in_the_middle(make):
    """The iterator gives nothing more; the generation pauses, as after a break, and somebody else goes on."""
    backend = Held()
    thunk = backend.generate("hi", output=list[int])
    async with aclosing(make(thunk)) as iterator:
        async for _ in iterator:
            break
        assert thunk.state == "running"
    assert [item async for item in iterator] == []
    await iterator.aclose()
    await blocked()
    assert thunk.state == "running"
    backend.allowed.set()
    assert await thunk == [1, 2]
    assert (backend.calls, backend.open) == (1, 0)


@every_iterator
async def test_closed_by_a_cancellation(make):
    """Who is cancelled leaves by cancellation, and has closed the stream by the time that the block ends."""
    backend = Held()
    thunk = backend.generate("hi", output=list[int])
    with anyio.move_on_after(0.05):
        async with aclosing(make(thunk)) as iterator:
            async for _ in iterator:
                pass
    assert (thunk.state, backend.open, thunk.partial) == ("cancelled", 0, "[1, ")


@every_iterator
@pytest.mark.parametrize("state", ["pending", "done", "failed"])
async def test_closed_before_it_was_read(make, state):
    """A generation that was not begun is not begun by that; what has settled stays as it is."""
    thunk = Scripted([["[1, ", "2]"] if state != "failed" else ["[1, ", ValueError("no")]]).generate(
        "hi", output=list[int]
    )
    if state != "pending":
        await thunk.settle()
    iterator = make(thunk)
    await iterator.aclose()
    assert [item async for item in iterator] == []
    assert thunk.state == state


async def test_closed_with_the_thunk_dropped():
    """A closed iterator keeps no generation alive."""
    backend = Held()
    iterator = backend.generate("hi").events()
    await anext(iterator)
    await iterator.aclose()
    with anyio.fail_after(5):
        while backend.open:
            await anyio.lowlevel.checkpoint()


async def test_as_completed():
    """Closed, it gives nothing more, and what runs pauses."""
    backend = Held()
    slow, fast = backend.generate("slow"), Echo().generate("fast")
    async with aclosing(mellite.as_completed(slow, fast)) as settled:
        assert await anext(settled) is fast
    assert [thunk async for thunk in settled] == []
    assert slow.state == "running"
    backend.allowed.set()
    assert await slow == "[1, 2]"


def test_without_await():
    """`thunk.iter()` and `as_completed` are closed likewise."""
    thunk = Echo().generate("one two three")
    with closing(thunk.iter()) as words:
        assert next(words) == "one "
    assert list(words) == []
    assert thunk.result() == "one two three"
    with closing(mellite.as_completed(thunk, thunk.resample(1)[0])) as settled:
        assert next(settled) is thunk
    assert list(settled) == []
