"""Read a log file: its newest calls, one by its id, those that hold a word, sums, and everything."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote

from ...values.errors import ConfigurationError
from .schema import HEADER, check, no_log

if TYPE_CHECKING:
    from ...values.provider_json import JsonObject

__all__ = ["Reading", "reading"]

#: How many calls are read at once: a half-read cursor would keep the file from being cut.
_PAGE: Final = 200

#: How often to look for new calls, in seconds.
_PERIOD: Final = 0.25

#: What is kept as JSON.
_AS_JSON: Final = ("lineage", "tags", "options", "failures", "headers", "response")

#: What is only there to find other rows.
_LINKS: Final = ("number", "history", "answer")

_ESCAPE: Final = "ESCAPE '\\'"

_NAMED: Final = "SELECT * FROM {} WHERE id LIKE ? ESCAPE '\\' ORDER BY started_at"

_SUMS: Final = """
    count(*) AS calls, sum(state = 'done') AS done, sum(state = 'failed') AS failed,
    sum(state = 'cancelled') AS cancelled, sum(replayed) AS replayed,
    sum(CASE WHEN live THEN input_tokens END) AS input_tokens,
    sum(CASE WHEN live THEN output_tokens END) AS output_tokens,
    sum(CASE WHEN live THEN cost_usd END) AS cost_usd, sum(CASE WHEN live THEN failed_cost_usd END) AS failed_cost_usd,
    sum(live AND cost_usd IS NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)) AS unpriced
    FROM (SELECT *, counted AND NOT replayed AS live FROM call_records)
"""

_FOUND: Final = """
    WITH RECURSIVE hits(id) AS (SELECT id FROM messages WHERE {text} OR {shown}),
    down(id) AS (
        SELECT id FROM histories WHERE message IN hits
        UNION SELECT h.id FROM histories AS h JOIN down ON h.parent = down.id
    )
    SELECT number FROM call_records
    WHERE answer IN hits OR history IN down OR {thinking} OR {error} ORDER BY number DESC LIMIT ?
"""

_MESSAGES: Final = """
    WITH RECURSIVE back(parent, message, depth) AS (
        SELECT parent, message, 0 FROM histories WHERE id = ?
        UNION ALL SELECT h.parent, h.message, depth + 1 FROM histories AS h JOIN back ON h.id = back.parent
    )
    SELECT role, text, shown, content FROM back JOIN messages ON messages.id = back.message ORDER BY depth DESC
