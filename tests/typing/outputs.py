"""What type checkers know of answers that have a type: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, assert_type

import attrs

import mellite
from mellite import ModelOutputThunk
from mellite.backends import Echo


@attrs.frozen
class City:
    """Any class."""

    name: str


@attrs.frozen
class River:
    """Another one."""

    length: int


class Place(TypedDict):
    """A typed dictionary."""

    name: str


async def types() -> None:
    """A type gives itself, with any of the three ways to ask."""
    echo = Echo()
    assert_type(echo.generate("hi", output=City), ModelOutputThunk[City])
    assert_type(echo.generate("hi", output=list[City]), ModelOutputThunk[list[City]])
    assert_type(echo.generate("hi", output=dict[str, int]), ModelOutputThunk[dict[str, int]])
    assert_type(echo.generate("hi", output=Place), ModelOutputThunk[Place])
    assert_type(echo.generate("hi", output=int, output_mode="tool"), ModelOutputThunk[int])
    assert_type(mellite.generate("fake:echo", "hi", output=bool), ModelOutputThunk[bool])
    assert_type(await mellite.generate(echo, "hi", output=City), City)


async def texts() -> None:
    """Without a type the answer is a str."""
    echo = Echo()
    assert_type(echo.generate("hi"), ModelOutputThunk[str])
    assert_type(echo.generate("hi", output=None), ModelOutputThunk[str])
    assert_type(echo.generate("hi", output=str), ModelOutputThunk[str])
    assert_type(await mellite.generate(echo, "hi", temperature=0), str)


async def others() -> None:
    """A JSON Schema and what is not a class to type checkers give Any, and never a str."""
    echo = Echo()
    assert_type(await echo.generate("hi", output=mellite.Json({"type": "object"})), Any)
    either: City | River = await echo.generate("hi", output=City | River)
    word: Literal["a", "b"] = await echo.generate("hi", output=Literal["a", "b"])
    number: int = await mellite.generate(echo, "hi", output=int | None) or 0
    del either, word, number


async def runs_and_conversations() -> None:
    """A run, and a question in a conversation, know it as a call does."""
    echo = Echo()
    assert_type(mellite.run(echo, "hi"), mellite.Run[str])
    assert_type(mellite.run(echo, "hi", output=City), mellite.Run[City])
    run: City | River = await mellite.run(echo, "hi", output=City | River)
    chat = mellite.Conversation(echo)
    assert_type(chat.ask("hi"), ModelOutputThunk[str])
    assert_type(chat.ask("hi", output=City), ModelOutputThunk[City])
    asked: City | River = await chat.ask("hi", output=City | River)
    del run, asked


async def growing() -> None:
    """What grows is plain data; elements are whatever the list holds."""
    thunk = Echo().generate("hi", output=list[int])
    async for partial in thunk.partials():
        assert_type(partial, Any)
    async for item in thunk.items():
        assert_type(item, Any)
    assert_type(thunk.generation.output_mode, Literal["native", "tool", "text"] | None)


def wrong() -> None:
    """What is not a mode is told."""
    Echo().generate("hi", output=int, output_mode="natively")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
