"""Proxies: from the environment or in code, in the clear and for TLS, and never a password in anything shown."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

import mellite
from mellite.errors import ConfigurationError, ConnectError
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.answers import JSON, WHOLE
from tests.wire.proxy import Proxy, proxying
from tests.wire.server import Server, answer, serve
from tests.wire.transports.http1.servers import serving, tunnelling
from tests.wire.transports.http1.test_tls import GOOD, answer as answer_all, ask, client_tls, server_tls
from tests.wire.transports.support import leaks_nothing, post, whole

pytestmark = pytest.mark.anyio

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")
PASSWORD = "sk-SECRET-0123456789"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def server() -> Server:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    """A proxy that wants no credentials."""
    with proxying() as proxy:
        yield proxy


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_in_the_clear(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A request in the clear is sent to the proxy of the environment, with the whole URL."""
    monkeypatch.setenv(variable, proxy.url)
    script = server.script(answer(b"ok"))
    async with aclosing(Http1Transport()) as transport:
        assert await whole(await transport.open(post(script), timeout=5)) == b"ok"
    assert proxy.asked()[-1] == ("POST", post(script).url)
    assert script.requests(1)[0].target == post(script).url.partition(f":{server.port}")[2]


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
async def test_tls(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A request in TLS goes through a tunnel, to the end of which the certificate must belong."""
    monkeypatch.setenv(variable, proxy.url)
    async with (
        serving(answer_all, server_tls(GOOD)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        before = len(proxy.asked())
        for _ in range(3):
            assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"
        assert proxy.asked()[before:] == [("CONNECT", f"127.0.0.1:{port}")]  # one tunnel, kept


async def test_a_proxy_in_tls() -> None:
    """A proxy may be spoken to in TLS, and the same settings say that it is trusted; TLS goes through its tunnel."""
    async with serving(answer_all, server_tls(GOOD)) as port, tunnelling(server_tls(GOOD)) as proxy:
        url = f"https://127.0.0.1:{proxy}"
        async with aclosing(Http1Transport(ssl_context=client_tls(), proxy=url)) as transport:
            for _ in range(3):
                assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"
        async with aclosing(Http1Transport(proxy=url)) as transport:
            with pytest.raises(ConnectError, match=r"over the proxy https://.*: the certificate is not trusted"):
                await transport.open(ask(port), timeout=5)


async def test_a_scheme_has_its_own_variable(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is not for requests in the clear."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    script = server.script(answer(b"ok"))
    async with aclosing(Http1Transport()) as transport:
        assert await whole(await transport.open(post(script), timeout=5)) == b"ok"


@pytest.mark.parametrize("names", ["127.0.0.1", "*", "example.com,127.0.0.1"])
async def test_no_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    """Hosts in NO_PROXY are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", names)
    script = server.script(answer(b"ok"))
    async with aclosing(Http1Transport()) as transport:
        assert await whole(await transport.open(post(script), timeout=5)) == b"ok"


async def test_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """proxy=None means none, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    script = server.script(answer(b"ok"))
    async with aclosing(Http1Transport(proxy=None)) as transport:
        assert await whole(await transport.open(post(script), timeout=5)) == b"ok"


async def test_credentials(server: Server) -> None:
    """User and password in the URL are sent to the proxy, and to it alone."""
    script = server.script(answer(b"ok"))
    with proxying(f"me:{PASSWORD}") as proxy:
        async with aclosing(Http1Transport(proxy=proxy.url)) as transport:
            assert await whole(await transport.open(post(script), timeout=5)) == b"ok"
        async with (
            serving(answer_all, server_tls(GOOD)) as port,
            aclosing(Http1Transport(proxy=proxy.url, ssl_context=client_tls())) as transport,
        ):
            assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"
    assert script.requests(1)[0].header("proxy-authorization") is None


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
async def test_credentials_of_a_copy(server: Server, again: Callable[[Any], Any]) -> None:
    """A copy in this process sends them, too: of a transport, and of a backend that makes its own."""
    script = server.script(answer(WHOLE, headers=JSON))
    with proxying(f"me:{PASSWORD}") as proxy:
        async with aclosing(again(Http1Transport(proxy=proxy.url))) as transport:
            assert await whole(await transport.open(post(script), timeout=5)) == WHOLE
        url = f"{script.url}/v1"
        async with again(mellite.backend("openai-chat:m", api_key="k-1", base_url=url, proxy=proxy.url)) as backend:
            assert await backend.generate("hi", stream=False) == "Hello."


async def test_credentials_in_a_pickle(proxy: Proxy, server: Server) -> None:
    """A pickle has the proxy, without user and password."""
    script = server.script(answer(b"ok"))
    data = pickle.dumps(Http1Transport(proxy=proxy.url.replace("://", f"://me:{PASSWORD}@")))
    assert PASSWORD.encode() not in data
    async with aclosing(pickle.loads(data)) as transport:
        assert await whole(await transport.open(post(script), timeout=5)) == b"ok"
    assert proxy.asked()[-1] == ("POST", post(script).url)


async def test_wrong_credentials() -> None:
    """A proxy that refuses is named, without the password, and trying again is no use."""
    with proxying("me:right") as proxy:
        wrong = proxy.url.replace("right", PASSWORD)
        async with aclosing(Http1Transport(proxy=wrong)) as transport:
            with pytest.raises(ConnectError, match=r"the proxy http://\.\.\.@127.* refused a tunnel") as caught:
                await transport.open(ask(1), timeout=5)
    assert "status 407" in str(caught.value)
    assert caught.value.retryable is False
    leaks_nothing(caught.value)


async def test_wrong_credentials_in_the_clear(server: Server) -> None:
    """What a proxy refuses before the server sees it is told as the proxy's refusal, as that of a tunnel is."""
    script = server.script(answer(b"ok"))
    with proxying("me:right") as proxy:
        wrong = proxy.url.replace("right", PASSWORD)
        async with aclosing(Http1Transport(proxy=wrong)) as transport:
            for _ in range(2):
                with pytest.raises(ConnectError, match=r"the proxy http://\.\.\.@127.* refused the request") as caught:
                    await transport.open(post(script), timeout=5)
    assert "status 407" in str(caught.value)
    assert caught.value.retryable is False
    leaks_nothing(caught.value)


async def test_credentials_that_are_refused_from_now_on() -> None:
    """A refusal over a connection that the proxy has served before is told in the same way."""
    answers = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 71\r\n\r\n"
            b'{"choices": [{"message": {"content": "one"}, "finish_reason": "stop"}]}'
        ),
        b"HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno",
    ]

    async def refuse_later(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            for each in answers:
                while b"}" not in await stream.receive():
                    continue
                await stream.send(each)
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, refuse_later)
        proxy = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with mellite.backend(
            "openai-chat:m", base_url="http://localhost:1/v1", api_key="x", proxy=proxy
        ) as backend:
            assert await backend.generate("Hi.", stream=False) == "one"
            with pytest.raises(ConnectError, match="refused the request with status 407") as caught:
                await backend.generate("Hi.", stream=False)
        assert caught.value.retryable is False
        tasks.cancel_scope.cancel()


