"""The texts of a log in memory, in lower case: a word in 100,000 calls is found as fast as it is typed."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from itertools import compress, repeat
from operator import contains, or_
from typing import Any, Final, final

from ...loops import forking

__all__ = ["KeptTexts"]

#: How many characters are kept at most. A log of more is searched by SQLite, which takes longer and no memory.
_MOST: Final = 150_000_000

#: How many rows are read at once.
_ROWS: Final = 1000

#: How many calls there are up to a number, and the id of the one with this number.
_STATE: Final = """
    SELECT (SELECT count(*) FROM call_records WHERE number <= :last),
    (SELECT id FROM call_records WHERE number = :last)
"""

_CALLS: Final = """
    SELECT id, number, coalesce(history, 0), coalesce(answer, 0), thinking, error FROM call_records WHERE number > ?
    ORDER BY number
"""
_HISTORIES: Final = "SELECT id, coalesce(parent, 0), message FROM histories WHERE id > ? ORDER BY id"
_MESSAGES: Final = "SELECT id, text, shown FROM messages WHERE id > ? ORDER BY id"


class _TooLargeError(Exception):
    """There is more text than may be kept."""


@final
class KeptTexts:
    """The texts of a log's calls, kept between searches; each search reads only what is new since the last one.

    Args:
        most: how many characters are kept at most.
    """

    def __init__(self, *, most: int = _MOST) -> None:
        self._most = most
        self._lock = forking.lock()
        self._is_loaded = False
        self._is_too_large = False
        self._clear()

    def load(self, connection: sqlite3.Connection) -> None:
        """Read all texts, unless that has been done, or there are too many. Other threads may search meanwhile.

        Raises:
            sqlite3.Error: if the log cannot be read.
        """
        with self._lock:
            if not self._is_loaded and not self._is_too_large:
                self._refresh(connection)

    def holding(self, connection: sqlite3.Connection, word: str) -> list[int] | None:
        """Return the numbers of the calls that hold a word, the oldest first, however it is capitalised.

        None if the texts are not in memory: SQLite is to be asked then.

        Raises:
            sqlite3.Error: if the log cannot be read.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._is_loaded:
                self._refresh(connection)
            return self._found(word.lower()) if self._is_loaded else None
        finally:
            self._lock.release()

    def _clear(self) -> None:
        self._size = 0
        self._last_id = ""
        # The ids in a log begin with 1, so that 0 stands for "none".
        self._message_ids = array("q")
        self._texts: list[str] = []
        self._history_ids = array("q")
        self._messages = array("q")
        self._followers: list[tuple[int, int]] = []
        self._numbers = array("q")
        self._histories = array("q")
        self._answers = array("q")
        self._others: list[tuple[int, str]] = []

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Read what is new; everything again if calls have been deleted."""
        try:
            connection.execute("BEGIN")  # so that all is read as it was at one moment
            try:
                last = self._numbers[-1] if self._numbers else 0
                ((known, id),) = connection.execute(_STATE, {"last": last}).fetchall()
                # Where some have been deleted, numbers may have been given again.
                if last and (known, id) != (len(self._numbers), self._last_id):
                    self._clear()
                self._read(connection)
            finally:
                connection.execute("ROLLBACK")
        except _TooLargeError:
            self._is_loaded, self._is_too_large = False, True
            self._clear()
        except sqlite3.Error:
            self._is_loaded = False
            self._clear()
            raise
        else:
            self._is_loaded = True

    def _read(self, connection: sqlite3.Connection) -> None:
        last = self._numbers[-1] if self._numbers else 0
        for id, number, history, answer, *others in _rows(connection, _CALLS, last):
            self._last_id = id
            self._others += [(len(self._numbers), self._kept(text)) for text in others if text]
            self._numbers.append(number)
            self._histories.append(history)
            self._answers.append(answer)
        last = self._history_ids[-1] if self._history_ids else 0
        for id, parent, message in _rows(connection, _HISTORIES, last):
            self._history_ids.append(id)
            self._messages.append(message)
            if parent:
                self._followers.append((id, parent))
        last = self._message_ids[-1] if self._message_ids else 0
        for id, text, shown in _rows(connection, _MESSAGES, last):
            self._message_ids.append(id)
            self._texts.append(self._kept(f"{text}\0{shown}" if shown else text))

    def _kept(self, text: str) -> str:
        self._size += len(text)
        if self._size > self._most:
            raise _TooLargeError
        return text.lower()

    def _found(self, word: str) -> list[int]:
        """Return the calls with an answer, or with a message before it, that holds a word."""
        holds = bytearray((self._message_ids[-1] if self._message_ids else 0) + 1)
        for id in compress(self._message_ids, map(contains, self._texts, repeat(word))):
            holds[id] = 1
        # A history consists of a message and of the history before it, which was written first.
        tells = bytearray((self._history_ids[-1] if self._history_ids else 0) + 1)
        for id in compress(self._history_ids, map(holds.__getitem__, self._messages)):
            tells[id] = 1
        for id, parent in self._followers:
            if tells[parent]:
                tells[id] = 1
        said = map(holds.__getitem__, self._answers)
        found = bytearray(map(or_, map(tells.__getitem__, self._histories), said))
        for at, text in self._others:
            if word in text:
                found[at] = 1
        return [*compress(self._numbers, found)]


def _rows(connection: sqlite3.Connection, query: str, last: int) -> Iterator[Any]:
    """Yield the rows after one of this number."""
    cursor = connection.execute(query, [last])
    while rows := cursor.fetchmany(_ROWS):
        yield from rows
