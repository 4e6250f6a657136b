"""The server on the wire: who may ask, which paths there are, what is refused, and faults on purpose."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mellite.backends import Scripted
from mellite.errors import ConfigurationError
from mellite.server.running import RunningServer, Settings
from tests.server.asking import exchanged, raw

Server = Callable[..., RunningServer]

CHAT = "/v1/chat/completions"
HELLO = json.dumps({"model": "m", "messages": [{"role": "user", "content": "One two three."}], "stream": True}).encode()
GEMINI = b'{"contents": [{"parts": [{"text": "One two."}]}]}'
CONVERSE = b'{"messages": [{"role": "user", "content": [{"text": "One two."}]}]}'
WHOLE = HELLO.replace(b"true", b"false")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that echoes."""
    with RunningServer(Settings(source="fake:echo", hosts=("box.example",))) as running:
        yield running


def asked(server: RunningServer, host: str, *more: str) -> int:
    """The status for a request that names a host."""
    head = "".join([f"{line}\r\n" for line in (f"POST {CHAT} HTTP/1.1", host, f"content-length: {len(WHOLE)}", *more)])
    return exchanged(server.url, head.encode() + b"\r\n" + WHOLE).status


def test_only_this_machine_may_ask(server: RunningServer) -> None:
    """A request under another name, or from a page of another origin, is refused; so is a page without an origin."""
    port = urlsplit(server.url).port
    own = f"host: 127.0.0.1:{port}"
    assert asked(server, own) == 200
    assert asked(server, f"host: localhost:{port}") == 200
    assert asked(server, f"host: LOCALHOST.:{port}") == 200
    assert asked(server, f"host: [::1]:{port}") == 200
    assert asked(server, "host: box.example") == 200
    assert asked(server, f"host: evil.example:{port}") == 403
    assert asked(server, "host: 127.0.0.1.evil.example") == 403
    assert asked(server, "host: evil.example@127.0.0.1") == 403
    assert asked(server, "host: ") == 403
    assert asked(server, own, "origin: https://evil.example") == 403
    assert asked(server, own, "origin: null") == 403
    assert asked(server, own, f"origin: http://localhost:{(port or 0) + 1}") == 403
    assert asked(server, own, f"origin: http://127.0.0.1:{port}") == 200
    assert asked(server, own, "origin: http://box.example:3000") == 200
    assert asked(server, own, "sec-fetch-mode: cors") == 200


def test_the_page_of_an_allowed_origin(server: RunningServer, mellite_server: Server, tmp_path: Path) -> None:
    """A browser asks first what a page may send, and hands it each answer that names its origin; others get none."""
    page = "origin: http://box.example:3000\r\n"
    asks = "access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n"
    found = raw(server.url, CHAT, method="OPTIONS", headers=f"{page}{asks}")
    assert found.status == 200
    for line in ("allow-origin: http://box.example:3000", "allow-methods: post", "allow-headers: authorization"):
        assert f"access-control-{line}" in found.head
    recording = mellite_server("fake:echo", record=tmp_path / "calls.json", even_in_ci=True)
    assert raw(recording.url, CHAT, WHOLE).status == 200
    recording.stop()
    replaying = mellite_server(tmp_path / "calls.json", hosts=("box.example",))
    for url, body in ((server.url, HELLO), (server.url, WHOLE), (server.url, b"{"), (replaying.url, WHOLE)):
        assert "access-control-allow-origin: http://box.example:3000" in raw(url, CHAT, body, headers=page).head
        assert "access-control" not in raw(url, CHAT, body).head
    other = raw(server.url, CHAT, method="OPTIONS", headers=f"origin: https://evil.example\r\n{asks}")
    assert (other.status, "access-control" in other.head) == (403, False)
    assert "access-control" not in raw(server.url, CHAT, HELLO, headers="origin: https://evil.example\r\n").head


def test_it_listens_on_loopback_only(server: RunningServer) -> None:
    """No other interface of the machine has the port."""
    parts = urlsplit(server.url)
    assert parts.hostname == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert sock.connect_ex(("127.0.0.2", parts.port or 0)) != 0


def test_an_answer_is_chunked(server: RunningServer) -> None:
    """Each piece is a chunk, whole answers too; a client of HTTP/1.0 gets none."""
    found = raw(server.url, CHAT, HELLO)
    assert "transfer-encoding: chunked" in found.head
    assert len(found.pieces) > 3
    assert "transfer-encoding: chunked" in raw(server.url, CHAT, WHOLE).head
    older = raw(server.url, CHAT, HELLO, version="1.0")
    assert b"".join(older.pieces).endswith(b"data: [DONE]\n\n")
    older = raw(server.url, CHAT, WHOLE, version="1.0")
    assert "transfer-encoding" not in older.head
    assert json.loads(b"".join(older.pieces))["choices"][0]["message"]["content"] == "One two three."


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        "/any/prefix/v1/responses",
        "/v1/messages",
        "/anthropic/v1/messages?beta=true",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
        "/model/us.amazon.nova-micro-v1%3A0/converse",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
        "/v2/chat",
        "/api/chat",
    ],
)
def test_paths(server: RunningServer, path: str) -> None:
    """All forms of path are understood, with anything before them."""
    said: Any = [{"text": "One."}] if "/model/" in path else "One."
    body: dict[str, Any] = {"messages": [{"role": "user", "content": said}]}
    if ":generate" in path:
        body = {"contents": [{"parts": [{"text": "One."}]}]}
    elif "/model/" not in path:
        body |= {"model": "m", "input": "One.", "stream": False}
    found = raw(server.url, path, json.dumps(body).encode())
    assert found.status == 200
    assert b"One." in b"".join(found.pieces)


