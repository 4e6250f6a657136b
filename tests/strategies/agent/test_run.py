"""A run: the steps it takes, what it tells of them, and what it comes to."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import mellite
from mellite import Message, Requirement, Run, RunStep, stop
from mellite.backends import Echo
from mellite.errors import ConfigurationError, InvalidRequest, RateLimited, RequestError, RunStopped, UnknownOption
from mellite.events import (
    Finish,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    ToolCallEvent,
    ToolErrorEvent,
    ToolResultEvent,
    Usage,
)
from mellite.messages import ToolCall, ToolResult, WholeAnswer
from mellite.thunk import observing
from tests.strategies.agent.played import Played, add, asks, results_of, shouts
from tests.thunk.support import Gate, blocked

pytestmark = pytest.mark.anyio


def three_steps() -> Played:
    """Two rounds of calls, one of which fails, and an answer."""
    return Played(
        ["Let me ", "see.", asks("c1", a=1, b=2), asks("c2", "shouts", text="")],
        [asks("c3", "shouts", text="hey")],
        ["It is ", "3."],
    )


def run_of(backend: Played, **options: Any) -> Run[str]:
    """A run with both tools."""
    return mellite.run(backend, "How much?", tools=[add, shouts], **options)


async def test_to_the_answer() -> None:
    """The text is the last step's; the history has every answer and every result, in the order of the calls."""
    backend = three_steps()
    run = run_of(backend)
    assert (run.state, run.stop_reason, run.steps, run.usage, backend.requests) == ("pending", None, (), None, [])
    assert await run == "It is 3."
    assert (run.value, run.partial, run.parsed_repr, run.state) == ("It is 3.",) * 3 + ("done",)
    assert run.stop_reason == "answered"
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert results_of(run.messages) == [("c1", 3), ("c2", "there is nothing to shout"), ("c3", "HEY")]
    first, second, third = run.steps
    assert [call.id for call in first.calls] == ["c1", "c2"]
    assert first.values == (3, None)
    assert first.results[1] is not None
    assert first.results[1].result.type == "error"
    assert (second.values, third.calls, third.results) == (("HEY",), (), ())
    assert [step.thunk for step in run.steps] == list(run.thunks)
    assert [thunk.value for thunk in run.thunks] == ["Let me see.", "", "It is 3."]
    assert run.pending_calls == ()
    assert run.message == Message.assistant("It is 3.")


async def test_each_step_asks_with_all_that_came_before() -> None:
    """Options, system and tools stay; the tool choice is for the first step only; the lineage is the run's."""
    backend = three_steps()
    run = run_of(backend, system="Be brief.", temperature=0.5, tool_choice="required", model="anvil-2")
    await run
    assert [len(request.messages) for request in backend.requests] == [1, 3, 5]
    assert [request.tool_choice and request.tool_choice.type for request in backend.requests] == [
        "required",
        None,
        None,
    ]
    for request in backend.requests:
        assert request.system[0].text == "Be brief."
        assert request.options.temperature == 0.5
        assert [tool.name for tool in request.tools] == ["add", "shouts"]
        assert request.model == "anvil-2"
        assert request.metadata["lineage"] == ()
    assert backend.requests[-1].messages == run.messages[:-1]


async def test_events_of_all_steps() -> None:
    """Steps are numbered, each ends with its reason and usage, results follow it, and one finish ends them all."""
    run = run_of(three_steps())
    events = [event async for event in run.events() if not isinstance(event, ResponseStart)]
    kinds = [type(event) for event in events]
    assert kinds == [
        *(StepStart, TextDelta, TextDelta, ToolCallEvent, ToolCallEvent, StepFinish),
        *(ToolResultEvent, ToolErrorEvent, ToolResultEvent),
        *(StepStart, ToolCallEvent, StepFinish, ToolResultEvent),
        *(StepStart, TextDelta, TextDelta, StepFinish, Finish),
    ]
    assert [event.index for event in events if isinstance(event, StepStart)] == [0, 1, 2]
    ends = [event for event in events if isinstance(event, StepFinish)]
    assert [(end.index, end.reason, end.raw_reason) for end in ends] == [
        (0, "tool-calls", "raw tool-calls"),
        (1, "tool-calls", "raw tool-calls"),
        (2, "stop", "raw stop"),
    ]
    assert [end.usage and end.usage.total_tokens for end in ends] == [14, 14, 14]
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.usage and finish.usage.total_tokens) == ("stop", 42)
    (failed,) = [event for event in events if isinstance(event, ToolErrorEvent)]
    assert (failed.id, failed.message) == ("c2", "there is nothing to shout")
    assert [event async for event in run.events() if not isinstance(event, ResponseStart)] == events
    assert [delta async for delta in run] == ["Let me ", "see.", "It is ", "3."]


