"""TLS: who is trusted, and what is said when a handshake fails; equal on both loops."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import aclosing, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

import mellite
from mellite.errors import (
    ConnectError,
    ConnectionLost,
    FirstByteTimeout,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
)
from mellite.wire.transports.default import HttpRequest
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import on_loops
from tests.wire.transports.http1.servers import GONE, OK, request_of, serving
from tests.wire.transports.support import connecting_within, whole

pytestmark = pytest.mark.anyio

CA = trustme.CA()
OTHER_CA = trustme.CA()


def server_tls(cert: trustme.LeafCert, change: Callable[[ssl.SSLContext], Any] = lambda tls: None) -> ssl.SSLContext:
    """The settings of a server."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(tls)
    change(tls)
    return tls


def client_tls() -> ssl.SSLContext:
    """The settings of a client that trusts the CA of these tests."""
    tls = ssl.create_default_context()
    CA.configure_trust(tls)
    return tls


def ask(port: int, host: str = "127.0.0.1") -> HttpRequest:
    """A request in TLS."""
    return HttpRequest("POST", f"https://{host}:{port}/v1", body=b"{}")


async def answer(number: int, stream: ByteStream) -> None:
    """Answer every request on a connection."""
    while True:
        await request_of(stream)
        await stream.send(OK)


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2090, 1, 1, tzinfo=UTC)
GOOD = CA.issue_cert("127.0.0.1", "localhost")


