"""Run every benchmark, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

for name in sys.argv[1:] or ("import", "thunk", "live", "sampling", "streaming", "cassettes"):
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.bench_{name}"], check=True)
