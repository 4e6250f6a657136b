"""Recorders of the start and the end of a step: none, the terminal, a file of JSON lines, an SQLite file."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import closing
from typing import Any, ClassVar, Final

from attrs import field, frozen

from ...values.errors import InvalidRequest
from ...values.paths import path_of

__all__ = ["JsonLinesRecorder", "PrintRecorder", "Recorder", "SqliteRecorder"]


class Recorder:
    """A base class for recorders of steps. Both methods do nothing; a subclass overrides what it needs.

    A method may be async. If one raises, the step is unaffected, and the error is logged the first time.

    Attributes:
        in_thread: whether the methods wait for files or networks, and so are called in a thread, off the event loop.
    """

    in_thread: ClassVar[bool] = False

    def record_step_start(self, flow_id: str, step_id: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Record that a step begins."""

    def record_step_end(self, flow_id: str, step_id: str, status: str, payload: Mapping[str, Any] | None = None) -> Any:
        """Record that a step has ended.

        Args:
            status: ``success`` or ``error``.
        """


class PrintRecorder(Recorder):
    """A recorder that prints a line for each start and each end of a step."""

    def record_step_start(self, flow_id: str, step_id: str, payload: Mapping[str, Any] | None = None) -> None:
        """Print the start."""
        print("START:", flow_id, step_id, payload)  # noqa: T201 - what it is for

    def record_step_end(
        self, flow_id: str, step_id: str, status: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """Print the end."""
        print("END:", flow_id, step_id, status, payload)  # noqa: T201 - what it is for


def _file(path: object) -> str:
    """Return the path of a file as a str.

    Raises:
        InvalidRequest: for what is not a path of a file.
    """
    named = path_of(path)
    if named == ":memory:":
        msg = "'path' must be the path of a file, not ':memory:'"
        raise InvalidRequest(msg, parameter="path")
    return named


def _json(value: object) -> str:
    """Return a payload as JSON; what JSON has no word for as a str."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _bytes(text: str) -> bytes:
    """Return JSON as bytes; halves of surrogate pairs, which UTF-8 has no word for, as JSON's own escapes."""
    return text.encode("utf-8", "backslashreplace")


@frozen
class _FileRecorder(Recorder):
    """Keeps each start and each end in a file, in the same way; a subclass says in which."""

    in_thread: ClassVar[bool] = True
    path: str = field(converter=_file)

    def record_step_start(self, flow_id: str, step_id: str, payload: Mapping[str, Any] | None = None) -> None:
        """Keep the start."""
        self._keep("start", flow_id, step_id, None, payload)

    def record_step_end(
        self, flow_id: str, step_id: str, status: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """Keep the end."""
        self._keep("end", flow_id, step_id, status, payload)

    @abstractmethod
    def _keep(self, event: str, flow: str, step: str, status: str | None, payload: object) -> None:
        """Write one of them."""


@frozen
class JsonLinesRecorder(_FileRecorder):
    """A recorder that appends a line of JSON to a file for each start and each end of a step.

    A line has ``event`` (``start`` or ``end``), ``time`` (seconds since 1970), ``flow_id``, ``step_id``, ``status``
    (None at the start) and ``payload``. Several processes may write one file.

    Args:
        path: the file, created when the first step begins; its folder must exist.

    Raises:
        InvalidRequest: if `path` is not a path.
    """

    def _keep(self, event: str, flow: str, step: str, status: str | None, payload: object) -> None:
        line = {"event": event, "time": time.time(), "flow_id": flow, "step_id": step, "status": status}
        written = _bytes(_json({**line, "payload": payload}) + "\n")
        with open(self.path, "ab", buffering=0) as file:
            file.write(written)  # at once, so that lines of several processes do not mix


_TABLE: Final = """
CREATE TABLE IF NOT EXISTS step_records (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, event TEXT NOT NULL,
    flow_id TEXT NOT NULL, step_id TEXT NOT NULL, status TEXT, payload TEXT
)
"""
_VIEW: Final = """
CREATE VIEW IF NOT EXISTS steps AS
SELECT id, time, flow_id, step_id, status, payload FROM step_records WHERE event = 'end'
"""
_ROW: Final = "INSERT INTO step_records (time, event, flow_id, step_id, status, payload) VALUES (?, ?, ?, ?, ?, ?)"


@frozen
class SqliteRecorder(_FileRecorder):
    """A recorder that keeps each start and each end of a step in a SQLite file.

    The view ``steps`` has a row for each finished step: ``flow_id``, ``step_id``, ``status``, ``payload`` (JSON),
    ``time`` (seconds since 1970); the table ``step_records`` has the starts, too. Several processes may write one file.

    Args:
        path: the file, created when the first step begins; its folder must exist.

    Raises:
        InvalidRequest: if `path` is not a path.
    """

    def _keep(self, event: str, flow: str, step: str, status: str | None, payload: object) -> None:
        import sqlite3  # not for those who keep nothing in it

        text = _bytes(_json(payload)).decode()
        with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
            database.execute(_TABLE)
            database.execute(_VIEW)
            database.execute(_ROW, (time.time(), event, flow, step, status, text))
