"""What a thunk offers to code that drives and judges thunks: its call, its outcome, events with little read-ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from attrs import evolve

import mellite
from mellite import loops
from mellite.backends import Constant
from mellite.errors import InvalidRequest
from mellite.events import Event, Finish, TextDelta
from mellite.thunk.pump import Pump
from tests.thunk.support import Source


class Counting:
    """A backend of many short deltas that counts those it has given."""

    def __init__(self) -> None:
        self.given = 0

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        for _ in range(100):
            self.given += 1
            yield TextDelta("x")
            await anyio.lowlevel.checkpoint()
        yield Finish("stop")


@pytest.mark.anyio
async def test_a_generation_runs_no_further_ahead_than_asked() -> None:
    backend = Counting()
    thunk = mellite.generate(backend, "Count.")
    events = thunk.events(ahead=3)
    await anext(events)
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    assert 1 <= backend.given <= 4
    assert await thunk == "x" * 100


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True, "3"])
def test_ahead_is_a_whole_number(ahead: object) -> None:
    with pytest.raises(InvalidRequest, match="'ahead' must be a whole number"):
        Constant("x").generate("hi").events(ahead=ahead)


@pytest.mark.anyio
async def test_a_thunk_is_made_of_a_call() -> None:
    """So strategies ask another backend, or something else, and keep the lineage."""
    first = Constant("one").generate("hi", temperature=0).resample(1)[0]
    other = mellite.ModelOutputThunk(evolve(first.call, backend=Constant("two")))
    assert (await first, await other) == ("one", "two")
    assert other.call.lineage == first.call.lineage == (0,)
    assert other.call.request is first.call.request


@pytest.mark.anyio
async def test_a_thunk_is_made_of_an_outcome() -> None:
    """Settled from the start: awaiting it asks nobody."""
    thunk = Constant("one").generate("hi")
    assert thunk.outcome is None
    await thunk
    assert thunk.outcome is not None
    again = mellite.ModelOutputThunk(evolve(thunk.call, backend=Constant("never asked")), outcome=thunk.outcome)
    assert (again.state, await again, again.outcome) == ("done", "one", thunk.outcome)


def test_the_pump_shows_what_others_need_and_no_more() -> None:
    """Its bookkeeping is its own: iterators, sharing and batches ask for what they want by name."""
    shown = {name for kind in Pump.__mro__ for name in getattr(kind, "__slots__", ()) if not name.startswith("_")}
    assert shown == {
        "activity",
        "asked",
        "call",
        "clock",
        "events",
        "generation_id",
        "has_text_only",
        "interrupt",
        "loop",
        "outcome",
        "places",
        "request",
        "settled",
    }


def test_what_blocks_a_thread_cannot_be_awaited() -> None:
    assert isinstance(loops.ThreadWaiter().wake, Callable)
    assert not hasattr(loops.ThreadWaiter(), "wait")


def test_a_generation_begun_from_another_thread_runs_ahead_of_its_consumer() -> None:
    """It would pause at its first event, and let another have its place, while the consumer is on its way."""
    thunk = Source(["one ", "two"]).generate("hi")
    pump = thunk.begin(loops.portal)
    if pump is not None:  # it may have ended already
        waiter = loops.ThreadWaiter()
        pump.wake_when_settled(waiter)
        assert waiter.block(3)
    assert thunk.value == "one two"
