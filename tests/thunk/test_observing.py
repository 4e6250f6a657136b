"""The seam for observers: who is told what, in which order, and who may answer in place of a backend."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import anyio
import pytest
from attrs import evolve

import mellite
from mellite.backends import Constant, Failing, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidRequest, OutcomeUnknown
from mellite.events import Event, Finish, TextDelta
from mellite.requirements import contains, custom, length
from mellite.thunk import observing
from mellite.thunk.lateness import Lateness
from mellite.thunk.observing import Activity, Interceptor, Observer
from mellite.thunk.performing import Performing
from mellite.values.noticing import noticing
from tests.thunk.support import Gate, Source, blocked

pytestmark = pytest.mark.anyio


class Notes(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.activities: list[Activity] = []

    def started(self, activity: Activity) -> None:
        self.told.append(("started", activity.kind))
        self.activities.append(activity)

    def chunk(self, activity: Activity, chunk: str, verdicts: Sequence[object]) -> None:
        self.told.append(("chunk", str(chunk), len(verdicts)))

    def validated(self, activity: Activity | None, thunk: object, verdicts: Sequence[object]) -> None:
        self.told.append(("validated", activity and activity.kind, [bool(verdict) for verdict in verdicts]))

    def settled(self, activity: Activity) -> None:
        shown = activity.subject.outcome.state if activity.kind == "generation" else type(activity.error).__name__
        self.told.append(("settled", activity.kind, shown))


class Events(Notes):
    """Wants each event, too."""

    def event(self, activity: Activity, event: Event) -> None:
        self.told.append(("event", type(event).__name__))


def live(text: str) -> mellite.Backend:
    """A live backend whose bytes are pushed, and whose answer is one text."""
    answer = f'{{"choices": [{{"message": {{"content": "{text}"}}, "finish_reason": "stop"}}]}}'
    return mellite.backend("openai-chat:gpt-4o", api_key="sk-test", transport=ScriptedTransport([answer] * 3))


class Waits(mellite.Backend):
    """A backend that waits until it is cancelled."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta(request.text)
        await anyio.sleep_forever()


@pytest.mark.parametrize("backend", [lambda: Constant("hi"), lambda: live("hi"), lambda: Source(["h", "i"])])
async def test_started_then_settled(backend: Callable[[], mellite.Backend]) -> None:
    """Once each, whatever the way of the answer; all is known by then, and whoever awaits goes on after it."""
    notes = Notes()
    with observing.using(notes):
        thunk = backend().generate("Hello.")
        assert notes.told == []
        assert await thunk == "hi"
        assert notes.told == [("started", "generation"), ("settled", "generation", "done")]
        await thunk
    assert len(notes.told) == 2
    generation = notes.activities[0].subject
    assert (generation.call, generation.request.text) == (thunk.call, "Hello.")
    assert generation.generation_id == thunk.generation.generation_id
    assert generation.outcome is thunk.outcome


async def test_events_are_those_of_the_thunk() -> None:
    for make in (lambda: Constant("hi"), lambda: live("hi"), lambda: Source(["h", "i"])):
        notes = Events()
        with observing.using(notes):
            thunk = make().generate("Hello.")
            await thunk
        told = [entry[1] for entry in notes.told if entry[0] == "event"]
        assert told == [type(event).__name__ async for event in thunk.events()]
        assert (notes.told[0][0], notes.told[-1][0]) == ("started", "settled")


async def test_failures_and_cancellations_are_told() -> None:
    notes = Notes()
    with observing.using(notes):
        await Failing(ValueError("no")).generate("x").settle()
        thunk = Waits().generate("x")
        with anyio.move_on_after(0.01):
            await thunk
        await thunk.settle()
    assert [entry[-1] for entry in notes.told if entry[0] == "settled"] == ["failed", "cancelled"]
    assert [activity.error for activity in notes.activities] == [None, None]  # only while it is told


async def test_nobody_is_told_outside_the_block_or_of_what_was_driven_before() -> None:
    notes = Notes()
    gate = Gate()
    early = Source(["x"], gate=gate).generate("early")
    async with anyio.create_task_group() as group:
        group.start_soon(early.settle)
        await blocked()
        with observing.using(notes):
            gate.allow(2)
            await early
    await Constant("late").generate("late")
    assert notes.told == []


async def test_tasks_started_inside_are_seen_and_who_waits_only_is_not_asked() -> None:
    """Those of the task that first drives the thunk are in force."""
    first, second = Notes(), Notes()
    thunk = Source(["x"]).generate("once")

    async def wait_with(notes: Notes) -> None:
        with observing.using(notes):
            await thunk

    async with anyio.create_task_group() as group:
        group.start_soon(wait_with, first)
        await blocked()
        group.start_soon(wait_with, second)
    assert sorted([len(first.told), len(second.told)]) == [0, 2]


