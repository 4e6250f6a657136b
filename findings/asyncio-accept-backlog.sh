#!/usr/bin/env bash
# asyncio's `backlog=` is not only the queue of the kernel: so many connections are accepted in one turn of the loop, and
# when this process has no file left, each of them fails and is reported, one after the other. With `backlog=4096` one
# connection too many writes 4,096 tracebacks, and again each second, for as long as it waits: 27 MB in 20 s, in which
# a server does little else. A small backlog, and `listen()` called once more on the socket, keep the queue long.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import asyncio
import platform
import resource
import socket


async def reports(backlog):
    """How often one failed accept is reported."""
    told = 0

    def handler(loop, context):
        nonlocal told
        told += "out of system resource" in context["message"]

    asyncio.get_running_loop().set_exception_handler(handler)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, backlog=backlog)
    port = server.sockets[0].getsockname()[1]
    clients = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (used.fileno() + 3, hard[1]))  # for a client, its other side, one more
    for _ in range(2):
        try:
            clients.append(socket.create_connection(("127.0.0.1", port)))
        except OSError:
            break
    await asyncio.sleep(0.2)
    resource.setrlimit(resource.RLIMIT_NOFILE, hard)
    for each in (*clients, used):
        each.close()
    server.close()
    return told


for backlog in (4096, 100, 4):
    told = asyncio.run(reports(backlog))
    print(f"asyncio of Python {platform.python_version()}, backlog={backlog}: {told} reports of one failure")
    assert told == backlog, "a failed accept ends the turn now"
PYTHON
python3 seen.py
