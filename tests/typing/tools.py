"""Tools as type checkers see them: still functions, with their own signatures; never run."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, assert_type

import mellite
from mellite import ModelOutputThunk, Tool, ToolDefinition, tool
from mellite.backends import Echo
from mellite.request import ToolLike


@tool
def weather(city: str, days: int = 1, *, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Tell the weather."""
    return f"{city} {days} {unit}"


@tool(timeout=2.5, once=True, approve=lambda call: call.name != "count")
async def count(text: str) -> int:
    """Count words."""
    return len(text.split())


def plain(n: int) -> int:
    """Double."""
    return 2 * n


class Shelf:
    """Has a method that models may call."""

    @tool
    def find(self, title: str) -> bool:
        """Look for a book."""
        return title == ""

    @tool(name="sort_books")
    async def sort(self, by: str = "title") -> list[str]:
        """Sort."""
        return [by]


async def called() -> None:
    """A tool is called like the function; methods are bound."""
    assert_type(weather("Paris", unit="celsius"), str)
    assert_type(await count("a b"), int)
    assert_type(Shelf().find("Emma"), bool)
    assert_type(await Shelf().sort(), list[str])
    assert_type(tool(plain)(3), int)
    assert_type(tool(plain, name="double")(n=3), int)
    assert_type(tool(partial(plain, 3))(), int)
    assert_type(tool(Shelf().find)("Emma"), bool)


def known() -> None:
    """What a tool says of itself."""
    assert_type(weather.name, str)
    assert_type(weather.description, str)
    assert_type(weather.input_schema, dict[str, Any])
    assert_type(weather.definition, ToolDefinition)
    assert_type(weather.timeout, float | None)
    assert_type(weather.max_result_chars, int)
    assert_type(weather.once, bool)


def shout(arguments: dict[str, Any]) -> str:
    """Take the arguments as one dict."""
    return str(arguments["text"]).upper()


def from_schema() -> None:
    """A tool from a schema takes one dict."""
    made = Tool.from_schema("shout", {"type": "object"}, shout, description="Shout.")
    assert_type(made, Tool[[dict[str, Any]], str])
    assert_type(made({"text": "hi"}), str)


def offered() -> None:
    """Tools, definitions and plain functions stand in one list."""
    thunk = Echo().generate("Hi.", tools=[weather, count, plain, Shelf().find, ToolDefinition("other")])
    assert_type(thunk, ModelOutputThunk[str])
    assert_type(Echo().generate("Hi.", tools=[weather], tool_choice=weather), ModelOutputThunk[str])


def collected() -> None:
    """A list of what may be offered has a type that one can write; mypy finds none for tools by itself."""
    several: list[ToolLike] = [weather, count, plain, Shelf().find, ToolDefinition("other")]
    assert_type(Echo().generate("Hi.", tools=several), ModelOutputThunk[str])
    assert_type(mellite.run(Echo(), "Hi.", tools=several), mellite.Run[str])


def failing() -> str:
    """What a tool raises for the model to read."""
    raise mellite.ToolFailure("There is no such city.")


def mistakes() -> None:
    """What must not type-check; each line is an error that the checkers expect."""
    weather(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    weather("Paris", unit="kelvin")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shelf().find(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tool(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