async def test_a_result_is_told_when_its_step_is_known() -> None:
    """Whoever reads a result finds the step in the run."""
    run = run_of(three_steps())
    seen = [len(run.steps) async for event in run.events(ahead=1) if isinstance(event, ToolResultEvent)]
    assert seen == [1, 1, 2]


async def test_usage_and_metadata_are_of_all_steps() -> None:
    """Tokens and dollars are added up; where one price is unknown, so is the sum; the rest is the last step's."""
    run = run_of(three_steps())
    await run
    assert run.usage == Usage.of(input_tokens=30, output_tokens=12)
    assert run.generation.usage == run.usage
    assert run.generation.response_id == "response-3"
    assert run.cost_usd is None
    priced = Played(
        [asks("c1", a=1, b=2)],
        ["3"],
        provider="openai",
        model="gpt-4o",
        usage=Usage.of(input_tokens=1000, output_tokens=0),
    )
    paid = run_of(priced)
    assert await paid == "3"
    assert paid.cost_usd is not None
    assert paid.cost_usd == 2 * paid.steps[0].thunk.cost_usd == paid.generation.cost_usd  # type: ignore[operator]


async def test_nothing_is_sent_twice() -> None:
    """Many consumers share one run."""
    backend = three_steps()
    run = run_of(backend)
    texts: list[str] = []

    async def read() -> None:
        texts.append("".join([delta async for delta in run]))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(read)
        group.start_soon(run.settle)
    assert texts == ["Let me see.It is 3."] * 2
    assert len(backend.requests) == 3


def test_without_a_loop() -> None:
    """`result` and `iter` work in code without await."""
    assert run_of(three_steps()).result() == "It is 3."
    assert list(run_of(three_steps()).iter()) == ["Let me ", "see.", "It is ", "3."]


async def test_calls_run_together() -> None:
    """All calls of an answer are under way at once, as many as `concurrency` says."""
    running = most = 0
    both = anyio.Event()

    @mellite.tool
    async def meet(who: str) -> str:
        """Wait until two are here."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both.set()
        await both.wait()
        running -= 1
        return who

    backend = Played([asks(f"c{n}", "meet", who=str(n)) for n in range(6)], ["done"])
    run = mellite.run(backend, "Meet.", tools=[meet], concurrency=2)
    assert await run == "done"
    assert most == 2
    assert run.steps[0].values == tuple("012345")


async def test_a_failing_step_fails_the_run() -> None:
    """The error is the step's own; steps, messages and usage up to there stay, and can be gone on from."""
    backend = Played(["Wait.", asks("c1", a=1, b=2)], ["So", RateLimited("slow down", retry_after=2.0)])
    run = run_of(backend)
    with pytest.raises(RateLimited) as caught:
        await run
    assert caught.value is run.error is run.thunks[-1].error
    assert (run.state, run.stop_reason, run.partial) == ("failed", "failed", "So")
    assert [len(run.steps), len(run.thunks), len(run.messages)] == [1, 2, 3]
    backend.answers = (backend.answers[0], ["So: 3."])
    again = run.fork(len(run.steps))
    assert await again == "So: 3."
    assert again.thunks[0] is run.thunks[0]


async def test_a_defect_in_a_tool_fails_the_run() -> None:
    """What a tool raises that no model can mend is the run's error; the history ends before that answer."""

    @mellite.tool
    def broken(a: int) -> int:
        """Break."""
        return a // 0

    run = mellite.run(Played([asks("c1", "broken", a=1)]), "Break.", tools=[broken])
    await run.settle()
    assert isinstance(run.error, mellite.errors.ToolDefect)
    assert isinstance(run.error.__cause__, ZeroDivisionError)
    assert (run.stop_reason, run.steps, len(run.thunks)) == ("failed", (), 1)
    assert run.messages == (Message.user("Break."),)


async def test_no_tools_at_all() -> None:
    """A run without tools is one answer."""
    run = mellite.run(Echo(), ["Hel", "lo."])
    assert await run == "Hello."
    assert run.stop_reason == "answered"


