"""`thunk.partials()` and `thunk.items()`: reading an answer in its type while it is written."""

from __future__ import annotations

import enum
from typing import Any

import anyio
import attrs
import pytest

import mellite
from mellite.errors import ConnectionLost, InvalidRequest, OutputValidationError
from mellite.events import Finish, ReasoningDelta, ResponseStart, StepStart, TextDelta, TextStart
from tests.thunk.support import Gate, Source

pytestmark = pytest.mark.anyio


class Kind(enum.Enum):
    TOWN = "town"
    CAPITAL = "capital"


@attrs.frozen
class City:
    name: str
    people: int
    kind: Kind = Kind.TOWN


TEXT = '{"name": "Oslo", "people": 717710, "kind": "capital"}'


async def every(iterator: Any) -> list[Any]:
    return [each async for each in iterator]


async def until(iterator: Any, error: type[Exception]) -> list[Any]:
    """What an iterator gives before it raises this."""
    found = []
    try:
        async for each in iterator:
            found.append(each)  # noqa: PERF401 - kept when it raises
    except error:
        return found
    raise AssertionError(found)


async def test_partials_grow() -> None:
    """Texts grow, numbers and the members of an enum are there once they are whole; the last is all of it."""
    thunk = mellite.generate(Source([*TEXT]), "hi", output=City)
    found = await every(thunk.partials())
    assert found == [
        {}, {"name": ""}, {"name": "O"}, {"name": "Os"}, {"name": "Osl"}, {"name": "Oslo"},
        {"name": "Oslo", "people": 717710}, {"name": "Oslo", "people": 717710, "kind": "capital"},
    ]  # fmt: skip
    assert await thunk == City("Oslo", 717710, Kind.CAPITAL)
    assert await every(thunk.partials()) == found


async def test_partials_while_it_runs() -> None:
    """A partial comes as soon as its delta has."""
    gate = Gate()
    thunk = mellite.generate(Source(['["a', "b", '"]'], gate=gate), "hi", output=list[str])
    found: list[Any] = []

    async def read() -> None:
        async for partial in thunk.partials():
            found.append(partial)  # noqa: PERF401 - looked at meanwhile

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for wanted in (["a"], ["ab"]):
            gate.allow(1)
            while not found or found[-1] != wanted:
                await anyio.lowlevel.checkpoint()
        assert thunk.state == "running"
        gate.allow(9)
    assert found == [["a"], ["ab"]]


async def test_partials_of_a_number() -> None:
    """A number is there at the end, when it is whole; so is what stands in a fenced block."""
    assert await every(mellite.generate(Source(["1", "2"]), "hi", output=int).partials()) == [12]
    fenced = ["``", "`json\n", "[1", ", 2", "]\n```"]
    assert await every(mellite.generate(Source(fenced), "hi", output=list[int]).partials()) == [[], [1], [1, 2]]


async def test_partials_in_prose() -> None:
    """In the text mode partials begin where the JSON does."""
    told = ["I ", "think:\n```json\n", '{"name": "Os', 'lo", "people": 7}', "\n```\n", "Right?"]
    thunk = mellite.generate(Source(told), "hi", output=City, output_mode="text")
    assert await every(thunk.partials()) == [{"name": "Os"}, {"name": "Oslo", "people": 7}]


async def test_partials_of_the_last_step() -> None:
    """What an earlier step said, and thinking, is not part of the answer."""
    events = [StepStart(0), TextDelta("Wait. "), StepStart(1), ReasoningDelta("{"), TextDelta("[1, 2]"), Finish("stop")]
    thunk = mellite.generate(Source(events), "hi", output=list[int])
    assert await every(thunk.partials()) == [[1, 2]]
    assert await every(thunk.items()) == [1, 2]


@pytest.mark.parametrize("told", [{"output_mode": "tool", "output_key": "value"}, {}])
async def test_partials_of_what_is_wrapped(told: Any) -> None:
    """What stands in an object, because only objects could be asked for, is read without it."""
    id = "answer" if told else "text-0"
    pieces = [TextDelta(piece, id=id) for piece in ('{"val', 'ue": [1, ', "2]}")]
    before = [TextDelta("Look: ", id="other"), TextStart("answer")] if told else []
    events = [ResponseStart(**told), *before, *pieces, Finish("stop")]
    thunk = mellite.generate(Source(events), "hi", output=list[int])
    assert await every(thunk.partials()) == [[1], [1, 2]]
    assert await every(thunk.items()) == [1, 2]


