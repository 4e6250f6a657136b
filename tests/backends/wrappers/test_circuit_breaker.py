"""A backend that fails too often in a row is not asked for a while, and then one call looks whether it is up again."""

from __future__ import annotations

import pickle
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite.backends import Constant, Scripted
from mellite.errors import (
    AuthenticationError,
    CircuitOpen,
    ConnectError,
    IncompleteStream,
    InvalidProviderOutput,
    InvalidRequest,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
    TotalTimeout,
)
from mellite.events import Event, Finish, TextDelta
from mellite.request import Request
from tests.backends.wrappers.clocks import FakeClock

pytestmark = pytest.mark.anyio

DOWN = ProviderInternal("down", status=503)


async def outcomes(backend: mellite.Backend, count: int) -> list[str]:
    """What comes of so many calls, one after the other."""
    thunks = [await backend.generate("x").settle() for _ in range(count)]
    return [type(thunk.error).__name__ if thunk.error is not None else "done" for thunk in thunks]


async def test_it_opens_after_so_many_failures_in_a_row() -> None:
    clock = FakeClock()
    inside = Scripted([DOWN, DOWN, "up", DOWN, DOWN, DOWN, "up"])
    backend = mellite.CircuitBreaker(inside, failures=3, cooldown=30, clock=clock)
    assert await outcomes(backend, 6) == ["ProviderInternal"] * 2 + ["done"] + ["ProviderInternal"] * 3
    assert backend.is_open
    clock.time += 10
    thunk = await backend.generate("x").settle()
    assert isinstance(thunk.error, CircuitOpen)
    assert (thunk.error.retryable, thunk.error.retry_after) == (True, 20)
    assert inside.calls == 6
    clock.time += 20
    assert await outcomes(backend, 1) == ["done"]
    assert not backend.is_open


async def test_a_probe_that_fails_opens_it_again() -> None:
    clock = FakeClock()
    backend = mellite.CircuitBreaker(Scripted([DOWN] * 3 + ["up"]), failures=2, cooldown=30, clock=clock)
    assert await outcomes(backend, 2) == ["ProviderInternal"] * 2
    clock.time += 31
    assert await outcomes(backend, 2) == ["ProviderInternal", "CircuitOpen"]
    clock.time += 31
    assert await outcomes(backend, 1) == ["done"]


class Gated(mellite.Backend):
    """Waits with each call until it may end; calls with some prompts fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.gates: dict[str, anyio.Event] = {}

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.gates[request.text] = anyio.Event()
        await self.gates[request.text].wait()
        if request.text in self.failing:
            raise DOWN
        yield TextDelta("up")
        yield Finish("stop")


@pytest.mark.parametrize("failing", [("early",), ("early", "late")])
async def test_calls_that_began_before_it_opened_say_nothing(failing: tuple[str, ...]) -> None:
    """What ends while it is open was sent before: it neither closes the circuit nor keeps it open for longer."""
    clock, inside = FakeClock(), Gated(*failing)
    backend = mellite.CircuitBreaker(inside, failures=1, cooldown=30, clock=clock)
    thunks = {name: backend.generate(name) for name in ("early", "late")}
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for thunk in thunks.values():
                group.start_soon(thunk.settle)
            while len(inside.gates) < 2:
                await anyio.lowlevel.checkpoint()
            for name, thunk in thunks.items():
                inside.gates[name].set()
                await thunk.settle()
                clock.time += 20
    clock.time -= 15
    assert backend.is_open
    clock.time += 5.5
    assert not backend.is_open


class Held(mellite.Backend):
    """Says something, then waits."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = True
        self.go = anyio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.asked += 1
        if self.fails:
            raise DOWN
        yield TextDelta(request.text)
        await self.go.wait()
        yield Finish("stop")


