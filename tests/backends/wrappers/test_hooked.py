"""Hooked: a backend with hooks of its own, and where it stands among other wrappers."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from attrs import evolve

import mellite
from mellite import hooks
from mellite.backends import Constant, Echo, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import HookFailed, ProviderInternal
from mellite.events import ResponseStart
from tests.thunk.support import Source

pytestmark = pytest.mark.anyio

ANSWER = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'


@hooks.before("generation")
def mark(request: mellite.Request) -> mellite.Request:
    """Adds a mark to the prompt."""
    return evolve(request, messages=(mellite.Message.user(request.text + "!"),))


async def test_its_hooks_are_in_force_inside_those_of_the_block() -> None:
    """Those of the block come first."""
    source = Source(["a"])
    backend = mellite.Hooked(source, mark)
    outer = hooks.before("generation")(lambda request: evolve(request, messages=(mellite.Message.user("outer"),)))
    await backend.generate("x")
    with hooks.use(outer):
        await backend.generate("x")
    assert [request.text for request in source.requests] == ["x!", "outer!"]


async def test_it_hands_on_route_prepare_and_aclose_and_is_pickled_by_its_arguments() -> None:
    """As all wrappers do."""
    live = mellite.backend("openai-chat:gpt-4o", api_key="sk-test", transport=ScriptedTransport([ANSWER]))
    backend = mellite.Hooked(live, mark, errors="raise")
    assert backend.route is live.route
    assert backend.describe() == live.describe()
    assert backend.prepare(mellite.Request.of("x")).body == live.prepare(mellite.Request.of("x")).body
    async with backend:
        assert await backend.generate("x") == "Hello!"
    copied = pickle.loads(pickle.dumps(mellite.Hooked(Echo(), mark, errors="raise")))
    assert await copied.generate("x") == "x!"
    assert repr(copied) == repr(mellite.Hooked(Echo(), mark, errors="raise"))
    assert "before('generation')(mark), errors='raise'" in repr(copied)
    assert copied.hooks == (mark,)


async def test_around_retries_once_and_inside_for_each_attempt() -> None:
    """Where it stands says how often its hooks are called."""
    told: list[Any] = []
    noted = [
        hooks.before("generation")(lambda request: told.append(request.text)),
        hooks.after("generation")(lambda thunk: told.append((thunk.state, thunk.generation.attempts))),
        hooks.on_error("generation")(lambda error: told.append(type(error))),
    ]

    def flaky() -> Any:
        return Scripted([ProviderInternal("down"), "up"])

    assert await mellite.Hooked(mellite.Retry(flaky(), max_wait=0.01, clock=Now()), *noted).generate("x") == "up"
    assert told == ["x", ("done", 2)]
    told.clear()
    assert await mellite.Retry(mellite.Hooked(flaky(), *noted), clock=Now()).generate("x") == "up"
    assert told == ["x", ProviderInternal, ("failed", 1), "x", ("done", 1)]


class Now:
    """A clock on which waiting takes no time."""

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        del seconds


async def test_around_a_cache_it_hears_of_what_is_kept() -> None:
    """An answer that is given again is an answer."""
    told: list[Any] = []
    note = hooks.after("generation")(lambda thunk: told.append(thunk.generation.replayed))
    source = Source([ResponseStart(), *Source(["a"]).events])
    backend = mellite.Hooked(mellite.Cached(source), note)
    assert [await backend.generate("x") for _ in range(2)] == ["a", "a"]
    assert (told, source.calls) == ([False, True], 1)


async def test_a_failure_is_no_answer_to_be_kept_and_falls_back() -> None:
    """A hook that fails is a failure to the wrappers around."""

    def broken(_: Any) -> None:
        raise ValueError("broken")

    source = Source(["a"])
    hooked = mellite.Hooked(source, hooks.after("generation")(broken), errors="raise")
    cached = mellite.Cached(hooked)
    for _ in range(2):
        thunk = await cached.generate("x").settle()
        assert isinstance(thunk.error, HookFailed)
    assert source.calls == 2
    first = mellite.Hooked(source, hooks.before("generation")(broken), errors="raise")
    assert await mellite.FallbackTo(first, Constant("other")).generate("x") == "other"


async def test_what_its_hook_asks_of_itself_is_not_hooked(caplog: pytest.LogCaptureFixture) -> None:
    """It would never end."""
    told: list[str] = []

    @hooks.before("generation")
    async def ask(request: mellite.Request) -> None:
        told.append(request.text)
        told.append(await backend.generate("inner"))

    backend = mellite.Hooked(Echo(), ask)
    with caplog.at_level(logging.WARNING, "mellite"):
        assert await backend.generate("x") == "x"
    assert (told, caplog.records) == (["x", "inner"], [])
