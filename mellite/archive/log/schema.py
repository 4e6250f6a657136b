"""The tables and views of a log file: how one is opened, told from other files, and brought up to date."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import Final

from ...values.errors import ConfigurationError

__all__ = ["HEADER", "check", "no_log", "opened"]

#: Marks a SQLite file as a log of mellite's: https://www.sqlite.org/pragma.html#pragma_application_id.
APPLICATION: Final = 0x6D6C6C67

#: How long to wait for another process that writes, in seconds.
PATIENCE: Final = 5.0

#: How a SQLite file begins.
HEADER: Final = b"SQLite format 3\x00"

#: What `mellite.steps.SqliteRecorder` makes in a file of its own. It may be the file of a log.
_OF_RECORDER: Final = {"step_records", "steps"}

#: What brings a log from each version to the next. One that has been released is never changed.
_MIGRATIONS: Final = (
    """
    CREATE TABLE IF NOT EXISTS step_records (
        id INTEGER PRIMARY KEY, time REAL NOT NULL, event TEXT NOT NULL,
        flow_id TEXT NOT NULL, step_id TEXT NOT NULL, status TEXT, payload TEXT
    );
    ALTER TABLE step_records ADD COLUMN activity TEXT;
    ALTER TABLE step_records ADD COLUMN parent TEXT;
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, role TEXT NOT NULL, text TEXT NOT NULL,
        shown TEXT, content TEXT
    );
    CREATE TABLE histories (
        id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, parent INTEGER, message INTEGER NOT NULL
    );
    CREATE INDEX histories_by_parent ON histories (parent);
    CREATE INDEX histories_by_message ON histories (message);
    CREATE TABLE call_records (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, parent TEXT, started_at TEXT, provider TEXT, model TEXT,
        response_model TEXT, state TEXT NOT NULL, history INTEGER, answer INTEGER, thinking TEXT,
        error_type TEXT, error TEXT, cancel_reason TEXT, input_tokens INTEGER, output_tokens INTEGER,
        cache_read_tokens INTEGER, cache_write_tokens INTEGER, reasoning_tokens INTEGER, cost_usd REAL,
        ttfb_ms REAL, duration_ms REAL, finish_reason TEXT, response_id TEXT, request_id TEXT, options TEXT,
        attempts INTEGER, failures TEXT, failed_input_tokens INTEGER, failed_output_tokens INTEGER,
        failed_cost_usd REAL, lineage TEXT NOT NULL, tags TEXT NOT NULL, replayed INTEGER NOT NULL,
        counted INTEGER NOT NULL
    );
    CREATE INDEX calls_by_id ON call_records (id);
    CREATE INDEX calls_by_parent ON call_records (parent) WHERE parent IS NOT NULL;
    CREATE TABLE raw_answers (call INTEGER PRIMARY KEY, status INTEGER, headers TEXT, response TEXT);
    CREATE TABLE run_records (
        id TEXT PRIMARY KEY, parent TEXT, started_at TEXT, duration_ms REAL, state TEXT NOT NULL, stop_reason TEXT,
        error_type TEXT, error TEXT
    );
    """,
)

#: The version of the files that are written; it stands in ``PRAGMA user_version``.
VERSION: Final = len(_MIGRATIONS)

#: Made anew whenever a file is brought up to date. What is only replayed, and what is counted already, cost nothing.
_VIEWS: Final = {
    "calls": """
        SELECT id, parent, started_at, provider, model, response_model, state, prompt, text, thinking, error_type,
        error, input_tokens, output_tokens, cost_usd, duration_ms, lineage, tags, replayed
        FROM whole_calls ORDER BY number
    """,
    "whole_calls": """
        SELECT c.number, c.id, c.parent, c.started_at, c.provider, c.model, c.response_model, c.state, (
            WITH RECURSIVE back(parent, message, depth) AS (
                SELECT parent, message, 0 FROM histories WHERE id = c.history
                UNION ALL
                SELECT h.parent, h.message, depth + 1 FROM histories AS h JOIN back ON h.id = back.parent
            )
            SELECT CASE count(*) WHEN 1 THEN min(said) ELSE group_concat(role || ': ' || said, char(10, 10)) END
            FROM (
                SELECT role, coalesce(shown, text) AS said FROM back JOIN messages ON messages.id = back.message
                ORDER BY depth DESC
            )
        ) AS prompt, coalesce(m.text, '') AS text, c.thinking, c.error_type, c.error, c.input_tokens, c.output_tokens,
        c.cost_usd, c.duration_ms, c.lineage, c.tags, c.replayed, c.ttfb_ms, c.finish_reason, c.cancel_reason,
        c.cache_read_tokens, c.cache_write_tokens, c.reasoning_tokens, c.response_id, c.request_id, c.options,
        c.attempts, c.failures, c.failed_cost_usd, c.history, c.answer
        FROM call_records AS c LEFT JOIN messages AS m ON m.id = c.answer
    """,
    "runs": "SELECT id, started_at, state, stop_reason FROM run_records",
    "steps": "SELECT flow_id, step_id, status, payload FROM step_records WHERE event = 'end'",
    "cost_by_day": """
        SELECT date(started_at) AS day, count(*) AS calls,
        sum(coalesce(input_tokens, 0) + coalesce(failed_input_tokens, 0)) AS input_tokens,
        sum(coalesce(output_tokens, 0) + coalesce(failed_output_tokens, 0)) AS output_tokens,
        sum(CASE WHEN cost_usd IS NULL THEN failed_cost_usd ELSE cost_usd + coalesce(failed_cost_usd, 0) END)
        AS cost_usd,
        sum(cost_usd IS NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)) AS unpriced
        FROM call_records WHERE counted AND NOT replayed GROUP BY day ORDER BY day
    """,
    "slowest": """
        SELECT id, started_at, provider, model, duration_ms, ttfb_ms, output_tokens
        FROM call_records WHERE NOT replayed AND duration_ms IS NOT NULL ORDER BY duration_ms DESC LIMIT 100
    """,
    "errors": """
        SELECT id, started_at, provider, model, error_type, error, attempts
        FROM call_records WHERE state = 'failed' ORDER BY number DESC
    """,
}


def opened(path: str) -> sqlite3.Connection:
    """Open a log to write it; make it where there is no file or an empty one, and bring an older one up to date.

    Raises:
        ConfigurationError: for a file that is not a log, or that of a later version; nothing is written into it.
        sqlite3.Error: if it cannot be read or written.
        OSError: the same.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _check_header(path)
    connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False, isolation_level=None)
    try:
        if _version(connection, path) < VERSION:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _migrate(connection, path)
        # Another process may be doing the same, which SQLite does not wait for. Without it, writing is slower.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def check(connection: sqlite3.Connection, path: str) -> None:
    """Make sure that a file is a log of the version that is known here.

    Raises:
        ConfigurationError: if it is none, or empty, or of another version.
        sqlite3.Error: if it cannot be read.
    """
    version = _version(connection, path)
    if version < VERSION:
        said = "empty" if not version else f"of version {version}, and {VERSION} is the one that can be read"
        msg = f"the log {path} is {said}; write into it first, with mellite.log.to({path!r})"
        raise ConfigurationError(msg)


