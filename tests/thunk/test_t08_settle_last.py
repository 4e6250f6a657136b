"""T8, settles last and once: done is visible when all is in place; exactly one ``Finish``, or it failed."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import anyio
import attrs
import pytest

import mellite
from mellite import events as e
from mellite.errors import (
    BackendError,
    ConnectionLost,
    GenerationCancelled,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    RateLimited,
)
from mellite.events import Finish, TextDelta, Usage
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, full_answer

pytestmark = pytest.mark.anyio


class Raw(mellite.Backend):
    """A backend whose stream is whatever a function makes of the request."""

    def __init__(self, make):
        self.make = make

    def stream(self, request):
        return self.make(request)


def yielding(*items):
    """A backend that yields these things, events or not."""

    async def stream(_request):
        for item in items:
            await anyio.lowlevel.checkpoint()
            yield item

    return Raw(stream)


class TestDoneIsLast:
    async def test_not_done_while_parsing(self):
        """While the answer is parsed, the thunk is not done yet, nor is there a value."""
        seen = []

        @attrs.frozen
        class Watching:
            text: str

            @classmethod
            def model_validate_json(cls, text):
                seen.append((held[0].state, held[0].is_computed(), held[0].value, held[0].partial))
                return cls(text)

        held = [mellite.generate(Source(), "hi", output=Watching)]
        assert await held[0] == Watching("one two three")
        assert seen == [("running", False, None, "one two three")]

    async def test_not_done_while_the_source_is_closed(self):
        """While the source cleans up, the thunk is not done yet."""
        closing, go_on = anyio.Event(), anyio.Event()

        class Slow(Source):
            async def stream(self, request):
                async for event in super().stream(request):
                    yield event
                closing.set()
                await go_on.wait()

        thunk = mellite.generate(Slow(), "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await closing.wait()
            await blocked()
            assert (thunk.state, thunk.is_computed(), thunk.value, thunk.partial) == (
                "running",
                False,
                None,
                "one two three",
            )
            assert not consumer.is_over
            go_on.set()
        assert consumer.value == "one two three"

    async def test_all_is_in_place_for_the_first_who_sees_it(self):
        """Whoever wakes up first finds value, message, metadata, cost, raw and log in place."""
        thunk = mellite.generate(Source(full_answer()), "hi", temperature=0.1)
        seen = []

        async def look():
            await thunk.settle()
            seen.append(complete(thunk))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look)
        assert seen == [True] * 5

    def test_seen_from_another_thread(self):
        """Another thread that watches the state never sees it settled before all is in place."""
        for _ in range(20):
            thunk = mellite.generate(Source(full_answer()), "hi", temperature=0.1)
            seen = []

            def watch(thunk=thunk, seen=seen):
                while not thunk.is_computed():
                    pass
                seen.append(complete(thunk))

            watcher = threading.Thread(target=watch)
            watcher.start()
            thunk.result()
            watcher.join()
            assert seen == [True]

    async def test_is_computed_means_settled(self):
        """`is_computed()` is true for done, failed and cancelled, and only then."""
        done, failed, cancelled, pending = (
            mellite.generate(Source(error=error), "hi") for error in (None, ConnectionLost("gone"), None, None)
        )
        await cancelled.cancel_generation()
        await mellite.gather(done, failed)
        assert [thunk.is_computed() for thunk in (done, failed, cancelled, pending)] == [True, True, True, False]
        assert [thunk.state for thunk in (done, failed, cancelled, pending)] == [
            "done",
            "failed",
            "cancelled",
            "pending",
        ]

    async def test_nothing_changes_afterwards(self):
        """What a settled thunk shows stays as it is, whatever is done with it."""
        thunk = mellite.generate(Source(full_answer()), "hi")
        await thunk
        before = [getattr(thunk, name) for name in FIELDS]
        await thunk.cancel_generation()
        await collect(thunk.events())
        async with thunk:
            pass
        thunk.resample(2)
        assert [getattr(thunk, name) for name in FIELDS] == before


FIELDS = [
    "state",
    "value",
    "partial",
    "parsed_repr",
    "thinking",
    "tool_calls",
    "message",
    "generation",
    "raw",
    "error",
    "cancelled",
    "generate_log",
]


def complete(thunk):
    """Whether everything that a full answer brings is in its place."""
    meta, raw, log = thunk.generation, thunk.raw, thunk.generate_log
    assert (thunk.value, thunk.partial, thunk.parsed_repr) == ("Hello. é🎉Bye.",) * 3
    assert (log.model_output, log.result) == ("Hello. é🎉Bye.",) * 2
    assert thunk.message.role == "assistant"
    assert thunk.message.text == thunk.value
    assert thunk.thinking == "let me think"
    assert (thunk.tool_calls[0].id, thunk.tool_calls[0].arguments) == ("c1", {"q": ["x"]})
    assert (meta.provider, meta.protocol, meta.model, meta.response_model) == ("acme", "acme-chat", "m-1", "m-1-2026")
    assert (meta.response_id, meta.request_id) == ("resp-1", "r1")
    assert (meta.finish_reason, meta.raw_finish_reason, meta.streaming) == ("stop", "end", True)
    assert meta.usage == Usage.of(input_tokens=4, output_tokens=5, raw={"in": [4]})
    assert meta.generation_id
    assert meta.started_at.utcoffset() == timedelta(0)
    assert 0 <= meta.ttfb_ms <= meta.duration_ms
    assert meta.cost_usd is None
    assert (raw.provider, raw.protocol, raw.status) == ("acme", "acme-chat", 200)
    assert raw.response == {"choices": [{"text": "Hello."}]}
    assert raw.streamed_chunks == [{"n": 1}, {"n": 2}]
    assert raw.headers == {"x-request-id": "r1"}
    assert raw.request_body == {"messages": [{"role": "user"}]}
    assert (log.date, log.backend, log.model_options) == (meta.started_at, "Source", {"temperature": 0.1})
    assert [message.text for message in log.prompt] == ["hi"]
    assert log.action.text == "hi"
    return True


class TestOneFinish:
    async def test_exactly_one(self):
        """Bare text deltas and one Finish are a valid answer."""
        thunk = mellite.generate(yielding(TextDelta("a"), TextDelta("b"), Finish("stop")), "hi")
        assert await thunk == "ab"
        assert (thunk.state, thunk.generation.finish_reason) == ("done", "stop")

    @pytest.mark.parametrize("reason", ["stop", "length", "tool-calls", "content-filter", "error", "unknown"])
    async def test_every_reason_is_done(self, reason):
        """A Finish of any reason is a finish."""
        thunk = mellite.generate(yielding(TextDelta("a"), Finish(reason)), "hi")
        await thunk
        assert (thunk.state, thunk.generation.finish_reason) == ("done", reason)

    @pytest.mark.parametrize("items", [[], [TextDelta("half")], [e.ResponseStart(provider="x")], full_answer()[:-1]])
    async def test_none(self, items):
        """A stream that stops without a Finish is IncompleteStream, however whole it looks; the text is kept."""
        thunk = mellite.generate(yielding(*items), "hi")
        error = await caught(thunk)
        assert type(error) is IncompleteStream
        text = "".join(item.text for item in items if isinstance(item, TextDelta))
        assert (thunk.state, thunk.value, thunk.partial, error.partial) == ("failed", None, text, text)
        assert error.retryable

    @pytest.mark.parametrize("second", [Finish("stop"), Finish("length")])
    async def test_two(self, second):
        """Two Finish events are InvalidProviderOutput, equal or not; the text is kept."""
        thunk = mellite.generate(yielding(TextDelta("a"), Finish("stop"), second), "hi")
        error = await caught(thunk)
        assert isinstance(error, InvalidProviderOutput)
        assert not isinstance(error, IncompleteStream)
        assert (thunk.state, thunk.value, thunk.partial) == ("failed", None, "a")

    @pytest.mark.parametrize("event", full_answer()[:-1], ids=lambda event: type(event).__name__)
    async def test_anything_after_it(self, event):
        """Any event after the Finish is InvalidProviderOutput; text before it is kept, text after it is none."""
        thunk = mellite.generate(yielding(TextDelta("a"), Finish("stop"), event), "hi")
        error = await caught(thunk)
        assert isinstance(error, InvalidProviderOutput)
        assert not isinstance(error, IncompleteStream)
        assert (thunk.state, thunk.value, thunk.partial) == ("failed", None, "a")

    async def test_source_is_closed_after_too_much(self):
        """A source that goes on after its Finish is closed."""
        source = Source([TextDelta("a"), Finish("stop"), TextDelta("b"), TextDelta("c")])
        assert isinstance(await caught(mellite.generate(source, "hi")), InvalidProviderOutput)
        assert (source.open, source.ends) == (0, ["closed"])

    async def test_endless_after_it(self):
        """A source that never ends after its Finish does not keep the thunk from settling."""

        async def stream(_request):
            yield TextDelta("a")
            yield Finish("stop")
            while True:
                yield TextDelta("b")

        assert isinstance(await caught(mellite.generate(Raw(stream), "hi")), InvalidProviderOutput)


class TestMalformed:
    @pytest.mark.parametrize(
        "item",
        ["text", None, 3, b"bytes", {"type": "text"}, ["a"], TextDelta, Usage(), object(), ValueError("a value")],
        ids=lambda item: type(item).__name__,
    )
    async def test_yields_no_event(self, item):
        """What is not an event fails the thunk with a typed error that names it; text before it is kept."""
        thunk = mellite.generate(yielding(TextDelta("a"), item, Finish("stop")), "hi")
        error = await caught(thunk)
        assert isinstance(error, MelliteError)
        assert ("None" if item is None else type(item).__name__) in str(error)
        assert (thunk.state, thunk.partial) == ("failed", "a")

    @pytest.mark.parametrize(
        "item",
        [
            TextDelta(None),
            TextDelta(b"bytes"),
            TextDelta("a", id=["no", "id"]),
            e.ReasoningDelta(3),
            e.RawChunk("text"),
            e.RawChunk(None),
            e.ToolInputDelta("1", "f", None),
            e.ToolInputDelta({}, "f", "x"),
            e.ToolCallEvent({"name": "f"}),
            e.ToolCallEvent(None),
            e.ToolInputError("1", "f", raw=None),
            e.ToolResultEvent("x"),
            e.StepFinish(0, usage="many"),
            e.TextEnd("never begun"),
            e.TextEnd(["no", "id"]),
            e.TextStart("x", provider_metadata="no mapping"),
            e.ReasoningEnd("x", provider_metadata={"acme": "no mapping"}),
            e.ResponseStart(headers="none", status="200", model=3),
        ],
        ids=lambda item: type(item).__name__,
    )
    async def test_event_with_nonsense_in_it(self, item):
        """An event that holds what it should not settles the thunk all the same: done, or failed with a typed error."""
        thunk = mellite.generate(yielding(TextDelta("a"), item, Finish("stop")), "hi")
        with anyio.fail_after(20):
            await thunk.settle()
        assert thunk.state in ("done", "failed")
        assert thunk.error is None or isinstance(thunk.error, MelliteError)
        assert thunk.partial[:1] == "a"
        repr(thunk), thunk.message, thunk.generation, thunk.raw, thunk.generate_log

    @pytest.mark.parametrize(
        "finish", [Finish(None), Finish("nonsense"), Finish("stop", usage="many"), Finish(["stop"])]
    )
    async def test_finish_with_nonsense_in_it(self, finish):
        """So does a Finish that holds what it should not."""
        thunk = mellite.generate(yielding(TextDelta("a"), finish), "hi")
        with anyio.fail_after(20):
            await thunk.settle()
        assert thunk.error is None or isinstance(thunk.error, MelliteError)
        assert thunk.partial == "a"

    @pytest.mark.parametrize(
        "given", [None, 3, "text", [TextDelta("a"), Finish("stop")], iter([Finish("stop")]), object()]
    )
    async def test_is_no_async_iterator(self, given):
        """A stream that is not an async iterator fails the thunk with a typed error that says what to write."""
        thunk = mellite.generate(Raw(lambda _request: given), "hi")
        error = await caught(thunk)
        assert isinstance(error, MelliteError)
        assert ("None" if given is None else type(given).__name__) in str(error)
        assert thunk.state == "failed"

    async def test_is_a_coroutine(self):
        """A stream that is a coroutine fails the thunk, and does not warn that it was never awaited."""

        class Forgetful(mellite.Backend):
            async def stream(self, request):
                return [TextDelta("a"), Finish("stop")]

        error = await caught(mellite.generate(Forgetful(), "hi"))
        assert isinstance(error, MelliteError)
        assert "coroutine" in str(error)

    async def test_is_a_plain_generator(self):
        """A stream that is a generator without `async` fails the thunk."""

        def stream(_request):
            yield TextDelta("a")
            yield Finish("stop")

        assert isinstance(await caught(mellite.generate(Raw(stream), "hi")), MelliteError)

    async def test_only_has_aiter(self):
        """A stream that is async iterable, but no iterator, is as good."""

        class Iterable:
            async def __aiter__(self):
                yield TextDelta("a")
                yield Finish("stop")

        assert await mellite.generate(Raw(lambda _request: Iterable()), "hi") == "a"

    @pytest.mark.parametrize("error", [ValueError("odd"), RateLimited("slow down")])
    async def test_stream_itself_raises(self, error):
        """A `stream` that raises instead of giving a stream fails the thunk in the usual way."""

        def stream(_request):
            raise error

        thunk = mellite.generate(Raw(stream), "hi")
        got = await caught(thunk)
        assert got is error or (type(got) is BackendError and got.__cause__ is error)

    async def test_takes_no_request(self):
        """A `stream` with the wrong signature fails the thunk with a typed error."""

        async def stream():
            yield Finish("stop")

        assert isinstance(await caught(mellite.generate(Raw(stream), "hi")), BackendError)

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_cancelled_error_of_its_own(self):
        """A CancelledError out of the backend, where nobody cancelled anything, is an error like any other."""

        async def stream(_request):
            yield TextDelta("a")
            task = asyncio.create_task(asyncio.sleep(3600))
            task.cancel()
            await task
            yield Finish("stop")

        thunk = mellite.generate(Raw(stream), "hi")
        assert type(await caught(thunk)) is BackendError
        assert (thunk.state, thunk.cancelled, thunk.partial) == ("failed", False, "a")

    async def test_group_of_errors(self):
        """An exception group out of a stream's own task group is wrapped like any other foreign error."""

        async def fail():
            msg = "odd"
            raise ValueError(msg)

        async def stream(_request):
            yield TextDelta("a")
            await self.run_together(fail)
            yield Finish("stop")

        thunk = mellite.generate(Raw(stream), "hi")
        error = await caught(thunk)
        assert type(error) is BackendError
        assert isinstance(error.__cause__, ExceptionGroup)

    async def run_together(self, function):
        async with anyio.create_task_group() as group:
            group.start_soon(function)
            group.start_soon(anyio.sleep_forever)

    def test_no_stream_at_all(self):
        """What has no `stream` is refused when the thunk is made."""
        with pytest.raises(MelliteError, match="stream"):
            mellite.generate(object(), "hi")

    async def test_nothing_is_left_open(self):
        """A stream that yields nonsense is closed."""
        source = Source([TextDelta("a"), "b", Finish("stop")])
        source.events[1] = "no event"
        await mellite.generate(source, "hi").settle()
        assert (source.open, source.ends) == (0, ["closed"])

    @pytest.mark.parametrize("late", [False, True])
    async def test_iterators_see_what_was_good(self, late):
        """Iterators over a malformed stream yield what came before the fault and then raise."""
        thunk = mellite.generate(yielding(TextDelta("a"), "nonsense"), "hi")
        if late:
            await thunk.settle()
        got, error = await collected_then(thunk)
        assert got == ["a"]
        assert error is thunk.error