@pytest.mark.parametrize("reason", ["length", "content-filter"])
async def test_calls_of_a_cut_answer_are_not_run(reason: Any) -> None:
    """They may be cut themselves: the run ends, with the reason, and its history can be sent on."""
    ran: list[int] = []

    @mellite.tool
    def note(a: int) -> None:
        """Note."""
        ran.append(a)

    backend = Played(["I will", asks("c1", "note", a=1), Finish(reason)], ["Fine."])
    run = mellite.run(backend, "Go.", tools=[note])
    assert await run == "I will"
    assert (run.stop_reason, ran, run.finish_reason) == (reason, [], reason)
    assert run.steps[0].results == (None,)
    assert await run.fork(1, "Go on.") == "Fine."
    assert await run.fork(1) == "Fine."
    assert ran == []


async def test_an_empty_answer() -> None:
    """An answer without any content ends the run, and leaves no empty message in the history."""
    run = run_of(Played([asks("c1", a=1, b=2)], []))
    assert await run == ""
    assert [message.role for message in run.messages] == ["user", "assistant", "tool"]


async def test_calls_of_the_provider_pass_through() -> None:
    """They are not run here, and stay in the history with their results."""
    search = ToolCall("s1", "web_search", {"q": "x"}, provider_executed=True)
    found = ToolResult("s1", "web_search", {"hits": 1}, provider_executed=True)
    backend = Played(
        [search, ToolResultEvent(found), "Found. ", asks("c1", a=1, b=2)], [search, ToolResultEvent(found), "3."]
    )
    run = run_of(backend)
    assert await run == "3."
    assert [call.id for step in run.steps for call in step.calls] == ["c1"]
    assert backend.requests[1].messages[1].content[:2] == (search, found)
    assert run.messages[-1].content == (search, found, mellite.Text("3."))


async def test_a_paused_turn_goes_on() -> None:
    """A provider that pauses a long turn with tools of its own is asked again with what it said; conditions hold."""
    pause = Finish("stop", raw_reason="pause_turn")
    backend = Played(*[["Searching. ", pause]] * 4, ["Found."])
    run = run_of(backend)
    assert await run == "Found."
    assert (run.stop_reason, len(run.steps)) == ("answered", 5)
    assert backend.requests[1].messages[-1] == Message.assistant("Searching. ")
    short = run_of(backend, stop_when=stop.steps(2))
    assert await short == "Searching. "
    assert short.stop_reason == "steps"


async def test_an_output_type() -> None:
    """The last step's answer is parsed once, and is the run's."""
    backend = Played(["Thinking.", asks("c1", a=1, b=2)], ['{"sum": 3}'])
    run = mellite.run(backend, "How much?", tools=[add], output=dict)
    assert await run == {"sum": 3}
    assert run.parsed_repr is run.steps[-1].thunk.parsed_repr
    assert run.value == '{"sum": 3}'
    assert [request.output for request in backend.requests] == [dict, dict]


async def test_stopped_without_the_output() -> None:
    """A run that stopped before its answer has no output of the type; what there is stays."""
    backend = Played(["Thinking.", asks("c1", a=1, b=2)], ['{"sum": 3}'])
    run = mellite.run(backend, "How much?", tools=[add], output=dict, stop_when=stop.steps(1))
    with pytest.raises(RunStopped, match=r"stopped \(steps\) after 1 step") as caught:
        await run
    assert caught.value.stop_reason == run.stop_reason == "steps"
    assert (run.state, len(run.steps), len(run.messages)) == ("failed", 1, 3)
    assert caught.value.usage == run.usage == Usage.of(input_tokens=10, output_tokens=4)
    assert await run.fork(1, stop_when=stop.steps(2)) == {"sum": 3}


async def test_as_a_part_of_a_prompt() -> None:
    """A run settles first; its text stands in the prompt."""
    echo = Echo()
    assert await echo.generate(["So: ", run_of(three_steps())]) == "So: It is 3."
    inner = run_of(three_steps())
    assert await mellite.run(echo, [Message.user("And: ", inner)]) == "And: It is 3."


