"""The desk on a worker and what travels to it, without an engine: errors, a client that is gone, the main module."""

from __future__ import annotations

import subprocess
import sys

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite.backends import Echo
from mellite.engine.travelling import Travelling, packed, unpacked
from mellite.engine.working import Desk, Given, Record, error_in
from mellite.errors import BackendError, RateLimited

ON_BOTH = pytest.mark.anyio


class Endless(mellite.Backend):
    """Says when it is begun and when it is stopped."""

    began: list[str] = []  # noqa: RUF012 - shared by the copy that a pickle makes

    async def stream(self, request):
        """Wait until cancelled."""
        self.began.append(request.text)
        try:
            await anyio.sleep_forever()
            yield mellite.events.Finish("stop")
        finally:
            self.began.remove(request.text)

    @classmethod
    async def until(cls, *texts):
        """Wait until those of these texts run, and no others."""
        with anyio.fail_after(10):
            while sorted(cls.began) != [*texts]:
                await anyio.lowlevel.checkpoint()


def packet(*thunks):
    """Calls as a client sends them, numbered from 0."""
    travelling = Travelling()
    calls = [
        (number, travelling.backend(thunk.call.backend), travelling.request(thunk.call.request))
        for number, thunk in enumerate(thunks)
    ]
    return packed(tuple(Given(travelling.since(0), calls)))


async def records(desk, count):
    """Take so many records from a desk."""
    found = []
    with anyio.fail_after(10):
        while len(found) < count:
            found += [Record(*fields) for fields in unpacked(await desk.take(1.0))]
    return sorted(found)


@ON_BOTH
async def test_answers_and_errors_come_with_all_that_was_before():
    """An error keeps its class, its facts, its cause and the events before it."""
    desk = Desk()
    await desk.give(packet(Echo().generate("one two"), Limited().generate("three four")))
    good, bad = await records(desk, 2)
    assert [event.text for event in good.events if isinstance(event, mellite.events.TextDelta)] == ["one ", "two"]
    assert [event.text for event in bad.events if isinstance(event, mellite.events.TextDelta)] == ["three "]
    error = error_in(bad.error)
    assert (type(error), error.retry_after, error.status, str(error.__cause__)) == (RateLimited, 2.0, 429, "the line")
    await desk.close()


class Limited(mellite.Backend):
    """Fails after a word, because of something."""

    async def stream(self, request):
        """Fail."""
        yield mellite.events.TextDelta("three ")
        raise RateLimited("wait", retry_after=2.0, status=429) from ConnectionError("the line")


class Odd(Exception):
    """An error that its pickle cannot make again."""

    def __init__(self, what, *, why):
        super().__init__(f"{what}: {why}")


@ON_BOTH
async def test_an_error_that_cannot_travel_is_told_in_words():
    """What it was is said, where the thing itself does not survive its pickle."""
    desk = Desk()
    await desk.give(packet(Raising().generate("?")))
    (record,) = await records(desk, 1)
    error = error_in(record.error)
    assert type(error) is BackendError
    assert "Odd: nothing: no reason" in str(error)
    await desk.close()


class Raising(mellite.Backend):
    """Raises an error with a keyword that it must have."""

    async def stream(self, request):
        """Raise it."""
        raise Odd("nothing", why="no reason")
        yield


@ON_BOTH
async def test_a_desk_stops_everything_when_nobody_fetches_answers():
    """The client is gone: what it asked for is not paid any longer than need be."""
    Endless.began.clear()
    desk = Desk(patience=0.2)
    await desk.give(packet(Endless().generate("a"), Endless().generate("b")))
    await Endless.until("a", "b")
    assert unpacked(await desk.take(0.1)) == []
    await Endless.until()
    await desk.close()


@ON_BOTH
async def test_a_call_is_cancelled_by_its_number():
    """The others go on."""
    Endless.began.clear()
    desk = Desk()
    await desk.give(packet(Endless().generate("a"), Endless().generate("b")))
    await Endless.until("a", "b")
    assert unpacked(await desk.take(0.05)) == []
    await desk.cancel([0, 7])
    await Endless.until("b")
    assert unpacked(await desk.take(0.05)) == []
    assert Endless.began == ["b"]
    await desk.close()
    await anyio.wait_all_tasks_blocked()
    assert Endless.began == []


MAIN = """
import dataclasses, distributed, mellite
from mellite import engine

@dataclasses.dataclass
class River:
    name: str
    km: int

def shout(text):
    return text.upper()

class Mine(mellite.Backend):
    async def stream(self, request):
        assert request.output.__name__ == "River"
        yield mellite.events.TextDelta('{"name": "%s", "km": 7}' % shout(request.text))
        yield mellite.events.Finish("stop")

if __name__ == "__main__":
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with cluster, distributed.Client(cluster) as client:
        (thunk,) = engine.map([Mine().generate("nile", output=River)], on=client, collect=list).result()
        print(thunk.result(), type(thunk.value), isinstance(thunk.result(), River))
"""


@pytest.mark.slow
def test_what_the_main_module_defines_travels(tmp_path):
    """A worker cannot import a program's main module: its classes and functions are sent by value."""
    (tmp_path / "program.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("River(name='NILE', km=7)"), done.stdout
    assert done.stdout.endswith("True\n")
