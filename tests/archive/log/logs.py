"""Read log files in tests as their users do, with SQLite; and run programs that write them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent.parent

CALLS = [
    *("id", "parent", "started_at", "provider", "model", "response_model", "state", "prompt", "text", "thinking"),
    *("error_type", "error", "input_tokens", "output_tokens", "cost_usd", "duration_ms", "lineage", "tags", "replayed"),
]


def rows(path: str | Path, query: str, *values: object) -> list[Any]:
    """What a query gives."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query, values).fetchall()


def told(path: str | Path, view: str) -> list[dict[str, Any]]:
    """The rows of a view, by the names of its columns."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {view}")]


def columns(path: str | Path, view: str) -> list[str]:
    """The names of the columns of a view."""
    with closing(sqlite3.connect(path)) as database:
        return [column[0] for column in database.execute(f"SELECT * FROM {view}").description]


def program(text: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start a program; warnings are errors in it."""
    kept = {name: value for name, value in os.environ.items() if name != "MELLITE_LOG_DB"}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", text, *map(str, arguments)],
        cwd=ROOT,
        env={**kept, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(text: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    """Run a program to its end; return its exit code and what it printed and complained about."""
    started = program(text, *arguments, **environment)
    out, complaints = started.communicate(timeout=60)
    return started.returncode, out, complaints


def everything_in(folder: Path) -> bytes:
    """The bytes of all files in a folder."""
    return b"".join([file.read_bytes() for file in folder.iterdir()])
