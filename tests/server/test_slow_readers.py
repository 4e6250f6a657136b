"""Clients that stop reading are dropped, and with them what they asked for; those that only read slowly are not."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import pytest

import mellite
from mellite.backends import Scripted
from mellite.events import TextDelta
from mellite.server.running import RunningServer, Settings
from tests.cli.programs import cassette

PATIENCE: Final = 0.4
PIECE: Final = "many words " * 100
ASKED: Final = {"model": "m", "messages": [{"role": "user", "content": "One two three."}], "stream": True}
DROPPED: Final = "the client was dropped: it took nothing of its answer for 0.4 s"

#: More than a connection holds whose reader takes nothing: 128 KiB, what is on its way, and one piece.
MOST: Final = 2_000_000


class Endless(mellite.Backend):
    """Goes on for as long as somebody listens.

    Attributes:
        said: how many characters it has been asked for.
        ended: is set when nobody listens any more.
    """

    def __init__(self) -> None:
        self.said = 0
        self.ended = threading.Event()

    async def stream(self, request: mellite.Request) -> AsyncIterator[Any]:
        try:
            while True:
                yield TextDelta(PIECE)
                self.said += len(PIECE)
                await anyio.lowlevel.checkpoint()
        finally:
            self.ended.set()


def connected(url: str) -> socket.socket:
    """A client that takes little at a time."""
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(20)
    client.connect((parts.hostname or "", parts.port or 0))
    return client


def request(asked: Any, head: bytes = b"POST /v1/chat/completions HTTP/1.1\r\n", more: bytes = b"") -> bytes:
    """A request as it goes over a socket."""
    body = json.dumps(asked).encode()
    return b"%bhost: localhost\r\n%bcontent-length: %d\r\n\r\n%b" % (head, more, len(body), body)


def all_of(client: socket.socket) -> bytes:
    """What comes until the connection ends, or is reset."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def test_a_client_that_stops_reading_a_generation(mellite_server: Callable[..., RunningServer]) -> None:
    """The generation waits for its reader, and is cancelled with it; what waits is bounded all the time."""
    backend = Endless()
    with mellite_server(backend, send_timeout=PATIENCE) as server, connected(server.url) as client:
        client.sendall(request(ASKED))
        assert backend.ended.wait(20)
        assert len(PIECE) < backend.said < MOST
        found = all_of(client)
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not found.endswith(b"\r\n0\r\n\r\n")
    assert [each.error for each in server.requests] == [DROPPED]


def test_a_client_that_stops_reading_a_websocket(mellite_server: Callable[..., RunningServer]) -> None:
    """Messages of a WebSocket wait and end as pieces of an answer do."""
    backend = Endless()
    upgrade = b"GET /v1/responses HTTP/1.1\r\n"
    key = base64.b64encode(os.urandom(16))
    more = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: %b\r\n" % key
    message = json.dumps({"type": "response.create", "model": "m", "input": "One two three."}).encode()
    with mellite_server(backend, send_timeout=PATIENCE) as server, connected(server.url) as client:
        client.sendall(b"%bhost: localhost\r\n%b\r\n" % (upgrade, more))
        assert client.recv(12) == b"HTTP/1.1 101"
        client.sendall(b"\x81%c\0\0\0\0%b" % (0x80 | len(message), message))  # masked with zeros: as it is
        assert backend.ended.wait(20)
        assert len(PIECE) < backend.said < MOST
        all_of(client)
    assert [each.error for each in server.requests] == [DROPPED]


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "whole"])
@pytest.mark.parametrize("close", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
def test_a_client_that_stops_reading_what_is_there(
    tmp_path: Path, mellite_server: Callable[..., RunningServer], close: bytes, *, recorded: bool
) -> None:
    """Answers that are there as a whole are no different, nor is one behind which the connection is closed anyway."""
    path = cassette(tmp_path / "long.json", "Say much.", ["much " * 2_000_000])
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say much."}]}
    source: Any = path if recorded else Scripted(["much " * 2_000_000])
    with mellite_server(source, send_timeout=PATIENCE) as server, connected(server.url) as client:
        client.sendall(request({**asked, "stream": recorded}, more=close))
        lost = select.poll()
        lost.register(client, 0)  # what comes is not looked for, only the end
        assert lost.poll(20_000)
        assert len(all_of(client)) < MOST
    assert [each.error for each in server.requests] == [DROPPED]


def test_a_slow_reader_gets_all() -> None:
    """An answer, and each part of it that is sent at once, may take much longer than the bound."""
    patience = 2.0  # more than a busy machine makes the reader wait between two of its looks
    answer = "many words " * 80_000
    settings = Settings(source=Scripted([answer]), send_timeout=patience)
    pause = threading.Event()
    with RunningServer(settings) as server, connected(server.url) as client:
        client.sendall(request({**ASKED, "stream": False}))
        data, pauses = b"", 0
        while not data.endswith(b"\r\n0\r\n\r\n"):
            piece = client.recv(65536)
            assert piece
            data += piece
            if len(data) // 100_000 > pauses:
                pauses += 1
                pause.wait(patience / 4)
        assert pauses >= 8
        assert data.count(b"words") > 79_900  # a few are cut by the ends of chunks
    assert [each.error for each in server.requests] == [""]


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"], ids=["IPv4", "over a socket of IPv6"])
def test_a_reader_of_a_byte_at_a_time(host: str) -> None:
    """A client that reads far less in that time than TCP tells of is not dropped, until it stops."""
    patience = 2.0
    pace = 1 if sys.platform == "linux" else 65536  # elsewhere the system tells no more than TCP does
    backend = Endless()
    pause = threading.Event()
    settings = Settings(source=backend, send_timeout=patience)
    with RunningServer(settings) as server, socket.create_connection((host, urlsplit(server.url).port)) as client:
        client.sendall(request(ASKED))
        for _ in range(20):
            assert client.recv(pace)
            pause.wait(patience / 8)
        assert not backend.ended.is_set()
        assert backend.ended.wait(20)
        all_of(client)
    assert [each.error for each in server.requests] == ["the client was dropped: it took nothing of its answer for 2 s"]
