"""The text so far: right at every event, of every kind of answer, and read as often as one likes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import mellite
from mellite.events import Event, Finish, ReasoningDelta, StepStart, TextDelta, ToolInputDelta
from mellite.thunk.text_so_far import TextSoFar
from mellite.values.fold import fold

EVENTS = st.one_of(
    st.builds(TextDelta, st.text(max_size=5), st.sampled_from(["text-0", "text-1"])),
    st.builds(ReasoningDelta, st.text(max_size=3)),
    st.builds(StepStart, st.integers(0, 2)),
    st.builds(ToolInputDelta, st.text(max_size=3), st.just("call")),
)


@settings(max_examples=50)
@given(st.lists(st.lists(EVENTS, max_size=4), max_size=8))
def test_it_is_the_text_of_the_events(arriving: list[list[Event]]) -> None:
    """Whenever it is read, it is what the events so far say, taken together: of several steps, the last one's text."""
    said, events = TextSoFar(), list[Event]()
    for more in arriving:
        events += more
        assert said.of(events) == fold(events).text
    assert TextSoFar().of(events) == said.of(events)


class Counting(mellite.Backend):
    """Gives so many deltas."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        for _ in range(self.count):
            yield TextDelta("word ")
        yield Finish("stop")


async def read_at_every_event(thunk: Any) -> float:
    """The time it takes to read the text at every event."""
    began = time.process_time()
    async for event in thunk.events():
        assert thunk.partial.endswith("word ") or not isinstance(event, TextDelta)
    return time.process_time() - began


@pytest.mark.anyio
@pytest.mark.parametrize("of", ["thunk", "run"])
async def test_it_is_cheap_at_every_event(of: str) -> None:
    """Eight times the events take no more than twelve times as long."""

    def asked(count: int) -> Any:
        backend = Counting(count)
        return backend.generate("Say.") if of == "thunk" else mellite.run(backend, "Say.")

    few = min([await read_at_every_event(asked(1500)) for _ in range(3)])
    many = min([await read_at_every_event(asked(12_000)) for _ in range(3)])
    assert many < 12 * few
