"""The tables and views of a log file: how one is opened, told from other files, and brought up to date."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from typing import Final
from urllib.parse import quote

from ...values.errors import ConfigurationError

__all__ = ["check", "check_file", "databases_only", "is_database", "opened"]

#: Marks a SQLite file as a log of mellite's: https://www.sqlite.org/pragma.html#pragma_application_id.
APPLICATION: Final = 0x6D6C6C67

#: How long to wait for another process that writes, in seconds.
PATIENCE: Final = 5.0

#: The size of what a SQLite file begins with, in bytes.
_SMALLEST: Final = 100

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
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    check_file(path, os.R_OK | os.W_OK)
    connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False, isolation_level=None)
    try:
        with databases_only(path):
            version = _version(connection, path)
        if version < VERSION:
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


def check_file(path: str, access: int = os.R_OK) -> None:
    """Make sure that there is a file which may be a database, and that it may be read, or whatever *access* says.

    The file is not opened, here and wherever it may be one that this process writes: closing it again would take away
    all locks that SQLite has on it in this process, and another process might delete what is written from then on:
    https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_

    Raises:
        ConfigurationError: for a file that is too small to be one; SQLite takes some of those for empty ones.
        OSError: if it cannot be read or written.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not os.access(path, access):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if 0 < found.st_size < _SMALLEST:
        raise _no_database(path)


@contextmanager
def databases_only(path: str) -> Generator[None]:
    """Say in our words that a file is none of SQLite's, where that shows in a block that reads it.

    Raises:
        ConfigurationError: if it is none.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _is_of_another_kind(error):
            raise _no_database(path) from error
        raise


def is_database(path: str) -> bool:
    """Tell whether a file is a database of SQLite's that is not empty; see `check_file` for how it looks."""
    try:
        check_file(path)
        if not os.path.getsize(path):
            return False
        with closing(sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchall()
    except sqlite3.Error as error:
        return not _is_of_another_kind(error)
    except (OSError, ConfigurationError):
        return False
    return True


def _is_of_another_kind(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB


def _no_database(path: str) -> ConfigurationError:
    return no_log(path, "it is not an SQLite file")


def no_log(path: str, what: str) -> ConfigurationError:
    """Return the error for a file that is something else; *what* says so, as in "it is not an SQLite file"."""
    return ConfigurationError(f"{path} is not a log of mellite: {what}; name another file for the log")


def _version(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of a log; 0 for an empty file and for one of a recorder of steps."""
    application, version, names = _told_of(connection)
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


def _told_of(connection: sqlite3.Connection) -> tuple[int, int, set[str]]:
    """Return what a file says of itself at one moment: another process may be making its tables."""
    is_alone = not connection.in_transaction
    if is_alone:
        connection.execute("BEGIN")
    try:
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall()}
    finally:
        if is_alone and connection.in_transaction:
            connection.execute("ROLLBACK")
    return application, version, names


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
