"""A made-up OpenAI and Anthropic for the examples, in a process of its own: python -m tests.examples.provider NAME.

A program that is told HTTPS_PROXY and SSL_CERT_FILE asks it as it would ask the real ones: the URLs stay, TLS is
spoken, answers stream in the vendor's own format. What it says stands in `tests/examples/answers.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from functools import partial
from pathlib import Path

import trustme

from mellite import Request
from mellite.backends import Scripted
from mellite.server.running import RunningServer, Settings
from tests.examples.answers import ANSWERS, DELAYS, Answer
from tests.pages import ROOT

HOSTS = ("api.openai.com", "api.anthropic.com")


@contextlib.contextmanager
def providing(name: str) -> Generator[dict[str, str]]:
    """Run the provider of an example in its own process, and give the variables that lead a program to it."""
    command = [sys.executable, "-m", "tests.examples.provider", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def tunnel(client: socket.socket, tls: ssl.SSLContext, port: int) -> None:
    """Serve one connection: take CONNECT, speak TLS as the host that was asked for, and pass all on to the server."""
    with client, contextlib.suppress(ssl.SSLError, OSError):  # a client may leave at any moment
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += client.recv(1)
        assert asked.startswith(b"CONNECT ")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with (
            tls.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            back = threading.Thread(target=copied, args=(server, inside), daemon=True)
            back.start()
            copied(inside, server)
            back.join()


def copied(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until the source ends, then end both: whoever leaves is seen on the other side."""
    with contextlib.suppress(ssl.SSLError, OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def answer(name: str, request: Request) -> Answer:
    """Return what an example's provider says; text in pieces of a few words, which keeps cassettes small."""
    said = ANSWERS[name](request)
    return re.findall(r"(?:\S+\s*){1,4}", said) if isinstance(said, str) else said


def serve(name: str) -> None:
    """Answer the requests of one example until stdin ends."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(tls)
    backend = Scripted([partial(answer, name)] * 1000, delay=DELAYS.get(name, 0))
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningServer(Settings(source=backend, hosts=HOSTS)) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        trusted = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        port = int(server.url.rpartition(":")[2])
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        keys = {"OPENAI_API_KEY": "made-up", "ANTHROPIC_API_KEY": "made-up"}
        print(json.dumps({"HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(trusted), **keys}), flush=True)

        def accept() -> None:
            while True:
                client, _ = listener.accept()
                threading.Thread(target=tunnel, args=(client, tls, port), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
