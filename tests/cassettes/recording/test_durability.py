"""What a recorded call survives: a killed process always, a power cut where each call waits for the disk."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from mellite.cassettes import load_cassette, use
from mellite.errors import ConfigurationError
from tests.wire.server import LAST, Server, Step, answer, head, piece, send, serve

CHILD = """
import sys
import anyio
import mellite

async def main(url, path, loop, durability, stream):
    with mellite.cassettes.use(path, mode="all", durability=durability, environment={}) as transport:
        backend = mellite.backend("openai-chat:m-1", api_key="x", base_url=url, transport=transport)
        while True:
            await backend.generate("Say hello.", stream=stream == "stream")
            print("done", flush=True)

anyio.run(main, *sys.argv[1:], backend=sys.argv[3])
"""

_UNARY = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}'
_CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": %s}]}\n\n'
_STREAM = b"".join([*[_CHUNK % b"null"] * 300, _CHUNK % b'"stop"', b"data: [DONE]\n\n"])

UNARY = _UNARY, answer(_UNARY, headers={"content-type": "application/json"})
"""An answer that is stored in the event loop, and what the server does."""

STREAM = _STREAM, [head(headers={"content-type": "text/event-stream"}), piece(_STREAM), LAST]
"""One that is stored in a thread."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "loop", "durability"),
    [
        ("unary", "asyncio", "process"),
        ("stream", "trio", "power"),
        *[
            pytest.param(*each, marks=pytest.mark.slow)
            for each in product(("unary", "stream"), ("asyncio", "trio"), ("process", "power"))
            if each not in (("unary", "asyncio", "process"), ("stream", "trio", "power"))
        ],
    ],
)
def test_a_killed_process_leaves_what_was_done(
    server: Server, tmp_path: Path, kind: str, loop: str, durability: str
) -> None:
    """Each call that was done is there whole, and the one that was under way is not; also a short one in one piece."""
    body, steps = STREAM if kind == "stream" else UNARY
    path = tmp_path / "case.json"
    command = [sys.executable, "-c", CHILD, server.script(*steps).url, str(path), loop, durability, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "CI": ""}) as child:
        assert child.stdout is not None
        done = [child.stdout.readline() for _ in range(3)]
        child.send_signal(signal.SIGKILL)
        done += child.stdout.read().splitlines(keepends=True)
    assert set(done) == {b"done\n"}
    assert sorted(os.listdir(tmp_path)) == ["case.json.journal"]
    stored = load_cassette(path).http
    assert len(stored) in (len(done), len(done) + 1)
    assert {one.response.body.data for one in stored} == {body}
    assert {one.extra["mellite"]["end"] for one in stored} == {"complete"}


HAS_ALL = """
import sys
import anyio
from mellite.cassettes import use
from mellite.wire.http import HttpRequest

async def main(url, path, size, loop, durability):
    with use(path, mode="all", durability=durability, environment={}) as transport:
        response = await transport.open(HttpRequest("GET", url))
        got = 0
        while got < int(size):
            got += len(await response.read())
        print("done", flush=True)  # all of it is here, and nobody has asked for the end
        await anyio.sleep_forever()

anyio.run(main, *sys.argv[1:], backend=sys.argv[4])
"""

ONE_PACKET = [send(b"".join([base64.b64decode(step[1]) for step in STREAM[1]]))]


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", [UNARY, (STREAM[0], ONE_PACKET)], ids=["unary", "stream"])
def test_who_has_the_last_byte_needs_no_end(
    server: Server, tmp_path: Path, kind: tuple[bytes, list[Step]], loop: str, durability: str
) -> None:
    """A client that is content with the last byte, as those of `mellite serve`, has an answer that is recorded."""
    body, steps = kind
    path = tmp_path / "case.json"
    command = [sys.executable, "-c", HAS_ALL, server.script(*steps).url, path, str(len(body)), loop, durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "CI": ""}) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        child.send_signal(signal.SIGKILL)
    stored = load_cassette(path).http
    assert [one.response.body.data for one in stored] == [body]
    assert [one.extra["mellite"]["end"] for one in stored] == ["complete"]


COUNTING = """
import sys, threading
import anyio
from mellite.cassettes import ScriptedTransport, use
from mellite.wire.http import HttpRequest

synced = 0

def profile(frame, event, function):
    global synced
    synced += event == "c_call" and getattr(function, "__name__", "") in ("fsync", "fdatasync")

async def main(path, loop, *durability):
    live = ScriptedTransport(["{}"] * 4)
    given = dict(zip(["durability"], durability))
    async with use(path, mode="all", live=live, environment={}, **given) as transport:
        for _ in range(4):
            response = await transport.open(HttpRequest("POST", "https://example.com/"))
            while await response.read():
                pass
            print(synced)
    print(synced)

threading.setprofile(profile)  # of the threads in which storing waits for the disk
sys.setprofile(profile)
anyio.run(main, *sys.argv[1:], backend=sys.argv[2])
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(("given", "each"), [([], 0), (["process"], 0), (["power"], 1)])
def test_a_call_waits_for_the_disk_only_if_asked(tmp_path: Path, loop: str, given: list[str], each: int) -> None:
    """Nothing is synced for each call by default; the end of the recording syncs all of it in any case."""
    command = [sys.executable, "-c", COUNTING, str(tmp_path / "case.json"), loop, *given]
    *calls, end = map(int, subprocess.check_output(command, text=True).split())
    assert [after - before for before, after in pairwise(calls)] == [each] * 3
    assert end > calls[-1]


def test_a_durability_that_there_is_not(tmp_path: Path) -> None:
    """It is named, with what there is."""
    durability: Any = "battery"
    with pytest.raises(ConfigurationError, match="durability is one of process, power, not 'battery'"):
        use(tmp_path / "case.json", durability=durability)
