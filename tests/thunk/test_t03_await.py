"""T3, await: it gives the parsed value, raises the thunk's error, or GenerationCancelled."""

from __future__ import annotations

import traceback

import anyio
import attrs
import pytest

import mellite
from mellite.backends.fake import Constant
from mellite.errors import (
    BackendError,
    ConnectionLost,
    GenerationCancelled,
    IncompleteStream,
    MelliteError,
    OutputValidationError,
)
from mellite.events import Finish, TextDelta, ToolCallEvent
from tests.thunk.support import Consumer, Gate, Source, caught, collect, collected_then, run_child, traceback_length

pytestmark = pytest.mark.anyio


@attrs.frozen
class City:
    name: str
    people: int


async def test_gives_the_text():
    """Without an output type the value is the text."""
    thunk = mellite.generate(Source(["Hel", "lo."]), "hi")
    assert await thunk == "Hello."
    assert thunk.value == thunk.parsed_repr == thunk.partial == "Hello."
    assert thunk.state == "done"


async def test_gives_an_empty_text():
    """An empty answer is an answer."""
    thunk = mellite.generate(Source([]), "hi")
    assert await thunk == ""
    assert (thunk.value, thunk.state) == ("", "done")


@pytest.mark.parametrize(
    ("text", "output", "value"),
    [
        ("42", int, 42),
        ("[1, 2]", list[int], [1, 2]),
        ('{"name": "Oslo", "people": 717710}', City, City("Oslo", 717710)),
        ("null", type(None), None),
        ("false", bool, False),
    ],
)
async def test_gives_the_parsed_value(text, output, value):
    """With an output type it is what the text means, the same object every time; the text stays the text."""
    thunk = mellite.generate(Constant(text), "hi", output=output)
    first = await thunk
    assert first == value
    assert type(first) is type(value)
    assert await thunk is first
    assert thunk.parsed_repr is first
    assert thunk.value == text


async def test_avalue_is_always_the_text():
    """`avalue()` is as `await`, but gives the text, whatever the output type."""
    thunk = mellite.generate(Constant("42"), "hi", output=int)
    assert await thunk.avalue() == "42"
    assert await thunk == 42


@pytest.mark.parametrize("text", ["", "Let me look that up. "])
@pytest.mark.parametrize("output", [int, City, list[int]])
async def test_answer_that_asks_for_tools(text, output):
    """An answer that asks for tools is none yet: it gives None, also where the model says something beside the call."""
    call = mellite.ToolCall("c1", "look_up", {"q": "x"})
    thunk = mellite.generate(Source([TextDelta(text), ToolCallEvent(call), Finish("tool-calls")]), "hi", output=output)
    assert await thunk is None
    assert (thunk.state, thunk.value, thunk.tool_calls) == ("done", text, (call,))


async def test_answer_after_tools_of_the_provider():
    """Tools that the provider ran itself stand before the answer, which is parsed."""
    call = mellite.ToolCall("c1", "web_search", {"q": "x"}, provider_executed=True)
    thunk = mellite.generate(Source([ToolCallEvent(call), TextDelta("42"), Finish("stop")]), "hi", output=int)
    assert await thunk == 42


async def test_text_beside_calls():
    """Where the text itself is asked for, it is the value, calls beside it or not."""
    call = mellite.ToolCall("c1", "look_up", {"q": "x"})
    thunk = mellite.generate(Source([TextDelta("Wait."), ToolCallEvent(call), Finish("tool-calls")]), "hi")
    assert await thunk == "Wait."


async def test_answer_that_does_not_fit():
    """An answer that does not fit the output type is an OutputValidationError, raised every time; the text is kept."""
    thunk = mellite.generate(Constant("forty-two"), "hi", output=int)
    error = await caught(thunk)
    assert isinstance(error, OutputValidationError)
    assert thunk.error is error
    assert await caught(thunk) is error
    assert await caught(thunk.avalue()) is error
    assert (thunk.state, thunk.value, thunk.partial) == ("failed", None, "forty-two")


CONSUMERS = {
    "await": caught,
    "avalue": lambda thunk: caught(thunk.avalue()),
    "iterate": lambda thunk: last(collected_then(thunk)),
    "events": lambda thunk: last(collected_then(thunk.events())),
    "astream": lambda thunk: last(collected_then(thunk.astream())),
}


async def last(pair):
    return (await pair)[1]


@pytest.mark.parametrize(
    "error", [ConnectionLost("gone"), ValueError("odd"), None], ids=["ours", "foreign", "incomplete"]
)
@pytest.mark.parametrize("kind", CONSUMERS)
async def test_raises_the_same_error_every_time(kind, error):
    """A failed thunk raises `thunk.error`, one object, to every consumer, now and later."""
    source = Source(["half"], error=error)
    if error is None:
        source.events.pop()
    thunk = mellite.generate(source, "hi")
    errors = [await CONSUMERS[kind](thunk) for _ in range(3)]
    assert thunk.error is not None
    assert [got is thunk.error for got in errors] == [True] * 3


