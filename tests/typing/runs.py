"""Runs as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, assert_type

import mellite
from mellite import Message, ModelOutputThunk, Run, RunStep, Usage, stop
from mellite.backends import Echo
from mellite.messages import ToolCall, ToolResult
from mellite.sampling import BestOfN


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def enough(run: Run[Any]) -> bool:
    """Stop after three steps."""
    return len(run.steps) == 3


async def answers() -> None:
    """Without an output type, a run gives text; with one, a value of it."""
    run = mellite.run(Echo(), "hi", tools=[add], stop_when=stop.steps(3) | enough, temperature=0.5)
    assert_type(run, Run[str])
    assert_type(await run, str)
    assert_type(run.result(), str)
    assert_type(run.value, str | None)
    counted = mellite.run("echo:", "hi", output=int)
    assert_type(counted, Run[int])
    assert_type(await counted, int)
    assert_type(counted.parsed_repr, int | None)
    assert_type(mellite.run(Echo(), "hi", output=int | str), Run[Any])
    assert_type(mellite.run(Echo(), "hi", output=mellite.Json({"type": "object"})), Run[Any])
    async for delta in run:
        assert_type(delta, str)


async def parts(run: Run[int]) -> None:
    """What is known of a run is typed."""
    assert_type(run.steps, tuple[RunStep, ...])
    assert_type(run.messages, tuple[Message, ...])
    assert_type(run.pending_calls, tuple[ToolCall, ...])
    assert_type(run.usage, Usage | None)
    assert_type(run.cost_usd, Decimal | None)
    assert_type(run.steps[0].results, tuple[ToolResult | None, ...])
    assert_type(run.resample(2), list[Run[int]])
    assert_type(run.resume({"c1": 3}), Run[int])
    assert_type(run.fork(1, "And?", temperature=1), Run[Any])


async def as_thunks(run: Run[int]) -> None:
    """A run is a thunk wherever one is taken."""
    thunk: ModelOutputThunk[int] = run
    await mellite.gather(run, thunk)
    await mellite.gather([run, run])
    result = await BestOfN(2, score=lambda copy: len(copy.text)).sample(run)
    assert_type(result.parsed_repr, int | None)
    mellite.generate(Echo(), ["So: ", run])


def conditions(names: Sequence[str]) -> None:
    """Conditions and functions of the run are joined in any order."""
    joined = stop.steps(1) | stop.usd("0.10") & stop.seconds(5) | (lambda run: bool(run.steps))
    assert_type(joined, stop.Condition)
    assert_type(enough | stop.called(names[0]), stop.Condition)


def mistakes() -> None:
    """What must not type-check; each line is an error that the checkers expect."""
    mellite.run(Echo(), "hi", stop_when=10)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    mellite.run(Echo(), "hi", execution="remote")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    mellite.run(Echo(), "hi", temprature=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    stop.steps("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    _ = stop.steps(3) | 5  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