async def test_a_proxy_that_cannot_reach_the_server() -> None:
    """A proxy that answers 502 may do better later."""
    with proxying(status=502) as proxy:
        async with aclosing(Http1Transport(proxy=proxy.url)) as transport:
            with pytest.raises(ConnectError, match="status 502") as caught:
                await transport.open(ask(1), timeout=5)
    assert caught.value.retryable


async def test_a_proxy_that_is_not_there() -> None:
    """The error names the proxy, not the password."""
    async with aclosing(Http1Transport(proxy=f"http://me:{PASSWORD}@127.0.0.1:1")) as transport:
        with pytest.raises(ConnectError, match=r"over the proxy http://\.\.\.@127\.0\.0\.1:1: no connection") as caught:
            await transport.open(ask(1), timeout=5)
    leaks_nothing(caught.value)


UNUSABLE = [
    f"socks5://me:{PASSWORD}@127.0.0.1:1",
    f"http://me:a/{PASSWORD}@127.0.0.1:1",
    f"me:{PASSWORD}/a@127.0.0.1:1",
    "ftp://a",
    "http://",
    "http://a:port",
]


@pytest.mark.parametrize("url", UNUSABLE)
async def test_what_cannot_be_used(url: str) -> None:
    """SOCKS and what is not a URL of a proxy are an error that names it, without a password."""
    async with aclosing(Http1Transport(proxy=url)) as transport:
        with pytest.raises(ConfigurationError, match=r"the proxy '.*' cannot be used") as caught:
            await transport.open(ask(1), timeout=5)
    leaks_nothing(caught.value)


async def test_through_a_backend(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend without settings of its own goes the way of the environment."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    script = server.script(
        answer(
            b'{"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]}',
            200,
            {"content-type": "application/json"},
        )
    )
    async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=script.url) as backend:
        assert await backend.generate("Hi.", stream=False) == "Hello."
    assert proxy.asked()[-1][1] == f"{script.url}/chat/completions"
