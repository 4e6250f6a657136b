"""How an interaction went, as it stands in a file: packed pieces, and the order that follows from times."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, strategies as some

from mellite.cassettes.replaying.order import Order
from mellite.cassettes.timeline import Fault, Stopwatch, Timeline, packed, unpacked
from mellite.errors import InvalidCassette

PIECES = some.lists(some.tuples(some.integers(0, 50), some.integers(0, 1000)), max_size=30)


@given(PIECES, some.integers(0, 100))
def test_packing_loses_nothing(pieces: list[tuple[int, int]], start: int) -> None:
    """Pieces in order of their times are unpacked as they were."""
    ordered = sorted([(start + at, size) for size, at in pieces], key=lambda piece: piece[0])
    given_pieces = [(size, at) for at, size in ordered]
    assert list(unpacked(packed(given_pieces, start), start)) == given_pieces


def test_packing_is_short() -> None:
    """Five hundred even pieces are one word, and uneven ones some ten characters each."""
    assert packed([(284, 100 * number) for number in range(1, 501)]) == "284x500@100"
    uneven = packed([(250 + number % 40, 12_345 * number) for number in range(500)])
    assert len(uneven) < 5100


@given(PIECES)
def test_sizes_are_those_of_the_pieces(pieces: list[tuple[int, int]]) -> None:
    """The sizes alone are unpacked to the same as with their times, whichever words stand for them."""
    ordered = sorted(pieces, key=lambda piece: piece[1])
    assert Timeline(started=0, chunks=packed(ordered)).sizes() == [size for size, _ in ordered]


@pytest.mark.parametrize("chunks", ["5 x", "1@", "@1", "-1", "1 2.5", "1x@2", "1x99999999"])
def test_no_pieces(chunks: str) -> None:
    """Sizes are read as strictly as pieces."""
    for unpack in (Timeline.sizes, Timeline.pieces):
        with pytest.raises(InvalidCassette, match=r"mellite\.chunks"):
            unpack(Timeline(started=0, chunks=chunks))


@given(
    some.builds(
        Timeline,
        started=some.integers(0, 4_000_000_000_000_000),
        opened=some.none() | some.integers(0, 10**9),
        ended=some.integers(0, 10**12),
        end=some.sampled_from(["complete", "interrupted", "broken"]),
        fault=some.none()
        | some.builds(Fault, some.text(), some.text(), ending=some.sampled_from([None, "cut", "reset"]))
        | some.builds(
            Fault,
            some.text(),
            some.text(),
            clock=some.sampled_from(["first_byte", "idle", "total"]),
            seconds=some.floats(0.001, 1000) | some.integers(1, 1000),
        ),
        lineage=some.none() | some.lists(some.integers(0, 99)).map(tuple),
        chunks=PIECES.map(packed),
    )
)
def test_what_is_stored_is_read(timeline: Timeline) -> None:
    """A timeline comes out of a file as it went in, to the microsecond."""
    assert Timeline.of(timeline.to_extra()) == timeline


def test_the_stopwatch_never_goes_back() -> None:
    """Each look at it is not before the last one."""
    clock = Stopwatch()
    moments = [clock.now() for _ in range(1000)]
    assert moments == sorted(moments)


def line(started: int, ended: int, end: str = "complete", **more: Any) -> Timeline:
    """A timeline in milliseconds."""
    return Timeline(started=started * 1000, opened=0, ended=(ended - started) * 1000, end=end, **more)  # type: ignore[arg-type]


def test_what_ran_alone_is_not_held() -> None:
    """Interactions that came one after the other are in no order that anything waits for."""
    order = Order([line(0, 1), line(2, 3), None, line(4, 9), line(5, 6)])
    assert [order.concerns(index) for index in range(5)] == [False, False, False, True, True]


@pytest.mark.anyio
async def test_ends_in_the_recorded_order() -> None:
    """Three answers that ended as 2, 0, 1 end so again, each after the reader of the one before has had its turns."""
    order = Order([line(0, 20), line(1, 30), line(2, 10)])
    happened: list[str] = []

    async def replay(index: int, end: int) -> None:
        order.begins(index, end * 1000)
        await order.until(index, end * 1000, end=True)
        happened.append(f"end {index}")
        order.ends(index)
        for _ in range(10):
            await checkpoint()
        happened.append(f"acted {index}")

    async with anyio.create_task_group() as tasks:
        for index, end in ((1, 30), (0, 20), (2, 10)):
            tasks.start_soon(replay, index, end)
    assert happened == ["end 2", "acted 2", "end 0", "acted 0", "end 1", "acted 1"]


@pytest.mark.anyio
async def test_an_end_waits_for_pieces_that_came_before() -> None:
    """An answer does not end before another one has given what it had given by then."""
    order = Order([line(0, 20), line(1, 50, "interrupted", chunks="1@10000 1@30000")])
    happened: list[str] = []
    order.begins(1, 11_000)
    order.begins(0, 20_000)

    async def ends() -> None:
        await order.until(0, 20_000, end=True)
        happened.append("end")
        order.ends(0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends)
        for _ in range(100):
            await checkpoint()
        happened.append("piece")
        order.gives(1, 41_000)
    assert happened == ["piece", "end"]


@pytest.mark.anyio
@pytest.mark.parametrize("has_begun", [False, True], ids=["its request", "its piece"])
async def test_a_machine_that_stands_still_changes_no_order(*, has_begun: bool) -> None:
    """What is waited for while nothing runs, for longer than anybody is waited for, still comes first."""
    order = Order([line(0, 20), line(1, 10)])
    happened: list[str] = []
    order.begins(0, 20_000)
    if has_begun:
        order.begins(1, 10_000)

    async def ends() -> None:
        await order.until(0, 20_000, end=True)
        happened.append("the later one")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends)
        await anyio.wait_all_tasks_blocked()
        still = time.monotonic()
        while time.monotonic() < still + (1.1 if has_begun else 0.35):
            pass
        for _ in range(5):
            await checkpoint()
        if not has_begun:
            order.begins(1, 10_000)
        happened.append("the one before")
        order.ends(1)
    assert happened == ["the one before", "the later one"]


@pytest.mark.anyio
async def test_who_never_comes_is_waited_for_once() -> None:
    """A program that asks one after the other what was asked at once loses a moment, and not one for each."""
    order = Order([line(0, 100 - index) for index in range(50)])
    with anyio.fail_after(8):  # a wait for each would take 12 s
        for index in range(50):
            order.begins(index, (100 - index) * 1000)
            await order.until(index, (100 - index) * 1000, end=True)
            order.ends(index)


@pytest.mark.anyio
async def test_whoever_waits_may_be_cancelled() -> None:
    """A reader that goes away while it waits, also for others to act, keeps nobody from going on."""
    order = Order([line(0, 10), line(0, 20), line(0, 30)])
    for index, end in ((0, 10), (1, 20), (2, 30)):
        order.begins(index, end * 1000)
    order.ends(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(order.until, 1, 20_000, end=True))
        await checkpoint()
        tasks.cancel_scope.cancel()
    order.ends(1)
    with anyio.fail_after(20):
        await order.until(2, 30_000, end=True)