async def test_as_a_part_of_a_history() -> None:
    """In place of its messages: those of all steps, also of a run that stopped before it had answered."""
    echo = Echo()
    run = run_of(three_steps())
    thunk = echo.generate([Message.user("How much?"), WholeAnswer.message(run), Message.user("Thanks.")])
    assert await thunk == "Thanks."
    assert thunk.outcome is not None
    assert thunk.outcome.prompt.messages == (*run.messages, Message.user("Thanks."))
    stopped = run_of(three_steps(), output=dict, stop_when=stop.steps(1))
    thunk = echo.generate([Message.user("How much?"), WholeAnswer.message(stopped), Message.user("Well?")])
    assert await thunk == "Well?"
    assert thunk.outcome is not None
    assert thunk.outcome.prompt.messages == (*stopped.messages, Message.user("Well?"))
    failing = run_of(Played([RateLimited("no")]))
    with pytest.raises(RequestError) as caught:
        await echo.generate([Message.user("How much?"), WholeAnswer.message(failing), Message.user("Well?")])
    assert caught.value.__cause__ is failing.error


async def test_many_at_once() -> None:
    """Gathering and as_completed take runs, beside thunks."""
    runs = [run_of(three_steps()) for _ in range(3)]
    results = await mellite.gather(*runs, Echo().generate("x"))
    assert results.texts == ["It is 3."] * 3 + ["x"]
    assert results[0] is runs[0]
    async for run in mellite.as_completed([run_of(three_steps()) for _ in range(3)], concurrency=1):
        assert isinstance(run, Run)
        assert run.stop_reason == "answered"


async def test_sampling_over_runs() -> None:
    """A run is sampled like any thunk; its copies are runs."""
    asked = run_of(three_steps())
    result = await mellite.BestOfN(2, score=lambda run: len(run.steps)).sample(asked)
    assert isinstance(result.winner, Run)
    assert result.value == "It is 3."
    assert result.usage is not None
    assert result.usage.total_tokens == 84


async def test_sampling_over_other_backends() -> None:
    """Strategies that ask other backends have the steps of the run ask them."""
    bad = Played([RateLimited("no")])
    good = three_steps()
    result = await mellite.Fallback(good).sample(run_of(bad))
    assert isinstance(result.winner, Run)
    assert (result.value, len(result.winner.steps), len(good.requests)) == ("It is 3.", 3, 3)
    hedged = await mellite.Hedge(10, backends=good).sample(run_of(three_steps()))
    assert hedged.value == "It is 3."
    small = Requirement("small letters", lambda thunk: thunk.text.islower())
    answers = Played([asks("c1", a=1, b=2)], ["It is 3."])
    repaired = await mellite.RepairSampling(max_samples=2).sample(run_of(answers), [small])
    assert not repaired.success
    assert "small letters" in answers.requests[-1].messages[0].text
    assert [len(sample.thunk.steps) for sample in repaired.samples if isinstance(sample.thunk, Run)] == [2, 2]


async def test_streaming_with_validation() -> None:
    """What all steps say is checked as it comes; an attempt that fails begins anew, with its own steps."""
    backend = Played(["Let me see. ", asks("c1", a=1, b=2)], ["It is 3."])
    heard: list[str] = []

    def patient(chunk: str, partial: str) -> str:
        heard.append(str(chunk))
        return "pass" if len(heard) > 2 else "fail"

    fine = Requirement("patience", check_chunk=patient)
    async with mellite.stream(run_of(backend), requirements=[fine], chunking="sentences", attempts=3) as stream:
        chunks = [str(chunk) async for chunk in stream]
    assert "".join(chunks) == "Let me see. It is 3."
    assert isinstance(stream.thunks[-1], Run)
    assert len(stream.thunks[-1].steps) == 2
    assert stream.result() == "It is 3."
    assert backend.open == 0