def test_what_is_no_call(server: RunningServer) -> None:
    """Other paths and methods, and upgrades, have the answers that clients look for."""
    assert raw(server.url, "/", method="HEAD").status == 200
    assert raw(server.url, "/v1/weather", b"{}").status == 404
    assert raw(server.url, "/../../etc/passwd", method="GET").status == 404
    assert raw(server.url, "/v1/models", method="GET").status == 200
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        found = raw(server.url, CHAT, WHOLE, method=method)
        assert (found.status, "allow: post" in found.head) == (405, True), method
    upgrade = "connection: Upgrade\r\nupgrade: h2c\r\n"
    found = raw(server.url, CHAT, WHOLE, headers=upgrade)
    assert found.status == 426
    assert raw(server.url, CHAT, method="OPTIONS", headers="origin: https://evil.example\r\n").status == 403


def test_how_many_tokens(server: RunningServer, mellite_server: Server, tmp_path: Path) -> None:
    """Clients of OpenAI, Claude and Gemini may ask how long a prompt is, also of a cassette, which counts anew."""
    body = b'{"model": "m", "input": "How long is this?"}'
    file = tmp_path / "calls.json"
    recording = mellite_server("fake:echo", record=file, even_in_ci=True)
    assert raw(recording.url, CHAT, WHOLE).status == 200
    recording.stop()
    answers = [raw(each.url, "/v1/responses/input_tokens", body) for each in (server, mellite_server(file))]
    first, second = [json.loads(b"".join(each.pieces))["input_tokens"] for each in answers]
    assert 4 <= first <= 15
    assert first == second
    body = b'{"model": "m", "messages": [{"role": "user", "content": "How long is this?"}]}'
    found = json.loads(b"".join(raw(server.url, "/v1/messages/count_tokens?beta=true", body).pieces))
    assert 4 <= found["input_tokens"] <= 15
    found = json.loads(b"".join(raw(server.url, "/v1beta/models/m:countTokens", GEMINI).pieces))
    assert 1 <= found["totalTokens"] <= 10
    assert raw(server.url, "/v1/messages/count_tokens", b"{").status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"messages": 1}', b"[" * 100_000])
def test_what_is_no_request(server: RunningServer, body: bytes) -> None:
    """A body that cannot be read is a 400 in the words of the vendor."""
    lenient = ["/v1/responses", "/v1beta/models/m:generateContent"] if body != b'{"messages": 1}' else []
    for path in (CHAT, "/v1/messages", "/model/m/converse", "/v2/chat", *lenient):
        found = raw(server.url, path, body)
        assert found.status == 400, path
        assert json.loads(b"".join(found.pieces))


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(WHOLE), 200),
        ("deflate", zlib.compress(WHOLE), 200),
        ("identity", WHOLE, 200),
        ("gzip", gzip.compress(WHOLE)[:-9], 400),
        ("gzip", WHOLE, 400),
        ("br", b"xxxx", 400),
        ("compress", WHOLE, 415),
        ("gzip, gzip", WHOLE, 415),
        ("gzip", gzip.compress(b" " * 70_000_000, 1), 413),
    ],
    ids=["gzip", "deflate", "as it is", "cut", "no gzip", "no brotli", "unknown", "twice", "too large"],
)
def test_compressed_bodies(server: RunningServer, encoding: str, body: bytes, status: int) -> None:
    """A body may be compressed; one that is not what it claims, or not understood, is refused in the vendor's words."""
    found = raw(server.url, CHAT, body, headers=f"content-encoding: {encoding}\r\n")
    assert found.status == status
    answer = json.loads(b"".join(found.pieces))
    assert "body" in answer["error"]["message"] if status != 200 else answer["choices"]


def test_a_compressed_body_is_recorded_as_it_is_meant(mellite_server: Server, tmp_path: Path) -> None:
    """What one client has compressed, another one that has not is answered."""
    file = tmp_path / "calls.json"
    server = mellite_server("fake:echo", record=file, even_in_ci=True)
    assert raw(server.url, CHAT, gzip.compress(WHOLE), headers="content-encoding: gzip\r\n").status == 200
    server.stop()
    assert "One two three." in file.read_text()
    assert raw(mellite_server(file).url, CHAT, WHOLE).status == 200


