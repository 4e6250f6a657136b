"""T7, ``cancel_generation``: from any task, at any time, twice; text, usage, raw and log so far are kept."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import mellite
from mellite import events as e
from mellite.errors import ConnectionLost, GenerationCancelled
from mellite.events import Finish, TextDelta, Usage
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, run_child

pytestmark = pytest.mark.anyio


def running(gate, pieces=("one ", "two ", "three")):
    """A source that stands before its third event, and a thunk over it."""
    source = Source(pieces, gate=gate)
    gate.allow(2)
    return source, mellite.generate(source, "hi")


class TestWhen:
    async def test_before_the_start(self):
        """Cancelling a pending thunk settles it and sends nothing, then or later."""
        source = Source()
        thunk = mellite.generate(source, "hi")
        await thunk.cancel_generation("not needed")
        assert (thunk.state, thunk.cancelled, thunk.error, thunk.partial) == ("cancelled", True, None, "")
        assert isinstance(await caught(thunk), GenerationCancelled)
        assert await collected_then(thunk) == ([], await caught(thunk))
        assert source.calls == 0

    async def test_before_the_first_event(self):
        """Cancelling a generation that has not got its first event yet closes its source."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(0)
            await thunk.cancel_generation()
            assert (thunk.state, source.open, source.ends) == ("cancelled", 0, ["cancelled"])
        assert isinstance(consumer.error, GenerationCancelled)

    async def test_in_mid_stream(self):
        """Cancelling in mid-stream keeps the text so far and closes the source before it returns."""
        gate = Gate()
        source, thunk = running(gate)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(2)
            await thunk.cancel_generation()
            assert (thunk.state, thunk.partial, thunk.value) == ("cancelled", "one two ", None)
            assert (source.open, source.ends) == (0, ["cancelled"])
        assert isinstance(consumer.error, GenerationCancelled)
        assert consumer.error.partial == "one two "

    async def test_while_it_is_paused(self):
        """Cancelling a generation that nobody reads settles it with what there is."""
        source = Source([f"{n} " for n in range(3_000)])
        thunk = mellite.generate(source, "hi")
        async for _ in thunk:
            break
        await blocked()
        await thunk.cancel_generation()
        assert (thunk.state, source.open) == ("cancelled", 0)
        assert thunk.partial == "".join(f"{n} " for n in range(source.handed))

    @pytest.mark.parametrize("steps", range(6))
    async def test_at_any_step(self, steps):
        """Cancelling right after the start, at any step of the pump, settles and leaves nothing open."""
        source = Source(gate=Gate())
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            await thunk.cancel_generation()
            assert (thunk.state, source.open) == ("cancelled", 0)
        assert isinstance(consumer.error, GenerationCancelled)
        assert source.calls == len(source.ends)

    async def test_a_source_that_never_waits(self):
        """A source that never suspends can be cancelled too: the pump lets others run now and then."""
        source = Source([f"{n} " for n in range(100_000)], suspend=False)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            await thunk.cancel_generation()
        assert isinstance(consumer.error, GenerationCancelled)
        assert source.handed < 100_000
        assert source.open == 0

    async def test_a_source_that_never_waits_and_never_ends(self):
        """One consumer's deadline ends even an endless source that never suspends."""

        class Endless(mellite.Backend):
            async def stream(self, request):
                while True:
                    yield TextDelta("and ")

        thunk = mellite.generate(Endless(), "hi")
        with anyio.move_on_after(0.02):
            await thunk
        await blocked()
        assert thunk.state == "cancelled"
        assert thunk.partial.startswith("and and")

    @pytest.mark.parametrize("outcome", ["done", "failed", "cancelled"])
    async def test_when_it_is_settled(self, outcome):
        """Cancelling a settled thunk is a no-op."""
        thunk = mellite.generate(Source(error=ConnectionLost("gone") if outcome == "failed" else None), "hi")
        if outcome == "cancelled":
            await thunk.cancel_generation("first")
        await thunk.settle()
        before = snapshot(thunk)
        await thunk.cancel_generation("second")
        assert snapshot(thunk) == before
        assert thunk.state == outcome

    async def test_twice(self):
        """Cancelling twice, one after the other, is fine; the first reason stays."""
        gate = Gate()
        source, thunk = running(gate)
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            await gate.reached(2)
            await thunk.cancel_generation("first")
            await thunk.cancel_generation("second")
        assert (await caught(thunk)).reason == "first"
        assert source.ends == ["cancelled"]

    async def test_many_at_once(self):
        """Cancelling from many tasks at once is fine too."""
        gate = Gate()
        source, thunk = running(gate)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.settle)
            await gate.reached(2)
            for n in range(20):
                group.start_soon(thunk.cancel_generation, f"reason {n}")
        assert consumer.value is thunk
        assert thunk.state == "cancelled"
        assert (await caught(thunk)).reason.startswith("reason ")
        assert source.ends == ["cancelled"]

    async def test_while_a_part_of_the_prompt_is_generated(self):
        """Cancelling while a thunk in the prompt is still running does not call the outer backend."""
        gate = Gate()
        inner_source, inner = running(gate)
        outer_source = Source()
        outer = mellite.generate(outer_source, ["say ", inner])
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, outer.avalue)
            await gate.reached(2)
            await outer.cancel_generation()
            assert (outer.state, outer_source.calls) == ("cancelled", 0)
        assert isinstance(consumer.error, GenerationCancelled)
        await blocked()
        assert (inner.state, inner_source.open) == ("cancelled", 0)


