"""A call and a delta with every wrapper, hooks, spans and metrics around the backend, beside the backend alone."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

import mellite
from mellite.backends.wrappers.tracing import Metering, Tracing
from mellite.thunk import observing
from tests.benchmarks.measure import Effort, Row, in_turn, ratio
from tests.benchmarks.server import running

Timed = Callable[[], Awaitable[object]]
_Run = Callable[[mellite.Backend, list[observing.Observer]], Timed]


def wrapped(backend: mellite.Backend) -> mellite.Backend:
    """Put every wrapper around a backend, with limits that hold nobody up."""
    limited = mellite.RateLimit(mellite.Retry(backend), requests_per_minute=10**9, tokens_per_minute=10**12)
    either = mellite.FallbackTo(mellite.CircuitBreaker(limited), mellite.backends.Constant("another"))
    return mellite.Cached(either)


@mellite.hooks.before("generation")
def _before(request: mellite.Request) -> None:
    del request


@mellite.hooks.after("generation")
def _after(thunk: object) -> None:
    del thunk


async def wrappers(effort: Effort) -> list[Row]:
    """Make calls and read streams with more and more around them; every prompt is another one, so none is cached."""
    spans = Tracing(TracerProvider())
    both = Metering(TracerProvider(), None, MeterProvider([InMemoryMetricReader()]))
    with running() as base:
        async with mellite.backend("openai-chat:m", base_url=base, api_key="x") as plain:
            around = wrapped(plain)
            every: list[tuple[str, mellite.Backend, list[observing.Observer]]] = [
                ("all wrappers", around, []),
                ("all wrappers, hooks", mellite.Hooked(around, _before, _after), []),
                ("spans", plain, [spans]),
                ("wrappers, spans, metrics", around, [both]),
            ]
            rows: list[Row] = []
            for what, make, bar in (("call", _calls, 1.25), ("burst stream, a delta", _deltas, 1.25)):
                run, per = make(effort)
                runs = {"alone": run(plain, []), **{name: run(backend, seen) for name, backend, seen in every}}
                times = await in_turn(runs, rounds=effort.rounds(40), per=per)
                for name, _, watching in every:
                    held = bar if not watching else None  # what a provider of the SDK costs is not ours
                    rows.append(ratio("wrappers", f"{what}, {name}", times[name], times["alone"], bar=held))
            return rows


_numbers = itertools.count()


def _calls(effort: Effort) -> tuple[_Run, int]:
    calls = effort.size(40, 20)

    def run(backend: mellite.Backend, watching: list[observing.Observer]) -> Timed:
        async def timed() -> None:
            with observing.using(*watching):
                for _ in range(calls):
                    await backend.generate(f"Hi {next(_numbers)}.", model="unary", stream=False)

        return timed

    return run, calls


def _deltas(effort: Effort) -> tuple[_Run, int]:
    streams = effort.size(4, 2)

    def run(backend: mellite.Backend, watching: list[observing.Observer]) -> Timed:
        async def timed() -> None:
            with observing.using(*watching):
                for _ in range(streams):
                    thunk = backend.generate(f"Hi {next(_numbers)}.", model="burst-500")
                    assert len([delta async for delta in thunk]) == 500

        return timed

    return run, streams * 500