async def test_installed_for_the_process_from_threads_and_sync_code() -> None:
    notes = Notes()
    remove = observing.install(notes)
    try:
        await anyio.to_thread.run_sync(lambda: Constant("hi").generate("Hello.").result())
    finally:
        remove()
    await Constant("hi").generate("Hello.")
    assert notes.told == [("started", "generation"), ("settled", "generation", "done")]


async def test_nobody_goes_on_before_observers_are_told() -> None:
    """Not in another thread either: it would write its last line before the log has the call."""
    inside, looked = threading.Event(), threading.Event()

    class Slow(Observer):
        def settled(self, activity: Activity) -> None:
            inside.set()
            looked.wait(10)

    def ask() -> bool:
        thunk = Constant("hi").generate("Hello.")
        asking = threading.Thread(target=thunk.result)
        asking.start()
        inside.wait(10)
        early = thunk.is_computed() or thunk.value is not None
        looked.set()
        asking.join(10)
        return early

    remove = observing.install(Slow())
    try:
        assert not await anyio.to_thread.run_sync(ask)
    finally:
        remove()


async def test_an_observer_that_raises_changes_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def started(self, activity: Activity) -> None:
            msg = "broken"
            raise ValueError(msg)

        def event(self, activity: Activity, event: Event) -> None:
            raise KeyError

        settled = started

    notes = Notes()
    with caplog.at_level(logging.WARNING, "mellite"), observing.using(Broken(), notes):
        assert await Source(["a", "b"]).generate("x") == "ab"
    assert len(notes.told) == 2
    assert len(caplog.records) == 5  # started, three events, settled
    assert "observer" in caplog.text


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not int"), observing.using(3):  # type: ignore[arg-type]
        pass
    with pytest.raises(InvalidRequest, match="not str"):
        observing.install("x")  # type: ignore[arg-type]


async def test_a_thunk_in_a_prompt_is_a_part_of_the_outer_generation() -> None:
    notes = Notes()
    with observing.using(notes):
        await Constant("out").generate(["About: ", Constant("in").generate("x")])
    outer, inner = notes.activities
    assert inner.parent is outer
    assert outer.parent is None


async def test_activities_nest() -> None:
    notes = Notes()
    with observing.using(notes):
        with observing.activity("step", "mine") as mine:
            await Constant("hi").generate("Hello.")
            assert observing.current() is mine
            assert mine is not None
            mine.result = 7
        assert observing.current() is None
        with pytest.raises(ValueError, match="no"), observing.activity("run", "mine"):
            raise ValueError("no")
    step, generation, run = notes.activities
    assert (generation.parent, step.parent, step.result) == (step, None, 7)
    assert (notes.told[-1], run.error) == (("settled", "run", "ValueError"), None)
    with observing.activity("step", "nobody looks on") as nothing:
        assert nothing is None


