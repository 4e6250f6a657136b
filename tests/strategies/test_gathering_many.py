"""Many thunks at once: what `gather` gives, where it can be handed, limits, and `as_completed`."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import warnings
from collections.abc import Coroutine

import anyio
import pytest
import trio

import mellite
from mellite.backends import Echo, Scripted
from mellite.errors import ConnectionLost, InvalidRequest, SyncInsideLoop
from tests.thunk.support import Consumer, Gate, Source, blocked, run_child

ON_BOTH = pytest.mark.anyio


def echoes(count: int) -> list[mellite.ModelOutputThunk[str]]:
    """Thunks that answer with their number."""
    return [Echo().generate(str(number)) for number in range(count)]


class Crowd(mellite.Backend):
    """Counts how many of its streams run at the same time; each waits for its gate."""

    def __init__(self) -> None:
        self.gates: dict[str, anyio.Event] = {}
        self.running: list[str] = []
        self.started: list[str] = []
        self.most = 0

    async def stream(self, request):
        """Answer with the prompt, once the gate of the prompt is open."""
        gate = self.gates.setdefault(request.text, anyio.Event())
        self.running.append(request.text)
        self.started.append(request.text)
        self.most = max(self.most, len(self.running))
        try:
            await gate.wait()
            yield mellite.events.TextDelta(request.text)
            yield mellite.events.Finish("stop")
        finally:
            self.running.remove(request.text)

    def thunks(self, count: int) -> list[mellite.ModelOutputThunk[str]]:
        """Thunks whose prompts are 0, 1, 2, ..."""
        return [self.generate(str(number)) for number in range(count)]


# --- what gather gives, and where it goes ---------------------------------------------------------

LOOPS = {
    "asyncio.run": lambda thunks: asyncio.run(mellite.gather(*thunks)),
    "trio.run": lambda thunks: trio.run(mellite.gather, *thunks),
    "anyio.run": lambda thunks: anyio.run(mellite.gather, *thunks),
    "anyio.run on trio": lambda thunks: anyio.run(mellite.gather, *thunks, backend="trio"),
    "result": lambda thunks: mellite.gather(*thunks).result(),
    "one list": lambda thunks: mellite.gather(thunks).result(),
    "a generator": lambda thunks: mellite.gather(each for each in thunks).result(),
}


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_where_it_goes(run):
    """Every way to run a coroutine function, or a coroutine, takes it; what comes out are the thunks, in order."""
    thunks = echoes(3)
    results = run(thunks)
    assert isinstance(results, list)
    assert type(results) is mellite.Results
    assert results == thunks
    assert results.texts == ["0", "1", "2"]


def test_looked_at_after_its_end():
    """A task that is done looks at it once more to show itself; what that makes goes without a warning."""
    done = mellite.gather(*echoes(1))
    asyncio.run(done)
    gc.freeze()  # puts it behind what comes next, in the order in which the garbage collector ends things
    try:
        assert done.cr_frame is not None
        gc.collect()
    finally:
        gc.unfreeze()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del done
        gc.collect()
    assert told == []


@ON_BOTH
async def test_tasks():
    """Task groups take it, and so do tasks of asyncio; it may be awaited again, also afterwards."""
    thunks = echoes(3)
    gathering = mellite.gather(*thunks)
    async with anyio.create_task_group() as group:
        group.start_soon(mellite.gather, *thunks)
        first, second = Consumer(group, lambda: gathering), Consumer(group, lambda: gathering)
    assert first.value == second.value == await gathering == thunks
    assert "gather" in repr(gathering).lower()


def test_tasks_of_asyncio():
    """`create_task`, a TaskGroup, `gather`, `wait_for` and `shield` take it; one may be given to two of them."""

    async def main():
        gathering = mellite.gather(echoes(2))
        one, two = asyncio.create_task(gathering), asyncio.create_task(gathering, name="second")
        assert "gather" in repr(one)
        async with asyncio.TaskGroup() as group:
            three = group.create_task(mellite.gather(*echoes(2)))
        four, five = await asyncio.gather(mellite.gather(*echoes(2)), asyncio.shield(mellite.gather(*echoes(2))))
        found = [await one, await two, await three, four, five, await asyncio.wait_for(gathering, 10)]
        return [results.texts for results in found]

    assert asyncio.run(main()) == [["0", "1"]] * 6


def test_it_is_a_coroutine():
    """It is a `collections.abc.Coroutine`, made by a plain function, which checks at once what it is given."""
    assert not inspect.iscoroutinefunction(mellite.gather)
    assert isinstance(mellite.gather(), Coroutine)
    assert inspect.isawaitable(mellite.gather())
    assert mellite.gather([]).result() == mellite.gather().result() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [((5,), "not int"), (("text",), "not str"), ((echoes(1), echoes(1)), "not list"), ((*echoes(2), "x"), "index 2")],
)
def test_what_is_no_thunk(given, said):
    """What is not a thunk is refused by both, with its type and index."""
    for function in (mellite.gather, mellite.as_completed):
        with pytest.raises(InvalidRequest, match=said):
            function(*given)


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2"])
def test_a_limit_that_is_none(concurrency):
    """A concurrency below 1, or that is not a whole number, is refused."""
    for function in (mellite.gather, mellite.as_completed):
        with pytest.raises(InvalidRequest, match="at least 1") as caught:
            function(echoes(1), concurrency=concurrency)
        assert caught.value.parameter == "concurrency"


def test_dropped_unused():
    """Dropped before it is awaited it warns of nothing and generates nothing, also if a loop has looked at it."""
    thunks = echoes(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mellite.gather(*thunks)
        looked_at = mellite.gather(*thunks, concurrency=1)
        assert looked_at.cr_frame is not None
        del looked_at
        mellite.as_completed(thunks)
        gc.collect()
    assert [thunk.state for thunk in thunks] == ["pending", "pending"]


def test_results():
    """`Results` picks out texts, errors and what is done; it is copied and pickled as a list is."""
    results = mellite.gather(Scripted(["a", ConnectionLost("gone"), "c"]).generate("x").resample(3)).result()
    assert (results.texts, [str(error) for error in results.errors]) == (["a", None, "c"], ["gone"])
    assert results.done == [results[0], results[2]]
    assert pickle.loads(pickle.dumps(results)).texts == results.texts


@ON_BOTH
async def test_result_inside_a_loop():
    """`result` refuses to block a loop, unless all are settled."""
    gathering = mellite.gather(echoes(2))
    with pytest.raises(SyncInsideLoop, match=r"await mellite\.gather"):
        gathering.result()
    with pytest.raises(SyncInsideLoop, match="async for"):
        next(mellite.as_completed(echoes(1)))
    await gathering
    assert gathering.result().texts == ["0", "1"]


@pytest.mark.parametrize("door", [lambda thunk: thunk, mellite.gather], ids=["thunk", "gather"])
def test_a_timeout_that_is_none(door):
    """A timeout that is not a number is refused and costs nothing; one that is endless waits to the end."""
    thunk = Echo().generate("Hi.")
    for timeout in ("3", True, [], float("nan")):
        with pytest.raises(InvalidRequest, match="number of seconds") as caught:
            door(thunk).result(timeout=timeout)
        assert caught.value.parameter == "timeout"
    assert thunk.state == "pending"
    assert door(thunk).result(timeout=float("inf")) in ("Hi.", [thunk])


def test_result_with_a_timeout():
    """`result` gives up in time, and says how many are missing; what nobody else waits for is cancelled."""

    class Endless(mellite.Backend):
        async def stream(self, request):
            yield mellite.events.TextDelta("half")
            await anyio.sleep_forever()

    thunks = [Endless().generate("x"), Echo().generate("y")]
    thunks[1].result()
    with pytest.raises(TimeoutError, match=r"1 of 2 thunks did not settle within 0\.05 s"):
        mellite.gather(thunks).result(timeout=0.05)
    assert (thunks[0].cancelled, thunks[0].partial) == (True, "half")
    assert mellite.gather(thunks).result().done == [thunks[1]]


# --- limits ---------------------------------------------------------------------------------------


@ON_BOTH
@pytest.mark.parametrize("progress", [False, True])
async def test_concurrency(progress):
    """At most so many run at the same time; the next begins, in order, when one has settled."""
    crowd = Crowd()
    thunks = crowd.thunks(6)
    async with anyio.create_task_group() as group:
        consumer = Consumer(group, lambda: mellite.gather(*thunks, concurrency=2, progress=progress))
        while len(crowd.started) < 2:
            await anyio.lowlevel.checkpoint()
        assert sorted(crowd.started) == ["0", "1"]
        assert [thunk.state for thunk in thunks] == ["running"] * 2 + ["pending"] * 4
        crowd.gates["1"].set()
        while len(crowd.started) < 3:
            await anyio.lowlevel.checkpoint()
        assert crowd.started[2] == "2"
        for number in "02345":
            while number not in crowd.gates:
                await anyio.lowlevel.checkpoint()
            crowd.gates[number].set()
    assert consumer.value.texts == ["0", "1", "2", "3", "4", "5"]
    assert crowd.most == 2


@ON_BOTH
async def test_a_limited_gather_that_is_cancelled():
    """What ran is cancelled, what was running for somebody else goes on, and what had not begun stays pending."""
    crowd = Crowd()
    thunks = crowd.thunks(4)
    async with anyio.create_task_group() as outer:
        other = Consumer(outer, thunks[0].settle)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: mellite.gather(*thunks, concurrency=2))
            while len(crowd.started) < 2:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert [thunk.state for thunk in thunks] == ["running", "cancelled", "pending", "pending"]
        assert crowd.running == ["0"]
        crowd.gates["0"].set()
    assert other.value is thunks[0]


def test_closed_while_it_waits():
    """`close()` leaves by cancellation, without waiting."""
    gate = Gate()
    thunks = [mellite.generate(Source(gate=gate), "x")]

    async def main():
        for options in ({}, {"concurrency": 1}):
            gathering = mellite.gather(*thunks, **options)
            gathering.send(None)
            gathering.close()
        await thunks[0].settle()
        return thunks[0].state

    assert asyncio.run(main()) == "cancelled"


# --- as_completed ---------------------------------------------------------------------------------


@ON_BOTH
async def test_the_first_comes_first():
    """Thunks come in the order in which they settle, settled ones at once, and each once."""
    crowd = Crowd()
    thunks = crowd.thunks(3)
    done = await Echo().generate("done").settle()
    failed = mellite.generate(Source(["half"], error=ConnectionLost("gone")), "x")
    seen = []
    async with anyio.create_task_group() as group:

        async def read():
            seen.extend([thunk async for thunk in mellite.as_completed([*thunks, done, failed, thunks[0]])])

        group.start_soon(read)
        for number in "201":
            while number not in crowd.gates:
                await anyio.lowlevel.checkpoint()
            await blocked()
            crowd.gates[number].set()
            await thunks[int(number)]
    assert seen[0] is done
    assert [thunk for thunk in seen if thunk in thunks] == [thunks[2], thunks[0], thunks[1]]
    assert failed in seen
    assert len(seen) == 5


@ON_BOTH
async def test_as_completed_is_limited():
    """At most so many run at a time; nothing is sent before the first is asked for."""
    crowd = Crowd()
    crowd.gates = {str(number): anyio.Event() for number in range(5)}
    thunks = crowd.thunks(5)
    reading = mellite.as_completed(thunks, concurrency=2)
    assert crowd.started == []
    for gate in crowd.gates.values():
        gate.set()
    assert sorted([thunk.text async for thunk in reading]) == ["0", "1", "2", "3", "4"]
    assert crowd.most <= 2
    with pytest.raises(StopAsyncIteration):
        await anext(reading)


@ON_BOTH
async def test_leaving_by_break_pauses():
    """A `break` with the thunks kept cancels nothing: a later `await` goes on."""
    crowd = Crowd()
    thunks = crowd.thunks(2)
    crowd.gates = {"0": anyio.Event(), "1": anyio.Event()}
    crowd.gates["0"].set()
    async for thunk in mellite.as_completed(thunks):
        assert thunk is thunks[0]
        break
    await blocked()
    assert thunks[1].state == "running"
    crowd.gates["1"].set()
    assert await thunks[1] == "1"


@ON_BOTH
async def test_leaving_by_cancellation_cancels():
    """When the reader is cancelled and gone, what nobody else waits for is cancelled."""
    crowd = Crowd()
    thunks = crowd.thunks(2)
    async with anyio.create_task_group() as group:

        async def read():
            async for _ in mellite.as_completed(thunks):
                pass

        group.start_soon(read)
        while len(crowd.started) < 2:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    while not all(thunk.is_computed() for thunk in thunks):  # nobody else may wait for them now
        await blocked()
    assert [thunk.state for thunk in thunks] == ["cancelled", "cancelled"]


def test_without_a_loop():
    """A plain `for` reads them from the background loop."""
    assert sorted(thunk.text for thunk in mellite.as_completed(echoes(5), concurrency=2)) == ["0", "1", "2", "3", "4"]


def test_nothing_is_left_in_a_process():
    """A program that leaves gatherings in every state ends without a word on standard error."""
    child = run_child(
        """
        import asyncio, mellite
        from mellite.backends import Echo
        thunks = [Echo().generate(str(n)) for n in range(5)]
        mellite.gather(thunks)
        async def main():
            unused = asyncio.create_task(mellite.gather(thunks, concurrency=2))
            async for thunk in mellite.as_completed(thunks):
                return mellite.gather(thunks), mellite.as_completed(thunks)
        kept = asyncio.run(main())
        print(kept[0].result().texts)
        """
    )
    assert child.stdout.strip() == "['0', '1', '2', '3', '4']"
