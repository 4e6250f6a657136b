"""mellite.share(): equal requests are generated once, each thunk stays its own, and copies never share."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite.errors import BackendError, ConnectionLost, InvalidRequest, OutputValidationError
from mellite.events import Event, Finish, ResponseStart, TextDelta, ToolCallEvent, Usage
from mellite.messages import ToolCall
from mellite.request import Request
from mellite.strategies.sampling.voting import MajorityVote
from tests.thunk.support import Consumer, Gate, Source, blocked, collect, full_answer

pytestmark = pytest.mark.anyio


async def test_equal_requests_are_generated_once():
    """Ten equal requests make one call; every thunk has the whole answer, and they know that it is the same one."""
    source = Source()
    with mellite.share() as shared:
        thunks = [source.generate(["Hel", "lo"], system="Be brief.", temperature=0.5) for _ in range(10)]
        await mellite.gather(*thunks)
    assert source.calls == 1
    assert {thunk.value for thunk in thunks} == {"one two three"}
    assert len({thunk.generation.generation_id for thunk in thunks}) == 1
    assert len({id(thunk.generation) for thunk in thunks}) == 10
    assert {thunk.generation.usage.total_tokens for thunk in thunks} == {4}
    assert (shared.generations, shared.saved) == (1, 9)


async def test_nothing_is_shared_without_it():
    """Outside of the block each thunk makes its own call."""
    source = Source()
    await mellite.gather(source.generate("hi"), source.generate("hi"))
    with mellite.share():
        pass
    await mellite.gather(source.generate("hi"), source.generate("hi"))
    assert source.calls == 4


async def test_where_it_is_driven_counts():
    """A thunk made outside and driven inside shares; one made inside and driven outside does not."""
    source = Source()
    first, second = source.generate("hi"), source.generate("hi")
    with mellite.share():
        inside = source.generate("later")
        await mellite.gather(first, second)
    await mellite.gather(inside, source.generate("later"))
    assert [request.text for request in source.requests] == ["hi", "later", "later"]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"system": "Be long."},
        {"temperature": 0.2},
        {"max_tokens": 5},
        {"tools": [mellite.ToolDefinition("look")]},
        {"tool_choice": "none"},
        {"provider_options": {"acme": {"a": 1}}},
        {"http": mellite.HttpOptions(headers={"x": "y"})},
        {"cache": "none"},
        {"metadata": {"user": 2}},
        {"output": dict},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_requests_that_differ_are_not_shared(changes: dict[str, Any]):
    """Requests that differ in any value are generated each."""
    source = Source(["{}"])
    with mellite.share() as shared:
        thunks = [source.generate("hi"), source.generate("hi", **changes)]
        await mellite.gather(*thunks)
    assert (source.calls, shared.saved) == (2, 0)


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, 1.0), ("1", 1), ([1], (1,)), (None, False)])
async def test_what_only_python_takes_for_equal_is_not_shared(one: Any, other: Any):
    """1 and True are equal to Python, and not to a model: a request with the one is not answered with the other."""
    source = Source()
    with mellite.share():
        for value in (one, other):
            call = ToolCall("c1", "count", {"n": value})
            await source.generate([mellite.Message.user("hi"), mellite.Message.assistant(call)])
    assert source.calls == 2


class Odd:
    """A value that cannot be compared, as an array cannot."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        msg = "the truth value is ambiguous"
        raise ValueError(msg)


async def test_values_that_cannot_be_compared_are_not_shared():
    """A request with a value in it that refuses to be compared is taken to be a different one."""
    source = Source()
    with mellite.share():
        await mellite.gather(*[source.generate("hi", metadata={"array": Odd()}) for _ in range(2)])
    assert source.calls == 2


async def test_backends_are_not_shared():
    """The same request to two backends, equal as they may be, is asked of both."""
    one, other = Source(), Source()
    with mellite.share():
        await mellite.gather(one.generate("hi"), other.generate("hi"))
    assert (one.calls, other.calls) == (1, 1)


