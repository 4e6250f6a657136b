"""How a backend named by a string reaches its provider: over a proxy or not, whom it trusts, what it shows."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from anyio.abc import ByteStream

import mellite
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConfigurationError, ConnectError
from tests.wire.proxy import proxying
from tests.wire.server import Server, answer, serve
from tests.wire.sockets import talking
from tests.wire.transports.http1.servers import request_of, serving

BODY = b'{"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]}'
PASSWORD = "sk-SECRET-0123456789"

CA = trustme.CA()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA's certificate and one for a client."""
    folder = tmp_path_factory.mktemp("certificates")
    CA.cert_pem.write_to_path(folder / "ca.pem")
    CA.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "me.pem")
    return folder


def hello(server: Server) -> str:
    """The URL of a server that says hello."""
    return server.script(answer(BODY, 200, {"content-type": "application/json"})).url


@pytest.mark.anyio
async def test_a_proxy(server: Server) -> None:
    """A request goes over the proxy that was named, with its credentials, whatever NO_PROXY says."""
    url = hello(server)
    with proxying(f"me:{PASSWORD}") as proxy:
        async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, proxy=proxy.url) as backend:
            assert await backend.generate("Hi.", stream=False) == "Hello."
        assert proxy.asked() == [("POST", f"{url}/chat/completions")]


@pytest.mark.anyio
async def test_no_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """None means none; without the option it is the environment that says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    url = hello(server)
    async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, proxy=None) as backend:
        assert await backend.generate("Hi.", stream=False) == "Hello."
    async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url) as backend:
        with pytest.raises(ConnectError, match=r"over the proxy http://127\.0\.0\.1:1"):
            await backend.generate("Hi.", stream=False)


@pytest.mark.anyio
async def test_certificates(folder: Path) -> None:
    """A server of a CA that was named is trusted, and gets the certificate that it asks for."""

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY))

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(tls)
    CA.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    both: dict[str, Any] = {"ca": folder / "ca.pem", "cert": str(folder / "me.pem")}
    async with serving(handle, tls) as port:
        url = f"https://127.0.0.1:{port}/v1"
        async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, **both) as backend:
            assert await backend.generate("Hi.", stream=False) == "Hello."
        async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url) as backend:
            with pytest.raises(ConnectError, match="certificate is not trusted"):
                await backend.generate("Hi.", stream=False)


@pytest.mark.anyio
async def test_a_web_socket_goes_the_same_way() -> None:
    """A provider that is asked over a WebSocket is reached over the proxy, too."""
    ended = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}
    said = {
        "type": "response.output_text.delta",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hello.",
    }
    with talking([[[said, ended]]]) as server, proxying() as proxy:
        options: dict[str, Any] = {"base_url": server.url, "proxy": proxy.url}
        async with mellite.backend("openai-websocket:m", api_key="sk-test", **options) as backend:
            assert await backend.generate("Hi.") == "Hello."
        assert proxy.asked() == [("CONNECT", server.url.split("/")[2])]


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "SOCKS": (
        {"proxy": f"socks5://me:{PASSWORD}@127.0.0.1:1"},
        r"the proxy 'socks5://\.\.\.@127\.0\.0\.1:1' cannot be used",
    ),
    "no text": ({"proxy": 3128}, "proxy= is the URL of a proxy, or None for none, not 3128"),
    "no file": ({"ca": "nowhere.pem"}, r"the file 'nowhere\.pem', from ca=, cannot be read"),
    "no certificate": ({"cert": __file__}, "from cert=, holds no certificate in PEM"),
    "a transport": ({"proxy": None, "transport": ScriptedTransport([])}, "proxy= and transport= cannot both be given"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used(name: str) -> None:
    """It is refused when the backend is made, and a password is not repeated."""
    options, why = UNUSABLE[name]
    with pytest.raises(ConfigurationError, match=why) as caught:
        mellite.backend("openai-chat:m", **options)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("spec", ["fake:echo", "cassette:somewhere"])
def test_who_asks_nobody(spec: str) -> None:
    """Fakes and cassettes reach nobody, so that no proxy is taken."""
    with pytest.raises(ConfigurationError, match="it takes no api_key, base_url, transport, proxy, ca or cert"):
        mellite.backend(spec, proxy=None)


def test_a_pickle_has_no_password(server: Server) -> None:
    """A backend's pickle and repr know where the proxy is, and not the password."""
    backend = mellite.backend("openai-chat:m", api_key="sk-test", proxy=f"http://me:{PASSWORD}@127.0.0.1:1")
    assert PASSWORD not in repr(backend)
    data = pickle.dumps(backend)
    assert PASSWORD.encode() not in data
    assert b"127.0.0.1:1" in data
    assert repr(pickle.loads(data)) == repr(backend)
