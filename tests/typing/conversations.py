"""Conversations and generative functions as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, Literal, assert_type

from attrs import frozen

import mellite
from mellite import Conversation, Image, Message, ModelOutputThunk, ToolCall
from mellite.backends import Constant, Echo


@frozen
class City:
    """A type to parse answers into."""

    name: str
    people: int


@mellite.generative
def mood(text: str, *, strict: bool = False) -> Literal["good", "bad"]:  # type: ignore[empty-body]
    """Say in which mood the text is."""
    ...  # noqa: PIE790 - pyright wants it


@frozen
class Guide:
    """Something with a generative method."""

    language: str

    @mellite.generative
    def describe(self, place: str) -> City:  # type: ignore[empty-body]
        """Describe the place."""
        ...  # noqa: PIE790 - pyright wants it


async def functions() -> None:
    """The signature is that of the function behind the backend, and the thunk has its return type."""
    assert_type(mood(Echo(), "Hello."), ModelOutputThunk[Literal["good", "bad"]])
    assert_type(
        mood.with_options(temperature=0)("openai:gpt-4o-mini", "Hello.", strict=True).result(), Literal["good", "bad"]
    )
    assert_type(Guide("French").describe(Echo(), "Paris"), ModelOutputThunk[City])
    mood("openai:gpt-4o-mini", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    mood(Echo())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mood(Echo(), "Hello.", loud=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Guide("French").describe(Echo(), 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def conversations() -> None:
    """An answer has the type that was asked for."""
    chat = Conversation(Constant("{}"), system="Be brief.", temperature=0)
    answer = chat.ask("Which city is this?", Image(url="https://example.com/city.png"), output=City)
    assert_type(await answer, City)
    chat = chat.after(answer)
    assert_type(await chat.ask("And its river?"), str)
    assert_type(chat.ask("How many?", output=int | str), ModelOutputThunk[Any])
    assert_type(await chat.ask("How many?", output=list[int], max_tokens=20), list[int])
    chat.ask("Again.", max_token=20)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    agent = Conversation(Constant("4"), tools=[mood], stop_when=mellite.stop.steps(3), approve=lambda call: True)
    run = agent.ask("What is 2 + 2?", max_calls=3)
    if isinstance(run, mellite.Run):
        assert_type(run.pending_calls, tuple[ToolCall, ...])
    assert_type(chat.messages, tuple[Message, ...])
    assert_type(chat.trimmed(turns=1), Conversation)
    assert_type(Conversation.from_json(chat.to_json(), backend="openai:gpt-4o-mini"), Conversation)
    assert_type(mellite.count_tokens(chat.messages).exact, bool)
