"""Recorded answers leave in one go, with a head of their own, and large ones are in memory once for all readers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from mellite.server.running import RunningServer
from tests.server.asking import exchanged, raw

Server = Callable[..., RunningServer]

CHAT = "/v1/chat/completions"
URL = f"https://api.openai.com{CHAT}"
DATE = "Tue, 01 Dec 2026 00:00:00 GMT"


def cassette(body: str, status: int = 200, **headers: str) -> Cassette:
    """One answer to an empty object."""
    request = RecordedRequest("POST", URL, headers={}, body=Body("{}"))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Cassette((HttpInteraction(request, RecordedResponse(status, headers=named, body=Body(body))),))


def head(server: RunningServer, *lines: str) -> dict[str, str]:
    """The headers of an answer to a request with more lines."""
    found = raw(server.url, CHAT, b"{}", headers="".join([f"{line}\r\n" for line in lines]))
    assert b"".join(found.pieces) == b'{"a": 1}'
    return dict([line.split(": ", 1) for line in found.head.splitlines()])


def test_the_head_of_an_answer(mellite_server: Server) -> None:
    """A date and a type are added unless they are recorded; a client that wants to go is let go."""
    plain = head(mellite_server(cassette('{"a": 1}')))
    assert plain["content-type"] == "application/octet-stream"
    assert plain["date"].endswith(" gmt")
    assert "connection" not in plain
    server = mellite_server(cassette('{"a": 1}', date=DATE, content_type="application/json", content_length="8"))
    for _ in range(2):  # the second one is remembered
        kept = head(server, "connection: close")
        assert (kept["date"], kept["content-type"]) == (DATE.lower(), "application/json")
        assert (kept["connection"], kept["transfer-encoding"]) == ("close", "chunked")
        assert "content-length" not in kept
    assert "connection" not in head(server)


def test_a_header_with_a_line_break(mellite_server: Server) -> None:
    """Such a recorded header splits no answer in two."""
    server = mellite_server(cassette('{"a": 1}', x_note="a\r\nx-more: b"))
    found = raw(server.url, CHAT, b"{}")
    assert "x-more" not in found.head.replace("x-note: a", "")
    assert found.status == 500


@pytest.mark.parametrize("status", [204, 304])
def test_no_body(mellite_server: Server, status: int) -> None:
    """An answer without a body has no chunks, and the next one on the connection is understood."""
    server = mellite_server(cassette("", status))
    asked = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{{}}"
    last = asked.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10) as sock:
        sock.sendall(f"{asked}{last}".encode())
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.count(f"HTTP/1.1 {status} ".encode()) == 2
    assert data.endswith(b"\r\n\r\n")
    assert b"chunked" not in data


def test_a_client_that_asks_and_does_not_read(mellite_server: Server) -> None:
    """Answers wait until the one before is taken; then all of them come."""
    server = mellite_server(cassette("x" * 200_000))
    asked = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10) as sock:
        sock.sendall(asked * 200)
        for _ in range(100):  # others are not held up
            assert raw(server.url, CHAT, b"{}").status == 200
        assert len(server.requests) < 200
        with sock.makefile("rb") as file:
            for _ in range(200):
                while file.readline() != b"\r\n":
                    pass
                assert file.readline() == b"30d40\r\n"
                assert file.read(200_002 + 5)[-7:] == b"\r\n0\r\n\r\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A server in a process of its own that answers with 12 MB: its address and its process."""
    request = {"method": "POST", "url": URL, "headers": {}, "body": "{}"}
    response = {"status": 200, "headers": {}, "body": "x" * 12_000_000}
    found = {"version": 1, "interactions": [{"transport": "http", "request": request, "response": response}]}
    (tmp_path / "large.json").write_text(json.dumps(found))
    command = [sys.executable, "-m", "mellite", "serve", str(tmp_path / "large.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.kill()


def most(process: int) -> int:
    """The most memory that a process has had, in megabytes; 0 where the system does not tell."""
    told = Path(f"/proc/{process}/status")
    lines = told.read_text().splitlines() if told.exists() else ["VmHWM: 0"]
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1000


def test_slow_readers_share_a_body(served: tuple[str, int]) -> None:
    """Twelve who read slowly have the answer in memory once."""
    url, process = served
    parts = urlsplit(url)
    asked = f"POST {CHAT} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    assert len(b"".join(raw(url, CHAT, b"{}").pieces)) == 12_000_000
    before = most(process)
    with ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", parts.port or 0), timeout=10)) for _ in range(12)
        ]
        for sock in socks:
            sock.sendall(asked)
        for sock in socks:
            assert sock.recv(64).startswith(b"HTTP/1.1 200")
        assert len(b"".join(exchanged(url, asked).pieces)) == 12_000_000
        assert most(process) - before < 60
