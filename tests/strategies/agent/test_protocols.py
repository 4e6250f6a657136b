"""A run of three steps against a local server, in every protocol: live, recorded, and replayed under any schedule."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import define

import mellite
from mellite import Run
from mellite.cassettes import RecordTransport, ReplayTransport
from mellite.errors import ToolFailure
from mellite.events import ResponseStart, ToolErrorEvent
from mellite.messages import ToolCall
from mellite.wire.http import HttpRequest, HttpResponse, Transport
from mellite.wire.transports.default import default_transport
from tests.protocols.streams import SPECS
from tests.strategies.agent.played import results_of
from tests.strategies.agent.tool_server import PROTOCOLS, TYPED, serve

pytestmark = pytest.mark.anyio

SCHEDULES = 10
"""How many ways to shuffle a replay."""

COPIES = 3
"""How many runs are recorded side by side."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    with serve() as url:
        yield url


class Shuffled:
    """Lets others have their turn at moments that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def turns(self) -> None:
        """Some turns of the loop."""
        for _ in range(self.chance.randrange(6)):
            await checkpoint()

    def tools(self) -> list[mellite.Tool[..., Any]]:
        """Tools that take their time."""

        @mellite.tool
        async def add(a: int, b: int) -> int:
            """Add two numbers."""
            await self.turns()
            return a + b

        @mellite.tool
        async def shouts(text: str) -> str:
            """Shout, or fail."""
            await self.turns()
            if not text:
                raise ToolFailure("there is nothing to shout")
            return text.upper()

        @mellite.tool
        async def pay(to: str) -> str:
            """Pay somebody."""
            pytest.fail(f"paid {to}")

        return [add, shouts, pay]

    async def approve(self, call: ToolCall) -> bool:
        """Refuse to pay."""
        await self.turns()
        return call.name != "pay"


class Slowly:
    """A transport that answers sooner or later."""

    def __init__(self, inner: Transport, by: Shuffled) -> None:
        self.inner, self.by = inner, by

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer, after some turns."""
        await self.by.turns()
        return _Slowly(await self.inner.open(request, timeout=timeout), self.by)


class _Slowly(HttpResponse):
    def __init__(self, inner: HttpResponse, by: Shuffled) -> None:
        self.inner, self.by = inner, by
        self.status, self.headers = inner.status, inner.headers

    async def read(self, timeout: float | None = None) -> bytes:
        await self.by.turns()
        return await self.inner.read(timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()


def run_over(name: str, url: str, transport: Transport | None, by: Shuffled) -> Run[str]:
    """A run that is to take three steps."""
    backend = mellite.backend(SPECS[name], api_key="sk-test", base_url=f"{url}/{name}", transport=transport)
    return mellite.run(backend, "How much?", system="Be exact.", tools=by.tools(), approve=by.approve, max_tokens=99)


async def outcome(run: Run[str]) -> dict[str, Any]:
    """All of a run but for times, names of generations and what the transport says of itself."""
    await run.settle()
    return {
        "value": run.value,
        "error": run.error,
        "messages": run.messages,
        "results": results_of(run.messages),
        "values": [step.values for step in run.steps],
        "usage": run.usage,
        "reason": run.stop_reason,
        "events": [event async for event in run.events() if not isinstance(event, ResponseStart)],
        "lineage": run.call.lineage,
    }


def check(found: dict[str, Any]) -> None:
    """Check that a run is as it must be, in any protocol."""
    assert found["error"] is None
    assert found["value"] == "It is 3 and 7."
    assert found["reason"] == "answered"
    assert [value for _, value in found["results"]] == [
        3,
        "there is nothing to shout",
        "The call was refused.",
        7,
    ]
    assert found["values"] == [(3, None, None), (7,), ()]
    assert found["usage"].total_tokens == 45
    assert [event.name for event in found["events"] if isinstance(event, ToolErrorEvent)] == ["shouts", "pay"]


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_live(server: str, name: str) -> None:
    """Three steps over one protocol, with parallel calls, one that fails and one that is refused."""
    run = run_over(name, server, None, Shuffled(0))
    async with anyio.create_task_group() as group:
        group.start_soon(run.settle)
        deltas = [delta async for delta in run]
    assert deltas == ["Let me ", "see.", "Once ", "more.", "It is ", "3 and ", "7."]
    check(await outcome(run))


@define
class Total:
    """A typed answer."""

    total: int


@pytest.mark.parametrize("mode", ["tool", "text", None])
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_a_typed_answer(server: str, name: str, mode: Any) -> None:
    """The last step answers in the type, natively, in words, or by calling a tool beside the others."""
    by = Shuffled(0)
    backend = mellite.backend(SPECS[name], api_key="sk-test", base_url=f"{server}/{name}/typed")
    run = mellite.run(
        backend, "How much?", tools=by.tools(), approve=by.approve, max_tokens=99, output=Total, output_mode=mode
    )
    assert await run == Total(10)
    assert (run.stop_reason, [len(step.calls) for step in run.steps]) == ("answered", [3, 1, 0])
    assert json.loads(run.value or "") == TYPED
    assert run.parsed_repr is run.steps[-1].thunk.parsed_repr


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_recorded_and_replayed(server: str, name: str) -> None:
    """Copies that were recorded side by side are the same again, each by its lineage, under every schedule."""
    recorder = RecordTransport(default_transport())
    first = run_over(name, server, recorder, Shuffled(1))
    runs = [first, *first.resample(COPIES - 1)]
    await mellite.gather(*runs)
    recorded = [await outcome(run) for run in runs]
    for found in recorded:
        check(found)
    for seed in range(SCHEDULES):
        by = Shuffled(seed)
        replay = ReplayTransport(recorder.cassette, match="keyed", deadline=60)
        again = run_over(name, server, Slowly(replay, by), by)
        copies = [again, *again.resample(COPIES - 1)]
        await mellite.gather(*copies[::-1])
        assert [await outcome(run) for run in copies] == recorded
