"""Collect the results of a map: in a list, or in a file with a row for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final, Protocol, cast, final

from attrs import field, frozen

from ..strategies.sampling import SamplingResult
from ..thunk.thunk import AnyThunk
from ..values.errors import InvalidRequest
from ..values.public_names import publish
from .errands import Settlement, state_of
from .whole_rows import WholeRows, csv_rows, json_lines

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
        failed: how many of them are calls that failed or were cancelled.

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


#: In a Parquet file, the types of columns that are neither text nor, free as they are, JSON.
_ANSWER_TYPES: Final = {
    "input_tokens": "int64",
    "output_tokens": "int64",
    "cost_usd": "float64",
    "duration_ms": "float64",
}

#: Likewise of those that a row of a map has besides.
_ROW_TYPES: Final = {"index": "int64", "success": "bool", "attempts": "int64"}


def answer_of(settled: Settlement) -> dict[str, Any]:
    """Return what a row says of an answer, by the names in `ANSWER_COLUMNS`.

    That of a sampling is its winner's, with what all samples have used and cost.
    """
    if not isinstance(settled, SamplingResult):
        return _answer_of(settled)
    usage, cost, error = settled.usage, settled.cost_usd, settled.error
    return {
        **_answer_of(settled.winner),
        "error_type": None if error is None else type(error).__name__,
        "error": None if error is None else str(error),
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_usd": None if cost is None else float(cost),
        "duration_ms": settled.duration_ms,
    }


def _answer_of(thunk: AnyThunk) -> dict[str, Any]:
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


def row_of(number: int, settled: Settlement) -> dict[str, Any]:
    """Return a row: the number among the items, what was asked, the answer, and how a strategy came to it."""
    sampled: dict[str, Any] = {}
    thunk: AnyThunk
    if isinstance(settled, SamplingResult):
        thunk = settled.winner if settled.source is None else settled.source
        sampled = {"success": settled.success, "attempts": settled.attempts, "stop_reason": settled.stop_reason}
    else:
        thunk = settled
    request = thunk.call.request
    metadata = {name: value for name, value in request.metadata.items() if name != "lineage"}
    return {"index": number, "prompt": request.text, **answer_of(settled), **sampled, "metadata": metadata}


class Sink(Protocol):
    """Takes what settles, in the order in which it does."""

    def add(self, number: int, item: Any) -> None:
        """Take one, with its number among the items."""
        ...

    def finish(self) -> Any:
        """Note that this is all; return what it comes to."""
        ...

    def abandon(self) -> None:
        """Discard what was collected."""
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


class _Rows(Protocol):
    """Writes rows to an open file; `lost` are those that it could not, `has_end` is whether it can be read."""

    lost: int

    @property
    def has_end(self) -> bool: ...

    def write(self, row: Mapping[str, Any]) -> None: ...

    def finish(self) -> None: ...


@final
class RowsFile:
    """A file with a row for each: JSON lines, CSV or Parquet by its ending; under its own name once it is complete.

    Args:
        path: the file.
        types: the types of columns in a Parquet file, beside those of answers.
    """

    def __init__(self, path: str, types: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._types = {**(types or {}), **_ANSWER_TYPES}
        self._part = f"{path}.{os.getpid()}.part"
        self._file: IO[bytes] | None = None
        self._writer: _Rows | None = None
        self._rows = self._failed = 0

    def begin(self) -> None:
        """Make the file under another name, so that one that cannot be written is told before anything is asked.

        Raises:
            InvalidRequest: if it cannot be made.
        """
        if self._writer is not None:
            return
        try:
            self._file = file = open(self._part, "wb", buffering=0)  # noqa: SIM115 - closed by `finish`
        except OSError as error:
            msg = f"{self._path!r} cannot be written: {error.strerror or error}"
            raise InvalidRequest(msg, parameter="collect") from error
        ending = os.path.splitext(self._path)[1].lower()
        if ending == ".parquet":
            from .parquet_files import ParquetRows

            self._writer = ParquetRows(file, self._types, self._path)
        else:
            self._writer = WholeRows(file, csv_rows(self._path) if ending == ".csv" else json_lines())

    def _opened(self) -> _Rows:
        self.begin()
        return cast("_Rows", self._writer)

    def add(self, number: int, item: Any) -> None:
        """Write the row of what has settled."""
        self.write(row_of(number, item), failed=state_of(item) != "done")

    def write(self, row: Mapping[str, Any], *, failed: bool) -> None:
        """Write a row.

        Raises:
            InvalidRequest: for a row of a CSV or Parquet file with a column which the first did not have.
            OSError: if it cannot be written, as where the disk is full; `finish` keeps the whole rows.
        """
        writer = self._opened()
        self._rows += 1
        self._failed += failed
        try:
            writer.write(row)
        except OSError as error:
            raise self._told(error) from error
        except Exception:
            self._rows -= 1
            self._failed -= failed
            raise

    def _told(self, error: OSError) -> OSError:
        """Return an error of the system that names the file."""
        self._count_lost()
        return OSError(error.errno, error.strerror or str(error), self._path)

    def _count_lost(self) -> None:
        if self._writer is not None:
            self._rows -= self._writer.lost
            self._writer.lost = 0

    @property
    def rows(self) -> int:
        """The number of rows written."""
        return self._rows

    def finish(self) -> Collected:
        """Give the file its name; again, it does nothing.

        Raises:
            OSError: if the last rows could not be written; the others are there.
        """
        if self._writer is not None and self._file is None:  # again, or after it was given up
            return Collected(self._path, rows=self._rows, failed=min(self._failed, self._rows))
        wrong: OSError | None = None
        writer = self._opened()
        try:
            writer.finish()
        except OSError as error:
            wrong = self._told(error)
        self._count_lost()
        if not writer.has_end:
            self.abandon()
            self._rows = 0
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            self._name()
        if wrong is not None:
            raise wrong
        return Collected(self._path, rows=self._rows, failed=min(self._failed, self._rows))

    def _name(self) -> None:
        """Give the file its name."""
        try:
            os.replace(self._part, self._path)
        except OSError as error:
            path = self._path
            if os.path.exists(self._part):  # something else has the name now
                self._path, told = self._part, f"the rows are in {self._part}"
            else:
                self._rows, told = 0, "the rows were removed while they were written"
            raise OSError(error.errno, f"{error.strerror}; {told}", path) from error

    def abandon(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                os.unlink(self._part)
            self._file = None


def rows_file(path: str, types: Mapping[str, Any] | None = None) -> RowsFile:
    """Return a file to write rows to; the types are those of further columns of a Parquet file.

    Raises:
        InvalidRequest: if it cannot be written, or its ending is not known.
        MissingExtra: for a Parquet file, if pyarrow is not installed.
    """
    checked_collect(path)
    return RowsFile(path, types)


def checked_collect(collect: object) -> None:
    """Refuse what nothing can be collected in, before anything is sent.

    Raises:
        InvalidRequest: naming what it may be.
        MissingExtra: for a Parquet file, if pyarrow is not installed.
    """
    if collect is None or collect is list:
        return
    if not isinstance(collect, (str, os.PathLike)):
        msg = f"'collect' must be list, or the path of a .jsonl, .csv or .parquet file, not {collect!r:.60}"
        raise InvalidRequest(msg, parameter="collect")
    path = os.fspath(collect)
    ending = os.path.splitext(path)[1].lower() if isinstance(path, str) else None
    if not isinstance(path, str) or ending not in (".jsonl", ".csv", ".parquet"):
        msg = f"a file of rows is written by its ending, .jsonl, .csv or .parquet, and {path!r:.100} has another"
        raise InvalidRequest(msg, parameter="collect")
    if ending == ".parquet":
        from .parquet_files import need_pyarrow

        need_pyarrow()
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder) or os.path.isdir(path):
        said = "it is a folder" if os.path.isdir(path) else f"there is no folder {folder!r}"
        msg = f"{path!r} cannot be written: {said}"
        raise InvalidRequest(msg, parameter="collect")


def sink_for(collect: Any) -> Sink:
    """Return what collects, for a value that `checked_collect` has let pass.

    Raises:
        InvalidRequest: if the file cannot be made.
    """
    if collect is list:
        return _List()
    file = RowsFile(os.fspath(collect), _ROW_TYPES)
    file.begin()
    return file


publish(globals(), "mellite.engine", "Collected")
