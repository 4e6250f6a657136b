"""Ask a server as mellite's own backends do, and over a bare socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import mellite
from mellite.server.running import RunningServer

#: A backend for each protocol -> what stands behind the server's address in its base URL.
BASES = {
    "openai-chat:gpt-4o-mini": "/v1",
    "openai:gpt-4o-mini": "/v1",
    "anthropic:claude-sonnet-4-5": "/v1",
    "google:gemini-2.5-flash": "/v1beta",
    "bedrock:us.amazon.nova-micro-v1:0": "",
    "cohere:command-a-03-2025": "/v2",
}
SPECS = tuple(BASES)


@asynccontextmanager
async def served_backend(server: RunningServer, spec: str) -> AsyncIterator[mellite.Backend]:
    """A backend of mellite's that asks the server."""
    base = BASES.get(spec, "/v1")
    backend = mellite.backend(spec, api_key="sk-test", base_url=f"{server.url}{base}", retries=0)
    async with backend:
        yield backend


class Raw(NamedTuple):
    """An answer as it came over the socket."""

    status: int
    head: str
    pieces: list[bytes]
    ended: bool
    """Whether the body has its end."""


def raw(
    url: str, path: str, body: bytes = b"", *, method: str = "POST", headers: str = "", version: str = "1.1"
) -> Raw:
    """Ask over a socket; the pieces are the chunks of the body."""
    parts = urlsplit(url)
    head = f"{method} {path} HTTP/{version}\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return exchanged(url, head.encode() + body)


def exchanged(url: str, data: bytes) -> Raw:
    """Send bytes, and read one answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as sock:
        sock.sendall(data)
        with sock.makefile("rb") as file:
            status = int(file.readline().split()[1])
            lines = []
            while (line := file.readline().decode().strip()) != "":
                lines.append(line.lower())
            told = dict([line.split(": ", 1) for line in lines])
            if data.startswith(b"HEAD "):
                return Raw(status, "\n".join(lines), [], ended=True)
            if told.get("transfer-encoding") != "chunked":
                data = file.read(int(told["content-length"])) if "content-length" in told else file.read()
                return Raw(status, "\n".join(lines), [data] if data else [], ended=True)
            pieces: list[bytes] = []
            while True:
                size = file.readline()
                if not size.endswith(b"\r\n"):
                    return Raw(status, "\n".join(lines), pieces, ended=False)
                piece = file.read(int(size, 16) + 2)[:-2]
                if not piece:
                    return Raw(status, "\n".join(lines), pieces, ended=True)
                pieces.append(piece)
