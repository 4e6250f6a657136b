"""Errors of the caller's own code whose text cannot be made, because their ``__str__`` raises: at every door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest

import mellite
from mellite import Requirement
from mellite.backends import Constant, Echo, Scripted
from mellite.errors import (
    BackendError,
    InvalidRequest,
    MelliteError,
    OutputValidationError,
    SamplingError,
    StreamRejected,
)
from mellite.events import Event, Finish, ToolCallEvent
from mellite.messages import ToolCall
from mellite.sampling import BestOfN, MinimumBayesRisk, RejectionSampling, RepairSampling
from mellite.values.told_errors import error_line

pytestmark = pytest.mark.anyio


class Wordless(Exception):
    """Its text cannot be made, as with a placeholder too many."""

    def __str__(self) -> str:
        return "no %s" % self.args  # noqa: UP031 - the mistake

    __repr__ = __str__


def wordless(*_: Any, **__: Any) -> Any:
    """Raise such an error, whatever it is called with."""
    raise Wordless


class Backend(mellite.Backend):
    """Raises before its first event."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        wordless()
        yield Finish("stop")


class Chunker:
    """Raises when it is fed."""

    def __init__(self, *, at_once: bool = False) -> None:
        if at_once:
            wordless()

    def feed(self, text: str) -> list[str]:
        return wordless(text)

    def end(self) -> list[str]:
        return []


class NeverMade(Chunker):
    """Raises when it is made."""

    def __init__(self) -> None:
        super().__init__(at_once=True)


@attrs.frozen
class Choosy:
    """Refuses every number."""

    number: int = attrs.field(validator=wordless)


@mellite.tool
def breaks(number: int) -> str:
    """Break."""
    return wordless(number)


@mellite.tool(name="breaks")
def works(number: int) -> str:
    """Work."""
    return str(number)


def _asks_for_tool() -> Scripted:
    return Scripted([[ToolCallEvent(ToolCall("1", "breaks", {"number": 1})), Finish("tool-calls")], "done"])


async def _chunks(chunking: Any) -> list[str]:
    return [chunk async for chunk in Echo().generate("hello").astream(chunking)]


async def _streamed() -> None:
    async with mellite.stream(Echo().generate("hello"), requirements=BAD) as stream:
        async for _ in stream:
            pass
    assert stream.result()


async def _run() -> object:
    return await mellite.run(_asks_for_tool(), "Go.", tools=[breaks])


async def _run_until() -> object:
    return await mellite.run(_asks_for_tool(), "Go.", tools=[works], stop_when=wordless)


BAD = [Requirement("never", wordless)]

DOORS: dict[str, tuple[Callable[[], Awaitable[Any]], type[MelliteError]]] = {
    "backend": (lambda: Backend().generate("hi").avalue(), BackendError),
    "backend behind retries": (lambda: mellite.Retry(Backend()).generate("hi").avalue(), BackendError),
    "chunking function": (lambda: _chunks(wordless), InvalidRequest),
    "chunker": (lambda: _chunks(Chunker), InvalidRequest),
    "chunker that cannot be made": (lambda: _chunks(NeverMade), InvalidRequest),
    "output type": (lambda: Constant('{"number": 1}').generate("hi", output=Choosy).avalue(), OutputValidationError),
    "tool": (_run, mellite.errors.ToolDefect),
    "stop condition": (_run_until, InvalidRequest),
    "check of a stream": (_streamed, StreamRejected),
    "check of samples": (lambda: RejectionSampling().sample(Echo().generate("hi"), BAD), SamplingError),
    "score": (lambda: BestOfN(2, score=wordless).sample(Echo().generate("hi")), SamplingError),
    "similarity": (lambda: MinimumBayesRisk(2, similarity=wordless).sample(Echo().generate("hi")), SamplingError),
    "feedback": (
        lambda: RepairSampling(feedback=wordless).sample(Echo().generate("hi"), [lambda thunk: False]),
        SamplingError,
    ),
}


@pytest.mark.parametrize("door", DOORS)
async def test_at_every_door(door: str) -> None:
    """The error is told by its class, as the cause or in the words of one of ours; nothing else is raised."""
    call, kind = DOORS[door]
    with pytest.raises(kind) as caught:
        await call()
    assert "(it has no text: its __str__ raised TypeError)" in str(caught.value)


def test_a_text_that_can_be_made() -> None:
    """Any other error is told as always."""
    assert error_line(KeyError("x")) == "KeyError: 'x'"
