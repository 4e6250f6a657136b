"""T12, thunks compose: one may be a part of another's prompt, and is settled before that is sent."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import mellite
from mellite.backends.fake import Constant, Echo, Failing
from mellite.errors import BackendError, ConnectionLost, GenerationCancelled, MelliteError
from mellite.messages import Deferred, Image, Message, Text
from mellite.values.messages import WholeAnswer
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, run_child

pytestmark = pytest.mark.anyio


def chain(error):
    """An error and all its causes."""
    while error is not None:
        yield error
        error = error.__cause__


async def value_of(thunk):
    return await thunk


PROMPTS = {
    "alone": (lambda part: part, "inner"),
    "in a list": (lambda part: ["say ", part, "!"], "say inner!"),
    "first and last": (lambda part: [part, " and ", part], "inner and inner"),
    "in a message": (lambda part: Message.user("say ", part), "say inner"),
    "in a history": (lambda part: [Message.user("one"), Message.assistant("two"), Message.user(part)], "inner"),
    "in a request": (lambda part: mellite.Request.of(["say ", part]), "say inner"),
}


class TestTheText:
    @pytest.mark.parametrize("prompt", PROMPTS)
    async def test_is_put_in_its_place(self, prompt):
        """Wherever a thunk stands in a prompt, the backend sees its text there."""
        make, expected = PROMPTS[prompt]
        assert await mellite.generate(Echo(), make(mellite.generate(Constant("inner"), "hi"))) == expected

    async def test_backend_sees_only_text(self):
        """The request that the backend gets has text parts where thunks were, and everything else as it was."""
        source = Source()
        image = Image(url="https://example.com/cat.png")
        inner = mellite.generate(Constant("inner"), "hi")
        history = [
            Message("user", ("one ", inner, image), id="m1", metadata={"k": 1}),
            Message.assistant(inner),
            Message.user("three"),
        ]
        await mellite.generate(source, history, system="be brief", temperature=0.5)
        (request,) = source.requests
        parts = [part for message in request.messages for part in message.content]
        assert not any(isinstance(part, Deferred) for part in parts)
        assert [part.text for part in parts if isinstance(part, Text)] == ["one ", "inner", "inner", "three"]
        assert request.messages[0].content[2] == image
        assert (request.messages[0].id, request.messages[0].metadata) == ("m1", {"k": 1})
        assert [message.role for message in request.messages] == ["user", "assistant", "user"]
        assert request.system[0].text == "be brief"
        assert request.options.temperature == 0.5

    async def test_parsed_ones_give_their_text(self):
        """Of a thunk with an output type it is the text that is sent, not the parsed value."""
        assert (
            await mellite.generate(Echo(), [mellite.generate(Constant("[1, 2]"), "hi", output=list[int])]) == "[1, 2]"
        )

    async def test_empty_text(self):
        """A thunk with an empty answer leaves nothing in its place."""
        assert await mellite.generate(Echo(), ["a", mellite.generate(Constant(""), "hi"), "b"]) == "ab"

    async def test_request_is_not_changed(self):
        """The outer thunk's own request still has the thunk in it, before and after."""
        inner = mellite.generate(Constant("inner"), "hi")
        outer = mellite.generate(Echo(), ["say ", inner])
        await outer
        assert outer._call.request.messages[0].content[1] is inner

    async def test_log_has_the_text(self):
        """The log has the messages as they were sent."""
        outer = mellite.generate(Echo(), ["say ", mellite.generate(Constant("inner"), "hi")])
        await outer
        assert [message.text for message in outer.generate_log.prompt] == ["say inner"]

    async def test_its_message_goes_into_a_history(self):
        """`thunk.message` is the assistant's turn, to put into a history."""
        first = mellite.generate(Constant("an answer"), "hi")
        await first
        source = Source()
        await mellite.generate(source, [Message.user("hi"), first.message, Message.user("go on")])
        assert [(m.role, m.text) for m in source.requests[0].messages] == [
            ("user", "hi"),
            ("assistant", "an answer"),
            ("user", "go on"),
        ]


