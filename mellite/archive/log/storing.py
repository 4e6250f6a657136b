"""Write rows into a log file: messages and histories once, all rows of a batch in one transaction, old ones deleted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, final

from .rows import CallRow, KeptMessage, RunRow, StepRow
from .schema import opened

__all__ = ["Row", "Store"]

#: A row of one of the tables.
Row = CallRow | RunRow | StepRow

_MESSAGE: Final = "INSERT OR IGNORE INTO messages (hash, role, text, shown, content) VALUES (?, ?, ?, ?, ?)"
_HISTORY: Final = "INSERT OR IGNORE INTO histories (hash, parent, message) VALUES (?, ?, ?)"
_RUN: Final = "INSERT OR REPLACE INTO run_records VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_STEP: Final = (
    "INSERT INTO step_records (time, event, flow_id, step_id, status, payload, activity, parent) "
    "VALUES (?, 'end', ?, ?, ?, ?, ?, ?)"
)

#: What is older, and then what nothing refers to any more.
_PRUNE: Final = (
    "DELETE FROM call_records WHERE started_at < :day",
    "DELETE FROM run_records WHERE started_at < :day",
    "DELETE FROM step_records WHERE time < :time",
    "DELETE FROM raw_answers WHERE call NOT IN (SELECT number FROM call_records)",
    """
    DELETE FROM histories WHERE id NOT IN (
        WITH RECURSIVE used(id) AS (
            SELECT history FROM call_records WHERE history IS NOT NULL
            UNION SELECT h.parent FROM histories AS h JOIN used ON h.id = used.id WHERE h.parent IS NOT NULL
        ) SELECT id FROM used
    )
    """,
    """
    DELETE FROM messages WHERE id NOT IN (
        SELECT message FROM histories UNION SELECT answer FROM call_records WHERE answer IS NOT NULL
    )
    """,
)


@final
class Store:
    """An open log file. For one thread at a time, and one process.

    Args:
        path: the file.

    Raises:
        ConfigurationError: if it is not a log, or one of a later version.
        sqlite3.Error: if it cannot be read or written.
        OSError: the same.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = opened(path)
        self._file = _identity(path)
        # What is in the file, by hash. Only within one transaction: another process may delete it afterwards.
        self._messages: dict[bytes, int] = {}
        self._histories: dict[bytes, int] = {}

    def is_there(self) -> bool:
        """Return whether the path still leads to this file."""
        return _identity(self._path) == self._file

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, all or none.

        Raises:
            sqlite3.Error: if they cannot be written.
        """
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                self._write(row)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._messages.clear()
            self._histories.clear()

    def prune(self, before: datetime) -> None:
        """Delete what began before a moment, and give the space back.

        Raises:
            sqlite3.Error: if it cannot be deleted.
        """
        connection = self._connection
        values = {"day": before.isoformat(timespec="microseconds"), "time": before.timestamp()}
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _PRUNE:
                connection.execute(statement, values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.executescript("PRAGMA incremental_vacuum")  # not execute, which stops after one page

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _write(self, row: Row) -> None:
        if isinstance(row, RunRow):
            self._connection.execute(_RUN, row)
        elif isinstance(row, StepRow):
            self._connection.execute(_STEP, row)
        else:
            self._write_call(row)

    def _write_call(self, row: CallRow) -> None:
        values = {
            **row.values,
            "history": self._history(row.prompt),
            "answer": None if row.answer is None else self._message(row.answer),
        }
        # Thunks that `mellite.share` one generation have one id, and it is counted once.
        statement = (
            f"INSERT INTO call_records ({', '.join(values)}, counted) VALUES ({', '.join('?' * len(values))}, "  # noqa: S608 - names of ours
            "NOT EXISTS (SELECT 1 FROM call_records WHERE id = ?))"
        )
        number = self._connection.execute(statement, (*values.values(), row.id)).lastrowid
        if row.raw is not None:
            self._connection.execute("INSERT INTO raw_answers VALUES (?, ?, ?, ?)", (number, *row.raw))

    def _message(self, message: KeptMessage) -> int:
        """Return the number of a message, which is written if it is not there."""
        number = self._messages.get(message.hash)
        if number is None and message.is_read:
            number = self._inserted(_MESSAGE, message.row())
        if number is None:
            number = self._found("messages", message.hash)
        if number is None:
            number = self._inserted(_MESSAGE, (message.hash, *message.row()[1:])) or 0
        self._messages[message.hash] = number
        return number

    def _history(self, messages: Sequence[KeptMessage]) -> int | None:
        """Return the number of a history: of its last message, after that of the history without it."""
        hashes: list[bytes] = []
        digest = b""
        for message in messages:
            digest = blake2b(digest + message.hash, digest_size=16).digest()
            hashes.append(digest)
        known: int | None = None
        first = len(messages) - 1
        while first > 0 and known is None:  # mostly all but the last one are there
            known = self._histories.get(hashes[first - 1]) or self._found("histories", hashes[first - 1])
            if known is None:
                first -= 1
        for digest, message in zip(hashes[max(0, first) :], messages[max(0, first) :], strict=True):
            number = self._histories.get(digest)
            if number is None:
                number = self._inserted(_HISTORY, (digest, known, self._message(message)))
            known = self._histories[digest] = self._found("histories", digest) or 0 if number is None else number
        return known

    def _inserted(self, statement: str, values: Sequence[object]) -> int | None:
        """Return the number of a row that is new; None if it was there."""
        done = self._connection.execute(statement, values)
        return done.lastrowid if done.rowcount else None

    def _found(self, table: str, digest: bytes) -> int | None:
        found = self._connection.execute(f"SELECT id FROM {table} WHERE hash = ?", (digest,)).fetchall()  # noqa: S608 - a name of ours
        return found[0][0] if found else None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