async def test_backend_that_is_gone_is_not_mistaken():
    """A new backend at the place in memory of an old one gets its own requests."""
    with mellite.share():
        for number in range(20):
            assert await mellite.backends.Constant(str(number)).generate("hi") == str(number)


async def test_copies_never_share():
    """Copies are there to be different: each makes its own call, beside an original that shares."""
    source = Source()
    with mellite.share() as shared:
        first, second = source.generate("hi"), source.generate("hi")
        copies = [copy.copy(first), copy.deepcopy(first), *first.resample(3), copy.copy(copy.copy(second))]
        await mellite.gather(first, second, *copies)
    assert source.calls == 1 + 6
    assert (shared.generations, shared.saved) == (1, 1)


async def test_strategies_sample_inside():
    """A strategy inside the block gets samples of its own."""
    backend = mellite.backends.Scripted(["heads", "tails", "heads"])
    with mellite.share():
        result = await MajorityVote(3).sample(backend.generate("Toss a coin."))
    assert (result.value, backend.calls) == ("heads", 3)


async def test_later_requests_get_the_answer():
    """An answer is kept until the block ends: a later equal request gets all of its events, with their boundaries."""
    source = Source(full_answer())
    with mellite.share() as shared:
        early, late = source.generate("hi"), source.generate("hi")
        events = await collect(early.events())
        assert await collect(late.events()) == events == source.events
        assert await source.generate("hi") == early.value
    assert (source.calls, shared.saved) == (1, 2)
    assert late.generation.generation_id == early.generation.generation_id
    assert late.raw.streamed_chunks == early.raw.streamed_chunks == [{"n": 1}, {"n": 2}]
    assert late.tool_calls == early.tool_calls != ()


async def test_joins_halfway():
    """A thunk that joins a running generation gets its text from the first delta."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        async with anyio.create_task_group() as group:
            first = Consumer(group, lambda: collect(source.generate("hi")))
            gate.allow(2)
            await gate.reached(2)
            second = Consumer(group, lambda: collect(source.generate("hi")))
            await blocked()
            gate.allow(2)
    assert first.value == second.value == ["one ", "two ", "three"]
    assert source.calls == 1


async def test_deltas_arrive_as_they_come():
    """A delta is handed on to all that share at once, before the next one is there."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        streams = [aiter(source.generate("hi")) for _ in range(3)]
        for delta in ("one ", "two "):
            gate.allow()
            assert [await anext(stream) for stream in streams] == [delta] * 3
        gate.allow(2)
        assert [await collect(stream) for stream in streams] == [["three"]] * 3


# --- cancelling -----------------------------------------------------------------------------------


async def leave_by_task(group: Any, thunk: mellite.ModelOutputThunk[str], consumer: Consumer) -> None:
    """Cancel the task that awaits."""
    consumer.cancel()


async def leave_by_request(group: Any, thunk: mellite.ModelOutputThunk[str], consumer: Consumer) -> None:
    """Cancel the generation of this thunk."""
    await thunk.cancel_generation("enough")


LEAVING = {"task": leave_by_task, "request": leave_by_request}


@pytest.mark.parametrize("how", LEAVING)
async def test_cancelling_one_leaves_the_other(how: str):
    """One of two that share is cancelled: it settles as cancelled at once, and the other one goes on."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        one, other = source.generate("hi"), source.generate("hi")
        async with anyio.create_task_group() as group:
            first, second = Consumer(group, one.settle), Consumer(group, other.settle)
            gate.allow()
            await gate.reached(1)
            await blocked()
            await LEAVING[how](group, one, first)
            await first.over()
            await one.settle()
            assert (one.state, one.partial, other.state) == ("cancelled", "one ", "running")
            assert source.ends == []
            gate.allow(3)
            await second.over()
    assert (other.value, source.calls, source.ends) == ("one two three", 1, ["exhausted"])


@pytest.mark.parametrize("how", LEAVING)
async def test_cancelling_the_last_cancels_the_generation(how: str):
    """When the last of those that share goes by cancellation, the backend's stream is closed before it has settled."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        thunks = [source.generate("hi") for _ in range(3)]
        async with anyio.create_task_group() as group:
            consumers = [Consumer(group, thunk.settle) for thunk in thunks]
            gate.allow()
            await gate.reached(1)
            for thunk, consumer in zip(thunks, consumers, strict=True):
                assert source.open == 1
                await LEAVING[how](group, thunk, consumer)
                await consumer.over()
                await thunk.settle()
            assert source.open == 0
    assert [thunk.state for thunk in thunks] == ["cancelled"] * 3
    assert source.calls == 1
    assert source.ends in (["cancelled"], ["closed"])


