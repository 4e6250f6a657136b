"""When a run stops before the model has answered."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

import mellite
from mellite import Run, stop
from mellite.errors import InvalidRequest
from mellite.events import Usage
from mellite.messages import ToolCall
from tests.strategies.agent.played import Played, add, asks, shouts

pytestmark = pytest.mark.anyio


def endless(**options: Any) -> Played:
    """A backend that asks for another sum each time, thirty times."""
    return Played(*[[f"{n}. ", asks(f"c{n}", a=n, b=1)] for n in range(30)], ["done"], **options)


def run_of(backend: Played, **options: Any) -> Run[str]:
    """A run with both tools."""
    return mellite.run(backend, "Count.", tools=[add, shouts], **options)


@pytest.mark.parametrize(
    ("when", "reason", "count"),
    [
        (stop.steps(1), "steps", 1),
        (stop.steps(3), "steps", 3),
        (stop.tokens(30), "tokens", 3),
        (stop.called("add"), "called", 1),
        (stop.seconds(1e-9), "seconds", 1),
        (stop.steps(5) | stop.tokens(30), "tokens", 3),
        (stop.tokens(30) | stop.steps(3), "tokens", 3),
        (stop.steps(2) & stop.tokens(50), "steps", 4),
        (stop.steps(9) | stop.steps(2) & stop.called("shouts") | stop.steps(4), "steps", 4),
        (lambda run: run.partial == "4. ", "condition", 5),
        (stop.steps(9) | (lambda run: len(run.thunks) == 2), "condition", 2),
        ((lambda run: run.usage.total_tokens > 30) | stop.steps(9), "condition", 3),
        ((lambda run: len(run.messages) > 4) & stop.steps(1), "condition", 2),
    ],
)
async def test_stops(when: Any, reason: str, count: int) -> None:
    """It stops behind the tools of the step in which the condition is met first."""
    backend = endless()
    run = run_of(backend, stop_when=when)
    assert await run == f"{count - 1}. "
    assert (run.stop_reason, len(run.steps), len(backend.requests)) == (reason, count, count)
    assert run.steps[-1].values == (count,)
    assert run.messages[-1].role == "tool"


async def test_an_async_condition() -> None:
    """A function may be async; it is given the run itself."""
    seen: list[Any] = []

    async def enough(run: Run[Any]) -> bool:
        await mellite.backends.Echo().generate("x")
        seen.append(run)
        return len(run.steps) == 2

    run = run_of(endless(), stop_when=enough)
    await run
    assert run.stop_reason == "condition"
    assert seen == [run, run]


async def test_a_condition_of_a_run_that_is_only_read() -> None:
    """Where nothing but an iterator is left, a function is given what can be read alike."""
    seen: list[int] = []
    deltas = [
        delta
        async for delta in run_of(
            endless(), stop_when=lambda run: bool(seen.append(len(run.messages)) or run.usage.total_tokens > 14)
        )
    ]
    assert deltas == ["0. ", "1. "]
    assert seen == [3, 5]


async def test_the_default() -> None:
    """Ten steps, or three that repeat themselves; what is given replaces both."""
    assert run_of(backend := endless()).call.backend is not backend
    run = run_of(endless())
    await run
    assert (run.stop_reason, len(run.steps)) == ("steps", 10)
    same = [asks("again", a=1, b=1)]
    run = run_of(Played(*[same] * 20, ["done"]))
    await run
    assert (run.stop_reason, len(run.steps)) == ("repeats", 3)
    run = run_of(Played(*[same] * 5, ["done"]), stop_when=stop.steps(99))
    assert await run == "done"


async def test_what_repeats() -> None:
    """The ids may differ; other arguments or another result are not repetition."""

    def step(id: str, **arguments: Any) -> list[ToolCall]:
        return [asks(id, **arguments), asks(f"{id}b", "shouts", text="x")]

    run = run_of(Played(step("c1", a=1, b=1), step("c2", a=1, b=1), ["done"]), stop_when=stop.repeats(2))
    await run
    assert run.stop_reason == "repeats"
    run = run_of(Played(step("c1", a=1, b=1), step("c2", a=1, b=2), ["done"]), stop_when=stop.repeats(2))
    assert await run == "done"
    numbers = iter(range(9))

    @mellite.tool
    def count() -> int:
        """Count."""
        return next(numbers)

    same = [[asks(f"c{n}", "count")] for n in range(4)]
    run = mellite.run(Played(*same, ["done"]), "Count.", tools=[count], stop_when=stop.repeats(2))
    assert await run == "done"


async def test_dollars() -> None:
    """The cost of all steps counts."""
    usage = Usage.of(input_tokens=100_000, output_tokens=0)  # 0.25 USD
    run = run_of(endless(provider="openai", model="gpt-4o", usage=usage), stop_when=stop.usd(0.7))
    await run
    assert (run.stop_reason, len(run.steps), run.cost_usd) == ("usd", 3, Decimal("0.75"))


async def test_tokens_of_a_backend_of_ones_own() -> None:
    """Tokens asked and answered are enough: the total follows."""
    run = run_of(endless(usage=Usage(input_tokens=10, output_tokens=5)), stop_when=stop.tokens(40))
    await run
    assert (run.stop_reason, len(run.steps)) == ("tokens", 3)


async def test_unknown_prices_and_usages() -> None:
    """A budget that cannot be kept fails the run, and names the model."""
    run = run_of(endless(), stop_when=stop.usd(1))
    with pytest.raises(InvalidRequest, match=re.escape("'anvil-1' of acme has no known price, so stop.usd('1')")):
        await run
    assert len(run.steps) == 1
    run = run_of(endless(usage=Usage()), stop_when=stop.tokens(5))
    with pytest.raises(InvalidRequest, match="'anvil-1' of acme did not say how many tokens"):
        await run


async def test_an_answer_comes_first() -> None:
    """An answer without calls ends the run as answered, whatever the conditions say."""
    run = run_of(Played(["Yes."]), stop_when=stop.steps(1) | stop.tokens(1))
    await run
    assert run.stop_reason == "answered"


async def test_a_condition_that_raises() -> None:
    """It fails the run, with the cause; the backend is not to blame, and a key is not told."""

    async def broken(run: Run[Any]) -> bool:
        raise ZeroDivisionError("sk-ant-api03-" + "a1" * 20)

    run = run_of(endless(), stop_when=stop.steps(9) | broken)
    with pytest.raises(InvalidRequest, match=r"stop condition broken raised ZeroDivisionError: \[REDACTED\]") as caught:
        await run
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(run.steps) == 1


def test_how_they_print() -> None:
    """A condition prints as it was written."""

    def mine(run: Run[Any]) -> bool:
        return False

    when = (stop.steps(3) | stop.usd("0.10")) & stop.called("add") | mine
    assert repr(when) == "(stop.steps(3) | stop.usd('0.10')) & stop.called('add') | mine"
    assert repr(stop.tokens(5) & stop.seconds(1.5) | stop.repeats(2)) == (
        "stop.tokens(5) & stop.seconds(1.5) | stop.repeats(2)"
    )
    assert stop.steps(3) == stop.steps(3) != stop.tokens(3)


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: stop.steps(0), "n"),
        (lambda: stop.steps(True), "n"),
        (lambda: stop.tokens(1.5), "n"),  # type: ignore[arg-type]
        (lambda: stop.usd(-1), "x"),
        (lambda: stop.usd("much"), "x"),
        (lambda: stop.seconds(float("nan")), "s"),
        (lambda: stop.called(add), "name"),  # type: ignore[arg-type]
        (lambda: stop.repeats(1), "n"),
        (lambda: mellite.run(Played(), "x", stop_when="steps"), "stop_when"),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused(make: Any, parameter: str) -> None:
    """A limit that is none is refused, with its name."""
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert caught.value.parameter == parameter


def test_what_cannot_be_joined() -> None:
    """Only conditions and functions can be joined."""
    with pytest.raises(TypeError):
        stop.steps(3) | 5  # type: ignore[operator]
    with pytest.raises(TypeError):
        "x" & stop.steps(3)  # type: ignore[operator]
