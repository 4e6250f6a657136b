"""`mellite.engine.map` in this process: what it gives, in which order, how much at once, and how it is left."""

from __future__ import annotations

import gc
import itertools
import json
import shutil
import threading

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite import engine
from mellite.backends import Echo, Failing, Scripted
from mellite.errors import InvalidRequest, JournalError, SyncInsideLoop

ON_BOTH = pytest.mark.anyio


class Crowd(mellite.Backend):
    """Counts how many of its streams run at the same time; each ends after a moment, or when its gate is open."""

    def __init__(self, *, waits: bool = False) -> None:
        self.gate = anyio.Event()
        self.waits = waits
        self.running = self.most = self.begun = self.closed = 0

    async def stream(self, request):
        """Answer with the prompt."""
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await (self.gate.wait() if self.waits else anyio.sleep(0.001))
            yield mellite.events.TextDelta(request.text)
            yield mellite.events.Finish("stop")
        finally:
            self.running -= 1
            self.closed += 1


def words(backend, count):
    """Thunks that are made when they are asked for."""
    return (backend.generate(str(number)) for number in range(count))


# --- what it gives --------------------------------------------------------------------------------


@ON_BOTH
async def test_gives_the_objects_that_were_given_and_holds_only_so_many():
    """A map yields the thunks themselves, and no more of them run at once than it says."""
    crowd = Crowd()
    thunks = list(words(crowd, 40))
    given = [thunk async for thunk in engine.map(thunks, concurrency=7)]
    assert {id(thunk) for thunk in given} == {id(thunk) for thunk in thunks}
    assert sorted(int(thunk.text) for thunk in given) == list(range(40))
    assert crowd.most == 7


@ON_BOTH
async def test_sends_nothing_by_itself():
    """Until somebody iterates or waits, nothing is asked."""
    crowd = Crowd()
    engine.map(words(crowd, 3))
    await anyio.sleep(0.01)
    assert crowd.begun == 0


@ON_BOTH
async def test_a_failure_is_a_value_and_loses_nothing():
    """A failed thunk comes as the others do, and is counted."""
    good, bad = Echo(), Failing(ConnectionError("no"))
    thunks = [(bad if number % 3 == 0 else good).generate(str(number)) for number in range(9)]
    mapped = engine.map(thunks)
    states = [thunk.state async for thunk in mapped]
    assert (states.count("failed"), states.count("done")) == (3, 6)
    assert mapped.counts == {"running": 0, "done": 6, "failed": 3, "cancelled": 0}


@ON_BOTH
async def test_one_that_is_given_twice_comes_twice_and_is_asked_once():
    """Neither one that is given again nor one that has settled is asked again."""
    crowd = Crowd()
    once, settled = crowd.generate("once"), crowd.generate("settled")
    await settled
    given = await engine.map([once, settled, once], collect=list)
    assert [id(each) for each in given] == [id(once), id(settled), id(once)]
    assert crowd.begun == 2


@ON_BOTH
async def test_a_run_is_an_item():
    """Runs stand beside thunks."""
    run = mellite.run(Echo(), "Hello.")
    assert [each is run async for each in engine.map([run])] == [True]
    assert run.text == "Hello."


@ON_BOTH
async def test_one_can_be_awaited_by_somebody_else_meanwhile():
    """Whoever awaits an item of a map waits for the same generation."""
    crowd = Crowd(waits=True)
    thunk = crowd.generate("both")
    seen = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, engine.map([thunk]), seen)
        await anyio.wait_all_tasks_blocked()
        assert thunk.state == "running"
        crowd.gate.set()
        assert await thunk == "both"
    assert seen == [thunk]
    assert crowd.begun == 1


async def _read(mapped, seen):
    async for thunk in mapped:
        seen += [thunk]


# --- where items come from ------------------------------------------------------------------------


@ON_BOTH
async def test_an_iterable_without_end_is_taken_as_it_is_needed():
    """Of what never ends, only so much is taken as is in flight."""
    taken = itertools.count()
    crowd = Crowd()
    mapped = engine.map((crowd.generate(str(number)) for number in taken), concurrency=5)
    count = 0
    async for _ in mapped:
        count += 1
        if count == 50:
            break
    assert next(taken) < 50 + 5 + 1
    await mapped.cancel()
    assert crowd.running == 0