async def test_cancelling_the_last_waits_until_it_is_closed():
    """The last one that is cancelled has not settled before the backend has closed its stream, its connection."""

    class Closing(mellite.Backend):
        closed = False

        async def stream(self, request: Request) -> AsyncIterator[Event]:
            try:
                yield TextDelta("one")
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await blocked()
                self.closed = True

    closing = Closing()
    with mellite.share():
        thunk = closing.generate("hi")
        async for _ in thunk:
            break
        await thunk.cancel_generation()
        assert closing.closed


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_from_elsewhere():
    """A shared generation whose task is cancelled by somebody else settles all that share it as cancelled."""
    tasks: list[asyncio.Task[Any]] = []

    class Telling(mellite.Backend):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            tasks.append(asyncio.current_task())
            yield TextDelta("one")
            await anyio.sleep_forever()

    telling = Telling()
    with mellite.share():
        thunks = [telling.generate("hi") for _ in range(2)]
        async with anyio.create_task_group() as group:
            for thunk in thunks:
                group.start_soon(thunk.settle)
            await blocked()
            tasks[0].cancel()
    assert [(thunk.state, thunk.partial) for thunk in thunks] == [("cancelled", "one")] * 2


async def test_a_block_around_one_thunk_stops_only_that():
    """Leaving ``async with thunk`` cancels this thunk, not the one that shares with it."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        other = source.generate("hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, other.settle)
            async with source.generate("hi") as thunk:
                gate.allow()
                async for _ in thunk:
                    break
            assert thunk.cancelled
            gate.allow(3)
            await consumer.over()
    assert other.value == "one two three"


async def test_dropping_one_leaves_the_other():
    """A running thunk that is dropped stops taking part; the other one goes on."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        dropped, other = source.generate("hi"), source.generate("hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, other.settle)
            gate.allow()
            async for _ in dropped:
                break
            del dropped, _
            gc.collect()
            await blocked()
            gate.allow(3)
            await consumer.over()
    assert (other.value, source.ends) == ("one two three", ["exhausted"])


async def test_one_that_pauses_is_not_cancelled_with_the_other():
    """A thunk that was left by ``break`` keeps the generation: it goes on later, although the other was cancelled."""
    gate = Gate()
    source = Source(gate=gate)
    with mellite.share():
        paused, other = source.generate("hi"), source.generate("hi")
        gate.allow()
        async for _ in paused:
            break
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, other.settle)
            await blocked()
            consumer.cancel()
        assert other.cancelled
        gate.allow(3)
        assert await paused == "one two three"
    assert (source.calls, source.ends) == (1, ["exhausted"])


async def test_nobody_joins_a_generation_that_is_being_cancelled():
    """A request that comes while the shared generation is being closed is generated anew."""
    closing, closed = anyio.Event(), anyio.Event()

    class Slow(mellite.Backend):
        calls = 0

        async def stream(self, request: Request) -> AsyncIterator[Event]:
            self.calls += 1
            try:
                if self.calls == 1:
                    await anyio.sleep_forever()
                yield TextDelta("second")
                yield Finish("stop")
            finally:
                if self.calls == 1:
                    closing.set()
                    with anyio.CancelScope(shield=True):
                        await closed.wait()

    slow = Slow()
    with mellite.share():
        first = slow.generate("hi")
        async with anyio.create_task_group() as group:
            Consumer(group, first.settle)
            await blocked()
            group.start_soon(first.cancel_generation)
            await closing.wait()
            second = Consumer(group, lambda: slow.generate("hi"))
            await second.over()
            closed.set()
    assert (first.state, second.value, slow.calls) == ("cancelled", "second", 2)