@pytest.mark.parametrize("told", [{"output_mode": "native", "output_key": "value"}, {}])
async def test_closed_texts_of_what_is_wrapped(told: Any) -> None:
    """The members of an enum wait also where the answer is wrapped, or may be."""
    pieces = [TextDelta(piece) for piece in ('{"value": ["to', 'wn", "cap', 'ital"]}')]
    thunk = mellite.generate(Source([ResponseStart(**told), *pieces, Finish("stop")]), "hi", output=list[Kind])
    assert await every(thunk.partials()) == [[], ["town"], ["town", "capital"]]
    bare = mellite.generate(Source(['["to', 'wn"]']), "hi", output=list[Kind])
    assert await every(bare.partials()) == [[], ["town"]]


async def test_a_wrapped_answer_in_a_fenced_block() -> None:
    """It is read as one without the fence: by whoever waits for it, and to the last of its partials."""
    pieces = ["```json\n", '{"value": [1,', " 2", "]}\n```"]
    for start in ([], [ResponseStart(output_mode="native", output_key="value")]):
        thunk = mellite.generate(Source([*start, *map(TextDelta, pieces), Finish("stop")]), "hi", output=list[int])
        assert await every(thunk.partials()) == [[1], [1, 2]]
        assert await every(thunk.items()) == await thunk == [1, 2]


async def test_an_answer_beside_the_call_that_was_asked_for() -> None:
    """A model that should have called and wrote its answer as text gave one: whoever reads along gets it at the end."""
    start = ResponseStart(output_mode="tool", output_key="value")
    said = [TextDelta('{"value": [', id="text-0"), TextDelta("1, 2]}", id="text-0")]
    thunk = mellite.generate(Source([start, *said, Finish("stop")]), "hi", output=list[int])
    assert await every(thunk.partials()) == [[1, 2]]
    assert await every(thunk.items()) == await thunk == [1, 2]


async def test_partials_behind_much_prose() -> None:
    """Prose in the text mode is looked at once, also if it is long."""
    prose = ["word "] * 20_000
    thunk = mellite.generate(
        Source([*prose, "\n  ", "[1", "]"], suspend=False), "hi", output=list[int], output_mode="text"
    )
    assert await every(thunk.partials()) == [[], [1]]


async def test_partials_that_do_not_fit() -> None:
    """Partials are plain data; that they do not fit is told at the end, as by await."""
    thunk = mellite.generate(Source(['{"name": ', "5}"]), "hi", output=City)
    assert await until(thunk.partials(), OutputValidationError) == [{}, {"name": 5}]


async def test_partials_of_a_broken_answer() -> None:
    """What came before a failure is read, and then it is raised."""
    thunk = mellite.generate(Source(['["a', "b"], error=ConnectionLost("gone")), "hi", output=list[str])
    assert await until(thunk.partials(), ConnectionLost) == [["a"], ["ab"]]


async def test_items_are_converted() -> None:
    """Elements come in their type, each as soon as it is whole."""
    gate = Gate()
    thunk = mellite.generate(
        Source([f"[{TEXT}", f", {TEXT[:9]}", f"{TEXT[9:]}", "]"], gate=gate), "hi", output=list[City]
    )
    items = thunk.items()
    gate.allow(1)
    assert await anext(items) == City("Oslo", 717710, Kind.CAPITAL)
    assert thunk.state == "running"
    gate.allow(9)
    assert await every(items) == [City("Oslo", 717710, Kind.CAPITAL)]
    assert len(await thunk) == 2


async def test_an_item_that_does_not_fit() -> None:
    """An element that does not fit is told when its turn has come, with its path; what came before is given."""
    thunk = mellite.generate(Source(['[1, "x", 2]']), "hi", output=list[int])
    items = thunk.items()
    assert await anext(items) == 1
    with pytest.raises(OutputValidationError, match="element 1") as caught:
        await anext(items)
    assert (caught.value.path, caught.value.value, caught.value.partial) == ("$[1]", "x", '[1, "x", 2]')
    with pytest.raises(StopAsyncIteration):
        await anext(items)


@pytest.mark.parametrize("output", [str, int, City, dict[str, int], list, tuple[int, ...], None])
async def test_items_of_what_is_no_list(output: Any) -> None:
    """Only lists have elements to read."""
    with pytest.raises(InvalidRequest, match=r"list\[T\]"):
        mellite.generate(Source(), "hi", output=output).items()


async def test_a_reader_that_stops() -> None:
    """A reader that stops leaves the generation to the others."""
    thunk = mellite.generate(Source([*"[1, 2, 3]"]), "hi", output=list[int])
    async for _ in thunk.items():
        break
    assert await thunk == [1, 2, 3]


async def test_plain_text_that_is_json() -> None:
    """Without a type, partials are those of the JSON that the text is, if it is any."""
    assert await every(mellite.generate(Source(['{"a"', ": 1}"]), "hi").partials()) == [{}, {"a": 1}]
    assert await every(mellite.generate(Source(["Hello."]), "hi").partials()) == []
