"""What a tool returned, as the model reads it: JSON, text and parts, at a bounded length, or an error."""

from __future__ import annotations

import dataclasses
import enum
import math
import os
from collections import deque
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pytest

from mellite.backends import Echo
from mellite.errors import ToolFailure
from mellite.messages import Image, Message, Text, ToolCall, ToolResult, ToolValue
from mellite.strategies.agent.results import result_of
from tests.strategies.agent.support import result_of as returned

pytestmark = pytest.mark.anyio


@attrs.define
class Place:
    """A class of attrs."""

    name: str
    at: tuple[float, float]
    _secret: str = "hidden"
    words: int = attrs.field(init=False, default=1)


@dataclasses.dataclass
class Street:
    """A dataclass."""

    name: str
    places: list[Place]


class Town(msgspec.Struct, rename="camel"):
    """A struct."""

    main_street: Street
    tags: list[str]


class Color(enum.Enum):
    """An enum."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum of numbers."""

    HIGH = 3


class Pair(NamedTuple):
    """A named tuple."""

    a: int
    b: int


class Model:
    """Has what a model of pydantic has."""

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """The plain form."""
        return {"mode": mode}


class Array:
    """Has what an array of numpy has."""

    def tolist(self) -> list[int]:
        """The plain form."""
        return [1, 2]