class TestSettledFirst:
    async def test_outer_waits(self):
        """The outer backend is called when the part is settled, not before."""
        gate = Gate()
        inner_source, outer_source = Source(["inner"], gate=gate), Source()
        inner = mellite.generate(inner_source, "hi")
        outer = mellite.generate(outer_source, ["say ", inner])
        async with anyio.create_task_group() as group:
            Consumer(group, outer.settle)
            gate.allow(1)
            await gate.reached(1)
            await blocked()
            assert (outer.state, inner.state, outer_source.calls) == ("running", "running", 0)
            gate.allow(1)
        assert (inner.state, outer.state, outer_source.calls) == ("done", "done", 1)

    async def test_siblings_run_at_once(self):
        """Several parts are settled concurrently, wherever they stand."""
        arrived, everybody = [], anyio.Event()

        class Meeting(Source):
            async def stream(self, request):
                arrived.append(request.text)
                if len(arrived) == 6:
                    everybody.set()
                await everybody.wait()
                async for event in super().stream(request):
                    yield event

        source = Meeting(["x"])
        parts = [mellite.generate(source, str(n)) for n in range(6)]
        history = [Message.user(parts[0], parts[1]), Message.assistant(parts[2]), Message.user(*parts[3:])]
        assert await mellite.generate(Echo(), history) == "xxx"
        assert sorted(arrived) == list("012345")

    async def test_settled_ones_are_not_called_again(self):
        """A part that is settled already is taken as it is."""
        source = Source(["inner"])
        inner = mellite.generate(source, "hi")
        await inner
        for _ in range(3):
            assert await mellite.generate(Echo(), inner) == "inner"
        assert source.calls == 1

    async def test_running_ones_are_joined(self):
        """A part that runs already is joined."""
        gate = Gate()
        source = Source(["inner"], gate=gate)
        inner = mellite.generate(source, "hi")
        async with anyio.create_task_group() as group:
            Consumer(group, inner.settle)
            await gate.reached(0)
            outer = Consumer(group, mellite.generate(Echo(), inner).avalue)
            await blocked()
            gate.allow(9)
        assert (outer.value, source.calls) == ("inner", 1)

    async def test_one_part_of_many(self):
        """A part that many prompts share is generated once."""
        source = Source(["inner"])
        inner = mellite.generate(source, "hi")
        outers = [mellite.generate(Echo(), [str(n), inner]) for n in range(20)]
        results = await mellite.gather(*outers)
        assert [thunk.value for thunk in results] == [f"{n}inner" for n in range(20)]
        assert source.calls == 1

    async def test_parts_of_parts(self):
        """Parts may have parts, to any depth."""
        thunk = mellite.generate(Constant("0"), "hi")
        for n in range(1, 30):
            thunk = mellite.generate(Echo(), [thunk, str(n)])
        assert await thunk == "".join(map(str, range(30)))

    async def test_diamond(self):
        """Two parts that share a part of theirs cause it to be generated once."""
        source = Source(["x"])
        root = mellite.generate(source, "hi")
        left, right = mellite.generate(Echo(), [root, "l"]), mellite.generate(Echo(), [root, "r"])
        assert await mellite.generate(Echo(), [left, right]) == "xlxr"
        assert source.calls == 1

    async def test_lazy(self):
        """A part is not generated before the outer thunk is driven."""
        source = Source()
        outer = mellite.generate(Echo(), mellite.generate(source, "hi"))
        repr(outer)
        await blocked()
        assert source.calls == 0

    def test_in_sync_code(self):
        """Sync code gets composed thunks as well."""
        inner = mellite.generate(Constant("inner"), "hi")
        assert mellite.generate(Echo(), ["say ", inner]).result() == "say inner"
        assert list(mellite.generate(Echo(), ["say ", inner]).iter()) == ["say ", "inner"]

    @pytest.mark.parametrize("loop", ["asyncio", "trio"])
    def test_part_that_runs_in_another_loop(self, loop):
        """A part that runs in another thread's loop is waited for there."""
        with start_blocking_portal(loop) as home:
            gate = home.call(Gate)
            inner = mellite.generate(Source(["inner"], gate=gate), "hi")
            keep = home.start_task_soon(caught, inner)
            home.call(gate.reached, 0)
            with start_blocking_portal("asyncio") as away:
                outer = away.start_task_soon(mellite.generate(Echo(), ["say ", inner]).avalue)
                away.call(blocked)
                home.call(gate.allow, 9)
                assert outer.result(20) == "say inner"
            keep.result(20)


