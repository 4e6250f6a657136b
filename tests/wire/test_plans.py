"""What a route keeps between calls: nothing that has changed meanwhile is sent, and a key shows nowhere."""

from __future__ import annotations

import copy
import pickle
import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import AuthenticationError, InvalidCredential, InvalidRequest, MelliteError
from mellite.providers.catalog import find
from mellite.request import HttpOptions, Request
from mellite.wire.auth.keys import Auth, Environment, bearer, header
from mellite.wire.auth.tokens import Refreshing, Token
from mellite.wire.http import HttpRequest, HttpResponse
from mellite.wire.route import Route
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.server import Server, answer, serve

KEY = "sk-sentinel-4711-do-not-show"
OTHER = "sk-sentinel-4712-do-not-show"
WHOLE = b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'

#: Each protocol, by a spec; the last has a key that signs.
SPECS = (
    "openai-chat:m",
    "openai:m",
    "anthropic:claude-haiku-4-5",
    "google:gemini-2.5-flash",
    "cohere:command-a-03-2025",
    "bedrock:us.amazon.nova-micro-v1:0",
    "azure:m",
    "openrouter:qwen/m",
    "vertex:gemini-2.5-flash",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server process for the tests of this module."""
    with serve() as running:
        yield running


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What routes look for in the environment, beside keys."""
    for name in ("AZURE_RESOURCE_NAME", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")


def sent(route: Route, prompt: str = "hi", **options: Any) -> HttpRequest:
    return route.prepare(Request.of(prompt, **options))


def unlike(one: HttpRequest, two: HttpRequest) -> list[str]:
    """The fields in which two requests differ."""
    names = ("method", "url", "headers", "body", "context", "checked")
    return [name for name in names if getattr(one, name) != getattr(two, name)]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("spec", SPECS)
def test_a_later_request_is_what_the_first_would_have_been(spec: str, stream: bool) -> None:
    """The second and third request of a route are those of a route that was never asked before."""
    used = find(spec, api_key=KEY)
    for prompt, options in [("a", {}), ("b", {"max_tokens": 5}), ("a", {}), ("b", {"max_tokens": 5, "temperature": 0})]:
        fresh = sent(find(spec, api_key=KEY), prompt, stream=stream, **options)
        assert unlike(sent(used, prompt, stream=stream, **options), fresh) == []


def test_a_key_of_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key, a broken one and none at all count at once, also after calls with a good one."""
    route = find("openai-chat:m")
    for key in (KEY, KEY, OTHER, KEY):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        assert sent(route).headers["authorization"] == f"Bearer {key}"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with pytest.raises(InvalidCredential):
        sent(route)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        sent(route)


def test_optional_headers_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment adds to the headers of later calls is sent with them, and with none after that."""
    monkeypatch.delenv("OPENAI_ORG_ID", raising=False)
    route = find("openai-chat:m", api_key=KEY)
    assert "openai-organization" not in sent(route).headers
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    assert sent(route).headers["openai-organization"] == "org-1"
    monkeypatch.delenv("OPENAI_ORG_ID")
    assert "openai-organization" not in sent(route).headers


def test_the_first_of_two_keys_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ways to authenticate, the one whose key is there now is used, also where both keys are the same."""
    auth = header("x-api-key", Environment("MELLITE_TEST_A")).or_else(bearer(Environment("MELLITE_TEST_B")))
    route = find("openai-chat:m").with_(auth=auth)
    monkeypatch.setenv("MELLITE_TEST_B", KEY)
    monkeypatch.delenv("MELLITE_TEST_A", raising=False)
    for name, value in [("authorization", f"Bearer {KEY}"), ("x-api-key", KEY), ("authorization", f"Bearer {KEY}")]:
        if name == "x-api-key":
            monkeypatch.setenv("MELLITE_TEST_A", KEY)
        else:
            monkeypatch.delenv("MELLITE_TEST_A", raising=False)
        headers = sent(route).headers
        assert {each: headers.get(each) for each in ("authorization", "x-api-key")} == {
            "authorization": None,
            "x-api-key": None,
            name: value,
        }


def test_a_base_url_of_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests follow the base URL, and come back with it."""
    route = find("openai-chat:m", api_key=KEY)
    for base in ("https://a.example.com/v1", "https://b.example.com/v1", "https://a.example.com/v1"):
        monkeypatch.setenv("OPENAI_BASE_URL", base)
        assert sent(route).url == f"{base}/chat/completions"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://a.example.com/v1")
    with pytest.raises(MelliteError, match="plain http"):
        sent(route)
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert sent(route).url == "https://api.openai.com/v1/chat/completions"


def test_settings_of_the_environment_are_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of the base URL may change between two calls."""
    route = find("azure:m", api_key=KEY)
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    for resource in ("one", "two", "one"):
        monkeypatch.setenv("AZURE_RESOURCE_NAME", resource)
        assert sent(route).url.startswith(f"https://{resource}.openai.azure.com/")


def test_what_callers_change_later_counts() -> None:
    """Headers and query of a call, of a backend and of a route are read at each call."""
    headers, query, own = {"X-A": "1"}, {"q": "1"}, {"X-Own": "1"}
    http = HttpOptions(headers=headers, query=query)
    route = find("openai-chat:m", api_key=KEY)
    with_own = attrs.evolve(route, headers=own)
    for value in ("1", "2", "1"):
        headers["X-A"] = query["q"] = own["X-Own"] = value
        for each in (sent(route, http=http), sent(route.with_(http=http)), sent(with_own, http=http)):
            assert (each.headers["x-a"], each.url.partition("?")[2]) == (value, f"q={value}")
        assert sent(with_own).headers["x-own"] == value
    headers["X-A"] = "1\r\nX-B: 2"
    with pytest.raises(InvalidRequest, match="x-a"):
        sent(route, http=http)


def test_numbers_in_a_query_are_not_taken_for_what_equals_them() -> None:
    """1, True and 1.0 are equal, and differ in a URL: each is sent as it is, in whichever order they come."""
    route = find("openai-chat:m", api_key=KEY)
    for value, text in [(1, "1"), (True, "True"), (1.0, "1.0"), (1, "1"), ("1", "1")]:
        query: Any = {"n": value}
        assert sent(route, http=HttpOptions(query=query)).url.endswith(f"?n={text}")


def test_a_length_of_ones_own_is_compared_to_each_body() -> None:
    """A content-length that was right for one body does not pass for another."""
    route = find("openai-chat:m", api_key=KEY)
    length = str(len(sent(route, "hi").body))
    http = HttpOptions(headers={"content-length": length})
    assert sent(route, "hi", http=http).headers["content-length"] == length
    with pytest.raises(InvalidRequest, match="content-length"):
        sent(route, "a longer prompt", http=http)


def test_the_version_of_an_api_follows_the_body() -> None:
    """A field that needs an older version gets it, and the next request the newest again."""
    route = find("anthropic:claude-haiku-4-5", api_key=KEY)
    newest = sent(route).headers["anthropic-version"]
    older = sent(route, temperature=0).headers["anthropic-version"]
    assert [sent(route).headers["anthropic-version"], sent(route, temperature=0).headers["anthropic-version"]] == [
        newest,
        older,
    ]


def test_a_changed_request_changes_no_other() -> None:
    """What is written into the headers of one request is in no later one, and in no other model's."""
    route = find("openai-chat:m", api_key=KEY)
    for _ in range(3):
        headers: Any = sent(route).headers
        assert "x-a" not in headers
        headers["x-a"] = "1"


def test_models_and_streams_are_kept_apart() -> None:
    """Where the URL says which model is asked and whether it streams, each has its own, however many take turns."""
    route = find("google:gemini-2.5-flash", api_key=KEY)
    for number in [*range(100), *range(3)]:
        for stream, word in [(True, "streamGenerateContent"), (False, "generateContent"), (True, "streamGenerate")]:
            assert f"/models/m-{number}:{word}" in sent(route, model=f"m-{number}", stream=stream).url
    with pytest.raises(InvalidRequest, match="surrogate"):
        sent(route, model="m-\ud800")


class Signing(Auth):
    """Signs the body, as auth of another package may."""

    def headers(self, request: HttpRequest) -> Mapping[str, str]:
        return {"x-signature": str(hash(request.body)), "x-names": ",".join(sorted(request.headers))}

    def describe(self) -> str:
        return "a signature"


def test_a_signature_is_made_for_each_request() -> None:
    """Auth that knows only `headers` is asked for each request, alone, with others and in place of others."""
    missing = bearer(Environment("MELLITE_TEST_NEVER_SET"))
    for auth in (
        Signing(),
        Signing().and_then(bearer(KEY)),
        bearer(KEY).and_then(Signing()),
        missing.or_else(Signing()),
    ):
        route = find("openai-chat:m").with_(auth=auth)
        for prompt in ("a", "b", "a"):
            http = sent(route, prompt)
            assert http.headers["x-signature"] == str(hash(http.body))
            assert http.headers["x-names"] == "content-type"


@pytest.mark.anyio
async def test_a_new_token_is_sent() -> None:
    """A token that expires is fetched again, and the new one is sent."""
    fetched = iter(range(9))
    route = find("openai-chat:m").with_(auth=bearer(Refreshing(lambda: Token(f"{KEY}-{next(fetched)}", expires_in=0))))
    transport = ScriptedTransport([WHOLE] * 3)
    async with LiveBackend(route, transport=transport) as backend:
        for _ in range(3):
            await backend.generate("hi", stream=False)
    keys = [request.headers["authorization"] for request in transport.requests]
    assert keys == [f"Bearer {KEY}-{number}" for number in range(3)]


def test_a_request_that_was_looked_at_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cache looked at is sent as it is, once, unless key, URL or request are others by then."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    route, request = find("openai-chat:m"), Request.of("hi")
    route.compiled(request)
    seen = route.compiled_ahead(request)
    assert KEY not in f"{route._plans.ahead!r}"
    assert route.compiled(request) is seen
    assert route.compiled(request) is not seen
    route.compiled_ahead(request)
    other = route.compiled(Request.of("ho")).http
    assert b'"ho"' in other.body
    seen = route.compiled_ahead(request)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    assert route.compiled(request).http.headers["authorization"] == f"Bearer {OTHER}"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert route.compiled_ahead(request).http.body == seen.http.body
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        route.compiled(request)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    route.compiled(request)
    route.compiled_ahead(request)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert route.compiled(request).http.url.startswith("https://elsewhere.example/v1/")
    with pytest.raises(InvalidRequest, match="model"):
        find("openai-chat").compiled_ahead(request)


@pytest.mark.anyio
async def test_a_key_is_missed_after_calls_that_needed_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replay does without a key allows no call over the network without one."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    route = find("openai-chat:m")
    request = Request.of("hi")
    assert "authorization" not in route.compiled(request, offline=True).http.headers
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        route.prepare(request)
    assert "authorization" not in route.compiled(request, offline=True).http.headers
    async with LiveBackend(route, transport=ScriptedTransport([WHOLE])) as backend:
        with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
            await backend.generate("hi")


@pytest.mark.anyio
async def test_what_goes_over_the_wire_stays_the_same(server: Server) -> None:
    """The heads of the first and of later requests are alike to the byte, apart from lengths and keys."""
    script = server.script(answer(WHOLE, headers={"content-type": "application/json"}))
    route = find("openai-chat:m", api_key=KEY, base_url=f"{script.url}/v1")
    async with LiveBackend(route) as backend:
        for prompt in ("hi", "hi", "a longer prompt", "hi"):
            assert await backend.generate(prompt, stream=False) == "Hello."
        assert await backend.generate("hi", stream=False, http=HttpOptions(headers={"x-a": "1"})) == "Hello."
    first, second, third, fourth, fifth = script.requests(5)
    assert first.target == third.target
    assert first.headers == second.headers == fourth.headers
    assert [len(each.body) for each in (first, third)] == [
        int(each.header("content-length") or 0) for each in (first, third)
    ]
    names = [[name for name, _ in each.headers] for each in (first, third)]
    assert names[0] == names[1]
    assert fifth.header("x-a") == "1"


class Adding:
    """A transport that adds a header to every second request, in the request itself."""

    def __init__(self) -> None:
        self.inner = Http1Transport()
        self.count = 0

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        headers: Any = request.headers
        if self.count % 2:
            headers["x-count"] = str(self.count)
        self.count += 1
        return await self.inner.open(request, timeout=timeout)


@pytest.mark.anyio
async def test_a_header_that_a_transport_adds_is_sent(server: Server) -> None:
    """Transports may change the headers of a request on its way: that is sent, and is in no later request."""
    script = server.script(answer(WHOLE, headers={"content-type": "application/json"}))
    transport = Adding()
    backend = LiveBackend(find("openai-chat:m", api_key=KEY, base_url=f"{script.url}/v1"), transport=transport)
    for _ in range(5):
        await backend.generate("hi", stream=False)
    await transport.inner.aclose()
    assert [each.header("x-count") for each in script.requests(5)] == [None, "1", None, "3", None]


def test_a_key_that_was_kept_shows_nowhere() -> None:
    """After calls, neither repr nor copies nor pickles nor tracebacks of a backend and its route hold the key."""
    backend = LiveBackend(find("openai-chat:m", api_key=KEY))
    route = backend.route
    for _ in range(2):
        http = backend.prepare(Request.of("hi"))
    shown = f"{backend!r} {vars(backend)} {route!r} {attrs.asdict(route)!r} {http!r} {http.written!r}"  # type: ignore[arg-type]
    assert KEY not in shown
    for each in (backend, route, http.written):
        assert KEY.encode() not in pickle.dumps(each)
    assert route == attrs.evolve(route)
    kept = route._plans
    assert repr(kept) == "<1 plans of requests>"
    for twin in (copy.copy(route), copy.deepcopy(route), pickle.loads(pickle.dumps(route)), route.with_(model="m")):
        assert repr(twin._plans) == "<0 plans of requests>"
    assert repr(pickle.loads(pickle.dumps(kept))) == repr(copy.deepcopy(kept)) == "<0 plans of requests>"
    with pytest.raises(InvalidRequest) as caught:
        backend.prepare(Request.of("hi", http=HttpOptions(headers={"x-a": "\n"})))
    assert KEY not in "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


def test_threads_may_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that ask for different models at once while the key changes get what they asked for, with a key."""
    route = find("google:gemini-2.5-flash")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for turn in range(300):
            http = sent(route, f"{number}", model=f"m-{number % 3}", temperature=number)
            key = http.headers["x-goog-api-key"]
            if (
                f"/m-{number % 3}:" not in http.url
                or key not in (KEY, OTHER)
                or f'"{number}"'.encode() not in http.body
            ):
                wrong.append((number, turn, http.url))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for key in [OTHER, KEY] * 50:
        monkeypatch.setenv("GEMINI_API_KEY", key)
    for thread in threads:
        thread.join()
    assert wrong == []
