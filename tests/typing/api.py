"""The public API as type checkers see it; checked by mypy and pyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Literal, assert_type

from attrs import frozen

import mellite
from mellite import Message, ModelOutputThunk, Request
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.events import Event, Finish, FinishReason, TextDelta, Usage
from mellite.values.records import RawProviderResponse


@frozen
class City:
    """A type to parse answers into."""

    name: str
    people: int


class Shout:
    """A backend that inherits nothing."""

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Say it loudly."""
        yield TextDelta(text=request.text.upper())
        yield Finish(reason="stop")


async def values() -> None:
    """Awaiting gives the type that was asked for; the text stays a str."""
    thunk = Echo().generate("Hello.")
    assert_type(thunk, ModelOutputThunk[str])
    assert_type(await thunk, str)
    assert_type(thunk.result(), str)
    assert_type(thunk.value, str | None)
    city = Constant('{"name": "Paris", "people": 2000000}').generate("Which?", output=City)
    assert_type(await city, City)
    assert_type(city.parsed_repr, City | None)
    assert_type(await city.avalue(), str)
    assert_type(mellite.generate(Shout(), "hi"), ModelOutputThunk[str])
    assert_type(mellite.generate(Shout(), "hi", output=City), ModelOutputThunk[City])


async def many() -> None:
    """Copies and gathered thunks are thunks."""
    thunk = Scripted(["a", "b"]).generate([Message.user("Hello."), Message.assistant("Yes?"), Message.user("Go on.")])
    assert_type(thunk.resample(2), list[ModelOutputThunk[str]])
    assert_type(await mellite.gather(thunk), mellite.Results[str])
    assert_type(await mellite.gather(thunk.resample(2), concurrency=1), mellite.Results[str])
    assert_type(mellite.gather(thunk).result(1.0)[0], ModelOutputThunk[str])
    city = Constant("{}").generate("Which?", output=City)
    assert_type(await mellite.gather(thunk, city), mellite.Results[Any])
    async for each in mellite.as_completed([city]):
        assert_type(each, ModelOutputThunk[City])
    for one in mellite.as_completed(thunk, thunk):
        assert_type(one, ModelOutputThunk[str])
    assert_type(await asyncio.create_task(mellite.gather(thunk)), mellite.Results[str])
    assert_type(await thunk.settle(), ModelOutputThunk[str])


async def reading() -> None:
    """Deltas are str, events are events."""
    thunk = Failing(ValueError("no")).generate("Hello.")
    async for delta in thunk:
        assert_type(delta, str)
    async for event in thunk.events():
        if isinstance(event, Finish):
            assert_type(event.usage, Usage | None)
    async for chunk in thunk.astream():
        assert_type(chunk, str)
    for delta in thunk.iter():
        assert_type(delta, str)


def facts(thunk: ModelOutputThunk[str]) -> None:
    """What a thunk knows is typed."""
    assert_type(thunk.raw, RawProviderResponse)
    assert_type(thunk.error, Exception | None)
    assert_type(thunk.cancelled, bool)
    assert_type(thunk.generation.usage, Usage | None)
    assert_type(thunk.message, Message)
    assert_type(thunk.text, str)
    assert_type(thunk.usage, Usage | None)
    assert_type(thunk.cost_usd, Decimal | None)
    assert_type(thunk.finish_reason, FinishReason | None)
    assert_type(thunk.model, str | None)
    assert_type(f"{thunk}", str)
    assert_type(thunk._call.lineage, tuple[int, ...])


def prompts() -> None:
    """What a prompt may be."""
    echo = Echo()
    dicts = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]
    assert_type(echo.generate(dicts), ModelOutputThunk[str])
    assert_type(echo.generate({"role": "user", "content": "Hello."}), ModelOutputThunk[str])
    assert_type(echo.generate([("system", "Be brief."), ("user", "Hello.")]), ModelOutputThunk[str])
    assert_type(echo.generate([Message.system("Be brief."), ("user", "Hello."), dicts[0]]), ModelOutputThunk[str])
    assert_type(echo.generate(["Summarise: ", echo.generate("Hello.")]), ModelOutputThunk[str])
    assert_type(Message("developer", "Be brief.").role, Literal["system", "user", "assistant", "tool"])


def mistakes() -> None:
    """What must not type-check; each line is an error that the checkers expect."""
    mellite.generate(object(), "hi")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Echo().generate(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
