"""Copies, forks, samples and pickles of runs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import mellite
from mellite import Message, Run, stop
from mellite.backends import Echo
from mellite.errors import InvalidRequest
from mellite.events import Usage
from tests.strategies.agent.played import Played, add, asks, results_of, shouts

pytestmark = pytest.mark.anyio


def sums() -> Played:
    """Two sums and an answer."""
    return Played([asks("c1", a=1, b=2)], [asks("c2", a=3, b=4)], ["3 and ", "7."])


def run_of(backend: Any, **options: Any) -> Run[str]:
    """A run with both tools."""
    return mellite.run(backend, "How much?", tools=[add, shouts], **options)


async def test_pending_copies_are_runs_of_their_own() -> None:
    """A copy asks anew, with its own steps and a lineage of its own, which its steps carry."""
    backend = sums()
    run = run_of(backend)
    first, second = copy.copy(run), copy.deepcopy(run)
    third = pickle.loads(pickle.dumps(run))
    assert [each.call.lineage for each in (run, first, second, third)] == [(), (0,), (1,), ()]
    assert await first == await second == await run == "3 and 7."
    assert run.thunks[0] is not first.thunks[0]
    assert [thunk.call.lineage for each in (run, first, second) for thunk in each.thunks] == (
        [()] * 3 + [(0,)] * 3 + [(1,)] * 3
    )
    assert [request.metadata["lineage"] for request in backend.requests] == [(0,)] * 3 + [(1,)] * 3 + [()] * 3
    assert third.state == "pending"
    assert third.steps == ()
    assert await third == "3 and 7."


async def test_settled_copies_keep_everything() -> None:
    """Steps, messages, usage and reason go along; a deep copy and a pickle share no thunk."""
    run = run_of(sums())
    await run
    for other in (copy.copy(run), copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        assert isinstance(other, Run)
        assert (other.value, other.stop_reason, other.usage, other.messages) == (
            run.value,
            run.stop_reason,
            run.usage,
            run.messages,
        )
        assert [step.values for step in other.steps] == [(3,), (7,), ()]
        assert [delta async for delta in other] == ["3 and ", "7."]
        assert other.call.lineage == ()
    deep = copy.deepcopy(run)
    assert deep.thunks[0] is not run.thunks[0]
    assert deep.steps[0].thunk is deep.thunks[0]
    assert deep.call.request.messages[0] is not run.call.request.messages[0]
    assert copy.copy(run).thunks[0] is run.thunks[0]


async def test_failed_and_cancelled_runs_keep_their_steps() -> None:
    """Also when pickled."""
    run = run_of(Played([asks("c1", a=1, b=2)], ["x", mellite.errors.ConnectionLost("gone")]))
    await run.settle()
    kept = pickle.loads(pickle.dumps(run))
    assert (kept.state, kept.stop_reason, len(kept.steps), len(kept.thunks)) == ("failed", "failed", 1, 2)
    assert kept.partial == "x"
    never = run_of(sums())
    await never.cancel("not needed")
    kept = pickle.loads(pickle.dumps(never))
    assert (kept.state, kept.stop_reason, kept.steps) == ("cancelled", "cancelled", ())


async def test_resampled() -> None:
    """Samples are runs, in any state of the original, with what is given in place of its own."""
    backend = sums()
    run = run_of(backend)
    await run
    runs = run.resample(2, temperature=0.5, system="Be exact.", tools=[add])
    results = await mellite.gather(*runs)
    assert results.texts == ["3 and 7."] * 2
    assert [each.call.lineage for each in runs] == [(0,), (1,)]
    assert all(isinstance(each, Run) for each in runs)
    last = backend.requests[-1]
    assert (last.options.temperature, last.system[0].text, [tool.name for tool in last.tools]) == (
        0.5,
        "Be exact.",
        ["add"],
    )


async def test_resampled_with_other_tools() -> None:
    """The tools that are given are those that run."""

    @mellite.tool(name="add")
    def times(a: int, b: int) -> int:
        """Multiply."""
        return a * b

    (run,) = run_of(sums()).resample(1, tools=[times])
    await run
    assert results_of(run.messages) == [("c1", 2), ("c2", 12)]


async def test_forked() -> None:
    """The first steps are kept as they are, and count; messages stand behind them; a fork is a copy of its own."""
    backend = sums()
    run = run_of(backend)
    await run
    asked = len(backend.requests)
    fork = run.fork(1, "And twice that?")
    assert (fork.state, len(backend.requests)) == ("pending", asked)
    assert len(fork.steps) == 1
    assert fork.steps[0] is run.steps[0]
    assert fork.messages == (*run.messages[:3], Message.user("And twice that?"))
    assert await fork == "3 and 7."
    assert fork.thunks[0] is run.thunks[0]
    assert len(backend.requests) == asked + 2
    assert backend.requests[asked].messages == (*run.messages[:3], Message.user("And twice that?"))
    assert fork.usage == run.usage
    assert fork.call.lineage == (0,)
    assert [thunk.call.lineage for thunk in fork.thunks] == [(), (0,), (0,)]
    counted = run.fork(1, stop_when=stop.steps(2))
    await counted
    assert (counted.stop_reason, len(counted.steps)) == ("steps", 2)


async def test_forks_of_forks() -> None:
    """What stood before a step stays before it."""
    run = run_of(sums())
    await run
    fork = run.fork(1, "Slowly.")
    await fork
    again = fork.fork(2)
    assert again.messages == fork.messages[:6]
    assert again.messages[3] == Message.user("Slowly.")
    assert fork.fork(1).messages == fork.messages[:4]
    assert fork.fork(0).messages == run.messages[:1]
    assert await fork.fork(3, [Message.user("Thanks.")], backend=Echo()) == "Thanks."


async def test_a_fork_with_other_means() -> None:
    """Backend, tools, output, options and conditions are replaced by what is given."""
    run = run_of(sums(), temperature=0)
    await run
    other = Played([], ['["a"]'])
    fork = run.fork(1, backend=other, output=list, system="As JSON.", temperature=1, tools=[shouts])
    assert await fork == ["a"]
    (request,) = other.requests
    assert (request.output, request.options.temperature, request.system[0].text) == (list, 1, "As JSON.")
    assert [tool.name for tool in request.tools] == ["shouts"]
    assert run.call.request.options.temperature == 0
    cheap = run.fork(0, concurrency=1, max_calls=1, execution="none", approve=lambda call: True)
    await cheap
    assert cheap.stop_reason == "pending"


async def test_deep_copies_of_forks() -> None:
    """The steps that a pending fork keeps are copied deeply, too."""
    run = run_of(sums())
    await run
    fork = run.fork(1, "Slowly.")
    deep = copy.deepcopy(fork)
    assert deep.thunks[0] is not fork.thunks[0]
    assert deep.messages == fork.messages
    assert await deep == "3 and 7."


async def test_costs_of_several_models() -> None:
    """Each step has its own price; the run's cost is the sum, also in its metadata."""
    usage = Usage.of(input_tokens=1000, output_tokens=0)
    dear = Played([asks("c1", a=1, b=2)], ["3"], provider="openai", model="gpt-4o", usage=usage)
    cheap = Played([], ["3"], provider="openai", model="gpt-4o-mini", usage=usage)
    run = run_of(dear)
    await run
    fork = run.fork(1, backend=cheap)
    await fork
    costs = [thunk.cost_usd for thunk in fork.thunks]
    assert None not in costs
    assert costs[0] != costs[1]
    assert fork.cost_usd == fork.generation.cost_usd == sum(cost for cost in costs if cost is not None)


