#!/usr/bin/env bash
# anyio on asyncio: a `Task.cancel()` that comes in the turn of the loop in which a scope's deadline passes is swallowed
# with the scope's own cancellation; the task goes on, though `cancelling()` is 1. Up to 4.15.1; 4.16.0 lets it pass.
# https://github.com/agronholm/anyio/issues/1214
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import asyncio
import platform
from importlib.metadata import version

import anyio


async def limited():
    with anyio.move_on_after(0):
        await asyncio.Event().wait()
    return f"it went on, cancelling() is {asyncio.current_task().cancelling()}"


async def main():
    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.wait([task])
    return "cancelled" if task.cancelled() else task.result()


print("Python", platform.python_version(), "anyio", version("anyio"), "->", asyncio.run(main()))
PYTHON
for version in 4.15.1 4.16.0; do
    python3 -m venv "$version"
    "$version"/bin/pip install -q "anyio==$version"
    "$version"/bin/python seen.py | tee "$version.txt"
done
grep -q "it went on, cancelling() is 1" 4.15.1.txt
grep -q "cancelled" 4.16.0.txt
