"""Which benchmarks there are; each is run in a process of its own by `python -m tests.benchmarks.catalogue NAME`."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Final

import attrs

from tests.benchmarks.measure import Effort, Row, pin

#: The functions behind each name, as ``module:function``, and the loops that they run on.
BENCHMARKS: Final[dict[str, tuple[str, ...]]] = {
    "unary": ("bench_live:unary",),
    "burst": ("bench_live:burst",),
    "paced": ("bench_live:paced",),
    "many": ("bench_live:many",),
    "tls": ("bench_live:tls",),
    "httpx2": ("bench_live:httpx2_burst",),
    "replay": ("bench_cassettes:replay",),
    "serve": ("bench_serve:serving",),
    "record": ("bench_cassettes:record",),
    "clients": ("bench_clients:clients",),
    "pytest": ("bench_pytest:recorded_tests",),
    "cold": ("bench_process:cold",),
    "import": ("bench_process:imports",),
    "agent": ("bench_agent:agent", "bench_agent:agent on trio"),
    "engine": ("bench_engine:engine",),
    "log": ("bench_log:log", "bench_log:log on trio"),
    "journal": ("bench_journal:journal", "bench_journal:journal on trio"),
    "viewer": ("bench_viewer:viewer",),
    "sampling": ("bench_sampling:sampling", "bench_sampling:sampling on trio"),
    "streaming": ("bench_streaming:streaming",),
    "wrappers": ("bench_wrappers:wrappers",),
    "objects": ("bench_thunk:objects",),
    "memory": ("bench_memory:memory",),
    "growth": ("bench_thunk:growth", "bench_cassettes:growth"),
}


def measure(name: str, effort: Effort) -> list[Row]:
    """Run one benchmark in this process."""
    rows: list[Row] = []
    for entry in BENCHMARKS[name]:
        path, _, loop = entry.partition(" on ")
        module, _, function = path.partition(":")
        run: Callable[[Effort], Awaitable[list[Row]]] = getattr(import_module(f"tests.benchmarks.{module}"), function)
        gc.collect()
        if loop:
            import trio

            rows += trio.run(run, effort)
        else:
            rows += asyncio.run(run(effort))  # type: ignore[arg-type]
    return rows


if __name__ == "__main__":
    pin(0)
    print(json.dumps([attrs.asdict(row) for row in measure(sys.argv[1], Effort("--quick" in sys.argv))]))