class TestCancelledAfterFinish:
    def source(self):
        """A source that waits after its Finish, and what it waits for."""
        standing, go_on = anyio.Event(), anyio.Event()

        class Lingering(Source):
            async def stream(self, request):
                async for event in super().stream(request):
                    yield event
                standing.set()
                await go_on.wait()

        return Lingering(), standing

    async def test_by_asking(self):
        """A cancellation after a valid Finish settles as done."""
        source, standing = self.source()
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await standing.wait()
            await thunk.cancel_generation("too late")
        assert (thunk.state, thunk.cancelled, thunk.error) == ("done", False, None)
        assert consumer.value == thunk.value == source.text
        assert thunk.generation.finish_reason == "stop"

    async def test_by_the_last_consumer(self):
        """So does the cancellation of the last consumer after a valid Finish."""
        source, standing = self.source()
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, thunk.avalue)
            await standing.wait()
            consumer.cancel()
        await blocked()
        assert (thunk.state, thunk.value) == ("done", source.text)
        assert await thunk == source.text

    async def test_before_it(self):
        """A cancellation just before the Finish settles as cancelled, although all text is there."""
        gate = Gate()
        source = Source(gate=gate)
        thunk = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, thunk.settle)
            gate.allow(3)
            await gate.reached(3)
            await thunk.cancel_generation()
        assert (thunk.state, thunk.value, thunk.partial) == ("cancelled", None, source.text)