async def test_a_trusted_server() -> None:
    """A certificate of a CA that is trusted: answered, on one connection that is kept."""
    async with (
        serving(answer, server_tls(GOOD)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        for _ in range(3):
            assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"


async def test_a_large_body() -> None:
    """Large bodies go through TLS whole, in both directions."""
    size = 3_000_000

    async def echo(number: int, stream: ByteStream) -> None:
        body = (await request_of(stream)).partition(b"\r\n\r\n")[2]
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await request_of(stream)  # until the client has it all, and goes

    async with (
        serving(echo, server_tls(GOOD)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        request = HttpRequest("POST", f"https://127.0.0.1:{port}/", body=bytes(range(250)) * (size // 250))
        assert await whole(await transport.open(request, timeout=10)) == request.body


UNTRUSTED = {
    "another host": (CA.issue_cert("example.com"), "certificate is not trusted: .*127.0.0.1"),
    "an unknown CA": (OTHER_CA.issue_cert("127.0.0.1"), "certificate is not trusted: "),
    "a name, not this address": (
        CA.issue_cert("localhost", "*.example.com"),
        "certificate is not trusted: .*127.0.0.1",
    ),
    "not valid yet": (
        CA.issue_cert("127.0.0.1", not_before=LATER, not_after=LATER + timedelta(days=1)),
        "certificate is not trusted: certificate is not yet valid",
    ),
    "expired": (
        CA.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1)),
        "certificate is not trusted: certificate has expired",
    ),
}


@pytest.mark.parametrize("name", UNTRUSTED)
async def test_a_server_that_is_not_trusted(name: str) -> None:
    """The request is not sent, the error says why, and trying again is no use."""
    cert, why = UNTRUSTED[name]
    asked: list[bytes] = []

    async def handle(number: int, stream: ByteStream) -> None:
        asked.append(await request_of(stream))

    async with (
        serving(handle, server_tls(cert)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        with pytest.raises(ConnectError, match=why) as caught:
            await transport.open(ask(port), timeout=5)
    assert caught.value.retryable is False
    assert asked == []


async def test_a_server_that_vouches_for_itself(tmp_path: Path) -> None:
    """A certificate that is signed by itself is not trusted, and the error says that it is."""
    own = trustme.CA()
    own.cert_pem.write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with serving(answer, tls) as port, aclosing(Http1Transport(ssl_context=client_tls())) as transport:
        with pytest.raises(ConnectError, match="certificate is not trusted: self-signed certificate") as caught:
            await transport.open(ask(port), timeout=5)
    assert caught.value.retryable is False


async def test_a_server_of_another_time() -> None:
    """A server that speaks nothing newer than TLS 1.1 is not spoken to."""

    def old(tls: ssl.SSLContext) -> None:
        tls.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = ssl.TLSVersion.TLSv1
            tls.maximum_version = ssl.TLSVersion.TLSv1_1

    def shake() -> None:  # in a thread: a server in the loop would close without the word that TLS has for it
        connection, _ = listener.accept()
        with closing(connection), suppress(OSError):
            server_tls(GOOD, old).wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks, aclosing(Http1Transport(ssl_context=client_tls())) as transport:
            tasks.start_soon(anyio.to_thread.run_sync, shake)
            with pytest.raises(ConnectError, match=r"TLS failed: .*protocol version") as caught:
                await transport.open(ask(listener.getsockname()[1]), timeout=5)
    assert caught.value.retryable is False


async def test_system_trust() -> None:
    """Without settings of its own, a transport trusts what the system trusts, and no other CA."""
    async with serving(answer, server_tls(GOOD)) as port, aclosing(Http1Transport()) as transport:
        with pytest.raises(ConnectError, match="certificate is not trusted") as caught:
            await transport.open(ask(port), timeout=5)
    assert caught.value.retryable is False


async def test_client_certificates() -> None:
    """A server that wants a certificate gets the one in the settings; without one it refuses."""

    def want(tls: ssl.SSLContext) -> None:
        tls.verify_mode = ssl.CERT_REQUIRED
        CA.configure_trust(tls)

    with_one, without = client_tls(), client_tls()
    CA.issue_cert("me@example.com").configure_cert(with_one)
    async with serving(answer, server_tls(GOOD, want)) as port:
        async with aclosing(Http1Transport(ssl_context=with_one)) as transport:
            assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"
        async with aclosing(Http1Transport(ssl_context=without)) as transport:
            with pytest.raises((ConnectError, ConnectionLost)) as caught:
                await transport.open(ask(port), timeout=5)
    assert "Operation not permitted" not in str(caught.value)


PLAIN = {
    "plain HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "TLS failed: wrong version number"),
    "garbage": (b"\x00" * 50, False, "TLS failed: "),
    "an old version": (b"\x15\x03\x01\x00\x02\x02\x46", False, "TLS failed: .*protocol version"),
    "the end": (b"", True, "the server closed it"),
    "a cut record": (b"\x16\x03\x03\x00\x7a\x02\x00", True, "the server closed it"),
}


@pytest.mark.parametrize("name", PLAIN)
async def test_no_tls_at_all(name: str) -> None:
    """What a server sends instead of a handshake is told in words, and is worth a retry only if it broke off."""
    sent, retryable, why = PLAIN[name]

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()
        if sent:
            await stream.send(sent)
        await stream.send_eof()
        with anyio.move_on_after(1):
            await stream.receive()

    async with serving(handle) as port, aclosing(Http1Transport(ssl_context=client_tls())) as transport:
        with pytest.raises(ConnectError, match=why) as caught:
            await transport.open(ask(port), timeout=5)
    assert caught.value.retryable is retryable
    assert "not permitted" not in str(caught.value)


async def test_a_silent_server() -> None:
    """A handshake that does not go on ends with the clock of connecting."""

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    async with serving(handle) as port, aclosing(Http1Transport(ssl_context=client_tls())) as transport:
        with pytest.raises(ConnectError, match=r"no connection within 0\.3 s"):
            await transport.open(connecting_within(0.3, ask(port)))


async def test_a_silent_server_of_a_backend() -> None:
    """The clock of connecting is that of the call, or else of the backend; what it ends is worth a retry."""

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    why = r"no connection within 0\.2 s; raise Timeouts\(connect=\.\.\.\) to wait longer"
    async with serving(handle) as port:
        url, soon = f"https://127.0.0.1:{port}/v1", mellite.Timeouts(connect=0.2)
        async with (
            mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, timeouts=soon) as hasty,
            mellite.backend("openai-chat:m", api_key="sk-test", base_url=url) as patient,
        ):
            for thunk in (hasty.generate("Hi."), patient.generate("Hi.", timeouts=soon)):
                with pytest.raises(ConnectError, match=why) as caught:
                    await thunk
                assert caught.value.retryable
                assert caught.value.provider == "openai"


async def test_the_first_byte_has_its_clock_while_connecting() -> None:
    """A connection that may take for ever ends with the clock of the first byte."""

    async def handle(number: int, stream: ByteStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    soon = mellite.Timeouts(connect=None, first_byte=0.2)
    async with serving(handle) as port:
        url = f"https://127.0.0.1:{port}/v1"
        async with mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, timeouts=soon) as backend:
            with pytest.raises(FirstByteTimeout):
                await backend.generate("Hi.")


@pytest.mark.parametrize("framed", [True, False])
async def test_cut_without_goodbye(framed: bool) -> None:
    """A body is whole where its length or the end of the connection says so, whether TLS is ended in good order or not.

    Many servers just close. Python's ssl, and with it urllib, requests, aiohttp and httpx, take that for the end; what
    an answer says tells whether it is whole, as the next test has it.
    """
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" if framed else b"HTTP/1.1 200 OK\r\n\r\n"

    async def handle(number: int, stream: ByteStream) -> None:
        await request_of(stream)
        await stream.send(head + b"ok")

    async with (
        serving(handle, server_tls(GOOD)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        response = await transport.open(ask(port), timeout=5)
        assert await response.read(5) == b"ok"
        assert await response.read(5) == b""
        await response.aclose()


async def test_goodbye_without_the_end_of_the_connection() -> None:
    """Where TLS says that nothing more comes, a body without a length is whole, though the socket stays open."""
    gone = anyio.Event()

    async def handle(number: int, stream: ByteStream) -> None:
        assert isinstance(stream, TLSStream)
        await request_of(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        with suppress(*GONE):
            below, _ = await stream.unwrap()
            await below.receive()
        gone.set()

    async with (
        serving(handle, server_tls(GOOD)) as port,
        aclosing(Http1Transport(ssl_context=client_tls())) as transport,
    ):
        assert await whole(await transport.open(ask(port), timeout=5)) == b"ok"
        with anyio.fail_after(5):
            await gone.wait()


@on_loops("asyncio", "uvloop")
async def test_a_server_that_speaks_behind_its_handshake() -> None:
    """What comes together with the end of the handshake is not the answer to the first request."""

    async def handle(number: int, stream: ByteStream) -> None:
        came, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server_tls(GOOD)
        tls.maximum_version = ssl.TLSVersion.TLSv1_2  # here, the last word of the handshake is the server's
        inside = tls.wrap_bio(came, going, server_side=True)
        while True:
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                await stream.send(going.read()) if going.pending else None
                came.write(await stream.receive())
        inside.write(OK)
        await stream.send(going.read())
        await stream.receive()

    async with serving(handle) as port, aclosing(Http1Transport(ssl_context=client_tls())) as transport:
        with pytest.raises(InvalidProviderOutput, match="breaks the rules of HTTP"):
            await transport.open(ask(port), timeout=5)


SAYS = b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n'
CUT: dict[str, tuple[bytes, bool, type[MelliteError]]] = {
    "a stream": (b"content-type: text/event-stream\r\n\r\n" + SAYS, True, IncompleteStream),
    "JSON": (b"content-type: application/json\r\n\r\n" + b'{"choices": [{"message"', False, InvalidProviderOutput),
    "chunks": (
        b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(SAYS), SAYS),
        True,
        ConnectionLost,
    ),
    "a length": (b"content-type: application/json\r\ncontent-length: 99\r\n\r\n{", False, ConnectionLost),
}


@pytest.mark.parametrize("name", CUT)
async def test_a_cut_answer_is_not_whole(tmp_path: Path, name: str) -> None:
    """An answer that somebody cut on its way, without TLS's own end, is an error, however it was framed."""
    sent, stream, kind = CUT[name]

    async def handle(number: int, connection: ByteStream) -> None:
        await request_of(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\n" + sent)

    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(handle, server_tls(GOOD)) as port, aclosing(Http1Transport(ca=tmp_path / "ca.pem")) as transport:
        url = f"https://127.0.0.1:{port}/v1"
        backend = mellite.backend("openai-chat:m", api_key="sk-test", base_url=url, transport=transport)
        with pytest.raises(kind) as caught:
            await backend.generate("Hi.", stream=stream)
    assert caught.value.retryable is (kind is not InvalidProviderOutput)
    assert (caught.value.partial or "") == ("Hel" if stream else "")
