#!/usr/bin/env bash
# asyncio's `create_connection(..., happy_eyeballs_delay=...)`: a call that is cancelled in the turn in which an address
# has connected leaves the connected socket open, to be collected some time with a ResourceWarning; `asyncio.timeout`
# around it does so now and then. One address is enough. And an address that is refused by anything but an OSError
# (a guard of the network in tests) ends as an IndexError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import asyncio
import gc
import platform
import socket
import warnings

lost = []
warnings.simplefilter("always", ResourceWarning)
warnings.showwarning = lambda message, *rest, **more: lost.append(str(message))


class Guarded(asyncio.SelectorEventLoop):
    async def sock_connect(self, sock, address):
        raise RuntimeError("no network here")


async def connect(port, **options):
    loop = asyncio.get_running_loop()
    return await loop.create_connection(asyncio.Protocol, "localhost", port, **options)


async def cancelled(**options):
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        for number in range(120):
            task = asyncio.ensure_future(connect(server.getsockname()[1], **options))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            task.cancel()
            try:
                (await task)[0].abort()
            except asyncio.CancelledError:
                pass
        await asyncio.sleep(0.01)
    gc.collect()
    return len(lost)


async def every_turn(**options):
    """Cancel at every turn after the name was looked up: the look-up is done at once here."""
    loop = asyncio.get_running_loop()

    async def getaddrinfo(host, port, **hints):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    loop.getaddrinfo = getaddrinfo
    lost.clear()
    return await cancelled(**options)


async def guarded():
    try:
        await connect(9, happy_eyeballs_delay=0.25)
    except BaseException as error:
        return type(error).__name__


print("Python", platform.python_version())
plain, eyeballs = asyncio.run(every_turn()), asyncio.run(every_turn(happy_eyeballs_delay=0.25))
print("sockets lost in 120 cancelled calls: one address after the other", plain, "happy eyeballs", eyeballs)
with asyncio.Runner(loop_factory=Guarded) as runner:
    seen = runner.run(guarded())
print("a RuntimeError of a guard becomes", seen)
assert plain == 0, "sockets are lost without happy eyeballs, too"
assert eyeballs > 0, "happy eyeballs lose no socket any more"
assert seen == "IndexError", "a guard's error comes through"
PYTHON
python3 seen.py
