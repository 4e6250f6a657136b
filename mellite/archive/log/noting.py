"""Hand what settles to the writers of log files, which each have one; the file that a variable names is one of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

from ...loops import forking
from ...thunk.observing import Activity, Observer, install
from ...values.errors import InvalidRequest
from ...values.paths import path_of
from .rows import SettledCall, SettledRun, SettledStep
from .writer import Writer

__all__ = ["files", "of_variable", "whole_path"]


@final
class _Noting(Observer):
    """Hands on what settles to the writer of a file."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._began: dict[Activity, _Begun] = {}

    def started(self, activity: Activity) -> None:
        """Give a run and a step its name, and note when it began."""
        if activity.kind in ("run", "step"):
            self._began[activity] = _Begun(activity)

    def settled(self, activity: Activity) -> None:
        """Have it written."""
        kind = activity.kind
        if kind == "generation":
            generation = activity.subject
            outcome = generation.outcome
            if outcome is not None:
                parent = self._parent_of(activity)
                self.writer.put(SettledCall(generation.generation_id, parent, generation.call, outcome))
            return
        begun = self._began.pop(activity, None)
        if begun is None:
            return
        id, parent, subject = begun.id, self._parent_of(activity), activity.subject
        if kind == "run":
            took = (time.perf_counter() - begun.clock) * 1000
            reason, error = subject.stop_reason, activity.error
            self.writer.put(SettledRun(id, parent, begun.time, took, reason, error))
        else:
            flow, step = str(subject.flow_id), str(subject.step_id)
            now = time.time()
            self.writer.put(SettledStep(id, parent, now, flow, step, activity.result, activity.error))

    def _parent_of(self, activity: Activity) -> str | None:
        """Return the id of the nearest run, step or generation that this is a part of."""
        parent = activity.parent
        while parent is not None:
            if parent.kind == "generation":
                named: str = parent.subject.generation_id
                return named
            if (begun := self._began.get(parent)) is not None:
                return begun.id
            parent = parent.parent
        return None


@final
class _Begun:
    """A run or a step that goes on: its name, and when it began."""

    __slots__ = ("clock", "id", "time")

    def __init__(self, activity: Activity) -> None:
        run = activity.subject.run if activity.kind == "run" else None
        generation = getattr(run, "generation", None)  # none if the run has been dropped
        self.id: str = getattr(generation, "generation_id", None) or os.urandom(8).hex()
        self.time = datetime.now(UTC)
        self.clock = time.perf_counter()


@final
class _Files:
    """The files that are written, each by one writer, however often it is asked for."""

    def __init__(self) -> None:
        self.changing = forking.lock()
        self.noting: dict[str, _Noting] = {}
        self.removing: dict[str, tuple[int, Callable[[], None]]] = {}

    def of(self, path: str) -> _Noting:
        """Return what writes into a file."""
        with self.changing:
            return self.noting.setdefault(path, _Noting(Writer(path)))

    def add(self, path: str) -> None:
        """Have a file written in the whole process."""
        noting = self.of(path)
        with self.changing:
            count, remove = self.removing.get(path, (0, None))
            self.removing[path] = count + 1, install(noting) if remove is None else remove

    def remove(self, path: str) -> bool:
        """Take one `add` back; return whether it was the last."""
        with self.changing:
            count, remove = self.removing.pop(path)
            if count > 1:
                self.removing[path] = count - 1, remove
                return False
        remove()
        return True


files: Final = _Files()


def of_variable(said: str) -> Observer | None:
    """Return what writes the log that ``MELLITE_LOG_DB`` names; None if it is empty."""
    return files.of(whole_path(said)) if said else None


def whole_path(path: object) -> str:
    """Return the path of a file as a str, from the root.

    Raises:
        InvalidRequest: for what is not a path of a file.
    """
    named = path_of(path)
    if named == ":memory:":
        msg = "'path' must be the path of a file, not ':memory:'"
        raise InvalidRequest(msg, parameter="path")
    return os.path.realpath(named)