async def test_cancelled_ones_are_not_kept():
    """After a shared generation was cancelled, an equal request is generated anew."""
    gate = Gate()
    source = Source(gate=gate)
    gate.allow()
    with mellite.share():
        async with source.generate("hi") as thunk:
            async for _ in thunk:
                break
        assert thunk.cancelled
        gate.allow(4)
        assert await source.generate("hi") == "one two three"
    assert source.calls == 2


# --- failing --------------------------------------------------------------------------------------


async def test_errors_are_shared():
    """All that share get the one error, with the text before it; the next equal request is generated anew."""
    error = ConnectionLost("gone", request_id="r1")
    source = Source(["one "], error=error)
    with mellite.share() as shared:
        thunks = await mellite.gather(*[source.generate("hi") for _ in range(3)])
        assert [thunk.error for thunk in thunks] == [error] * 3
        assert [thunk.partial for thunk in thunks] == ["one "] * 3
        for thunk in thunks:
            with pytest.raises(ConnectionLost) as caught:
                await thunk
            assert caught.value is error
        await source.generate("hi").settle()
    assert (source.calls, shared.generations, shared.saved) == (2, 2, 2)


async def test_foreign_errors_are_wrapped_once():
    """What is not mellite's reaches all as one `BackendError`, with the original as its cause."""
    source = Source(error=ValueError("no"))
    with mellite.share():
        one, other = await mellite.gather(source.generate("hi"), source.generate("hi"))
    assert one.error is other.error
    assert isinstance(one.error, BackendError)
    assert isinstance(one.error.__cause__, ValueError)


@pytest.mark.parametrize(
    "pieces",
    [[ResponseStart(), TextDelta("half")], [TextDelta("a"), Finish("stop"), TextDelta("b")]],
    ids=["short", "long"],
)
async def test_answers_that_break_the_rules_break_them_for_all(pieces: list[Any]):
    """A stream without a finish, or that goes on after it, fails all that share, as it would one."""
    alone = await mellite.generate(Source(pieces), "hi").settle()
    source = Source(pieces)
    with mellite.share():
        thunks = await mellite.gather(source.generate("hi"), source.generate("hi"))
    for thunk in thunks:
        assert (thunk.state, thunk.partial, type(thunk.error)) == (alone.state, alone.partial, type(alone.error))


async def test_parsed_values_are_not_shared():
    """Each thunk parses the answer for itself: what one caller does to its value the other does not see."""
    source = Source(['{"a": ', "[1]}"])
    with mellite.share():
        one, other = await mellite.gather(*[source.generate("hi", output=dict[str, list[int]]) for _ in range(2)])
    one.parsed_repr["a"].append(2)
    assert (source.calls, other.parsed_repr) == (1, {"a": [1]})


async def test_answer_that_does_not_fit():
    """An answer that does not fit the output type is one error for all, and is not kept."""
    source = Source(["no"])
    with mellite.share():
        one, other = await mellite.gather(*[source.generate("hi", output=int) for _ in range(2)])
        assert isinstance(one.error, OutputValidationError)
        assert one.error is other.error
        assert one.partial == other.partial == "no"
        await source.generate("hi", output=int).settle()
    assert source.calls == 2


async def test_backend_that_does_not_stream():
    """A mistake of the backend is told to all that share."""

    class Wrong:
        async def stream(self, request: Request) -> None:
            """No generator."""

    wrong = Wrong()
    with mellite.share():
        thunks = await mellite.gather(mellite.generate(wrong, "hi"), mellite.generate(wrong, "hi"))
    assert ["not an async iterator" in str(thunk.error) for thunk in thunks] == [True, True]