class Looking(observing.Observer):
    """Notes what begins and ends, and what it is a part of."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.runs: list[Any] = []

    def started(self, activity: observing.Activity) -> None:
        self.told.append(("started", activity.kind, activity.parent.kind if activity.parent else ""))
        if activity.kind == "run":
            self.runs.append(activity.subject)

    def settled(self, activity: observing.Activity) -> None:
        self.told.append(("settled", activity.kind, activity.parent.kind if activity.parent else ""))


async def test_observers_see_a_run() -> None:
    """A run is one activity; its generations and tools are parts of it, and interceptors stand between these only."""
    looking = Looking()
    streams: list[str] = []

    class Between(observing.Interceptor):
        def stream(self, generation: Any, proceed: Any) -> Any:
            streams.append(type(generation.call.backend).__name__)
            return proceed(generation)

    with observing.using(looking, Between()):
        run = run_of(Played([asks("c1", a=1, b=2)], ["3."]))
        await run
    assert looking.told == [
        ("started", "run", ""),
        ("started", "generation", "run"),
        ("settled", "generation", "run"),
        ("started", "tool", "run"),
        ("settled", "tool", "run"),
        ("started", "generation", "run"),
        ("settled", "generation", "run"),
        ("settled", "run", ""),
    ]
    (seen,) = looking.runs
    assert (seen.stop_reason, seen.usage, seen.messages) == ("answered", run.usage, run.messages)
    assert streams == ["Played", "Played"]


async def test_events_are_told_once() -> None:
    """An observer that wants each event gets those of the generations, and not those of the run again."""
    told: list[tuple[str, str]] = []

    class Listening(observing.Observer):
        def event(self, activity: observing.Activity, event: Any) -> None:
            told.append((activity.kind, type(event).__name__))

    with observing.using(Listening()):
        await run_of(Played(["One.", asks("c1", a=1, b=2)], ["Two."]))
    assert {kind for kind, _ in told} == {"generation"}
    assert [name for _, name in told].count("TextDelta") == 2


async def test_a_run_that_is_read_slowly_waits() -> None:
    """A reader that stops reading stops the steps: nothing is asked that nobody waits for."""
    backend = Played(["x"] * 2000 + [asks("c1", a=1, b=2)], ["3."])
    run = run_of(backend)
    deltas = aiter(run)
    await anext(deltas)
    await blocked()
    assert len(backend.requests) == 1
    assert backend.sent < 1500
    assert await run == "3."


async def test_partial_is_of_the_step_in_flight() -> None:
    """While it runs, text and usage so far can be read."""
    gate = Gate()
    backend = Played(["One.", asks("c1", a=1, b=2)], ["Two", "."], gate=gate)
    run = run_of(backend)
    async with anyio.create_task_group() as group:
        group.start_soon(run.settle)
        gate.allow(3)
        await gate.reached(3)
        await blocked()
        assert (run.partial, len(run.steps), run.state) == ("One.", 0, "running")
        gate.allow(6)
        await gate.reached(9)
        await blocked()
        assert (run.partial, len(run.steps), run.usage and run.usage.total_tokens) == ("Two", 1, 14)
        gate.allow(10)
    assert run.value == "Two."


def test_what_is_refused() -> None:
    """Bad input is told at once, with the name of the parameter."""
    echo: Any = Echo()
    for wrong in (
        {"concurrency": 0},
        {"max_calls": True},
        {"execution": "remote"},
        {"approve": "yes"},
        {"results": ["c1"]},
        {"results": {"c1": 3}},
        {"stop_when": 10},
        {"stop_when": stop.steps},
        {"tools": "add"},
        {"tools": [add, add]},
        {"tools": [add], "stop_when": stop.called("ad")},
    ):
        with pytest.raises(InvalidRequest) as caught:
            mellite.run(echo, "x", **wrong)  # type: ignore[arg-type]
        assert caught.value.parameter == next(reversed(wrong))
    with pytest.raises(UnknownOption):
        mellite.run(echo, "x", temprature=1)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="stream"):
        mellite.run(object(), "x")  # type: ignore[arg-type]


def test_how_it_prints() -> None:
    """A repr says that it is a run, and in which state."""
    run = run_of(three_steps())
    assert repr(run) == "<Run pending prompt='How much?'>"
    run.result()
    assert repr(run) == "<Run done answered after 3 steps text='It is 3.'>"
    assert isinstance(run.steps[0], RunStep)
    assert "RunStep(" in repr(run.steps[0])


async def test_a_request_has_no_functions() -> None:
    """A request keeps what models are told of tools: a run over it says so, unless somebody else takes the calls."""
    request = mellite.Request.of("How much?", tools=[add, shouts])
    with pytest.raises(InvalidRequest, match=r"definitions of its tools \('add', 'shouts'\).*tools=\[...\]") as caught:
        mellite.run(three_steps(), request)
    assert caught.value.__dict__["parameter"] == "tools"
    assert await mellite.run(three_steps(), request, tools=[add, shouts]) == "It is 3."
    handed = mellite.run(three_steps(), request, execution="none")
    await handed
    assert len(handed.pending_calls) == 2
