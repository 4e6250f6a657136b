"""Servers that ask each other, or themselves by way of a proxy, end a request with an error that says so."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trustme

from tests.server.asking import raw
from tests.servers.running import free_port

ASKED: Final = b'{"model": "m", "stream": %b, "messages": [{"role": "user", "content": "Hi."}]}'

MOST_ROUNDS: Final = 5


@contextmanager
def serving(source: str | None, port: int, upstream: int, scheme: str = "http", **more: str) -> Iterator[str]:
    """A server in a process of its own whose provider is whoever listens on another port: its address."""
    own = {"OPENAI_BASE_URL": f"{scheme}://127.0.0.1:{upstream}/v1", "OPENAI_API_KEY": "sk-made-up", **more}
    command = [sys.executable, "-m", "mellite", "serve", *([source] if source else []), "--port", str(port)]
    quiet: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=os.environ | own, **quiet) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("source", [None, "openai-chat:gpt-4o-mini"])
def test_what_comes_back_by_way_of_another_server(source: str | None) -> None:
    """Two servers that ask each other end a request with an error that says so."""
    ports = free_port(), free_port()
    with serving(source, ports[0], ports[1]) as url, serving(source, ports[1], ports[0]):
        for stream in (b"false", b"true"):
            found = raw(url, "/v1/chat/completions", ASKED % stream)
            assert found.status == 400
            assert "has come back to this server by way of 1 more" in b"".join(found.pieces).decode()


@contextmanager
def proxy(upstream: str, dropped: str, authority: trustme.CA | None) -> Iterator[tuple[int, list[str]]]:
    """A proxy that drops a header: its port, and the paths that were asked through it; over TLS by an authority."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            if len(asked) > MOST_ROUNDS:
                self.send_error(508)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in (dropped, "host")}
            asking = HTTPConnection(urlsplit(upstream).netloc)
            asking.request("POST", self.path, body, {**headers, "connection": "close"})
            answer = asking.getresponse()
            data = answer.read()
            asking.close()
            self.send_response(answer.status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("dropped", "scheme", "source"),
    [("via", "http", None), ("via", "https", "openai-chat:gpt-4o-mini"), ("mellite-via", "https", None)],
)
def test_by_way_of_a_proxy(dropped: str, scheme: str, source: str | None, tmp_path: Path) -> None:
    """A server knows what it has passed on itself, whichever of its two marks a proxy drops, also over TLS."""
    own = free_port()
    authority = trustme.CA() if scheme == "https" else None
    trusted = tmp_path / "trusted.pem"
    if authority is not None:
        authority.cert_pem.write_to_path(str(trusted))
    more = {"SSL_CERT_FILE": str(trusted)} if authority is not None else {}
    with proxy(f"http://127.0.0.1:{own}", dropped, authority) as (port, asked):
        with serving(source, own, port, scheme, **more) as url:
            found = raw(url, "/v1/chat/completions", ASKED % b"false")
        assert found.status == 400
        assert "has come back to this server by way of a proxy" in b"".join(found.pieces).decode()
        assert len(asked) == 1
