"""What is left of a map when all has settled: a list of all of it, or a file with a row for each."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final, Protocol, final

from attrs import field, frozen

from ..thunk.thunk import AnyThunk
from ..values.errors import InvalidRequest
from ..values.public_names import publish

__all__ = [
    "ANSWER_COLUMNS",
    "Collected",
    "RowsFile",
    "Sink",
    "answer_of",
    "checked_collect",
    "row_of",
    "rows_file",
    "sink_for",
]


@frozen
class Collected:
    """A file that `mellite.engine.map` wrote.

    Args:
        path: the file.
        rows: how many rows it has.
        failed: how many of them are of calls that failed or were cancelled.

    Example:
        >>> Collected("answers.jsonl", rows=10, failed=1)
        Collected(path='answers.jsonl', rows=10, failed=1)
    """

    path: str
    rows: int = field(kw_only=True)
    failed: int = field(kw_only=True)


#: What a row says of an answer, in this order.
ANSWER_COLUMNS: Final = (
    "text",
    "error_type",
    "error",
    "model",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "duration_ms",
)


def answer_of(thunk: AnyThunk) -> dict[str, Any]:
    """Return what a row says of the answer of a settled thunk, by the names in `ANSWER_COLUMNS`."""
    made, error = thunk.generation, thunk.error
    usage, cost = made.usage, made.cost_usd
    why = "GenerationCancelled" if thunk.cancelled else None
    return {
        "text": thunk.value,
        "error_type": why if error is None else type(error).__name__,
        "error": None if error is None else str(error),
        "model": made.response_model or made.model,
        "finish_reason": made.finish_reason,
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_usd": None if cost is None else float(cost),
        "duration_ms": made.duration_ms,
    }


def row_of(number: int, thunk: AnyThunk) -> dict[str, Any]:
    """Return the row of a settled thunk: its number among the items, what was asked, and its answer."""
    request = thunk.call.request
    metadata = {name: value for name, value in request.metadata.items() if name != "lineage"}
    return {"index": number, "prompt": request.text, **answer_of(thunk), "metadata": metadata}


class Sink(Protocol):
    """What takes all that settles, in the order in which it does."""

    def add(self, number: int, item: Any) -> None:
        """Take one, with its number among the items."""
        ...

    def finish(self) -> Any:
        """Note that this is all; return what it comes to."""
        ...

    def abandon(self) -> None:
        """Note that nobody wants it."""
        ...


@final
class _List:
    """A list of all that has settled, in the order of the items."""

    def __init__(self) -> None:
        self._items: list[tuple[int, Any]] = []

    def add(self, number: int, item: Any) -> None:
        self._items.append((number, item))

    def finish(self) -> list[Any]:
        return [item for _, item in sorted(self._items, key=_number)]

    def abandon(self) -> None:
        self._items.clear()


def _number(each: tuple[int, Any]) -> int:
    return each[0]


@final
class RowsFile:
    """A file with a row for each, JSON lines or CSV by its ending; under its own name once it is complete."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._part = f"{path}.{os.getpid()}.part"
        self._file: IO[str] | None = None
        self._columns: dict[str, None] | None = None  # of a CSV file, those of the first row
        self._rows = self._failed = 0

    def _opened(self) -> IO[str]:
        if self._file is None:
            self._file = open(self._part, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed by `finish`
        return self._file

    def add(self, number: int, item: Any) -> None:
        """Write the row of a settled thunk."""
        self.write(row_of(number, item), failed=item.state != "done")

    def write(self, row: Mapping[str, Any], *, failed: bool) -> None:
        """Write a row.

        Raises:
            InvalidRequest: for a row of a CSV file that has a column which the first did not have.
        """
        file = self._opened()
        if not self._path.lower().endswith(".csv"):
            file.write(json.dumps(row, default=str) + "\n")
        else:
            if self._columns is None:
                self._columns = dict.fromkeys(row)
                csv.writer(file).writerow(self._columns)
            extra = row.keys() - self._columns.keys()
            if extra:
                found = ", ".join(sorted(extra))
                msg = f"{self._path!r} has the columns of its first row, and one has {found}, too; write .jsonl"
                raise InvalidRequest(msg, parameter="collect")
            csv.writer(file).writerow([_cell(row.get(name)) for name in self._columns])
        self._rows += 1
        self._failed += failed

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return self._rows

    def finish(self) -> Collected:
        """Give the file its name."""
        file = self._opened()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(self._part, self._path)
        return Collected(self._path, rows=self._rows, failed=self._failed)

    def abandon(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.close()
            with suppress(OSError):
                os.unlink(self._part)


def _cell(value: Any) -> Any:
    """Return a value as a cell: what is neither text nor a number as JSON, so that it can be read again."""
    return json.dumps(value, default=str) if isinstance(value, (dict, list, bool)) else value


def rows_file(path: str) -> RowsFile:
    """Return a file to write rows to.

    Raises:
        InvalidRequest: if it cannot be written, or its ending is not known.
    """
    checked_collect(path)
    return RowsFile(path)


def checked_collect(collect: object) -> None:
    """Refuse what nothing can be collected in, before anything is sent.

    Raises:
        InvalidRequest: naming what it may be.
    """
    if collect is None or collect is list:
        return
    if not isinstance(collect, (str, os.PathLike)):
        msg = f"'collect' must be list, or the path of a .jsonl or .csv file, not {collect!r:.60}"
        raise InvalidRequest(msg, parameter="collect")
    path = os.fspath(collect)
    if not isinstance(path, str) or os.path.splitext(path)[1].lower() not in (".jsonl", ".csv"):
        msg = f"a file of rows is written by its ending, .jsonl or .csv, and {path!r:.100} has another"
        raise InvalidRequest(msg, parameter="collect")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder) or os.path.isdir(path):
        msg = f"{path!r} cannot be written: {'it is' if os.path.isdir(path) else f'{folder!r} is no'} a folder"
        raise InvalidRequest(msg.replace("is no a folder", "is no folder"), parameter="collect")


def sink_for(collect: Any) -> Sink:
    """Return what collects, for a value that `checked_collect` has let pass."""
    return _List() if collect is list else RowsFile(os.fspath(collect))


publish(globals(), "mellite.engine", "Collected")