@ON_BOTH
async def test_an_async_iterable_is_waited_for_while_others_settle():
    """What has settled comes while the iterable has nothing to give."""
    crowd = Crowd()
    closed = []

    async def slow():
        try:
            for number in range(6):
                await anyio.sleep(0.002)
                yield crowd.generate(str(number))
        finally:
            closed.append(True)

    assert sorted([thunk.text async for thunk in engine.map(slow(), concurrency=2)]) == list("012345")
    assert closed == [True]


@ON_BOTH
async def test_an_async_iterable_that_never_gives_is_left():
    """Leaving a map closes the iterable that it waits for."""
    closed = anyio.Event()

    async def silent():
        try:
            await anyio.sleep_forever()
            yield Echo().generate("never")
        finally:
            closed.set()

    with anyio.move_on_after(0.02) as scope:
        await engine.map(silent(), collect=list)
    assert scope.cancelled_caught
    with anyio.fail_after(20):
        await closed.wait()


@ON_BOTH
async def test_what_an_iterable_raises_comes_behind_what_was_begun():
    """An error of the iterable is raised once all that was begun has come."""
    crowd = Crowd()

    def broken():
        yield crowd.generate("first")
        yield crowd.generate("second")
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        await _read(engine.map(broken()), seen)
    assert sorted([thunk.text for thunk in seen]) == ["first", "second"]


@ON_BOTH
async def test_what_is_no_thunk_is_named_and_loses_nothing():
    """An item of another type is an error with its place, behind what was begun."""
    seen = []
    with pytest.raises(InvalidRequest, match=r"takes thunks and runs, not int \(item 1\)"):
        await _read(engine.map([Crowd().generate("kept"), 3]), seen)
    assert [thunk.text for thunk in seen] == ["kept"]


# --- leaving --------------------------------------------------------------------------------------


@ON_BOTH
async def test_one_that_is_left_by_break_and_dropped_cancels_what_it_began():
    """A map that nobody iterates any more cancels what is in flight."""
    crowd = Crowd(waits=True)
    thunks = [Echo().generate("first"), *words(crowd, 3)]
    async for thunk in engine.map(thunks):
        assert thunk.text == "first"
        break
    del thunk
    gc.collect()
    with anyio.fail_after(20):  # without waiting for one of them, which would keep it going
        while not all(each.is_computed() for each in thunks):
            await anyio.lowlevel.checkpoint()
    assert [each.state for each in thunks[1:]] == ["cancelled"] * 3
    assert crowd.running == 0


@ON_BOTH
async def test_cancel_gives_back_what_ran_and_leaves_the_others_pending():
    """What was not begun when a map is cancelled can be given to the next one."""
    crowd = Crowd(waits=True)
    thunks = list(words(crowd, 5))
    mapped = engine.map(thunks, concurrency=2)
    seen = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, mapped, seen)
        await anyio.wait_all_tasks_blocked()
        await mapped.cancel("enough")
        assert crowd.running == 0
    assert [thunk.state for thunk in thunks] == ["cancelled", "cancelled", "pending", "pending", "pending"]
    assert len(seen) == 2
    assert mapped.counts["cancelled"] == 2


@ON_BOTH
async def test_a_block_cancels_what_still_runs_at_its_end():
    """At the end of ``async with`` nothing runs any more."""
    crowd = Crowd(waits=True)
    thunks = [Echo().generate("first"), *words(crowd, 2)]
    async with engine.map(thunks) as mapped:
        await anext(mapped)
    assert [each.state for each in thunks] == ["done", "cancelled", "cancelled"]
    assert crowd.running == 0


@ON_BOTH
async def test_a_cancelled_wait_for_all_cancels_all():
    """Whoever cancels the wait for all cancels all."""
    crowd = Crowd(waits=True)
    thunks = list(words(crowd, 3))
    with anyio.move_on_after(0.01):
        await engine.map(thunks, collect=list)
    assert [each.state for each in thunks] == ["cancelled"] * 3


@ON_BOTH
async def test_a_wait_that_was_cancelled_can_go_on():
    """A cancelled wait for the next one loses nothing."""
    crowd = Crowd(waits=True)
    mapped = engine.map([crowd.generate("late")])
    with anyio.move_on_after(0.01):
        await anext(mapped)
    crowd.gate.set()
    assert [thunk.text async for thunk in mapped] == ["late"]


# --- code without await ---------------------------------------------------------------------------


