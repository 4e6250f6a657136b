"""The arguments of strategies as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

import mellite
from mellite import ModelOutputThunk
from mellite.backends import Constant, Echo
from mellite.requirements import length, regex, tool_called
from mellite.sampling import BestOfN, Fallback, Hedge, MajorityVote, RejectionSampling, SamplingResult, Strategy


def composed() -> Strategy:
    """Strategies nest, and take what they share by name."""
    hedge = Hedge(2.0, backends=Constant("in time"), max_samples=3)
    return MajorityVote(5, key="numeric", concurrency=2, max_usd="0.10", inner=Fallback(["echo:", Echo()], inner=hedge))


async def results(thunk: ModelOutputThunk[int]) -> None:
    """A result has the output type of the thunk; so does its winner."""
    result = await BestOfN(3, score=lambda copy: len(copy.text)).sample(thunk, [length(max=9), bool])
    assert_type(result, SamplingResult[int])
    assert_type(result.winner, ModelOutputThunk[int])
    assert_type(result.parsed_repr, int | None)


async def mapped(thunks: list[ModelOutputThunk[int]]) -> None:
    """What a map gives has the output types of its items."""
    async for thunk in mellite.engine.map(thunks):
        assert_type(thunk, ModelOutputThunk[int])
    async for result in mellite.engine.map(thunks, strategy=BestOfN(2)):
        assert_type(result, SamplingResult[int])
    async for result in mellite.engine.map(thunks, requirements=[length(max=9)]):
        assert_type(result, SamplingResult[int])


def mistakes(thunk: ModelOutputThunk[str]) -> None:
    """A misspelled argument, a wrong type and a third argument by position are errors that the checkers expect."""
    MajorityVote(3, kez="numeric")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    MajorityVote(3, key="numerical")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BestOfN(3, 5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RejectionSampling(max_sample=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RejectionSampling(deadline="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Hedge(after="2 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Hedge(2, backend=Echo())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mellite.stream(thunk, attempt=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    mellite.stream(thunk, temprature=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    mellite.Requirement("polite", chek=len)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    length(maximum=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    regex("a", forbids=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tool_called("f", argument={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def streamed(number: ModelOutputThunk[int]) -> None:
    """The result of a stream with validation has the type that was asked for."""
    echo = Echo()
    async with mellite.stream(number, requirements=[bool]) as s:
        assert_type(s.result(), int)
    assert_type(mellite.stream(number, attempts=2, repair=True, temperature=1).result(), int)
    assert_type(mellite.stream(echo.generate("hi"), chunking="words").result(), str)
    assert_type(mellite.stream("hi", backend=echo).result(), str)
    assert_type(mellite.stream(["hi, ", number], backend="fake:echo").result(), str)
    assert_type(mellite.stream("hi", backend=echo, output=int).result(), int)
    assert_type(mellite.stream(number, output=str).result(), str)
    assert_type(mellite.stream("hi", backend=echo, output=int | str).result(), Any)


def votes() -> None:
    """What makes two answers the same vote is a function of texts, not of thunks."""

    def last_word(text: str) -> str:
        return text.rsplit(maxsplit=1)[-1]

    async def alike(one: str, other: str) -> float:
        return 1.0 if one == other else 0.0

    def of_a_thunk(thunk: ModelOutputThunk[str]) -> str:
        return thunk.text or ""

    MajorityVote(3, key=last_word)
    MajorityVote(3, key=alike)
    MajorityVote(3, key=lambda text: text.lower())
    MajorityVote(3, key=of_a_thunk)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
