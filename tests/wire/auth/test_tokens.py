"""Keys that expire: when they are fetched, once for all who wait, and what happens when they cannot be."""

from __future__ import annotations

import copy
import pickle
import threading
import traceback
from collections.abc import Awaitable, Callable

import anyio
import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import AuthenticationError, InvalidCredential, RateLimited
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.wire.auth.keys import Auth, Environment, bearer, header
from mellite.wire.auth.tokens import Refreshing, Token
from mellite.wire.http import HttpRequest

KEY = "sk-sentinel-4711-do-not-show"
REQUEST = HttpRequest("POST", "https://example.com/")
WHOLE = b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'


class Office:
    """Gives out tokens with a number, and counts."""

    def __init__(self, expires_in: float | None = None) -> None:
        self.given = 0
        self.expires_in = expires_in

    async def fetch(self) -> Token:
        self.given += 1
        await anyio.lowlevel.checkpoint()
        return Token(f"{KEY}-{self.given}", expires_in=self.expires_in)


async def sent(auth: Auth) -> dict[str, str | None]:
    await auth.ready()
    return dict(auth.headers(REQUEST))


async def always_the_same() -> str:
    return KEY


async def refused() -> str:
    msg = "the door is closed"
    raise AuthenticationError(msg, kind="expired", status=401)


async def broken() -> str:
    msg = f"cannot reach the office with {KEY}"
    raise OSError(msg)


@pytest.mark.anyio
@pytest.mark.parametrize("fetch", [always_the_same, lambda: KEY, lambda: Token(KEY)])
async def test_a_token_is_sent(fetch: Callable[[], str | Token | Awaitable[str | Token]]) -> None:
    """A key is fetched by a function or an async one, as a str or a Token, and sent like any other."""
    assert await sent(bearer(Refreshing(fetch))) == {"authorization": f"Bearer {KEY}"}
    assert await sent(header("x-api-key", Refreshing(fetch))) == {"x-api-key": KEY}


@pytest.mark.anyio
async def test_a_good_token_is_kept() -> None:
    """A token is fetched again only when it is about to expire; without an end it is kept for ever."""
    for expires_in, early, fetched in ((None, 60, 1), (3600, 60, 1), (3600, 3601, 3), (0, 0, 3)):
        office = Office(expires_in)
        auth = bearer(Refreshing(office.fetch, early=early))
        for _ in range(3):
            last = await sent(auth)
        assert office.given == fetched
        assert last == {"authorization": f"Bearer {KEY}-{fetched}"}


@pytest.mark.anyio
async def test_many_who_wait_share_one_fetching() -> None:
    """However many calls need a token at once, it is fetched once."""
    office = Office(expires_in=3600)
    auth = bearer(Refreshing(office.fetch))
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(sent, auth)
    assert office.given == 1