def snapshot(thunk):
    """What can be seen of a settled thunk."""
    return (
        thunk.state,
        thunk.value,
        thunk.partial,
        thunk.error,
        thunk.cancelled,
        thunk.generation,
        thunk.generate_log,
        thunk.tool_calls,
        thunk.thinking,
    )


class TestWhere:
    async def test_from_a_loop_body(self):
        """Cancelling from the body of a loop over the thunk ends the loop with the text and GenerationCancelled."""
        gate = Gate()
        source, thunk = running(gate)
        got = []
        with pytest.raises(GenerationCancelled):  # noqa: PT012
            async for delta in thunk:
                got.append(delta)
                if len(got) == 2:
                    await thunk.cancel_generation("seen enough")
        assert got == ["one ", "two "]
        assert (thunk.state, source.open) == ("cancelled", 0)

    async def test_from_inside_its_own_stream(self):
        """From inside its own stream it asks and does not wait for itself; the stream ends at its next step."""
        steps = []

        class Suicidal(mellite.Backend):
            async def stream(self, request):
                try:
                    yield TextDelta("one ")
                    await held[0].cancel_generation("from inside")
                    steps.append("asked")
                    yield TextDelta("two ")
                    await anyio.sleep_forever()
                finally:
                    steps.append("closed")

        held = [mellite.generate(Suicidal(), "hi")]
        error = await caught(held[0])
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "from inside"
        assert steps == ["asked", "closed"]
        assert held[0].partial.startswith("one ")

    async def test_from_a_task_that_its_stream_waits_for(self):
        """It does not wait for itself either when a task asks that the stream has started and waits for."""

        class Group(mellite.Backend):
            async def stream(self, request):
                yield TextDelta("one ")
                await self.ask()
                await anyio.sleep_forever()

            async def ask(self):
                async with anyio.create_task_group() as group:
                    group.start_soon(held[0].cancel_generation, "from a child")

        held = [mellite.generate(Group(), "hi")]
        assert isinstance(await caught(held[0]), GenerationCancelled)

    @pytest.mark.parametrize("other", ["asyncio", "trio"])
    async def test_from_another_loop(self, other):
        """It may be called in another thread's loop, of either kind, and returns when the thunk is settled."""
        gate = Gate()
        source, thunk = running(gate)
        seen = []

        async def cancel():
            await thunk.cancel_generation("from afar")
            seen.append(thunk.state)

        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await gate.reached(2)
            await anyio.to_thread.run_sync(lambda: anyio.run(cancel, backend=other))
            await consumer.over()
        assert seen == ["cancelled"]
        assert consumer.error.reason == "from afar"
        assert (source.open, thunk.partial) == (0, "one two ")

    async def test_in_a_task_that_is_cancelled_meanwhile(self):
        """Whoever asks may be cancelled while waiting: the generation is cancelled all the same."""
        closing, go_on = anyio.Event(), anyio.Event()

        class Slow(Source):
            async def stream(self, request):
                try:
                    async for event in super().stream(request):
                        yield event
                finally:
                    with anyio.CancelScope(shield=True):
                        closing.set()
                        await go_on.wait()

        thunk = mellite.generate(Slow(gate=Gate()), "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await blocked()
            canceller = Consumer(group, thunk.cancel_generation)
            await closing.wait()
            canceller.cancel()
            await blocked()
            assert thunk.state == "running"
            go_on.set()
        assert thunk.state == "cancelled"
        assert isinstance(consumer.error, GenerationCancelled)

    def test_of_one_that_runs_in_the_background(self):
        """A generation that a sync caller waits for can be cancelled from a loop elsewhere."""
        standing = threading.Event()

        class Endless(mellite.Backend):
            async def stream(self, request):
                yield TextDelta("one ")
                standing.set()
                await anyio.sleep_forever()

        thunk = mellite.generate(Endless(), "hi")
        errors = []

        def wait():
            try:
                thunk.result()
            except GenerationCancelled as error:
                errors.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert standing.wait(20)
        asyncio.run(thunk.cancel_generation("from a loop"))
        waiting.join(20)
        assert [error.reason for error in errors] == ["from a loop"]
        assert (thunk.state, thunk.partial) == ("cancelled", "one ")

    @pytest.mark.parametrize("kind", ["asyncio", "trio"])
    def test_of_one_whose_loop_runs_elsewhere(self, kind):
        """A generation in another thread's loop can be cancelled from a new loop in this one."""
        with start_blocking_portal(kind) as portal:
            gate = portal.call(Gate)
            source, thunk = running(gate)
            future = portal.start_task_soon(caught, thunk)
            portal.call(gate.reached, 2)
            anyio.run(thunk.cancel_generation, "elsewhere")
            assert (thunk.state, source.open) == ("cancelled", 0)
            assert future.result(20).reason == "elsewhere"


class TestWhatIsKept:
    async def test_reason(self):
        """The reason is in the error and in its text; without one there is none to make up."""
        thunk, silent = (mellite.generate(Source(), "hi") for _ in range(2))
        await thunk.cancel_generation(reason="too slow")
        await silent.cancel_generation()
        error = await caught(thunk)
        assert (error.reason, "too slow" in str(error)) == ("too slow", True)
        assert isinstance(await caught(silent), GenerationCancelled)

    async def test_everything_so_far(self):
        """Text, thinking, tool calls, usage, raw and the log are there as far as they had come."""
        gate = Gate()
        events = [
            e.ResponseStart(
                provider="acme", protocol="p", model="m", status=200, request_body={"a": 1}, streaming=True
            ),
            e.RawChunk(b'{"n": 1}'),
            e.ReasoningDelta("hm"),
            TextDelta("so "),
            e.ToolCallEvent(mellite.ToolCall("c1", "look", {"x": 1})),
            e.StepFinish(0, reason="tool-calls", usage=Usage.of(input_tokens=3, output_tokens=2)),
            TextDelta("far"),
            TextDelta("never"),
            Finish("stop"),
        ]
        source = Source(events, gate=gate)
        thunk = mellite.generate(source, "hi", temperature=0.5)
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            gate.allow(7)
            await gate.reached(7)
            await blocked()
            await thunk.cancel_generation("enough")
        assert (thunk.partial, thunk.value, thunk.thinking) == ("so far", None, "hm")
        assert [call.id for call in thunk.tool_calls] == ["c1"]
        assert thunk.generation.usage.input_tokens == 3
        assert (thunk.generation.provider, thunk.generation.model) == ("acme", "m")
        assert thunk.generation.duration_ms is not None
        assert (thunk.raw.status, thunk.raw.request_body, thunk.raw.streamed_chunks) == (200, {"a": 1}, [{"n": 1}])
        assert thunk.generate_log.model_output == "so far"
        assert thunk.generate_log.model_options == {"temperature": 0.5}
        assert await collected_then(thunk) == (["so ", "far"], await caught(thunk))
        assert (await collected_then(thunk.events()))[0] == events[:7]

    async def test_of_a_pending_one(self):
        """A thunk that was cancelled before it started has a log and a message too, both empty of text."""
        thunk = mellite.generate(Source(), "hi")
        await thunk.cancel_generation()
        assert thunk.generate_log is not None
        assert not thunk.generate_log.model_output
        assert thunk.message.text == ""
        assert thunk.generation.usage is None

    async def test_log_says_what_was_asked(self):
        """The log of a cancelled generation has the prompt."""
        gate = Gate()
        _, thunk = running(gate)
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            await gate.reached(2)
            await thunk.cancel_generation()
        assert [message.text for message in thunk.generate_log.prompt] == ["hi"]


class TestTheSource:
    async def test_may_clean_up_with_await(self):
        """A source may await in its `finally`, shielded, and is waited for."""
        steps = []

        class Tidy(Source):
            async def stream(self, request):
                try:
                    async for event in super().stream(request):
                        yield event
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.lowlevel.checkpoint()
                        steps.append("tidy")

        gate = Gate()
        thunk = mellite.generate(Tidy(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            await gate.reached(0)
            await thunk.cancel_generation()
            assert steps == ["tidy"]

    async def test_that_fails_while_it_is_cancelled(self):
        """A source that raises while it is being cancelled does not turn the cancellation into a failure."""

        class Clumsy(Source):
            async def stream(self, request):
                try:
                    async for event in super().stream(request):
                        yield event
                finally:
                    msg = "cannot even clean up"
                    raise ValueError(msg)

        gate = Gate()
        thunk = mellite.generate(Clumsy(gate=gate), "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            gate.allow(1)
            await gate.reached(1)
            await thunk.cancel_generation()
        assert (thunk.state, thunk.partial) == ("cancelled", "one ")

    async def test_that_is_no_generator(self):
        """A source that is an async iterator without `aclose` can be cancelled too."""

        class Counting:
            def __init__(self):
                self.n = 0

            def __aiter__(self):
                return self

            async def __anext__(self):
                self.n += 1
                if self.n > 2:
                    await anyio.sleep_forever()
                return TextDelta(f"{self.n} ")

        class Plain(mellite.Backend):
            def stream(self, request):
                return Counting()

        thunk = mellite.generate(Plain(), "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await blocked()
            await thunk.cancel_generation()
        assert (thunk.state, thunk.partial) == ("cancelled", "1 2 ")
        assert isinstance(consumer.error, GenerationCancelled)

    async def test_copies_are_not_cancelled(self):
        """Cancelling one thunk leaves its copies and its parent alone."""
        gate = Gate()
        source, thunk = running(gate)
        copies = thunk.resample(2)
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            other = Consumer(group, lambda: collect(copies[0]))
            await gate.reached(2)
            await blocked()
            await thunk.cancel_generation()
            assert [copy.state for copy in copies] == ["running", "pending"]
            gate.allow(9)
        assert other.value == ["one ", "two ", "three"]
        assert await copies[1] == source.text


def test_nothing_is_said_about_it():
    """A program that cancels in every way ends without a word on stderr."""
    run_child(
        """
        import asyncio, anyio, mellite
        from mellite.events import TextDelta, Finish

        class Endless(mellite.Backend):
            async def stream(self, request):
                yield TextDelta("one ")
                await anyio.sleep_forever()

        async def main():
            backend = Endless()
            pending = mellite.generate(backend, "hi")
            await pending.cancel_generation()
            running = mellite.generate(backend, "hi")
            async for _ in running:
                break
            await running.cancel_generation()
            with anyio.move_on_after(0.01):
                await mellite.generate(backend, "hi")
            task = asyncio.create_task(mellite.generate(backend, "hi").avalue())
            await asyncio.sleep(0)
            task.cancel()
            async with mellite.generate(backend, "hi") as thunk:
                async for _ in thunk:
                    break
            never_awaited = mellite.generate(backend, "hi")
            async for _ in never_awaited:
                break

        asyncio.run(main())
        """
    )
