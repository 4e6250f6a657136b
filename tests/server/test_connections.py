"""Clients that stop in the middle of a request are dropped, those that are only slow are not: by a real server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Self
from urllib.parse import urlsplit

import pytest

from mellite.errors import ConfigurationError
from mellite.server.running import RunningServer, Settings
from tests.server.asking import raw

PATIENCE: Final = 0.4
BODY: Final = b'{"model": "m", "messages": [{"role": "user", "content": "One two three."}]}'
LENGTH: Final = b"content-length: %d\r\n" % len(BODY)
TOP: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"


@contextmanager
def serving(*before: str, patience: float = PATIENCE) -> Iterator[tuple[str, list[str]]]:
    """A server with little patience: its address, and afterwards what it has written to its standard error."""
    command = [*before, sys.executable, "-m", "mellite", "serve", "fake:echo", "--request-timeout", str(patience)]
    written: list[str] = []
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process.stdout.readline().split()[-1], written
        finally:
            process.kill()
            written += process.stderr.readlines()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server with little patience."""
    with serving() as (url, _):
        yield url


class Client:
    """A socket that says what comes when."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def until_closed(self) -> bytes:
        """All that comes until the server closes the connection."""
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data

    def answer(self) -> bytes:
        """The next answer, up to its last chunk."""
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            piece = self.socket.recv(65536)
            assert piece, data
            data += piece
        return data

    def hears_nothing(self, seconds: float) -> None:
        """Wait, during which neither a byte nor the end of the connection comes."""
        self.socket.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.socket.recv(1)
        self.socket.settimeout(10)


HALVES: Final = {
    b"P": "the head of the request was not there after 0.4 s",
    TOP: "the head of the request was not there",
    TOP + LENGTH + b"\r\n": "the body of the request stopped coming: nothing for 0.4 s",
    TOP + LENGTH + b"\r\n" + BODY[:20]: "the body of the request stopped coming",
    TOP + b"transfer-encoding: chunked\r\n\r\n14\r\n" + BODY[:20]: "the body of the request stopped coming",
}


def test_clients_that_stop(url: str) -> None:
    """They get 408 and the reason, and their connections are closed; others are answered meanwhile."""
    stopped = [(Client(url), sent) for sent in HALVES for _ in range(20)]
    for client, sent in stopped:
        client.socket.sendall(sent)
    assert raw(url, "/v1/chat/completions", BODY).status == 200
    for client, sent in stopped:
        with client:
            head, _, body = client.until_closed().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head.lower()
        assert HALVES[sent] in json.loads(body)["error"]["message"]


def test_a_head_that_comes_byte_by_byte(url: str) -> None:
    """However many bytes come in between, a head has one time in all."""
    with Client(url) as client:
        client.socket.settimeout(PATIENCE / 10)
        sent = 0
        for byte in TOP:
            client.socket.sendall(bytes([byte]))
            sent += 1
            try:
                data = client.socket.recv(65536)
            except TimeoutError:
                continue
            assert data.startswith(b"HTTP/1.1 408 ")
            break
    assert sent < len(TOP)


def test_a_second_request_that_stops(url: str) -> None:
    """The clock of each head is its own: after a good request as before one."""
    with Client(url) as client:
        for _ in range(3):
            client.socket.sendall(TOP + LENGTH + b"\r\n" + BODY)
            assert b"200 OK" in client.answer()
        client.socket.sendall(TOP)
        assert client.until_closed().startswith(b"HTTP/1.1 408 ")


def test_a_slow_upload_goes_on() -> None:
    """A body may take longer than the bound, as long as some of it comes in time."""
    patience = 1.5  # more than a busy machine makes the client wait between two pieces
    with serving(patience=patience) as (url, _), Client(url) as client:
        client.socket.sendall(TOP + LENGTH + b"\r\n")
        for at in range(0, len(BODY), 8):
            client.socket.sendall(BODY[at : at + 8])
            if at + 8 < len(BODY):
                client.hears_nothing(patience / 8)
        assert b"One two three." in client.answer()


def test_a_connection_without_a_request_stays_open(url: str) -> None:
    """What waits in a client's pool, before its first request or after one, is not half a request."""
    with Client(url) as client:
        for _ in range(2):
            client.hears_nothing(PATIENCE * 1.2)
            client.socket.sendall(TOP + LENGTH + b"\r\n" + BODY)
            assert b"200 OK" in client.answer()


def test_more_clients_than_files() -> None:
    """Half of the files that a process may open are for connections: one more is refused, until some have gone."""
    with ExitStack() as stack:
        url, written = stack.enter_context(serving("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", patience=1.0))
        clients = [stack.enter_context(Client(url)) for _ in range(120)]
        for client in clients[:32]:
            client.socket.sendall(TOP)
        found = raw(url, "/v1/chat/completions", BODY)
        assert (found.status, "retry-after: 1" in found.head) == (503, True)
        assert b"there are 32 connections, and files for no more" in found.pieces[0]
        answers = [client.until_closed()[:12] for client in clients]
        assert answers == [b"HTTP/1.1 408"] * 32 + [b"HTTP/1.1 503"] * 88
        assert raw(url, "/v1/chat/completions", BODY).status == 200
    assert written == []


# Bodies that are waited for


def test_a_client_that_waits_to_be_told_to_go_on(url: str) -> None:
    """``Expect: 100-continue`` is answered before the body comes, and not for a body that is refused anyway."""
    expects = b"expect: 100-continue\r\n"
    with Client(url) as client:
        client.socket.sendall(TOP + LENGTH + expects + b"\r\n")
        assert client.socket.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.socket.sendall(BODY)
        assert client.answer().startswith(b"HTTP/1.1 200 OK\r\n")
    for top, status in ((TOP.replace(b"localhost", b"evil.example"), 403), (TOP, 413)):
        with Client(url) as client:
            length = LENGTH if status == 403 else b"content-length: 99999999999\r\n"
            client.socket.sendall(top + length + expects + b"\r\n")
            found = client.until_closed()
            assert found.startswith(b"HTTP/1.1 %d " % status)
            assert b"connection: close" in found.lower()


def test_the_rest_of_a_refused_body_is_no_request(url: str) -> None:
    """A request that is refused before its body has come closes the connection, so that none is taken for a body."""
    with Client(url) as client:
        client.socket.sendall(TOP.replace(b"localhost", b"evil.example") + LENGTH + b"\r\n" + BODY[:20])
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 403 ")
        client.socket.sendall(BODY[20:] + TOP + LENGTH + b"\r\n" + BODY)
        assert client.until_closed() == b""


@pytest.mark.parametrize("name", ["request_timeout", "send_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_patience(mellite_server: Callable[..., RunningServer], name: str, seconds: float) -> None:
    """A bound has to be above 0."""
    with pytest.raises(ConfigurationError, match=f"{name} is a number of seconds above 0"):
        mellite_server("fake:echo", **{name: seconds})


def test_boundless_patience() -> None:
    """Whoever debugs a client by hand may take all the time."""
    boundless = Settings(source="fake:echo", request_timeout=float("inf"), send_timeout=float("inf"))
    with RunningServer(boundless) as server:
        assert raw(server.url, "/v1/chat/completions", BODY).status == 200
        with Client(server.url) as client:
            client.socket.sendall(TOP + LENGTH + b"\r\n" + BODY[:20])
            client.hears_nothing(0.2)
            client.socket.sendall(BODY[20:])
            assert b"200 OK" in client.answer()