class TestFailed:
    async def test_keeps_everything_so_far(self):
        """A failed thunk keeps text, thinking, tool calls, usage and raw so far, and so does its error."""
        error = ConnectionLost("gone")
        thunk = mellite.generate(Source(full_answer()[:-1], error=error), "hi")
        await thunk.settle()
        assert thunk.state == "failed"
        assert (thunk.value, thunk.parsed_repr) == (None, None)
        assert thunk.partial == error.partial == "Hello. é🎉Bye."
        assert thunk.thinking == "let me think"
        assert (thunk.tool_calls[0].id, thunk.tool_calls[0].arguments) == ("c1", {"q": ["x"]})
        assert thunk.generation.usage == error.usage == Usage.of(input_tokens=4, output_tokens=5, raw={"in": [4]})
        assert (error.provider, error.model, error.request_id) == ("acme", "m-1", "r1")
        assert thunk.raw.streamed_chunks == [{"n": 1}, {"n": 2}]
        assert thunk.raw.status == 200
        assert thunk.generate_log.model_output == "Hello. é🎉Bye."
        assert thunk.generation.duration_ms is not None
        assert thunk.message.text == "Hello. é🎉Bye."

    async def test_error_and_cancelled_are_independent(self):
        """An error is not a cancellation and a cancellation no error: involuntary and voluntary."""
        failed = await mellite.generate(Source(error=ConnectionLost("gone")), "hi").settle()
        cancelled = mellite.generate(Source(), "hi")
        await cancelled.cancel_generation()
        done = await mellite.generate(Source(), "hi").settle()
        assert [(t.error is not None, t.cancelled) for t in (failed, cancelled, done)] == [
            (True, False),
            (False, True),
            (False, False),
        ]

    async def test_what_the_error_knows_itself_wins(self):
        """What the backend has put on its error is not overwritten by what the thunk knows."""
        error = RateLimited("slow down", provider="mine", partial="my own", usage=Usage.of(output_tokens=9))
        thunk = await mellite.generate(Source(full_answer()[:-1], error=error), "hi").settle()
        assert (thunk.error.provider, thunk.error.model) == ("mine", "m-1")
        assert thunk.error.usage == Usage.of(output_tokens=9)

    async def test_answer_that_does_not_fit_keeps_all(self):
        """An answer that cannot be parsed fails the thunk, with everything else in place."""
        answer = [event for event in full_answer() if not type(event).__name__.startswith(("ToolInput", "ToolCall"))]
        thunk = await mellite.generate(Source(answer), "hi", output=int).settle()
        assert thunk.state == "failed"
        assert thunk.raw.response == {"choices": [{"text": "Hello."}]}
        assert thunk.generation.finish_reason == "stop"
        assert thunk.error.partial == thunk.partial == "Hello. é🎉Bye."

    async def test_a_zero_usage_never_overwrites(self):
        """A later all-zero usage does not overwrite a real one."""
        real, zero = Usage.of(input_tokens=4, output_tokens=5), Usage.of(input_tokens=0, output_tokens=0)
        thunk = mellite.generate(
            yielding(e.StepFinish(0, usage=real), TextDelta("a"), Finish("stop", usage=zero)), "hi"
        )
        await thunk
        assert thunk.generation.usage == real

    async def test_later_starts_win_where_they_know_more(self):
        """ResponseStart may come again: later values that are not None win."""
        starts = [
            e.ResponseStart(provider="a", model="m", attempts=1),
            e.ResponseStart(model="n", status=200),
            e.ResponseStart(attempts=2),
        ]
        thunk = mellite.generate(yielding(*starts, Finish("stop")), "hi")
        await thunk
        meta = thunk.generation
        assert (meta.provider, meta.model, meta.attempts, thunk.raw.status) == ("a", "n", 2, 200)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_errors_that_end_programs(self, kind):
        """What is not an Exception is not swallowed: the thunk is settled, and nobody waits for ever."""

        async def stream(_request):
            yield TextDelta("a")
            raise kind

        thunk = mellite.generate(Raw(stream), "hi")
        with pytest.raises(BaseException) as raised:
            anyio.run(thunk.avalue)
        assert thunk.is_computed()
        assert thunk.partial == "a"
        assert not isinstance(raised.value, GenerationCancelled) or thunk.cancelled