async def test_a_run_with_a_thunk_in_its_prompt() -> None:
    """The thunk is settled once; the history has its text; a deep copy makes its own call."""
    source = Played(["Paris"])
    inner = source.generate("Where?")
    run = mellite.run(Played(["Fine."]), ["How is ", inner, "?"])
    deep = copy.deepcopy(run)
    assert await run == "Fine."
    assert run.messages[0].text == "How is Paris?"
    assert await deep == "Fine."
    assert len(source.requests) == 2
    kept = pickle.loads(pickle.dumps(run))
    assert kept.messages == run.messages


async def test_what_is_refused() -> None:
    """A step that the run has not taken cannot be kept."""
    run = run_of(sums())
    for step in (1, -1, True, "1"):
        with pytest.raises(InvalidRequest, match="'step'"):
            run.fork(step)  # type: ignore[arg-type]
    await run
    with pytest.raises(InvalidRequest, match="0 to 3, not 4"):
        run.fork(4)
    with pytest.raises(InvalidRequest, match="parts"):
        run.fork(1, 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        run.resample(0)


def test_pickled_backends_have_no_key() -> None:
    """A live backend goes by its configuration."""
    backend = mellite.backend("openai:gpt-4o", api_key="sk-secret-secret-secret")
    run = run_of(backend)
    assert b"secret" not in pickle.dumps(run)
    assert b"sk-" not in pickle.dumps(run)
