"""Make a log of very many calls in a second: one is logged, the others are copies of it with texts of their own."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mellite
from mellite import Usage
from mellite.backends import Scripted
from mellite.events import Finish, TextDelta

#: How many different answers there are.
ANSWERS = 1000

_NUMBERS = "WITH RECURSIVE numbers(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {})"

_STEPS = (
    """
    INSERT INTO messages (id, hash, role, text) {numbers}
    SELECT 10 + n, randomblob(16), 'assistant', 'Answer ' || n || ', with some words to read.' FROM numbers
    """,
    """
    INSERT INTO messages (id, hash, role, text) {numbers}
    SELECT 10 + {answers} + n, randomblob(16), 'user', 'Question ' || n || ', also with some words?' FROM numbers
    """,
    """
    INSERT INTO histories (id, hash, parent, message) {numbers}
    SELECT 10 + n, randomblob(16), NULL, 10 + {answers} + n FROM numbers
    """,
)

#: What the copies do not have in common.
_OWN = {
    "number": "10 + n",
    "id": "'call-' || n",
    "history": "10 + n",
    "answer": "10 + n % {answers}",
    "started_at": "strftime('%Y-%m-%dT%H:%M:%f', started_at, (n / 50) || ' seconds') || '000+00:00'",
    "tags": "CASE WHEN n % 10 THEN '[]' ELSE '[\"tenth\"]' END",
    "duration_ms": "10.0 + n % 997",
}


def many_calls(path: Path, count: int) -> Path:
    """A log of `count` calls with the prompts ``Question N, also with some words?``, each answered in a few words."""
    answer: list[Any] = [TextDelta("Yes."), Finish("stop", usage=Usage.of(input_tokens=12, output_tokens=9))]
    with mellite.log.to(path):
        Scripted([answer]).generate("The first?").result()
    mellite.log.flush()
    connection = sqlite3.connect(path)
    with connection:
        start = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="microseconds")
        connection.execute("UPDATE call_records SET started_at = ?", [start])
        for size, step in zip((ANSWERS, count, count), _STEPS, strict=True):
            connection.execute(step.format(numbers=_NUMBERS.format(size), answers=ANSWERS))
        names = [str(name) for _, name, *_ in connection.execute("PRAGMA table_info(call_records)")]
        values = ", ".join([_OWN.get(name, name) for name in names]).format(answers=ANSWERS)
        connection.execute(
            f"INSERT INTO call_records {_NUMBERS.format(count)} SELECT {values} FROM call_records, numbers"
        )
        connection.execute("DELETE FROM call_records WHERE number < 10")
    connection.close()
    return path