def test_threads_share_one_fetching() -> None:
    """Loops in several threads share it as well: one fetches, the others wait without blocking."""
    entered, go_on = threading.Event(), threading.Event()
    given: list[int] = []

    async def fetch() -> str:
        given.append(1)
        entered.set()
        await anyio.to_thread.run_sync(go_on.wait)
        return KEY

    auth = bearer(Refreshing(fetch))
    results: list[dict[str, str | None]] = []
    threads = [threading.Thread(target=lambda: results.append(anyio.run(sent, auth))) for _ in range(4)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert results == [{"authorization": f"Bearer {KEY}"}] * 4
    assert len(given) == 1


@pytest.mark.anyio
async def test_one_who_is_cancelled_takes_nobody_along() -> None:
    """When the call that fetches is cancelled, another that waits fetches."""
    started = anyio.Event()
    given: list[int] = []

    async def fetch() -> str:
        given.append(1)
        if len(given) == 1:
            started.set()
            await anyio.sleep_forever()
        return KEY

    auth = bearer(Refreshing(fetch))
    results: list[dict[str, str | None]] = []

    async def wait() -> None:
        results.append(await sent(auth))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(sent, auth)
                await started.wait()
                for _ in range(3):
                    tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
    assert results == [{"authorization": f"Bearer {KEY}"}] * 3
    assert len(given) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(("fetch", "kind", "status"), [(refused, "expired", 401), (broken, "unknown", None)])
async def test_a_token_that_cannot_be_fetched(
    fetch: Callable[[], Awaitable[str]], kind: str, status: int | None
) -> None:
    """What goes wrong is an AuthenticationError for everybody who waits; an error of mellite's stays what it is."""
    auth = bearer(Refreshing(fetch, name="the Acme token"))
    errors: list[AuthenticationError] = []

    async def wait() -> None:
        with pytest.raises(AuthenticationError) as caught:
            await sent(auth)
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
    assert [(error.kind, error.status) for error in errors] == [(kind, status)] * 3
    assert all(KEY not in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 3
    with pytest.raises(AuthenticationError):
        await sent(auth)  # asked again, as it may work again


@pytest.mark.anyio
async def test_other_errors_keep_their_class() -> None:
    """A token office that asks to wait is a RateLimited."""

    async def busy() -> str:
        raise RateLimited("later", retry_after=3.0)

    with pytest.raises(RateLimited) as caught:
        await sent(bearer(Refreshing(busy)))
    assert caught.value.retry_after == 3.0


@pytest.mark.anyio
async def test_each_who_waits_has_an_error_of_its_own() -> None:
    """Calls that waited for one fetching fail each with its own error, to which each adds what it knows."""

    async def busy() -> str:
        await anyio.wait_all_tasks_blocked()
        raise RateLimited("later", retry_after=3.0)

    auth = bearer(Refreshing(busy))
    errors: list[RateLimited] = []

    async def wait(number: int) -> None:
        with pytest.raises(RateLimited) as caught:
            await sent(auth)
        caught.value.model = f"m-{number}"
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
    assert {error.model for error in errors} == {"m-0", "m-1", "m-2"}
    assert [error.retry_after for error in errors] == [3.0] * 3


@pytest.mark.anyio
async def test_combinations() -> None:
    """`or_else` goes on where a token cannot be fetched, an optional one may be missing, `and_then` fetches both."""
    office = Office()
    either = bearer(Refreshing(refused)).or_else(header("x-api-key", Refreshing(office.fetch)))
    assert await sent(either) == {"x-api-key": f"{KEY}-1"}
    unset = bearer(Environment("MELLITE_TEST_NEVER_SET"))
    assert await sent(unset.or_else(bearer(Refreshing(always_the_same)))) == {"authorization": f"Bearer {KEY}"}
    assert await sent(bearer(Refreshing(refused), optional=True)) == {}
    both = bearer(Refreshing(office.fetch)).and_then(header("x-other", Refreshing(always_the_same)))
    assert await sent(both) == {"authorization": f"Bearer {KEY}-2", "x-other": KEY}
    with pytest.raises(AuthenticationError):
        await sent(bearer(KEY).and_then(bearer(Environment("MELLITE_TEST_NEVER_SET"))))


def test_before_the_first_fetching_there_is_none() -> None:
    """A token that was not fetched yet is missing, and it is said how to fetch it."""
    with pytest.raises(AuthenticationError, match=r"await auth\.ready") as caught:
        bearer(Refreshing(always_the_same)).headers(REQUEST)
    assert caught.value.kind == "missing"


@pytest.mark.anyio
async def test_a_token_is_in_no_representation() -> None:
    """repr, pickle and tracebacks with locals never hold a token; a copy shares it, a pickle fetches it again."""
    fetching = Refreshing(always_the_same, name="the Acme token")
    auth = bearer(fetching)
    await auth.ready()
    assert copy.deepcopy(auth).headers(REQUEST) == {"authorization": f"Bearer {KEY}"}
    shown = [repr(auth), repr(fetching), repr(Token(KEY)), repr(pickle.dumps(auth))]
    assert not [text for text in shown if KEY in text]
    assert await sent(pickle.loads(pickle.dumps(auth))) == {"authorization": f"Bearer {KEY}"}
    with pytest.raises(InvalidCredential) as caught:
        await sent(bearer(Refreshing(lambda: Token(f"{KEY}\n"))))
    assert KEY not in "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


@pytest.mark.anyio
async def test_a_route_fetches_before_it_asks() -> None:
    """A call over a route with such a key fetches it first; a failure is the call's, with the provider's name."""
    office = Office()
    route = find("groq:m", api_key="x").with_(auth=bearer(Refreshing(office.fetch)))
    backend = LiveBackend(route, transport=ScriptedTransport([WHOLE, WHOLE]))
    assert await backend.generate("hi", stream=False) == "Hello."
    assert await backend.generate("hi", stream=False) == "Hello."
    assert office.given == 1
    assert route.prepare(Request.of("hi")).headers["authorization"] == f"Bearer {KEY}-1"
    thunk = LiveBackend(route.with_(auth=bearer(Refreshing(refused))), transport=ScriptedTransport([])).generate("hi")
    with pytest.raises(AuthenticationError, match="groq: the door is closed"):
        await thunk