class Around(Interceptor):
    """Changes what is asked, and what is answered."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    async def stream(self, generation: Any, proceed: observing.Opener) -> AsyncIterator[Event]:
        generation.request = evolve(generation.request, messages=(mellite.Message.user(f"{self.mark}?"),))
        yield TextDelta(f"<{self.mark}>")
        async for event in proceed(generation):
            yield event


async def test_interceptors_chain_the_innermost_first() -> None:
    source = Source(["x"])
    with observing.using(Around("a"), Around("b")), observing.using(Around("c")):
        thunk = source.generate("Hello.")
        assert await thunk == "<c><b><a>x"
    assert source.requests[0].text == "a?"
    assert thunk.call.request.text == "Hello."
    assert await source.generate("Hello.") == "x"


async def test_an_interceptor_may_answer_itself() -> None:
    class Instead(Interceptor):
        async def stream(self, generation: Any, proceed: observing.Opener) -> AsyncIterator[Event]:
            yield TextDelta("instead")
            yield Finish("stop")

    source = Source(["x"])
    remove = observing.install(Instead())
    try:
        assert await source.generate("Hello.") == "instead"
    finally:
        remove()
    assert source.calls == 0


async def test_sharing_chains_and_is_told_of_each_thunk() -> None:
    """Who looks on sees both thunks; who stands in between around the block sees the one generation behind them."""
    source, notes = Source(["x"]), Notes()
    with observing.using(notes, Around("a")), mellite.share() as shared:
        results = await mellite.gather(source.generate("Hello."), source.generate("Hello."))
    assert (results.texts, source.calls, shared.saved) == (["<a>x"] * 2, 1, 1)
    assert [entry[0] for entry in notes.told] == ["started", "started", "settled", "settled"]
    with mellite.share() as shared, observing.using(Around("a")):
        results = await mellite.gather(source.generate("Hi."), source.generate("Hi."))
    assert (results.texts, shared.saved) == (["<a>x"] * 2, 1)


async def test_sampling_is_an_activity_with_its_samples_inside() -> None:
    notes = Notes()
    with observing.using(notes):
        backend = Scripted(["no", "yes"])
        result = await mellite.RejectionSampling(max_samples=2).sample(backend.generate("x"), [contains("yes")])
    sampling, *generations = notes.activities
    assert {each.parent for each in generations} == {sampling}
    assert sampling.result is result
    assert isinstance(sampling.subject, mellite.RejectionSampling)
    assert [entry for entry in notes.told if entry[0] == "validated"] == [
        ("validated", "sampling", [False]),
        ("validated", "sampling", [True]),
    ]


async def test_checks_are_told_sync_async_and_left_out() -> None:
    async def later(thunk: object) -> bool:
        await blocked()
        return True

    notes = Notes()
    with observing.using(notes):
        await mellite.check("text", [length(max=20), custom(later)])
        await mellite.check("text", [])
    assert notes.told == [("validated", None, [True, True])]


async def test_streams_tell_of_chunks_and_of_the_verdict_that_failed_one() -> None:
    notes = Notes()
    backend = Source(["good ", "fine ", "bad ", "end"])

    def is_good(chunk: str, partial: str) -> bool:
        return "bad" not in chunk

    with observing.using(notes):
        async with mellite.stream(
            backend.generate("x"), requirements=[mellite.Requirement("no bad", check_chunk=is_good)]
        ) as stream:
            chunks = [str(chunk) async for chunk in stream]
    assert chunks == ["good ", "fine "]
    assert [entry for entry in notes.told if entry[0] == "chunk"] == [
        ("chunk", "good ", 0),
        ("chunk", "fine ", 0),
        ("chunk", "bad ", 1),
    ]
    streaming, generation = notes.activities
    assert (streaming.kind, generation.parent, streaming.subject) == ("stream", streaming, stream)
    assert ("settled", "stream", "NoneType") in notes.told


@pytest.fixture
def finders() -> Iterator[Callable[..., None]]:
    """What says how to find those who come by themselves, until the end of the test."""
    before = noticing.find
    yield noticing.by
    noticing.find = before


async def test_those_who_come_by_themselves_look_on_while_they_want_to(finders: Callable[..., None]) -> None:
    """One finder may give several, another none for ever, and each is asked before every generation."""
    one, two, own = Notes(), Notes(), Notes()
    wanted: list[object | None] = [None, (one, Around("+"))]
    asked: list[int] = []

    def both() -> object | None:
        asked.append(1)
        return wanted[0]

    finders(lambda: both, lambda: None, lambda: lambda: two)
    with observing.using(own):
        assert await Constant("Hello.").generate("Hi.") == "Hello."
        assert [one.told, len(two.told), len(own.told)] == [[], 2, 2]
        wanted.reverse()
        assert await Constant("Hello.").generate("Hi.") == "<+>Hello."
        assert await Constant("Hello.").generate("Hi.") == "<+>Hello."
        wanted.reverse()
        assert await Constant("Hello.").generate("Hi.") == "Hello."
    assert [len(each.told) for each in (one, two, own)] == [4, 8, 8]
    assert len(asked) == 4


class Together(Notes):
    """Wants the events that come at once in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    def events(self, activity: Activity, events: Sequence[Event]) -> None:
        self.batches.append([type(event).__name__ for event in events])


async def test_events_that_come_at_once_may_be_told_at_once() -> None:
    """Of a stream in one piece, in one call; of one that a task pulls, one by one; of a whole text not at all."""
    pieces = [f'data: {{"choices": [{{"delta": {{"content": "{word}"}}}}]}}\n\n' for word in ("a", "b")]
    end = 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    streamed = ScriptedTransport(["".join([*pieces, end])])
    together, single = Together(), Events()
    with observing.using(together, single):
        backend = mellite.backend("openai-chat:m", api_key="x", transport=streamed, keep_raw=False)
        assert await backend.generate("Hi.") == "ab"
        seen = [name for batch in together.batches for name in batch]
        assert seen == [told[1] for told in single.told if told[0] == "event"]
        assert seen.count("TextDelta") == 2
        assert len(together.batches) < len(seen)
        together.batches.clear()
        assert await Scripted([["c", "d"]]).generate("Hi.") == "cd"
        assert [names[0] for names in together.batches].count("TextDelta") == 2
    together.batches.clear()
    with observing.using(together):
        assert await live("e").generate("Hi.", stream=False) == "e"
    assert together.batches == []
    assert [told[0] for told in together.told] == ["started", "settled"] * 3