class TestWhenAPartFails:
    async def test_outer_fails_with_it_as_the_cause(self):
        """A part that fails fails the outer thunk, with the part's error as the cause; its backend is not called."""
        error = ConnectionLost("gone")
        inner, source = mellite.generate(Failing(error, after=1), "hi"), Source()
        outer = mellite.generate(source, ["say ", inner])
        raised = await caught(outer)
        assert isinstance(raised, MelliteError)
        assert error in list(chain(raised))[1:]
        assert raised is outer.error is not inner.error
        assert (outer.state, outer.cancelled, inner.state, source.calls) == ("failed", False, "failed", 0)
        assert outer.partial == ""

    async def test_foreign_errors(self):
        """A foreign error of a part is found down the chain of causes."""
        foreign = ValueError("odd")
        inner = mellite.generate(Failing(foreign), "hi")
        raised = await caught(mellite.generate(Echo(), inner))
        causes = list(chain(raised))
        assert isinstance(raised, MelliteError)
        assert inner.error in causes[1:]
        assert isinstance(inner.error, BackendError)
        assert causes[-1] is foreign

    async def test_part_that_failed_before(self):
        """A part that has failed before fails it too, each time with the same error object as the cause."""
        inner = await mellite.generate(Failing(ConnectionLost("gone")), "hi").settle()
        for _ in range(3):
            raised = await caught(mellite.generate(Echo(), inner))
            assert inner.error in list(chain(raised))[1:]

    @pytest.mark.parametrize("before", [True, False])
    async def test_cancelled_part(self, before):
        """A part that was cancelled, before or meanwhile, fails the outer thunk, which is not cancelled itself."""
        gate = Gate()
        inner, source = mellite.generate(Source(gate=gate), "hi"), Source()
        outer = mellite.generate(source, ["say ", inner])
        if before:
            await inner.cancel_generation("enough")
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, outer.avalue)
            if not before:
                await gate.reached(0)
                await inner.cancel_generation("enough")
        assert (outer.state, outer.cancelled, source.calls) == ("failed", False, 0)
        assert consumer.error is outer.error
        (cancelled,) = [error for error in list(chain(outer.error))[1:] if isinstance(error, GenerationCancelled)]
        assert cancelled.reason == "enough"

    async def test_parts_of_parts(self):
        """A failure goes up through every level, and the chain of causes leads down to it."""
        error = ConnectionLost("gone")
        thunk = mellite.generate(Failing(error), "hi")
        for _ in range(5):
            thunk = mellite.generate(Echo(), ["say ", thunk])
        causes = list(chain(await caught(thunk)))
        assert causes[-1] is error
        assert len(causes) == 6

    async def test_siblings_keep_their_results(self):
        """A sibling that is good keeps its result."""
        good, bad = mellite.generate(Source(["good"]), "hi"), mellite.generate(Failing(ConnectionLost("gone")), "hi")
        await caught(mellite.generate(Echo(), [good, bad]))
        assert await good == "good"

    @pytest.mark.parametrize("slow_first", [True, False])
    @pytest.mark.parametrize("how", ["fails", "is cancelled"])
    async def test_slower_siblings_are_not_waited_for(self, how, *, slow_first):
        """The first part that fails settles the outer thunk; a sibling that nobody else waits for pauses."""
        gates = [Gate() for _ in range(3)]
        slow = [mellite.generate(Source(gate=gate), "hi") for gate in gates]
        other = Gate()
        bad = mellite.generate(Source(["a"], gate=other, error=ConnectionLost("gone")), "hi")
        outer = mellite.generate(Source(), [*slow, bad] if slow_first else [Message.user(bad), Message.user(*slow)])
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, outer.avalue)
            await other.reached(0)
            for gate in gates:
                await gate.reached(0)
            if how == "fails":
                other.allow(2)
            else:
                bad.cancel("enough")
            with anyio.fail_after(20):
                await consumer.over()
        assert (outer.state, consumer.error) == ("failed", outer.error)
        assert isinstance(outer.error.__cause__, ConnectionLost if how == "fails" else GenerationCancelled)
        assert [thunk.state for thunk in slow] == ["running"] * 3
        for gate in gates:
            gate.allow(9)
        await blocked()
        assert [thunk.partial for thunk in slow] == ["one "] * 3
        assert [await thunk for thunk in slow] == ["one two three"] * 3

    async def test_siblings_that_others_wait_for_go_on(self):
        """A sibling that somebody else waits for does not notice that the outer thunk has failed."""
        gate = Gate()
        slow, bad = mellite.generate(Source(gate=gate), "hi"), mellite.generate(Failing(ConnectionLost("gone")), "hi")
        async with anyio.create_task_group() as group:
            other = Consumer(group, slow.avalue)
            await gate.reached(0)
            assert isinstance(await caught(mellite.generate(Echo(), [slow, bad])), MelliteError)
            gate.allow(9)
        assert other.value == "one two three"

    async def test_siblings_of_one_that_failed_before_are_not_begun(self):
        """Nothing is asked for a prompt that has failed already."""
        source = Source()
        bad = await mellite.generate(Failing(ConnectionLost("gone")), "hi").settle()
        good = mellite.generate(source, "hi")
        assert isinstance(await caught(mellite.generate(Echo(), [good, bad])), MelliteError)
        assert (good.state, source.calls) == ("pending", 0)

    async def test_far_inside(self):
        """A part that fails at any depth settles all thunks around it, past slower siblings on every level."""
        gate = Gate()
        thunk = mellite.generate(Failing(ConnectionLost("gone"), after=1), "hi")
        for _ in range(5):
            thunk = mellite.generate(Echo(), [mellite.generate(Source(gate=gate), "hi"), thunk])
        with anyio.fail_after(20):
            error = await caught(thunk)
        assert isinstance(list(chain(error))[-1], ConnectionLost)

    @pytest.mark.parametrize("loop", ["asyncio", "trio"])
    @pytest.mark.parametrize("failing", ["here", "there"])
    def test_in_two_loops(self, loop, failing):
        """The part that fails and its slower sibling may run in different loops."""
        with start_blocking_portal(loop) as home:
            gate = home.call(Gate)
            error = ConnectionLost("gone") if failing == "there" else None
            there = mellite.generate(Source(["there"], gate=gate, error=error), "hi")
            keep = home.start_task_soon(caught if error else value_of, there)
            home.call(gate.reached, 0)

            async def fails_here():
                here = Gate()
                thunk = mellite.generate(Source(gate=here, error=None if error else ConnectionLost("gone")), "hi")
                async with anyio.create_task_group() as group:
                    consumer = Consumer(group, mellite.generate(Echo(), [thunk, there]).avalue)
                    await here.reached(0)
                    await blocked()
                    if error:
                        await anyio.to_thread.run_sync(home.call, gate.allow, 9)
                    else:
                        here.allow(9)
                    await consumer.over()
                return consumer.error, thunk.state

            raised, state = anyio.run(fails_here, backend=loop)
            assert isinstance(raised.__cause__, ConnectionLost)
            assert state == ("running" if error else "failed")
            home.call(gate.allow, 9)
            assert keep.result(20) == (error or "there")

    async def test_a_run_that_was_stopped_is_no_failure(self):
        """What a run said before it was stopped stands in a history, and its siblings are waited for."""

        async def look() -> str:
            return "seen"

        calls = mellite.backends.Scripted([[mellite.ToolCall("1", "look", {})], "never said"])
        run = mellite.run(calls, "hi", tools=[look], stop_when=mellite.stop.steps(1), output=int)
        gate = Gate()
        slow, source = mellite.generate(Source(gate=gate), "hi"), Source()
        outer = mellite.generate(source, [Message.user("hi"), WholeAnswer.message(run), Message.user(slow)])
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, outer.avalue)
            await gate.reached(0)
            await run.settle()
            await blocked()
            assert (run.state, outer.state) == ("failed", "running")
            gate.allow(9)
        assert consumer.value == source.text
        assert [message.role for message in source.requests[0].messages] == ["user", "assistant", "tool", "user"]

    async def test_says_which(self):
        """The error says that it was a part of the prompt."""
        raised = await caught(mellite.generate(Echo(), mellite.generate(Failing(ConnectionLost("gone")), "hi")))
        assert "gone" in str(raised)
        assert str(raised) != "gone"

    async def test_outer_copy_tries_again(self):
        """A deepcopy of a failed composition is settled; resampling shares the failed part, so it fails again."""
        outer = await mellite.generate(Echo(), mellite.generate(Failing(ConnectionLost("gone")), "hi")).settle()
        (again,) = await mellite.gather(*outer.resample(1))
        assert again.state == "failed"