async def test_half_open_it_lets_one_probe_through() -> None:
    clock = FakeClock()
    inside = Held()
    backend = mellite.CircuitBreaker(inside, failures=1, cooldown=30, clock=clock)
    assert await outcomes(backend, 1) == ["ProviderInternal"]
    clock.time += 31
    inside.fails = False
    probe = backend.generate("probe")
    async with anyio.create_task_group() as group:
        group.start_soon(probe.settle)
        while inside.asked < 2:
            await anyio.lowlevel.checkpoint()
        assert await outcomes(backend, 5) == ["CircuitOpen"] * 5
        inside.go.set()
    assert probe.value == "probe"
    assert await outcomes(backend, 2) == ["done"] * 2


async def test_what_was_never_asked_says_nothing() -> None:
    """A mistake that is found before anything is sent does not count as a success between two failures."""
    inside = Scripted([DOWN, InvalidRequest("no such option"), DOWN])
    backend = mellite.CircuitBreaker(inside, failures=2, clock=FakeClock())
    assert await outcomes(backend, 4) == ["ProviderInternal", "InvalidRequest", "ProviderInternal", "CircuitOpen"]


async def test_cancellations_and_readers_that_leave_count_for_nothing() -> None:
    inside = Held()
    inside.fails = False
    backend = mellite.CircuitBreaker(inside, failures=1, clock=FakeClock())
    for _ in range(3):
        with anyio.move_on_after(0.02):
            await backend.generate("x")
    async for _ in backend.generate("x"):
        break
    async with backend.generate("x") as thunk:
        async for _ in thunk:
            break
    assert not backend.is_open


async def test_a_probe_that_is_cancelled_leaves_it_to_the_next() -> None:
    clock = FakeClock()
    inside = Held()
    backend = mellite.CircuitBreaker(inside, failures=1, cooldown=30, clock=clock)
    assert await outcomes(backend, 1) == ["ProviderInternal"]
    clock.time += 31
    inside.fails = False
    with anyio.move_on_after(0.02):
        await backend.generate("x")
    inside.go.set()
    assert await outcomes(backend, 1) == ["done"]


@pytest.mark.parametrize("error", [DOWN, RateLimited("busy", status=429), ConnectError("refused")])
async def test_what_counts(error: Exception) -> None:
    backend = mellite.CircuitBreaker(Scripted([error] * 3), failures=2)
    assert (await outcomes(backend, 3))[-1] == "CircuitOpen"


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("wrong", status=400),
        AuthenticationError("wrong", status=401),
        QuotaExceeded("empty", status=429),
        InvalidProviderOutput("odd"),
        IncompleteStream("cut"),
        TotalTimeout("late"),
        KeyError("of a backend of one's own"),
    ],
)
async def test_what_does_not(error: Exception) -> None:
    backend = mellite.CircuitBreaker(Scripted([error] * 9), failures=2)
    assert "CircuitOpen" not in await outcomes(backend, 9)


async def test_a_retry_waits_until_it_is_asked_again() -> None:
    clock = FakeClock()
    inside = Scripted([DOWN, "up"])
    broken = mellite.CircuitBreaker(inside, failures=1, cooldown=30, clock=clock)
    await broken.generate("x").settle()
    assert await mellite.Retry(broken, clock=clock).generate("x") == "up"
    assert clock.slept == [30]


def test_its_state_is_one_for_all_threads() -> None:
    clock = FakeClock()
    inside = Scripted([DOWN] * 50)
    backend = mellite.CircuitBreaker(inside, failures=5, clock=clock)
    for _ in range(2):
        threads = [threading.Thread(target=anyio.run, args=(outcomes, backend, 5)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 5 <= inside.calls < 5 + 4


@pytest.mark.parametrize(
    ("name", "value"), [("failures", 0), ("failures", 1.5), ("cooldown", -1), ("cooldown", float("nan")), ("clock", 1)]
)
def test_what_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mellite.CircuitBreaker(Constant("x"), **{name: value})
    assert caught.value.parameter == name


def test_it_is_pickled_by_its_arguments() -> None:
    again = pickle.loads(pickle.dumps(mellite.CircuitBreaker(Constant("x"), failures=2, cooldown=5)))
    assert "failures=2, cooldown=5" in repr(again)
    assert again.generate("x").result() == "x"
