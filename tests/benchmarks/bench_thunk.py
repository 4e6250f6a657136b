"""Make, copy, await and fold thunks without a network: time and bytes."""

from __future__ import annotations

import asyncio
import copy
import gc
import timeit
import tracemalloc

import attrs

import mellite
from mellite.events import Event, Finish, TextDelta
from tests.benchmarks.measure import pin, report, side_by_side


@attrs.define
class Plain:
    """What an object with slots costs: the floor."""

    a: object
    b: object
    c: object
    d: object


async def main() -> None:
    """Run all."""
    pin(0)
    backend = mellite.backends.Constant("Hello.")
    thunk = backend.generate("Say hello.")
    number = 50_000
    micros = {
        "attrs slots object": lambda: Plain(1, 2, 3, 4),
        "make a thunk": lambda: backend.generate("Say hello."),
        "copy a pending thunk": lambda: copy.copy(thunk),
    }
    timed = {name: min(timeit.repeat(run, number=number, repeat=5)) / number * 1e6 for name, run in micros.items()}
    report("objects (bars: make 4 us, copy 3 us)", timed, unit="us")
    print(f"  a pending thunk with its call and request: {pending_bytes(backend):.0f} B (bar 900)")
    print(f"  a settled thunk of 500 deltas: {await settled_ratio():.2f} x the bytes of its text (bar 2.5)")
    await folding()


def pending_bytes(backend: mellite.Backend) -> float:
    """Bytes of one pending thunk with everything it owns, but for the prompt's text."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [backend.generate("Say hello.") for _ in range(10_000)]
    used = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return used


async def settled_ratio() -> float:
    """Bytes of settled thunks over the bytes of their text, raw chunks not kept."""
    words = [f"{'delta'[: 2 + i % 4]} " for i in range(500)]
    backend = mellite.backends.Scripted([[f"{i}"[:1] + word for word in words] for i in range(1_000)])
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = await mellite.gather(*backend.generate("x").resample(1_000))
    await asyncio.sleep(0)  # the tasks are over
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / sum(len(thunk.value or "") for thunk in kept)


class Deltas(mellite.Backend):
    """Many deltas, without suspending."""

    def __init__(self, count: int) -> None:
        self.events: list[Event] = [*[TextDelta("word ")] * count, Finish("stop")]

    async def stream(self, request: mellite.Request):
        """Yield them all."""
        for event in self.events:
            yield event


async def folding() -> None:
    """Await and iterate: per delta, and linear in their number."""
    for count in (1_000, 10_000, 100_000):
        source = Deltas(count)

        async def bare(source: Deltas = source) -> None:
            events = source.stream(mellite.Request(()))
            "".join([event.text async for event in events if type(event) is TextDelta])

        async def awaited(source: Deltas = source) -> None:
            await source.generate("x")

        async def iterated(source: Deltas = source) -> None:
            async for _ in source.generate("x"):
                pass

        runs = {"async for over the source": bare, "await": awaited, "async for": iterated}
        await side_by_side(f"{count:,} deltas", runs, per=count, unit="us a delta", rounds=3)


if __name__ == "__main__":
    asyncio.run(main())
