#!/usr/bin/env bash
# uvloop up to 0.22.1: a `create_connection(sock=...)` that is cancelled closes the file, and leaves its number to the
# socket object, which closes it once more when it is dropped: by then it may be another connection's. 0.23.0 detaches
# the socket. https://github.com/MagicStack/uvloop/pull/740
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import asyncio
import os
import platform
import socket

import uvloop


async def main():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected = socket.create_connection(server.getsockname())
        connected.setblocking(False)
        number = connected.fileno()
        task = loop.create_task(loop.create_connection(asyncio.Protocol, sock=connected))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.01)
        names = connected.fileno()
        connected = None if names == -1 else connected
        other = os.open(os.devnull, os.O_RDONLY)
        assert other == number, "the number was not free again"
        if connected is not None:
            connected.close()
        try:
            os.fstat(other)
        except OSError:
            return "another file was closed"
        return "the other file is open"


print("Python", platform.python_version(), "uvloop", uvloop.__version__, "->", uvloop.run(main()))
PYTHON
for version in 0.22.1 0.23.0; do
    python3 -m venv "$version"
    "$version"/bin/pip install -q "uvloop==$version"
    "$version"/bin/python seen.py | tee "$version.txt"
done
grep -q "another file was closed" 0.22.1.txt
grep -q "the other file is open" 0.23.0.txt