# --- thunks in prompts, backends in backends ------------------------------------------------------


async def test_prompts_with_thunks_are_compared_by_their_text():
    """Two prompts with different thunks of the same text are equal, and the thunks in them share, too."""
    source = Source(["Paris"])
    with mellite.share():
        prompts = [["Is it raining in ", source.generate("Capital of France?"), "?"] for _ in range(2)]
        await mellite.gather(*[source.generate(prompt) for prompt in prompts])
    assert [request.text for request in source.requests] == ["Capital of France?", "Is it raining in Paris?"]


async def test_what_a_backend_asks_of_others_is_not_shared():
    """A backend that asks another one several times gets several answers."""
    inner = mellite.backends.Scripted(["a", "b"])

    class Twice(mellite.Backend):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            yield TextDelta(await inner.generate(request) + await inner.generate(request))
            yield Finish("stop")

    with mellite.share():
        assert await Twice().generate("hi") == "ab"


# --- the block ------------------------------------------------------------------------------------


async def test_tasks_started_inside():
    """Tasks started inside share; after the block has ended, they do not any more."""
    source = Source()
    ended = anyio.Event()

    async def ask() -> None:
        await source.generate("hi")
        await ended.wait()
        await source.generate("hi")

    async with anyio.create_task_group() as group:
        with mellite.share():
            for _ in range(3):
                group.start_soon(ask)
            await blocked()
            assert source.calls == 1
        ended.set()
    assert source.calls == 4


async def test_generations_outlive_the_block():
    """What is running when the block ends goes on, for all that share it."""
    gate = Gate()
    source = Source(gate=gate)
    async with anyio.create_task_group() as group:
        with mellite.share():
            consumers = [Consumer(group, source.generate("hi").settle) for _ in range(2)]
            await blocked()
        gate.allow(4)
    assert [consumer.value.value for consumer in consumers] == ["one two three"] * 2
    assert source.calls == 1


async def test_blocks_are_apart():
    """An inner block shares for itself; the outer one goes on where it was. A block that is open cannot be opened."""
    source = Source()
    with mellite.share() as outer:
        await source.generate("hi")
        with mellite.share() as inner:
            await source.generate("hi")
        await source.generate("hi")
        with pytest.raises(InvalidRequest, match="open already"):
            outer.__enter__()
    assert (source.calls, outer.saved, inner.saved) == (2, 1, 0)
    with outer:
        await source.generate("hi")
    assert source.calls == 3


async def test_left_in_another_context():
    """A block that is left in another context than it was entered in, as a fixture does, is closed all the same."""
    source = Source()
    shared = mellite.share()
    contextvars.copy_context().run(shared.__enter__)
    shared.__exit__(None, None, None)
    inside = mellite.share()
    inside.__enter__()
    contextvars.copy_context().run(inside.__exit__, None, None, None)
    await mellite.gather(source.generate("hi"), source.generate("hi"))
    assert source.calls == 2


# --- loops and threads ----------------------------------------------------------------------------


async def test_code_without_await():
    """`result()` in threads that have the context shares one generation on the background loop."""
    source = Source()
    together = threading.Barrier(4)

    def ask() -> str:
        thunk = source.generate("hi")
        together.wait(10)
        return thunk.result(10)

    got: list[str] = []

    async def asked() -> None:
        got.append(await anyio.to_thread.run_sync(ask))

    with mellite.share():
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(asked)
    assert (got, source.calls) == (["one two three"] * 4, 1)


def test_answers_are_shared_between_loops():
    """An answer that was generated in one event loop serves in the next, and in code without one."""
    source = Source()
    with mellite.share():
        assert asyncio.run(source.generate("hi").settle()).value == "one two three"
        assert source.generate("hi").result() == "one two three"
        assert asyncio.run(source.generate("hi").settle()).value == "one two three"
    assert source.calls == 1