def test_a_fault_of_what_answers(mellite_server: Server) -> None:
    """Whatever goes wrong in a transport of somebody's own, the client gets an answer that says so."""

    class Broken:
        async def open(self, request: Any, *, timeout: float | None = None) -> Any:
            raise RuntimeError("it fell over")

    server = mellite_server(Broken())
    found = raw(server.url, CHAT, WHOLE)
    assert found.status == 500
    assert "RuntimeError: it fell over" in json.loads(b"".join(found.pieces))["error"]["message"]
    assert [(request.status, request.error) for request in server.requests] == [(500, "RuntimeError: it fell over")]


def test_a_large_conversation(server: RunningServer) -> None:
    """Megabytes go in and come out."""
    text = "word " * 1_000_000
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    answer = json.loads(b"".join(raw(server.url, CHAT, body).pieces))
    assert answer["choices"][0]["message"]["content"] == text


def test_many_at_once(server: RunningServer) -> None:
    """A hundred clients at once get what each asked for."""

    def ask(number: int) -> bool:
        body = WHOLE.replace(b"three", str(number).encode())
        return f"One two {number}." in b"".join(raw(server.url, CHAT, body).pieces).decode()

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(ask, range(300)))


def test_a_client_that_says_it_is_done_sending(server: RunningServer) -> None:
    """A broken request, and one that never ends, leave the server as it was."""
    parts = urlsplit(server.url)
    for data in (b"\x16\x03\x01\x02\x00", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", b"GET\r\n\r\n"):
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            while sock.recv(4096):
                pass
    assert raw(server.url, CHAT, WHOLE).status == 200


# Faults on purpose


def test_statuses_by_a_seed(mellite_server: Server) -> None:
    """As many requests as asked are refused, the same ones again with the same seed."""
    drawn = []
    for _ in range(2):
        server = mellite_server("fake:echo", faults=["429:0.3", "503:0.2"], seed=7)
        drawn.append([raw(server.url, CHAT, WHOLE).status for _ in range(100)])
    assert drawn[0] == drawn[1]
    counts = Counter(drawn[0])
    assert 15 <= counts[429] <= 45
    assert 5 <= counts[503] <= 30


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        (CHAT, HELLO, b'finish_reason":"stop'),
        ("/v1/messages", HELLO, b"message_stop"),
        ("/v1/responses", b'{"model": "m", "input": "One two three.", "stream": true}', b"response.completed"),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            GEMINI,
            b"STOP",
        ),
        (
            "/model/m/converse-stream",
            CONVERSE,
            b"messageStop",
        ),
        ("/v2/chat", HELLO, b"message-end"),
        ("/api/chat", HELLO, b'"done":true'),
    ],
)
def test_cut(mellite_server: Server, path: str, body: bytes, last: bytes) -> None:
    """A stream that is cut has a clean end, and not the event that tells of it."""
    whole = raw(mellite_server("fake:echo").url, path, body)
    found = raw(mellite_server("fake:echo", faults=["cut:1"]).url, path, body)
    assert found.ended
    assert last in b"".join(whole.pieces)
    assert last not in b"".join(found.pieces)
    assert b"two" in b"".join(found.pieces)


def sent(url: str, body: bytes) -> tuple[bytes, type[Exception] | None]:
    """Ask, and read until nothing more comes; and how that ended."""
    parts = urlsplit(url)
    data = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        sock.settimeout(0.3)
        try:
            while piece := sock.recv(4096):
                data += piece
        except OSError as error:
            return data, type(error)
    return data, None


@pytest.mark.parametrize("body", [HELLO, WHOLE])
def test_reset_and_stall(mellite_server: Server, body: bytes) -> None:
    """A reset breaks the connection in the middle; a stall sends nothing more."""
    data, how = sent(mellite_server("fake:echo", faults=["reset:1"]).url, body)
    assert how is ConnectionResetError
    assert not data.endswith(b"\r\n0\r\n\r\n")
    data, how = sent(mellite_server("fake:echo", faults=["stall:1"]).url, body)
    assert how is TimeoutError
    assert data.startswith(b"HTTP/1.1 200")
    assert not data.endswith(b"\r\n0\r\n\r\n")


def test_a_broken_recording_breaks_again(mellite_server: Server) -> None:
    """A backend that breaks off ends the stream with an error, and no end of the answer."""
    server = mellite_server(Scripted([["Once ", "upon", ConnectionResetError("gone")]]))
    found = raw(server.url, CHAT, HELLO)
    assert b"upon" in b"".join(found.pieces)
    assert b"[DONE]" not in b"".join(found.pieces)


@pytest.mark.parametrize("fault", ["429", "429:2", "bend:0.1", "999:1", "cut:x", ":1"])
def test_a_fault_that_is_none(mellite_server: Server, fault: str) -> None:
    """What is not a fault is refused at the start."""
    with pytest.raises(ConfigurationError, match="KIND:RATE"):
        mellite_server("fake:echo", faults=[fault])