"""


@final
class Reading:
    """A log that is open to be read. What it gives is JSON-ready, by the names of the columns of the view ``calls``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row

    def newest(self, count: int) -> list[JsonObject]:
        """Return the newest calls, the newest first."""
        return self._calls("SELECT number FROM call_records ORDER BY number DESC LIMIT ?", count)

    def search(self, word: str, count: int) -> list[JsonObject]:
        """Return the newest calls that hold a word in prompt, answer, thinking or error, however it is capitalised."""
        forms = list(dict.fromkeys([word, word.lower(), word.upper(), word.capitalize()]))
        columns = ("text", "shown", "thinking", "error")
        conditions = {name: f"({' OR '.join([f'{name} LIKE ? {_ESCAPE}'] * len(forms))})" for name in columns}
        patterns = [f"%{_escaped(form)}%" for form in forms] * len(columns)
        return self._calls(_FOUND.format(**conditions), *patterns, count)

    def named(self, id: str) -> list[JsonObject]:
        """Return all that is known of the calls with this id, or with one that begins with it."""
        rows = self._rows(_NAMED.format("whole_calls"), f"{_escaped(id)}%")
        return [self._whole(row) for row in rows]

    def run(self, id: str) -> JsonObject | None:
        """Return a run, and the calls that it made; None if there is none of this id."""
        found = self._rows(_NAMED.format("run_records"), f"{_escaped(id)}%")
        if len(found) != 1:
            return None
        (run,) = found
        calls = self._calls("SELECT number FROM call_records WHERE parent = ? ORDER BY number DESC", run["id"])
        return {**run, "calls": calls[::-1]}

    def sums(self) -> JsonObject:
        """Return how many calls there are, what they used and cost, by model too; replayed ones cost nothing."""
        (whole,) = self._rows(f"SELECT {_SUMS}")
        models = self._rows(f"SELECT provider, coalesce(response_model, model) AS model, {_SUMS} GROUP BY 1, 2")
        (runs,) = self._rows("SELECT count(*) AS runs FROM run_records")
        (steps,) = self._rows("SELECT count(*) AS steps FROM step_records WHERE event = 'end'")
        days: Any = self._rows("SELECT * FROM cost_by_day")
        return {**whole, **runs, **steps, "models": [*models], "days": days}

    def everything(self) -> Iterator[JsonObject]:
        """Yield all that is known of every call, the oldest first."""
        latest = 0
        while rows := self._rows("SELECT * FROM whole_calls WHERE number > ? ORDER BY number LIMIT ?", latest, _PAGE):
            latest = rows[-1]["number"]
            for row in rows:
                yield self._whole(row)

    def following(self, count: int) -> Iterator[JsonObject]:
        """Yield the newest calls, the oldest first, and then each new one, for ever."""
        ((latest,),) = self._connection.execute("SELECT coalesce(max(number), 0) FROM call_records").fetchall()
        yield from self.newest(count)[::-1]
        while True:
            rows = self._rows("SELECT * FROM whole_calls WHERE number > ? ORDER BY number LIMIT ?", latest, _PAGE)
            for row in rows:
                latest = row["number"]
                yield _told(row)
            if not rows:
                time.sleep(_PERIOD)

    def _calls(self, numbers: str, *values: object) -> list[JsonObject]:
        found = [number for (number,) in self._connection.execute(numbers, values).fetchall()]
        rows = [row for number in found for row in self._rows("SELECT * FROM whole_calls WHERE number = ?", number)]
        return [_told(row) for row in rows]

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(query, values).fetchall()]

    def _whole(self, row: dict[str, Any]) -> JsonObject:
        raw = self._rows("SELECT status, headers, response FROM raw_answers WHERE call = ?", row["number"])
        messages = self._rows(_MESSAGES, row["history"])
        answer = self._rows("SELECT role, text, shown, content FROM messages WHERE id = ?", row["answer"])
        made = {name: value for name, value in row.items() if name not in _LINKS}
        made |= {
            "messages": [_message(message) for message in messages],
            "message": _message(answer[0]) if answer else None,
            "raw": _decoded(raw[0]) if raw else None,
        }
        return _decoded(made)


#: What `Reading.newest` and others tell of a call.
_TOLD: Final = (
    *("id", "parent", "started_at", "provider", "model", "response_model", "state", "prompt", "text", "thinking"),
    *("error_type", "error", "input_tokens", "output_tokens", "cost_usd", "duration_ms", "lineage", "tags", "replayed"),
)


def _told(row: dict[str, Any]) -> JsonObject:
    return _decoded({name: row[name] for name in _TOLD})


def _decoded(row: dict[str, Any]) -> JsonObject:
    made = {name: _json(value) if name in _AS_JSON and value is not None else value for name, value in row.items()}
    if "replayed" in made:
        made["replayed"] = bool(made["replayed"])
    return made


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _message(row: dict[str, Any]) -> JsonObject:
    content = row["content"]
    return _json(content) if content is not None else {"role": row["role"], "content": row["text"]}


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


@contextmanager
def reading(path: str) -> Generator[Reading]:
    """Open a log to read it; it may be written meanwhile.

    Raises:
        ConfigurationError: if there is none, if it is damaged, and if it is of another version.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(HEADER))
    except OSError as error:
        msg = f"the log {path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    if start not in (b"", HEADER):
        raise no_log(path, "no SQLite file")
    # In a folder that cannot be written, SQLite reads only what it is told that nobody writes.
    ways = ("mode=ro",) if os.path.exists(f"{path}-wal") else ("mode=ro", "mode=ro&immutable=1")
    try:
        connection = _connected(path, ways)
        try:
            yield Reading(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        msg = f"the log {path} cannot be read: {error}"
        raise ConfigurationError(msg) from error


def _connected(path: str, ways: Sequence[str]) -> sqlite3.Connection:
    """Connect in the first of these ways that works."""
    first, *others = ways
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{first}", uri=True, timeout=5)
    try:
        check(connection, path)
    except sqlite3.OperationalError:
        connection.close()
        if not others:
            raise
        return _connected(path, others)
    except BaseException:
        connection.close()
        raise
    return connection