class TestConsumers:
    async def test_outer_is_a_consumer_of_its_parts(self):
        """When the outer generation is cancelled, and nobody else waits for the part, the part is cancelled too."""
        gate = Gate()
        source = Source(gate=gate)
        inner = mellite.generate(source, "hi")
        outer = mellite.generate(Echo(), inner)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, outer.settle)
            await gate.reached(0)
            consumer.cancel()
        await blocked()
        assert (outer.state, inner.state, source.open) == ("cancelled", "cancelled", 0)

    async def test_part_that_somebody_else_waits_for(self):
        """A part that somebody else waits for goes on when the outer generation is cancelled."""
        gate = Gate()
        source = Source(["inner"], gate=gate)
        inner = mellite.generate(source, "hi")
        outer = mellite.generate(Echo(), inner)
        async with anyio.create_task_group() as group:
            other = Consumer(group, inner.avalue)
            consumer = Consumer(group, outer.settle)
            await gate.reached(0)
            await blocked()
            consumer.cancel()
            await consumer.over()
            await blocked()
            assert (outer.state, inner.state) == ("cancelled", "running")
            gate.allow(9)
        assert other.value == "inner"

    async def test_cancelling_somebody_else(self):
        """A consumer of the part that is cancelled leaves the part to the outer generation."""
        gate = Gate()
        inner = mellite.generate(Source(["inner"], gate=gate), "hi")
        async with anyio.create_task_group() as group:
            outer = Consumer(group, mellite.generate(Echo(), inner).avalue)
            other = Consumer(group, inner.avalue)
            await gate.reached(0)
            await blocked()
            other.cancel()
            await other.over()
            await blocked()
            assert inner.state == "running"
            gate.allow(9)
        assert outer.value == "inner"

    async def test_iterating_drives_parts(self):
        """An iterator of the outer thunk waits for the parts, then streams."""
        outer = mellite.generate(Echo(), ["say ", mellite.generate(Source(), "hi")])
        assert await collect(outer) == ["say ", "one ", "two ", "three"]


def test_words_know_nothing_of_thunks():
    """The words take a thunk as a part without importing what a thunk is."""
    run_child(
        """
        import sys
        import mellite.errors, mellite.events, mellite.messages, mellite.request
        loaded = {name for name in sys.modules if name.startswith("mellite")}
        rooms = {name.split(".")[1] for name in loaded if name != "mellite"}
        assert rooms == {"values", "errors", "events", "messages", "request"}, loaded
        """
    )
    assert isinstance(mellite.generate(Echo(), "hi"), Deferred)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_under_asyncio_timeout(anyio_backend):
    """A timeout around the outer thunk ends both."""
    gate = Gate()
    source = Source(gate=gate)
    inner = mellite.generate(source, "hi")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mellite.generate(Echo(), inner), 0.02)
    await blocked()
    assert (anyio_backend, inner.state, source.open) == ("asyncio", "cancelled", 0)
