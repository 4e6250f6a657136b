"""The server that breaks every rule, in a process of its own: /fault/number/ of a URL says which."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def chaos_server(corpora: Path) -> Iterator[str]:
    """Run the chaos server until the block ends; its URL is given."""
    command = [sys.executable, str(corpora.parent / "tools" / "chaos_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
