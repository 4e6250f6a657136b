"""A proxy for HTTP in a process of its own: CONNECT and whole URLs, with or without credentials; it keeps a list.

with proxying(credentials="me:secret") as proxy:
...                     # send requests over proxy.url
proxy.asked()           # [("CONNECT", "example.com:443"), ...]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Proxy", "proxying"]


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        port: where it listens, on 127.0.0.1.
        url: how it is named to a client, with credentials where it wants some.
    """

    port: int
    url: str
    _process: subprocess.Popen[str] = field(repr=False)

    def asked(self) -> list[tuple[str, str]]:
        """Method and target of every request that it let through, in order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("asked", file=self._process.stdin, flush=True)
        return [(method, target) for method, target in json.loads(self._process.stdout.readline())]


@contextlib.contextmanager
def proxying(credentials: str = "", status: int = 200) -> Iterator[Proxy]:
    """Run a proxy until the block ends.

    Args:
        credentials: ``user:password`` that it wants to see.
        status: what it answers to CONNECT, once it is content with the credentials.
    """
    command = [sys.executable, __file__, credentials, str(status)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        at = f"{credentials}@" if credentials else ""
        yield Proxy(port, f"http://{at}127.0.0.1:{port}", process)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


# --- in the process of its own --------------------------------------------------------------------

ASKED: list[tuple[str, str]] = []


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        writer.close()
        return
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    wanted = f"basic {base64.b64encode(sys.argv[1].encode()).decode()}".lower()
    if sys.argv[1] and headers.get("proxy-authorization") != wanted:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        return
    ASKED.append((method, target))
    if method == "CONNECT":
        status = int(sys.argv[2])
        writer.write(b"HTTP/1.1 %d X\r\n\r\n" % status)
        if status != 200:
            writer.close()
            return
        host, _, port = target.rpartition(":")
        there, to = await asyncio.open_connection(host.strip("[]"), int(port))
    else:
        host, _, path = target.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        there, to = await asyncio.open_connection(name, int(port or 80))
        kept = [line for line in lines if line and not line.lower().startswith("proxy-")]
        to.write("\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "", ""]).encode("latin-1"))
    await asyncio.gather(_pass_on(reader, to), _pass_on(there, writer))


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(ASKED), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
