#!/usr/bin/env bash
# distributed 2026.8.0: a worker runs no more coroutine tasks at once than it has threads; methods of an actor have no such bound.
#
# `client.submit` takes an `async def`, which runs in the event loop of the worker and not in a thread. One would conclude
# that a worker with one thread has hundreds of them in flight. But each holds one of the worker's threads' places while
# it runs: ten sleeps of 0.3 s on one thread take 3 s. Methods of an actor run in the same loop, all at once: 0.3 s. Work
# that waits, such as calls of a server, belongs into an actor, or many of it into one task.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q distributed==2026.8.0
cat > "$folder/slow.py" <<'PY'
import asyncio


async def nap(number):
    await asyncio.sleep(0.3)
    return number


class Napping:
    async def nap(self, number):
        await asyncio.sleep(0.3)
        return number
PY
cat > "$folder/look.py" <<'PY'
import time

import distributed
from slow import Napping, nap

if __name__ == "__main__":
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with cluster, distributed.Client(cluster) as client:
        began = time.monotonic()
        client.gather([client.submit(nap, number) for number in range(10)])
        tasks = time.monotonic() - began
        actor = client.submit(Napping, actor=True).result()
        began = time.monotonic()
        found = [each.result() for each in [actor.nap(number) for number in range(10)]]
        actors = time.monotonic() - began
    print(f"ten coroutines of 0.3 s on one thread: {tasks:.1f} s as tasks, {actors:.1f} s as methods of an actor")
    assert found == list(range(10))
    assert tasks > 2.7, tasks
    assert actors < 1.5, actors
PY
cd "$folder"
"$folder/venv/bin/python" look.py
