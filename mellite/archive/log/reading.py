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
from .choosing import MANY, Wanted, escaped, holding_word
from .kept_texts import KeptTexts
from .schema import check, check_file, databases_only

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

_FACETS: Final = {
    "models": "SELECT model, count(*) FROM call_records WHERE model IS NOT NULL GROUP BY 1",
    "states": "SELECT state, count(*) FROM call_records GROUP BY 1",
    "tags": "SELECT value, count(*) FROM call_records, json_each(call_records.tags) WHERE tags != '[]' GROUP BY 1",
}

_SPENT: Final = """
    SELECT {} AS name, count(*) AS calls, sum(state = 'failed') AS failed,
    sum(coalesce(input_tokens, 0) + coalesce(failed_input_tokens, 0)) AS input_tokens,
    sum(coalesce(output_tokens, 0) + coalesce(failed_output_tokens, 0)) AS output_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(CASE WHEN cost_usd IS NULL THEN failed_cost_usd ELSE cost_usd + coalesce(failed_cost_usd, 0) END) AS cost_usd,
    sum(cost_usd IS NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)) AS unpriced
    FROM {} WHERE counted AND NOT replayed
"""

_RUNS: Final = """
    SELECT r.*, count(c.number) AS calls, sum(CASE WHEN NOT c.replayed THEN c.cost_usd END) AS cost_usd
    FROM run_records AS r LEFT JOIN call_records AS c ON c.parent = r.id
    GROUP BY r.id ORDER BY r.started_at DESC LIMIT 1000
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
        holding, patterns = holding_word(word)
        return self._calls(f"{holding} ORDER BY number DESC LIMIT ?", *patterns, count)

    def chosen(
        self, wanted: Wanted, offset: int, count: int, texts: KeptTexts | None = None
    ) -> tuple[int, list[JsonObject]]:
        """Return how many calls are wanted, and some of them.

        Args:
            wanted: which.
            offset: how many are passed over.
            count: how many to return at most.
            texts: the texts of this log, if somebody keeps them.
        """
        holding = texts.holding(self._connection, wanted.word) if texts is not None and wanted.word else None
        if holding is not None and wanted.is_a_word:
            found = holding if wanted.order == "oldest" else holding[::-1]
            return len(found), self._numbered(found[offset : offset + count])
        condition, values = wanted.condition(holding)
        where = f"FROM call_records WHERE {condition}"
        query = f"SELECT number {where} ORDER BY {wanted.by}"
        if not wanted.word:
            ((total,),) = self._connection.execute(f"SELECT count(*) {where}", values).fetchall()
            return total, self._calls(f"{query} LIMIT ? OFFSET ?", *values, count, offset)
        # A word is looked for once, and not again to count what holds it.
        cursor = self._connection.cursor()
        cursor.row_factory = None  # of 100,000 rows, tuples are made much sooner
        found = [number for (number,) in cursor.execute(query, values).fetchall()]
        if holding is not None and len(holding) >= MANY:
            among = {*holding}
            found = [number for number in found if number in among]
        return len(found), self._numbered(found[offset : offset + count])

    def keep(self, texts: KeptTexts) -> None:
        """Read the texts of all calls into memory, for `chosen`."""
        texts.load(self._connection)

    def facets(self) -> JsonObject:
        """Return the models, states and tags of calls, the most frequent first."""
        return {
            name: [value for value, _ in self._connection.execute(f"{query} ORDER BY 2 DESC, 1 LIMIT 200").fetchall()]
            for name, query in _FACETS.items()
        }

    def spent(self) -> JsonObject:
        """Return what calls used and cost, in all, by day, model and tag; those that are only replayed cost nothing."""
        model = "coalesce(provider || ':', '') || coalesce(response_model, model, 'unknown')"
        tagged = "call_records, json_each(call_records.tags)"
        (whole,) = self._rows(_SPENT.format("'all'", "call_records"))
        ((replayed,),) = self._connection.execute("SELECT count(*) FROM call_records WHERE replayed").fetchall()
        return {
            "all": whole | {"name": "all"},
            "days": [*self._rows(f"{_SPENT} GROUP BY 1 ORDER BY 1".format("date(started_at)", "call_records"))],
            "models": [*self._rows(f"{_SPENT} GROUP BY 1 ORDER BY 1".format(model, "call_records"))],
            "tags": [*self._rows(f"{_SPENT} GROUP BY 1 ORDER BY 1".format("value", tagged))],
            "replayed": replayed,
        }

    def runs(self) -> list[JsonObject]:
        """Return the runs, the newest first: with how many calls each made, and what those cost."""
        return [*self._rows(_RUNS)]

    def latest(self) -> int:
        """Return the number of the newest call."""
        ((latest,),) = self._connection.execute("SELECT coalesce(max(number), 0) FROM call_records").fetchall()
        return int(latest)

    def between(self, number: int, last: int, count: int) -> list[JsonObject]:
        """Return the newest calls after one of this number, up to the last one, the oldest first."""
        query = "SELECT number FROM call_records WHERE number > ? AND number <= ? ORDER BY number DESC LIMIT ?"
        return self._calls(query, number, last, count)[::-1]

    def parts_of(self, id: str) -> JsonObject:
        """Return what a run or step consists of: calls, runs and steps, the oldest first."""
        calls = self._calls("SELECT number FROM call_records WHERE parent = ? ORDER BY number", id)
        return {
            "calls": [*calls],
            "runs": [*self._rows("SELECT * FROM run_records WHERE parent = ? ORDER BY started_at", id)],
            "steps": [*self._rows("SELECT * FROM step_records WHERE parent = ? AND event = 'end' ORDER BY id", id)],
        }

    def named(self, id: str) -> list[JsonObject]:
        """Return all that is known of the calls with this id, or with one that begins with it."""
        rows = self._rows(_NAMED.format("whole_calls"), f"{escaped(id)}%")
        return [self._whole(row) for row in rows]

    def whole(self, id: str) -> JsonObject | None:
        """Return all that is known of the newest call with exactly this id; None if there is none."""
        rows = self._rows("SELECT * FROM whole_calls WHERE id = ? ORDER BY number DESC LIMIT 1", id)
        return self._whole(rows[0]) if rows else None

    def has_run(self, id: str) -> bool:
        """Return whether there is a run with exactly this id."""
        return bool(self._connection.execute("SELECT 1 FROM run_records WHERE id = ?", [id]).fetchall())

    def run(self, id: str) -> JsonObject | None:
        """Return a run, and the calls that it made; None if there is none of this id."""
        found = self._rows(_NAMED.format("run_records"), f"{escaped(id)}%")
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
        return self._numbered([number for (number,) in self._connection.execute(numbers, values).fetchall()])

    def _numbered(self, found: list[int]) -> list[JsonObject]:
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


@contextmanager
def reading(path: str) -> Generator[Reading]:
    """Open a log to read it; it may be written meanwhile.

    Raises:
        ConfigurationError: if there is none, if it is damaged, and if it is of another version.
    """
    try:
        check_file(path)
    except OSError as error:
        msg = f"the log {path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    # In a folder that cannot be written, SQLite reads only what it is told that nobody writes.
    ways = ("mode=ro",) if os.path.exists(f"{path}-wal") else ("mode=ro", "mode=ro&immutable=1")
    try:
        with databases_only(path):
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