class Marked(mellite.Backend):
    """A backend around another one."""

    def __init__(self, backend: Any, mark: str) -> None:
        self.backend = backend
        self.mark = mark

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        yield TextDelta(f"[{self.mark}]")
        async for event in self.backend.stream(request):
            yield event


class Wraps(Interceptor):
    """Puts a backend around the one that is asked, or is asked itself where others stand behind it."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.kinds: list[str] = []

    def wrap(self, kind: observing.Kind, backend: Any) -> Any:
        self.kinds.append(kind)
        return Marked(backend, self.mark)

    def stream(self, generation: Any, proceed: observing.Opener) -> AsyncIterator[Event]:
        return Around(f"{self.mark} by stream").stream(generation, proceed)


async def test_an_interceptor_may_wrap_the_backend() -> None:
    """What it puts around may push; behind one that opens streams itself, it opens them, too."""
    with observing.using(Wraps("a"), Wraps("b")):
        assert await Source(["x"]).generate("Hello.") == "[b][a]x"
        assert await live("hi").generate("Hello.") == "[b][a]hi"
    with observing.using(Wraps("a"), Around("b"), Wraps("c")):
        assert await Source(["x"]).generate("Hello.") == "<c by stream><b>[a]x"


async def test_of_a_run_the_run_and_its_steps_are_wrapped() -> None:
    wraps = Wraps("a")
    with observing.using(wraps):
        assert "x" in await mellite.run(Source(["x"]), "Hello.")
    assert wraps.kinds == ["run", "generation"]


async def test_what_observers_leave_to_be_awaited() -> None:
    """It is awaited at the begin and at the end of an activity of async code, also of one that failed."""
    told: list[str] = []

    class Late(Observer):
        def started(self, activity: Activity) -> None:
            self.leave(activity, "started")

        def settled(self, activity: Activity) -> None:
            self.leave(activity, f"settled {activity.error}")

        def leave(self, activity: Activity, what: str) -> None:
            async def later() -> None:
                await blocked()
                told.append(what)
                if "broken" in what:
                    raise KeyError(what)

            activity.late = activity.late or Lateness()
            activity.late.add(later)

    with observing.using(Late()):
        async with Performing("step", "mine") as mine:
            assert observing.current() is mine
            assert told == ["started"]
        assert observing.current() is None
        assert told == ["started", "settled None"]
        with pytest.raises(ValueError, match="broken"):
            async with Performing("step", "mine"):
                raise ValueError("broken")
    assert told[2:] == ["started", "settled broken"]
    async with Performing("step", "nobody looks on") as nothing:
        assert nothing is None


async def test_the_code_of_a_tool_is_run_by_those_in_between() -> None:
    """Behind the approval, with the arguments of the tool; a refused call never comes to them, and they may defer."""
    seen: list[tuple[str, str, bool]] = []

    class Outer(Interceptor):
        async def run_tool(self, call: Any, proceed: Callable[[], Any], *, once: bool) -> Any:
            seen.append(("outer", call.name, once))
            if call.name == "later":
                msg = "nobody knows"
                raise OutcomeUnknown(msg)
            return await proceed()

    class Inner(Interceptor):
        async def run_tool(self, call: Any, proceed: Callable[[], Any], *, once: bool) -> Any:
            seen.append(("inner", call.name, once))
            return {"was": await proceed()}

    @mellite.tool(once=True)
    def pay(amount: int) -> int:
        return amount

    calls = [mellite.ToolCall(name, name, {"amount": 1}) for name in ("pay", "refused", "later")]
    tools = [mellite.tool(pay, name=name) for name in ("pay", "refused", "later")]
    approve = {"refused": False}
    with observing.using(Outer(), Inner()):
        run = mellite.run(
            Scripted([calls]), "Go.", tools=tools, approve=lambda call: approve.get(call.name), concurrency=1
        )
        await run
    assert seen == [
        ("inner", "pay", True),
        ("outer", "pay", True),
        ("inner", "later", True),
        ("outer", "later", True),
    ]
    assert [call.name for call in run.pending_calls] == ["later"]
    assert run.steps[0].values[0] == {"was": 1}