def _check_header(path: str) -> None:
    with open(path, "rb") as file:
        start = file.read(len(HEADER))
    if start not in (b"", HEADER):
        raise no_log(path, "it is not an SQLite file")


def no_log(path: str, what: str) -> ConfigurationError:
    """Return the error for a file that is something else; *what* says so, as in "it is not an SQLite file"."""
    return ConfigurationError(f"{path} is not a log of mellite: {what}; name another file for the log")


def _version(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of a log; 0 for an empty file and for one of a recorder of steps."""
    ((application,),) = connection.execute("PRAGMA application_id").fetchall()
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall()}
    if application == APPLICATION and 0 < version <= VERSION:
        return int(version)
    if application == APPLICATION and version > VERSION:
        msg = (
            f"the log {path} was written by a later version of mellite (its tables are of version {version}, and "
            f"{VERSION} is the last one known here); bring mellite up to date, or name another file"
        )
        raise ConfigurationError(msg)
    if application or version or not names <= _OF_RECORDER:
        raise no_log(path, "it is an SQLite file of another program")
    return 0


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a file up to date, in one transaction; another process may have done so meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path)
        if version < VERSION:
            for step in _MIGRATIONS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            for name, query in _VIEWS.items():
                connection.execute(f"DROP VIEW IF EXISTS {name}")
                connection.execute(f"CREATE VIEW {name} AS {query}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
