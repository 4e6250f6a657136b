"""Options as type checkers see them: each by name and type, a misspelled one reported; never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, assert_type

import mellite
from mellite import CachePolicy, HttpOptions, Message, ModelOutputThunk, Request, Timeouts, ToolDefinition
from mellite.backends import BackendOptions, Echo, LiveBackend
from mellite.request import GenerateOptions
from mellite.requirements import judge
from mellite.wire.route import Route


def right(thunk: ModelOutputThunk[str], route: Route) -> None:
    """Options that are there, with values of their types."""
    weather = ToolDefinition("get_weather")
    echo = Echo()
    assert_type(echo.generate("Hello.", temperature=0, max_tokens=80, stop="END"), ModelOutputThunk[str])
    assert_type(echo.generate("Hello.", tools=[weather], tool_choice=weather), ModelOutputThunk[str])
    assert_type(mellite.generate("fake:echo", "Hello.", cache=CachePolicy(system=True)), ModelOutputThunk[str])
    assert_type(mellite.generate(echo, "Hello.", output=int, timeouts=Timeouts(total=9)), ModelOutputThunk[int])
    assert_type(mellite.backend("openai:gpt-4o-mini", temperature=0, keep_raw=False), mellite.Backend)
    assert_type(mellite.backend("cassette:recorded", provider="openai", model="gpt-4o-mini"), mellite.Backend)
    assert_type(LiveBackend(route, seed=1, http=HttpOptions(headers={"x-team": "blue"})), LiveBackend)
    assert_type(thunk.resample(3, system="Be brief.", stop=["END"]), list[ModelOutputThunk[str]])
    assert_type(Request.of("Hello.", metadata={"user": 1}), Request)
    mellite.stream("Hello.", backend=echo, top_p=0.5, tools=[weather])
    judge(echo, "It is polite.", temperature=0, max_tokens=200)


def handed_on(echo: Echo, anything: Mapping[str, Any], **options: Unpack[GenerateOptions]) -> ModelOutputThunk[str]:
    """A function around generate() takes the same options, or some whose types nothing is known of."""
    echo.generate("Hello.", **anything)
    return echo.generate([Message.user("Hello.")], **options)


def made(spec: str, **options: Unpack[BackendOptions]) -> mellite.Backend:
    """So does one around backend()."""
    return mellite.backend(spec, **options)


def misspelled(thunk: ModelOutputThunk[str], route: Route) -> None:
    """Options that are not there; each line is an error that the checkers expect."""
    mellite.generate("fake:echo", "hi", temprature=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Echo().generate("hi", max_token=9)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Echo().generate("hi", output=int, top_q=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    mellite.backend("openai:gpt-4o-mini", base_urls="")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mellite.backend("openai:gpt-4o-mini", cache="auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    LiveBackend(route, tempereture=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    thunk.resample(2, temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    thunk.resample(2, output=int)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Request.of("hi", sed=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mellite.stream(thunk, atempts=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    judge(Echo(), "It is polite.", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def of_wrong_type(thunk: ModelOutputThunk[str]) -> None:
    """Values of another type than the option; each line is an error that the checkers expect."""
    mellite.generate("fake:echo", "hi", seed="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Echo().generate("hi", timeouts=30)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    mellite.backend("fake:echo", temperature="0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    thunk.resample(2, stop=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
