#!/usr/bin/env bash
# A forked child that closes an aiohttp session of its parent makes the parent deaf on that connection.
#
# asyncio's epoll object is shared with the child. Closing the session there takes the connection's descriptor out of
# it, for both processes: the parent's request on the same connection is answered by the server, and never seen.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "aiohttp==3.14.5"

cat > "$folder/program.py" <<'PYTHON'
import asyncio, os, sys, threading, warnings
import aiohttp
from aiohttp import web

warnings.simplefilter("ignore")


def serve(port):
    async def answer(request):
        return web.Response(text="hi")

    async def main():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.append(site._server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.sleep(3600)

    asyncio.run(main())


async def ask(session, url):
    async with session.get(url) as response:
        return await response.text()


async def client(child):
    url = f"http://127.0.0.1:{port[0]}/"
    async with aiohttp.ClientSession() as session:
        assert await ask(session, url) == "hi"
        pid = os.fork()
        if pid == 0:
            child(session)
            os._exit(0)
        os.waitpid(pid, 0)
        try:
            return await asyncio.wait_for(ask(session, url), 3)
        except TimeoutError:
            return "no answer within 3 s"


def leave_alone(session):
    pass


def close(session):
    asyncio._set_running_loop(session._loop)
    for _ in session.close().__await__():
        break


port, ready = [], threading.Event()
threading.Thread(target=serve, args=(port,), daemon=True).start()
ready.wait()
print("aiohttp", aiohttp.__version__, "on Python", sys.version.split()[0])
print("child leaves the session alone:", asyncio.run(client(leave_alone)))
print("child closes the session:      ", asyncio.run(client(close)))
sys.stdout.flush()
os._exit(0)
PYTHON

said=$(timeout 60 "$folder/venv/bin/python" "$folder/program.py")
echo "$said"
grep -q "leaves the session alone: hi" <<< "$said"
grep -q "closes the session: *no answer" <<< "$said"