async def test_raises_the_same_error_to_all_who_wait():
    """Consumers that wait when it fails all get the one error."""
    gate = Gate()
    thunk = mellite.generate(Source(["half"], gate=gate, error=ConnectionLost("gone")), "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, thunk.avalue) for _ in range(5)]
        await gate.reached(0)
        gate.allow(2)
    assert {id(consumer.error) for consumer in consumers} == {id(thunk.error)}


@pytest.mark.parametrize("error", [ConnectionLost("gone"), ValueError("odd")], ids=["ours", "foreign"])
@pytest.mark.parametrize("kind", CONSUMERS)
async def test_traceback_does_not_grow(kind, error):
    """The traceback of the error is as long after a hundred awaits as after the first."""
    thunk = mellite.generate(Source(["half"], error=error), "hi")
    first = traceback_length(await CONSUMERS[kind](thunk))
    for _ in range(100):
        await CONSUMERS[kind](thunk)
    assert traceback_length(await CONSUMERS[kind](thunk)) == first


async def test_traceback_shows_where_it_failed():
    """The traceback that it settled with leads into the backend."""
    thunk = mellite.generate(Source(["half"], error=ConnectionLost("gone")), "hi")
    for _ in range(2):
        error = await caught(thunk)
        assert "in stream" in "".join(traceback.format_exception(error))


async def test_settled_traceback_is_not_changed_by_looking():
    """`thunk.error` has a traceback also when nobody has awaited it, and it does not grow with settling."""
    thunk = await mellite.generate(Source(["half"], error=ConnectionLost("gone")), "hi").settle()
    first = traceback_length(thunk.error)
    assert first >= 1
    for _ in range(10):
        await thunk.settle()
    assert traceback_length(thunk.error) == first


async def test_foreign_errors_are_wrapped():
    """An exception that is not mellite's comes out as a BackendError with it as the cause."""
    foreign = KeyError("missing")
    thunk = mellite.generate(Source(["half"], error=foreign), "hi")
    error = await caught(thunk)
    assert type(error) is BackendError
    assert error.__cause__ is foreign
    assert "KeyError" in str(error)


@pytest.mark.parametrize(
    "foreign",
    [TimeoutError("slow"), StopIteration(), StopAsyncIteration(), RecursionError(), OSError(5, "io"), AssertionError()],
)
async def test_any_foreign_error(foreign):
    """No foreign exception escapes a thunk, however odd."""
    thunk = mellite.generate(Source([], error=foreign), "hi")
    assert type(await caught(thunk)) is BackendError
    assert thunk.state == "failed"


async def test_error_carries_what_came():
    """The error knows the text that had arrived."""
    error = await caught(mellite.generate(Source(["a", "b"], error=ConnectionLost("gone")), "hi"))
    assert isinstance(error, MelliteError)
    assert error.partial == "ab"


async def test_partial_of_an_incomplete_stream():
    """IncompleteStream knows it too."""
    source = Source(["a", "b"])
    source.events.pop()
    error = await caught(mellite.generate(source, "hi"))
    assert isinstance(error, IncompleteStream)
    assert error.partial == "ab"


@pytest.mark.parametrize("kind", CONSUMERS)
async def test_cancelled_raises_generation_cancelled(kind):
    """A cancelled thunk raises GenerationCancelled with the reason, again and again."""
    thunk = mellite.generate(Source(), "hi")
    await thunk.cancel_generation("changed my mind")
    for _ in range(3):
        error = await CONSUMERS[kind](thunk)
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "changed my mind"
        assert "changed my mind" in str(error)
    assert thunk.error is None


async def test_cancelled_traceback_does_not_grow():
    """GenerationCancelled does not collect frames either."""
    thunk = mellite.generate(Source(), "hi")
    await thunk.cancel_generation()
    first = traceback_length(await caught(thunk))
    for _ in range(100):
        await caught(thunk)
    assert traceback_length(await caught(thunk)) == first


async def test_waiting_consumers_of_a_cancelled_one():
    """Consumers that wait when it is cancelled get GenerationCancelled and are not cancelled themselves."""
    gate = Gate()
    thunk = mellite.generate(Source(gate=gate), "hi")
    async with anyio.create_task_group() as group:
        consumers = [Consumer(group, thunk.avalue), Consumer(group, lambda: collect(thunk))]
        await gate.reached(0)
        await thunk.cancel_generation("enough")
    assert [type(consumer.error) for consumer in consumers] == [GenerationCancelled] * 2
    assert not any(consumer.was_cancelled for consumer in consumers)


def test_sync_callers_get_the_same():
    """`result()` and `iter()` raise the same error object, whose traceback does not grow."""
    thunk = mellite.generate(Source(["half"], error=ConnectionLost("gone")), "hi")
    lengths = set()
    for _ in range(20):
        with pytest.raises(ConnectionLost) as first:
            thunk.result()
        with pytest.raises(ConnectionLost) as second:
            list(thunk.iter())
        assert first.value is second.value is thunk.error
        lengths.add(traceback_length(second.value))
    assert len(lengths) == 1


def test_raised_while_handling_another():
    """Raising the kept error again does not chain it to itself or hide its cause."""
    foreign = ValueError("odd")
    thunk = mellite.generate(Source([], error=foreign), "hi")

    def twice():
        try:
            thunk.result()
        except BackendError:
            thunk.result()

    for _ in range(3):
        with pytest.raises(BackendError) as raised:
            twice()
        assert raised.value.__cause__ is foreign
        seen, link = set(), raised.value
        while link is not None:
            assert id(link) not in seen
            seen.add(id(link))
            link = link.__context__


def test_uncaught_error_prints_once():
    """An uncaught error ends a program with its traceback and nothing more."""
    done = run_child(
        """
        import asyncio, mellite
        from mellite.backends.fake import Failing
        from mellite.errors import ConnectionLost

        async def main():
            await mellite.generate(Failing(ConnectionLost("gone")), "hi")

        asyncio.run(main())
        """,
        strict=False,
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ConnectionLost: gone")
    assert "never retrieved" not in done.stderr
    assert done.stderr.count("Traceback") == 1
