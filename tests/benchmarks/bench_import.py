"""Import time, beside the libraries that mellite stands on; fresh interpreters, CPU time."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.benchmarks.measure import pin, report

STATEMENTS = {
    "import attrs, anyio, asyncio": "import attrs, anyio, asyncio",
    "mellite, generate, Message": "import mellite; mellite.generate; mellite.Message",
    "import mellite": "import mellite",
}
PROBE = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def main() -> None:
    """Run all; the bars are 1.6x for the first use, and 45 ms for the bare import."""
    pin(0)
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(15):
        for name, statement in STATEMENTS.items():
            done = subprocess.run(
                [sys.executable, "-c", PROBE.format(statement)], capture_output=True, text=True, check=True
            )
            times[name].append(float(done.stdout) * 1e3)
    report("import, CPU over bare python", {n: statistics.median(v) for n, v in times.items()}, unit="ms", bar=1.6)


if __name__ == "__main__":
    main()