def test_a_plain_loop_and_result():
    """Code without await iterates, and waits for all."""
    crowd = Crowd()
    assert sorted(int(thunk.text) for thunk in engine.map(words(crowd, 20), concurrency=3)) == list(range(20))
    assert crowd.most == 3

    async def slow():
        for number in range(3):
            await anyio.sleep(0.001)
            yield crowd.generate(str(number))

    assert [thunk.text for thunk in engine.map(slow(), collect=list).result()] == ["0", "1", "2"]


def test_result_has_a_timeout_that_cancels():
    """What has not settled in time is cancelled."""
    thunk = Crowd(waits=True).generate("never")
    ended, states = threading.Event(), []

    @mellite.hooks.after("generation")
    def note(settled):
        states.append(settled.state)
        ended.set()

    with mellite.hooks.use(note), pytest.raises(TimeoutError, match=r"not all items settled within 0\.05 s"):
        engine.map([thunk]).result(timeout=0.05)
    assert ended.wait(5)
    assert states == ["cancelled"]


@ON_BOTH
async def test_a_plain_loop_inside_a_loop_is_refused():
    """Inside a loop the error says to write ``async for``."""
    with pytest.raises(SyncInsideLoop, match="async for"):
        next(engine.map([Echo().generate("a")]))


# --- files ----------------------------------------------------------------------------------------


@ON_BOTH
async def test_a_file_has_a_row_for_each_and_appears_at_the_end(tmp_path):
    """A file is there once all has settled, with a row for each."""
    path = tmp_path / "answers.jsonl"

    def items():
        yield Echo().generate("größe\n", metadata={"id": 7})
        assert not path.exists()
        yield Failing(ConnectionError("no")).generate("two")

    collected = await engine.map(items(), collect=str(path), concurrency=1)
    assert collected == engine.Collected(str(path), rows=2, failed=1)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == ["größe\n", "two"]
    assert (rows[0]["text"], rows[0]["metadata"], rows[0]["error"]) == ("größe\n", {"id": 7}, None)
    assert (rows[1]["text"], rows[1]["error_type"]) == (None, "BackendError")
    assert [each.name for each in tmp_path.iterdir()] == ["answers.jsonl"]


@ON_BOTH
async def test_a_file_of_a_map_that_is_cancelled_is_not_there(tmp_path):
    """A map that is cancelled leaves no file, and no part of one."""
    with anyio.move_on_after(0.02):
        await engine.map(
            [Echo().generate("one"), Crowd(waits=True).generate("two")], collect=tmp_path / "answers.jsonl"
        )
    assert list(tmp_path.iterdir()) == []


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"items": 3}, "'items' must be an iterable"),
        ({"items": "abc"}, "'items' must be an iterable"),
        ({"on": "locl"}, "did you mean 'local'"),
        ({"on": 3}, "'on' names no engine"),
        ({"concurrency": 0}, "'concurrency' must be a whole number of at least 1"),
        ({"concurrency": None}, "'concurrency' must be a whole number of at least 1"),
        ({"limits": [3]}, "'limits' has 3"),
        ({"limits": "x"}, "'limits' must be a list"),
        ({"collect": "answers.txt"}, "has another"),
        ({"collect": dict}, "'collect' must be list"),
        ({"collect": "nowhere/answers.jsonl"}, "there is no folder 'nowhere'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(given, said):
    """A wrong argument is an error that names it."""
    with pytest.raises(InvalidRequest, match=said):
        engine.map(**{"items": [], **given})


def test_what_is_looked_at_before_it_begins():
    """Counts and usage can be looked at before anything is asked."""
    mapped = engine.map(Scripted(["one"]).generate("x").resample(2), collect=list)
    assert repr(mapped) == "<Map not begun>"
    assert (mapped.usage, mapped.cost_usd, mapped.counts["running"]) == (None, None, 0)
    mapped.cancel()
    assert mapped.result() == []


@ON_BOTH
async def test_a_journal_that_was_removed_ends_the_map(tmp_path):
    """What nobody could find again is not asked: one error says so, behind what had begun."""
    crowd, kept = Crowd(), tmp_path / "kept"

    def items():
        for number in range(1_000):
            if number == 20:
                shutil.rmtree(kept)
            yield crowd.generate(str(number))

    mapped = engine.map(items(), concurrency=4, journal=kept)
    with pytest.raises(JournalError, match="was removed while it is open"):
        await mapped
    assert mapped.counts["done"] == crowd.begun <= 24
    assert mapped.failures == {"JournalError": mapped.counts["failed"]}
    assert not kept.exists()