PLACE = Place("Paris", (48.8, 2.3))
PARIS = {"name": "Paris", "at": [48.8, 2.3], "words": 1}
SHOWN: list[tuple[object, object]] = [
    (None, None),
    (True, True),
    (3, 3),
    (2.5, 2.5),
    ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    ((1, 2), [1, 2]),
    ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
    ([], []),
    (set("hgfedcba"), list("abcdefgh")),
    (frozenset({1, "a"}), ["a", 1]),
    (PLACE, PARIS),
    ([PLACE], [PARIS]),
    (Street("Rue", [PLACE]), {"name": "Rue", "places": [PARIS]}),
    (Color.RED, "red"),
    (Level.HIGH, 3),
    (Pair(1, 2), [1, 2]),
    (date(2026, 11, 30), "2026-11-30"),
    (Decimal("1.10"), "1.10"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (PurePosixPath("/a/b"), "/a/b"),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    (Model(), {"mode": "json"}),
    ({"a": Array()}, {"a": [1, 2]}),
]


@pytest.mark.parametrize("pair", SHOWN, ids=lambda pair: type(pair[0]).__name__)
async def test_as_json(pair: tuple[object, object]) -> None:
    """Values become plain JSON, the public fields of classes included."""
    value, wanted = pair
    assert await returned(lambda: value) == ToolValue("json", wanted)


async def test_a_struct() -> None:
    """A struct of msgspec becomes JSON as it says itself."""
    found = await returned(lambda: Town(Street("Rue", []), ["old"]))
    assert found == ToolValue("json", {"mainStreet": {"name": "Rue", "places": []}, "tags": ["old"]})


async def test_text_and_parts() -> None:
    """Text stays text, media stay parts; a result that says itself what it is stays so, under the call's id."""
    picture = Image(b"GIF89a", media_type="image/gif")
    assert await returned(lambda: "hello") == ToolValue("text", "hello")
    assert await returned(lambda: picture) == ToolValue("content", (picture,))
    assert await returned(lambda: ["hello", Text("you")]) != ToolValue("content", ("hello", Text("you")))
    assert await returned(lambda: [Text("hello"), picture]) == ToolValue("content", (Text("hello"), picture))
    assert await returned(lambda: ToolValue("error", "no")) == ToolValue("error", "no")
    assert await returned(lambda: ToolFailure("no")) == ToolValue("error", "no")
    result = result_of(ToolCall("a", "f"), ToolResult("b", "g", {"c": 1}), 100)
    assert result == ToolResult("a", "f", {"c": 1})


async def test_a_copy() -> None:
    """The result does not change when the tool changes what it returned."""
    value = {"a": [1]}
    found = await returned(lambda: value)
    value["a"].append(2)
    assert found.value == {"a": [1]}


# --- what has no JSON form ------------------------------------------------------------------------


class Secret:
    """Something that must not be shown."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return self.value


class Broken:
    """Raises when it is asked for its plain form."""

    def model_dump(self, **_: object) -> object:
        """No plain form."""
        raise KeyError("sk-hidden")


def cycle() -> object:
    """A list in a list in itself."""
    inner: list[object] = []
    inner.append([inner])
    return {"a": inner}


def deep() -> object:
    """A list in a list, and so on."""
    value: object = 1
    for _ in range(100_000):
        value = [value]
    return value


NO_FORM: dict[str, tuple[Callable[[], object], list[str]]] = {
    "bytes": (lambda: b"\x00", ["$", "bytes"]),
    "bytes inside": (lambda: {"file": [b"a"]}, ["$.file[0]", "bytes"]),
    "bytes in a class": (lambda: Town(Street("Rue", []), [b"a"]), ["bytes"]),  # type: ignore[list-item]
    "NaN": (lambda: math.nan, ["$", "nan"]),
    "NaN inside": (lambda: {"rows": [{"a b": math.inf}]}, ['$.rows[0]["a b"]', "inf"]),
    "NaN in a class": (lambda: [Place("x", (math.nan, 1.0))], ["$[0].at[0]", "nan"]),
    "a cycle": (cycle, ["$.a[0][0]", "cycle"]),
    "deep": (deep, ["deep"]),
    "secret": (lambda: Secret("sk-hidden"), ["$", "Secret"]),
    "secret inside": (lambda: {"a": Secret("sk-hidden")}, ["$.a", "Secret"]),
    "key": (lambda: {"a": {("x", 1): 1}}, ["$.a", "key", "tuple"]),
    "generator": (lambda: (each for each in "ab"), ["$", "generator"]),
    "thunk inside": (lambda: [Echo().generate("hi")], ["$[0]", "ModelOutputThunk"]),
    "broken": (lambda: {"a": Broken()}, ["$.a", "Broken", "KeyError"]),
    "huge": (lambda: 10**10_000, ["$"]),
    "a class": (lambda: Place, ["$", "type"]),
    "a plain object": (lambda: {"a": object()}, ["$.a", "type object"]),
    "parts": (lambda: ToolValue("content", [Text("a"), 5]), ["int"]),
}


@pytest.mark.parametrize("case", NO_FORM)
async def test_what_has_no_form(case: str) -> None:
    """What cannot be sent is an error for the model, which says where it is and shows nothing of it (case 105)."""
    make, words = NO_FORM[case]
    found = await returned(make)
    assert found.type == "error"
    assert [word for word in words if word not in found.value] == [], found.value
    assert "sk-hidden" not in found.value
    assert "RecursionError" not in found.value or case == "deep"
    assert len(found.value) < 300


# --- length ---------------------------------------------------------------------------------------


async def test_a_long_text() -> None:
    """A result that is too long is cut, with a note of both lengths; by default at 100,000 characters."""
    text = "0123456789" * 1024 * 1024
    found = await returned(lambda: text)
    assert found == ToolValue("text", text[:100_000] + "\n[the first 100000 of 10485760 characters]")
    found = await returned(lambda: text, max_result_chars=15)
    assert found == ToolValue("text", "012345678901234\n[the first 15 of 10485760 characters]")
    assert await returned(lambda: text[:15], max_result_chars=15) == ToolValue("text", text[:15])


async def test_long_json() -> None:
    """JSON that is too long is sent as text; an error stays one."""
    rows = [{"n": number} for number in range(1000)]
    found = await returned(lambda: rows, max_result_chars=20)
    assert found == ToolValue("text", '[{"n":0},{"n":1},{"n\n[the first 20 of 9891 characters]')

    def fail() -> None:
        raise ToolFailure("x" * 100)

    assert await returned(fail, max_result_chars=10) == ToolValue(
        "error", "x" * 10 + "\n[the first 10 of 100 characters]"
    )
    found = await returned(lambda: ToolValue("error", {"a": "x" * 100}), max_result_chars=10)
    assert found == ToolValue("error", '{"a":"xxxx\n[the first 10 of 108 characters]')


async def test_long_parts() -> None:
    """Of parts the texts are cut, together; media are kept."""
    picture = Image(os.urandom(1000), media_type="image/png")
    parts = [Text("12345"), picture, Text("67890"), Text("abc")]
    found = await returned(lambda: parts, max_result_chars=8)
    note = Text("[the first 8 of 13 characters]")
    assert found == ToolValue("content", (Text("12345"), picture, Text("678"), note))
    assert await returned(lambda: parts, max_result_chars=13) == ToolValue("content", tuple(parts))


async def test_results_can_be_sent() -> None:
    """What comes out is a part of a message."""
    result = result_of(ToolCall("a", "f"), PLACE, 100)
    assert Message.tool(result).content == (ToolResult("a", "f", PARIS),)
