"""Long maps on Dask, in which a worker and then the client are killed; run by ``nox -s engines``, and takes minutes.

``python -m tests.engine.long_maps [--thunks 20000] [--rpm 6000] [--delay 0.2]`` runs a provider, a scheduler with two
workers and a client, each in a process of its own. A worker is killed at a quarter of the calls and the client at half
of them, which is then started again with its journal. It prints what was seen, and fails if

- a call does not settle, or one that was in the journal when the client was killed is asked again;
- the log of the provider has more than 2 % over the limit in any minute;
- the memory of the client grows while it works.

``--speed`` measures one worker beside two instead, with 100 calls in flight each. With a ``--delay`` of a second they
mostly wait; with a short one the processors are the limit, and another program beside it hides the second worker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import distributed
import psutil

import mellite
from mellite import engine
from tests.engine.provider import ROOT, Served, provider

FLIGHT = 100
MARGIN = 0.02
MOST_GROWTH = 40  # megabytes, from the first tenth of the calls to the last


def prompts(count: int) -> list[str]:
    """Return the prompts of the map."""
    return [f"prompt number {number}, about a river" for number in range(count)]


async def client(given: argparse.Namespace) -> None:
    """Map in this process, and print how far it is as JSON lines."""
    backend = mellite.backend("openai-chat:gpt-4o-mini", base_url=given.url)
    asked = (backend.generate(prompt, stream=False) for prompt in prompts(given.thunks))
    limits = [mellite.Rate(requests_per_minute=given.rpm)] if given.rpm else []
    began, settled, itself = time.time(), 0, psutil.Process()
    async with distributed.Client(given.scheduler, asynchronous=True) as dask:
        journal = given.journal or None
        mapped = engine.map(asked, on=dask, concurrency=FLIGHT, limits=limits, journal=journal, progress=False)
        async for thunk in mapped:
            settled += 1
            assert thunk.text == thunk.call.request.text[::-1], thunk.error
            if settled % 250 == 0 or settled == given.thunks:
                memory = itself.memory_info().rss >> 20
                line = {"settled": settled, "seconds": time.time() - began, "mb": memory, **mapped.counts}
                line["cpu"] = time.process_time()
                sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()


def started(given: argparse.Namespace, scheduler: str, served: Served, journal: str) -> subprocess.Popen[str]:
    """Start a client."""
    words = ["--client", "--scheduler", scheduler, "--url", served.url, "--journal", journal]
    words += ["--thunks", str(given.thunks), *(["--rpm", str(given.rpm)] if given.rpm else [])]
    command = [sys.executable, "-m", "tests.engine.long_maps", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> Iterator[dict[str, float]]:
    """What a client prints."""
    for line in process.stdout or ():
        yield json.loads(line)


def killed_and_started_again(given: argparse.Namespace) -> list[str]:
    """Run the long map; return what is wrong."""
    folder = Path(tempfile.mkdtemp())
    journal, copy = folder / "journal", folder / "copy"
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        provider(folder, delay=given.delay) as served,
    ):
        first = started(given, cluster.scheduler_address, served, str(journal))
        victim = next(iter(cluster.workers.values())).pid
        memories = []
        for line in lines(first):
            memories.append(line["mb"])
            if victim and line["settled"] >= given.thunks / 4:
                os.kill(victim, signal.SIGKILL)
                print(f"worker killed after {line['settled']:,}")
                victim = 0
            if line["settled"] >= given.thunks / 2:
                break
        first.kill()
        first.wait()
        print(f"client killed after {line['settled']:,}")
        shutil.copytree(journal, copy)
        seen = len(served.seen())
        second = started(given, cluster.scheduler_address, served, str(journal))
        last = {}
        for line in lines(second):
            if "settled" not in last:
                print(f"first 250 of the restart after {line['seconds']:.1f} s")
            last = line
            memories.append(line["mb"])
        second.wait()
        return judged(given, served, before=(copy, seen), last=last, memories=memories, code=second.returncode)


def judged(given, served, *, before, last, memories, code) -> list[str]:
    """Say what was seen, and return what is wrong."""
    copy, seen = before
    rows = served.seen()
    again = {prompt for _, _, prompt, _ in rows[seen:]}
    with mellite.journal(copy) as kept:
        there = {_prompt(record.request) for record in kept.calls if record.state == "done"}
    times = Counter(prompt for _, _, prompt, _ in rows)
    over = max(in_any_minute([at for at, *_ in rows]) / given.rpm - 1, 0.0) if given.rpm else 0.0
    print(f"{len(times):,} prompts asked {sum(times.values()):,} times; {len(there):,} were in the journal at the kill")
    print(f"{len(again & there)} of those were asked again; {sum(n > 1 for n in times.values())} prompts asked twice")
    print(f"most in any minute: {in_any_minute([at for at, *_ in rows]):,} of {given.rpm}, {over:.2%} over")
    print(f"memory of the client: {memories[0]} MB at first, {max(memories)} MB at most, {memories[-1]} MB at last")
    tenth = max(memories[: max(1, len(memories) // 10)])
    wrong = []
    if code or last.get("done") != given.thunks or set(times) != set(prompts(given.thunks)):
        wrong.append(f"not all settled: {last}")
    if again & there:
        wrong.append(f"{len(again & there)} calls that were in the journal were asked again")
    if over > MARGIN:
        wrong.append(f"{over:.2%} over the limit")
    if max(memories) - tenth > MOST_GROWTH:
        wrong.append(f"the memory grew from {tenth} to {max(memories)} MB")
    return wrong


def _prompt(request) -> str:
    """Return the prompt of a request as a journal keeps it."""
    return request["messages"][-1]["content"][0]["text"]


def in_any_minute(at: list[float]) -> int:
    """Return the most requests in any sliding minute."""
    at = sorted(at)
    return max((index + 1 - bisect_left(at, moment - 60, hi=index) for index, moment in enumerate(at)), default=0)


def speed(given: argparse.Namespace) -> list[str]:
    """Measure one worker beside two, turn by turn; return what is wrong."""
    best: dict[int, float] = {}
    folder = Path(tempfile.mkdtemp())
    with provider(folder, delay=given.delay) as served:
        for workers in (1, 2, 1, 2, 1, 2):
            with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster:
                before = _cpu(cluster)
                asking = started(given, cluster.scheduler_address, served, "")
                seen = list(lines(asking))
                asking.wait()
                took = {name: used - before[name] for name, used in _cpu(cluster).items()}
            middle = [line for line in seen if line["settled"] >= given.thunks / 5]
            seconds, settled = [middle[-1][name] - middle[0][name] for name in ("seconds", "settled")]
            took["client"] = (middle[-1]["cpu"] - middle[0]["cpu"]) * given.thunks / settled
            cpu = ", ".join(f"{name} {used * 1e6 / given.thunks:.0f}" for name, used in took.items())
            rate = settled / seconds
            print(f"{workers} worker(s), {FLIGHT} in flight each: {rate:.0f} calls a second; CPU of one in us: {cpu}")
            best[workers] = max(rate, best.get(workers, 0.0))
    ratio = best[2] / best[1]
    print(f"two workers settle {ratio:.2f} times what one does")
    return [] if ratio >= 1.6 else [f"{ratio:.2f} is less than 1.6"]


def _cpu(cluster: distributed.LocalCluster) -> dict[str, float]:
    """Return how much of the processors the workers and the scheduler have used, in seconds."""
    times = [psutil.Process(worker.pid).cpu_times() for worker in cluster.workers.values()]
    return {"workers": sum(each.user + each.system for each in times), "scheduler": time.process_time()}


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--thunks", type=int, default=20_000)
    parser.add_argument("--rpm", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--speed", action="store_true")
    for name in ("scheduler", "url", "journal"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--client", action="store_true")
    given = parser.parse_args()
    if given.client:
        asyncio.run(client(given))
        return
    wrong = speed(given) if given.speed else killed_and_started_again(given)
    print("\n".join(wrong) or "as it should be")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
