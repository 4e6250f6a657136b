"""Clients of the viewer that stop in the middle of a request, or of an answer, are dropped: by a real server."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.cli.programs import ROOT, cassette, surroundings
from tests.viewer.viewing import got

PROGRAM: Final = """
import asyncio, sys
from mellite.viewer.http_server import ViewServer
from mellite.viewer.sources import source_at

async def main(source):
    print(await ViewServer(source, request_seconds=0.4, send_seconds=0.4).start(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(source_at(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer with little patience, of a call of 2 MB: its address."""
    path = cassette(tmp_path_factory.mktemp("viewed") / "long.json", "Say much.", ["much " * 400_000])
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=surroundings(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
            assert process.stderr.read() == ""


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A client over a socket."""
    parts = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20)
        client.connect((parts.hostname or "", parts.port or 0))
        yield client


def head(url: str, path: str) -> bytes:
    """The head of a request, without its end."""
    parts = urlsplit(url)
    return f"GET {parts.path}{path} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()


def test_half_a_request(url: str) -> None:
    """It gets 408, also as the second one of its connection; others are answered meanwhile."""
    with connected(url) as first, connected(url) as second:
        first.sendall(head(url, "api/source")[:-20])
        second.sendall(head(url, "api/source") + b"\r\n")
        assert second.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        second.sendall(head(url, "api/source"))
        assert got(url).status == 200
        answers = []
        for client in (first, second):
            with client.makefile("rb") as file:
                answers.append(file.read())
    for answer in answers:
        last, _, body = answer[answer.index(b"HTTP/1.1 408 ") :].partition(b"\r\n\r\n")
        assert b"connection: close" in last
        assert json.loads(body) == {"error": "the head of the request was not there after 0.4 s"}


def test_what_is_no_request(url: str) -> None:
    """It is answered with 400, and nobody else has to be told: see the end of the fixture."""
    for data in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with connected(url) as client:
            client.sendall(data)
            assert client.recv(12)[8:] == b" 400"


def test_a_client_that_stops_reading(url: str) -> None:
    """A call of megabytes does not wait for ever for somebody who reads nothing of it."""
    with connected(url) as client:
        client.sendall(head(url, "api/calls/0") + b"\r\n")
        lost = select.poll()
        lost.register(client, 0)  # what comes is not looked for, only the end
        assert lost.poll(20_000)
    assert len(got(f"{url}api/calls/0").body) > 2_000_000


def test_events_stay_open(url: str) -> None:
    """A stream of events on which nothing happens is neither a half request nor an answer that nobody reads."""
    with connected(url) as client:
        client.sendall(head(url, "api/events") + b"\r\n")
        data = b""
        while b"event: ready" not in data:
            data += client.recv(65536)
        client.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
