#!/usr/bin/env bash
# aiolimiter: `AsyncLimiter(60, 60)` reads as "60 calls a minute" and lets 119 go in the first one. It is a leaky bucket: a full
# one at once, and as much again while it leaks. A provider that counts calls by the minute, as most do, answers the second
# half with 429, after each start and each pause, and a limiter that was set to the limit in the contract is suspected last.
# Half of the rate keeps below it; or a small bucket, `AsyncLimiter(1, 1)`, which spreads the calls evenly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q aiolimiter==1.3.0 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
from importlib.metadata import version

from aiolimiter import AsyncLimiter


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time runs on by itself while nobody has anything to do."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if self._scheduled and not self._ready:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


async def most(limiter, window, number):
    """The most calls within any `window` seconds, of a number of calls that all want to go at once."""
    times = []

    async def call():
        async with limiter:
            times.append(asyncio.get_running_loop().time())

    await asyncio.gather(*[call() for _ in range(number)])
    return max([sum([start <= time < start + window for time in times]) for start in times])


print("aiolimiter", version("aiolimiter"))
seen = {}
for rate, period in ((60, 60), (30, 60), (1, 1)):
    with asyncio.Runner(loop_factory=Clock) as runner:

        async def run():
            return await most(AsyncLimiter(rate, period), 60, 300)

        seen[rate] = runner.run(run())
    print(f"AsyncLimiter({rate}, {period}): up to {seen[rate]} calls within 60 s")
assert seen[60] > 115, "the rate is kept in every window now"
assert seen[30] <= 60 and seen[1] <= 61
PYTHON
v/bin/python seen.py
