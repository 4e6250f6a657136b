"""Looking at a thunk: the short ways to what it knows, its repr, and its text in an f-string."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

import mellite
from mellite import Usage
from mellite.backends import Constant, Echo
from mellite.errors import ConnectionLost, GenerationCancelled, InvalidRequest, RateLimited
from mellite.events import Finish, ResponseStart, TextDelta
from tests.thunk.support import Consumer, Gate, Source

pytestmark = pytest.mark.anyio

METERED = [
    ResponseStart(provider="openai", model="gpt-4o-mini"),
    TextDelta("Hello."),
    Finish("length", usage=Usage(input_tokens=1_000_000, output_tokens=0)),
]


async def failed(error: Exception, pieces: tuple[str, ...] = ()) -> mellite.ModelOutputThunk[str]:
    """A thunk whose generation has failed."""
    return await mellite.generate(Source(list(pieces), error=error), "Name three rivers.").settle()


async def cancelled() -> mellite.ModelOutputThunk[str]:
    """A thunk that was cancelled."""
    thunk = Echo().generate("Hello.")
    await thunk.cancel_generation("nobody wants it")
    return thunk


async def test_short_ways():
    """`text`, `usage`, `cost_usd`, `finish_reason` and `model` are what the long ways give."""
    thunk = await mellite.generate(Source(METERED), "hi").settle()
    about = thunk.generation
    assert (thunk.text, thunk.finish_reason, thunk.model) == ("Hello.", "length", "gpt-4o-mini")
    assert thunk.usage == about.usage == Usage(input_tokens=1_000_000, output_tokens=0)
    assert thunk.cost_usd == about.cost_usd == Decimal("0.15")


def test_short_ways_before_it_is_sent():
    """What is not known of a pending thunk is None; the model that was named is known."""
    thunk = Echo().generate("hi", model="small")
    assert (thunk.usage, thunk.cost_usd, thunk.finish_reason, thunk.model) == (None, None, None, "small")
    assert thunk.state == "pending"


WAYS = {
    "text": lambda thunk: thunk.text,
    "format": format,
    "f-string": lambda thunk: f"Summarise: {thunk}",
    "f-string with a width": lambda thunk: f"{thunk:>10}",
    "str.format": lambda thunk: f"{thunk}",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_text_of_one_that_is_not_settled(way):
    """A pending and a running thunk have no text: the error says to give the thunk itself."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    with pytest.raises(InvalidRequest, match=r"is pending .*generate\(\[.*, thunk\]\)"):
        way(thunk)
    assert thunk.state == "pending"
    async with anyio.create_task_group() as group:
        Consumer(group, thunk.settle)
        await gate.reached(0)
        with pytest.raises(InvalidRequest, match=r"is running .*generate\(\[.*, thunk\]\)"):
            way(thunk)
        gate.allow(9)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_text_of_one_that_failed_or_was_cancelled(way):
    """It raises what ``await`` raises, the same object."""
    thunk = await failed(ConnectionLost("gone"), ("half",))
    with pytest.raises(ConnectionLost) as caught:
        way(thunk)
    assert caught.value is thunk.error
    with pytest.raises(GenerationCancelled):
        way(await cancelled())


async def test_text_of_one_that_is_done():
    """An f-string holds the text; a format specification holds for it."""
    thunk = await Constant("Hi").generate("Greet me.").settle()
    assert f"{thunk}|{thunk:>5}|{thunk!s:.10}" == "Hi|   Hi|<ModelOutp"
    parsed = await Constant("[1, 2]").generate("Count.", output=list).settle()
    assert (f"{parsed}", parsed.text, parsed.value) == ("[1, 2]", "[1, 2]", "[1, 2]")


async def test_repr_of_a_failed_one():
    """It shows the prompt and the error, and what had arrived."""
    assert repr(await failed(RateLimited("asked to wait"))) == (
        "<ModelOutputThunk failed prompt='Name three rivers.' error=RateLimited('asked to wait')>"
    )
    shown = repr(await failed(ConnectionLost("x" * 5000), ("half",)))
    assert shown.startswith(
        "<ModelOutputThunk failed prompt='Name three rivers.' text='half' error=ConnectionLost('xxx"
    )
    assert len(shown) < 300
