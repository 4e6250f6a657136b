"""WebSockets go through the proxies of the environment, as requests over HTTP do; on both loops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from attrs import evolve

from mellite.errors import ConfigurationError, ConnectError
from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
from mellite.request import Timeouts
from mellite.wire.http import HttpRequest
from mellite.wire.transports.websocket import WebSocketTransport
from tests.wire.proxy import Proxy, proxying
from tests.wire.sockets import Server, talking
from tests.wire.transports.http1.servers import serving, tunnelling
from tests.wire.transports.http1.test_tls import CA, GOOD, OTHER_CA, client_tls, server_tls
from tests.wire.transports.support import KEY, leaks_nothing

pytestmark = pytest.mark.anyio

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")
PASSWORD = KEY
DONE = {"type": "response.completed", "response": {"id": "resp_1", "output": []}}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A proxy that wants no credentials."""
    with proxying() as proxy:
        yield proxy


def request(url: str) -> HttpRequest:
    """One turn, on a connection for nobody else."""
    body = json.dumps({"model": "m", "input": [], "stream": True}).encode()
    return HttpRequest("POST", f"{url}/responses", headers={"content-type": "application/json"}, body=body)


async def answered(server: Server, **options: Any) -> str:
    """The address of a server that answered a turn."""
    async with aclosing(WebSocketTransport(ResponsesDialogue, **options)) as transport:
        response = await transport.open(request(server.url), timeout=5)
        assert json.loads((await response.read(5)).removeprefix(b"data: ")) == DONE
        await response.aclose()
    return server.url.split("/")[2]


@pytest.mark.parametrize(("variable", "tls"), [("HTTP_PROXY", False), ("https_proxy", True), ("ALL_PROXY", True)])
async def test_from_the_environment(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str, tls: bool) -> None:
    """A WebSocket goes through a tunnel of the proxy that the environment names, in TLS and in the clear."""
    monkeypatch.setenv(variable, proxy.url)
    with talking([[[DONE]]], tls=server_tls(GOOD) if tls else None) as server:
        address = await answered(server, ssl_context=client_tls())
    assert proxy.asked()[-1] == ("CONNECT", address)


async def test_a_scheme_has_its_own_variable(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is not for what is spoken to in the clear."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with talking([[[DONE]]]) as server:
        await answered(server)


async def test_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with talking([[[DONE]]]) as server:
        await answered(server)


async def test_in_code(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """proxy= names another one than the environment, or none."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with talking([[[DONE]], [[DONE]]]) as server:
        await answered(server, proxy=None)
        assert await answered(server, proxy=proxy.url) == proxy.asked()[-1][1]


async def test_credentials() -> None:
    """User and password are sent to the proxy, and to it alone."""
    with proxying(f"me:{PASSWORD}") as proxy, talking([[[DONE]]]) as server:
        await answered(server, proxy=proxy.url)
        assert len(proxy.asked()) == 1
    assert "proxy-authorization" not in server.headers[0]


async def refused(url: str, kind: type[Exception], why: str, **options: Any) -> Any:
    """The error of a turn that reached nobody."""
    async with aclosing(WebSocketTransport(ResponsesDialogue, **options)) as transport:
        with pytest.raises(kind, match=why) as caught:
            await transport.open(request(url), timeout=5)
    leaks_nothing(caught.value)
    return caught.value


async def test_wrong_credentials() -> None:
    """A proxy that refuses is named, without the password, and trying again is no use."""
    with proxying("me:right") as proxy:
        wrong = proxy.url.replace("right", PASSWORD)
        why = r"the proxy http://\.\.\.@127.* refused a tunnel with status 407"
        error = await refused("https://127.0.0.1:1", ConnectError, why, proxy=wrong)
    assert error.retryable is False


async def test_a_proxy_that_is_not_there() -> None:
    """The error names the proxy, not the password."""
    why = r"over the proxy http://\.\.\.@127\.0\.0\.1:1: no connection: Connection refused"
    error = await refused("https://127.0.0.1:2", ConnectError, why, proxy=f"http://me:{PASSWORD}@127.0.0.1:1")
    assert error.retryable


async def test_a_proxy_that_closes() -> None:
    """A proxy that closes instead of answering may do better later."""

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()

    async with serving(handle) as port:
        why = "gave no tunnel: the server closed it"
        error = await refused("https://127.0.0.1:2", ConnectError, why, proxy=f"http://me:{PASSWORD}@127.0.0.1:{port}")
    assert error.retryable


async def test_socks() -> None:
    """What is not spoken is an error that names the proxy, without the password."""
    why = r"the proxy 'socks5://\.\.\.@127.*' cannot be used"
    await refused("https://127.0.0.1:1", ConfigurationError, why, proxy=f"socks5://me:{PASSWORD}@127.0.0.1:1")


async def test_who_is_not_trusted(proxy: Proxy) -> None:
    """The certificate must be that of the host behind the proxy, from a CA that is trusted."""
    for cert in (CA.issue_cert("example.com"), OTHER_CA.issue_cert("127.0.0.1")):
        with talking([[[DONE]]], tls=server_tls(cert)) as server:
            why = "over the proxy .*: the certificate is not trusted"
            error = await refused(server.url, ConnectError, why, proxy=proxy.url, ssl_context=client_tls())
        assert error.retryable is False


async def test_a_proxy_in_tls() -> None:
    """A proxy may be spoken to in TLS, and then TLS goes through its tunnel."""
    with talking([[[DONE]]], tls=server_tls(GOOD)) as server:
        async with tunnelling(server_tls(GOOD)) as port:
            await answered(server, proxy=f"https://127.0.0.1:{port}", ssl_context=client_tls())


async def test_a_silent_server() -> None:
    """A handshake of TLS that does not go on ends with the clock of connecting."""

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    async with serving(handle) as port, aclosing(WebSocketTransport(ResponsesDialogue)) as transport:
        silent = evolve(request(f"https://127.0.0.1:{port}"), context={"timeouts": Timeouts(connect=0.2)})
        with pytest.raises(ConnectError, match=r"no connection within 0\.2 s; raise Timeouts\(connect=") as caught:
            with anyio.fail_after(20):
                await transport.open(silent)
    assert caught.value.retryable