async def test_running_generations_are_not_joined_from_another_loop():
    """A generation that runs in one loop is not joined from another: its loop may end before the answer is there."""
    gate = Gate()

    class Both(mellite.Backend):
        calls = 0

        async def stream(self, request: Request) -> AsyncIterator[Event]:
            self.calls += 1
            if self.calls == 1:
                await gate.wait(0)
            yield TextDelta(str(self.calls))
            yield Finish("stop")

    both = Both()
    with mellite.share():
        async with anyio.create_task_group() as group:
            here = Consumer(group, both.generate("hi").settle)
            await gate.reached(0)
            assert await anyio.to_thread.run_sync(lambda: both.generate("hi").result(10)) == "2"
            gate.allow()
    assert here.value.value in ("1", "2")
    assert both.calls == 2


def test_loop_that_ends():
    """A loop that ends cancels what its thunks share, and nobody waits for it."""
    gate = Gate()
    source = Source(gate=gate)
    thunks = [source.generate("hi"), source.generate("hi")]

    async def begin() -> None:
        tasks = [asyncio.ensure_future(thunk.settle()) for thunk in thunks]
        await gate.reached(0)
        assert len(tasks) == 2

    with mellite.share():
        asyncio.run(begin())
        assert [thunk.state for thunk in thunks] == ["cancelled", "cancelled"]
        gate.allow(4)
        assert asyncio.run(source.generate("hi").settle()).value == "one two three"
    assert source.calls == 2


# --- cost -----------------------------------------------------------------------------------------


async def test_long_answers_are_read_ahead_a_little():
    """Those that share pull the backend as far as the fastest of them wants, and not further."""
    source = Source([f"{number} " for number in range(5000)], suspend=False)
    with mellite.share():
        slow, fast = aiter(source.generate("hi")), aiter(source.generate("hi"))
        assert await anext(slow) == "0 "
        await blocked()
        assert source.handed < 1000
        for _ in range(2000):
            await anext(fast)
        await blocked()
        assert source.handed < 3000
        assert len(await collect(fast)) == 3000
        assert len(await collect(slow)) == 4999
    assert source.calls == 1


@pytest.mark.slow
async def test_a_thousand_share():
    """A thousand equal thunks and a thousand different ones: one call for the equal ones, one for each other."""
    source = Source(["a", "b"], suspend=False)
    with mellite.share() as shared:
        equal = [source.generate("hi") for _ in range(1000)]
        different = [source.generate("hi", seed=number) for number in range(1000)]
        await mellite.gather(*equal, *different)
    assert {thunk.value for thunk in (*equal, *different)} == {"ab"}
    assert (source.calls, shared.generations, shared.saved) == (1001, 1001, 999)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switches the garbage collector off, so that a cycle cannot hide a leak."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_nothing_stays_behind(no_collector: None):
    """When the thunks and the block are gone, so is the generation that they shared, without the garbage collector."""
    source = Source()
    with mellite.share() as shared:
        thunks = [source.generate("hi") for _ in range(3)]
        await mellite.gather(*thunks)
        gone = [weakref.ref(thunk) for thunk in thunks]
        outcome = weakref.ref(thunks[0]._outcome)
    del thunks, shared
    await blocked()
    assert [ref() for ref in (*gone, outcome)] == [None] * 4


async def test_the_answer_says_who_gave_it():
    """Metadata, usage and the raw answer are there for all that share."""
    start = ResponseStart(provider="acme", model="m-1", response_id="r1", status=200)
    call = ToolCallEvent(ToolCall("c1", "look", {"q": 1}))
    source = Source(
        [start, TextDelta("a"), call, Finish("tool-calls", usage=Usage.of(input_tokens=3, output_tokens=2))]
    )
    with mellite.share():
        for thunk in await mellite.gather(source.generate("hi"), source.generate("hi")):
            made = thunk.generation
            assert (made.provider, made.response_id, made.finish_reason) == ("acme", "r1", "tool-calls")
            assert thunk.tool_calls[0].arguments == {"q": 1}
            assert thunk.raw.status == 200
