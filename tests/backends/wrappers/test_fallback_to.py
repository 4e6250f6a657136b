"""Where a backend fails before it has said anything, another one is asked."""

from __future__ import annotations

import json
import pickle
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Constant, Failing, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    CassetteMiss,
    CircuitOpen,
    ConfigurationError,
    ConnectionLost,
    ContentPolicy,
    ContextOverflow,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    QuotaExceeded,
    TotalTimeout,
    UnsupportedOption,
)
from mellite.events import ResponseStart, StepStart, TextDelta
from mellite.request import Timeouts

pytestmark = pytest.mark.anyio

OK = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'


def live(spec: str, *answers: Any) -> mellite.Backend:
    return mellite.backend(spec, api_key="sk-test", transport=ScriptedTransport(list(answers)), retries=0)


@pytest.mark.parametrize(
    "error",
    [
        ProviderInternal("down"),
        AuthenticationError("wrong key"),
        QuotaExceeded("empty"),
        ContentPolicy("no"),
        ContextOverflow("too long"),
        ConnectionLost("reset"),
        InvalidProviderOutput("odd"),
        CircuitOpen("open"),
        KeyError("of a backend of one's own"),
    ],
)
async def test_it_falls_back_on_failures(error: Exception) -> None:
    thunk = mellite.FallbackTo(Failing(error), Failing(error), Constant("Hello.")).generate("Hi.")
    assert await thunk == "Hello."
    assert (thunk.generation.attempts, len(thunk.generation.failures)) == (3, 2)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("wrong"),
        UnsupportedOption("none such"),
        TotalTimeout("late"),
        CassetteMiss("stale"),
        ConfigurationError("wrong"),
    ],
)
async def test_a_mistake_of_the_caller_stands(error: MelliteError) -> None:
    thunk = await mellite.FallbackTo(Failing(error), Constant("Hello.")).generate("Hi.").settle()
    assert type(thunk.error) is type(error)


async def test_not_after_it_has_said_something_and_what_it_gave_before_is_dropped() -> None:
    lost = ConnectionLost("reset")
    said = Scripted([["Hel", lost]])
    thunk = await mellite.FallbackTo(said, Constant("Hello.")).generate("Hi.").settle()
    assert isinstance(thunk.error, ConnectionLost)
    assert thunk.partial == "Hel"
    quiet = Scripted([[ResponseStart(provider="first", response_id="1"), StepStart(), TextDelta(""), lost]])
    thunk = mellite.FallbackTo(quiet, Constant("Hello.")).generate("Hi.")
    assert await thunk == "Hello."
    assert thunk.generation.provider != "first"
    assert thunk.generation.response_id is None


async def test_the_error_of_the_last_one_stands() -> None:
    backend = mellite.FallbackTo(Failing(ProviderInternal("one")), Failing(ProviderInternal("two")))
    thunk = await backend.generate("Hi.").settle()
    assert str(thunk.error) == "two"
    assert [str(each) for each in thunk.generation.failures] == ["one"]


async def test_providers_fall_back_to_one_another() -> None:
    anthropic = json.dumps(
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "Bonjour!"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    first = live("openai-chat:gpt-4o-mini", (503, {}, "down"), OK)
    async with mellite.FallbackTo(first, live("anthropic:claude-haiku-4-5", anthropic)) as backend:
        thunk = backend.generate("Hi.", max_tokens=10)
        assert await thunk == "Bonjour!"
        assert thunk.generation.provider == "anthropic"
        (failure,) = thunk.generation.failures
        assert isinstance(failure, MelliteError)
        assert (failure.provider, failure.status) == ("openai", 503)
        assert await backend.generate("Hi.", max_tokens=10) == "Hello!"
        assert backend.route.provider == "openai"


async def test_the_total_timeout_is_one_for_all() -> None:
    async def slow(_: object) -> Any:
        await anyio.sleep(0.15)
        return 503, {}, "down"

    backend = mellite.FallbackTo(live("openai-chat:a", slow), live("openai-chat:b", slow), live("openai-chat:c", OK))
    thunk = await backend.generate("Hi.", timeouts=Timeouts(total=0.2)).settle()
    assert isinstance(thunk.error, TotalTimeout)


async def test_retries_come_before_the_fallback_or_after() -> None:
    now = ProviderInternal("busy", retry_after=0)
    inner = mellite.FallbackTo(mellite.Retry(Scripted([now, now, now])), Constant("Hello."))
    thunk = inner.generate("Hi.")
    assert await thunk == "Hello."
    assert (thunk.generation.attempts, len(thunk.generation.failures)) == (4, 3)
    outer = mellite.Retry(mellite.FallbackTo(Scripted([now, "one"]), Scripted([now, "two"])))
    thunk = outer.generate("Hi.")
    assert await thunk == "one"
    assert (thunk.generation.attempts, len(thunk.generation.failures)) == (3, 2)


def test_it_needs_others() -> None:
    with pytest.raises(InvalidRequest):
        mellite.FallbackTo(Constant("x"))
    wrong: Any = "openai:gpt-4o"
    with pytest.raises(ConfigurationError):
        mellite.FallbackTo(Constant("x"), wrong)
    for several in ([Constant("x"), Constant("y")], (Constant("x"),)):
        with pytest.raises(InvalidRequest, match=r"FallbackTo\(\*backends\)"):
            mellite.FallbackTo(several)


def test_it_is_pickled_by_its_arguments() -> None:
    again = pickle.loads(pickle.dumps(mellite.FallbackTo(Constant("x"), Constant("y"))))
    assert [each.generate("Hi.").result() for each in again.backends] == ["x", "y"]
