"""Read rows of CSV with a head, JSON lines and Parquet, and check early whether the answers can be written."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any, Final

from ..values.errors import InvalidRequest

__all__ = ["check_writable", "column_types_in", "count_rows", "rows_in"]

#: The longest cell of a CSV file, in characters.
_LONGEST: Final = 16 * 1024 * 1024


def rows_in(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file, one by one: ``.csv``, ``.jsonl``, ``.parquet``; ``-`` is JSON lines on standard input.

    Raises:
        InvalidRequest: if it cannot be read, or a line is not what it should be; with its number.
        MissingExtra: for a Parquet file, if pyarrow is not installed.
    """
    ending = _ending(path)
    if ending not in (".csv", ".jsonl", ".parquet"):
        msg = (
            f"{path!r} is read by its ending, .csv, .jsonl or .parquet, and has another; - is JSON lines on standard "
            "input"
        )
        raise InvalidRequest(msg, parameter="file")
    if ending == ".parquet":
        from ..engine.parquet_files import read_rows

        yield from read_rows(path)
        return
    if path == "-":
        if sys.stdin is None:
            msg = "standard input is closed; name a file, or pipe JSON lines into it"
            raise InvalidRequest(msg, parameter="file")
        yield from _json_lines(sys.stdin, "standard input")
        return
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from (_csv if ending == ".csv" else _json_lines)(file, path)
    except OSError as error:
        msg = f"cannot read {path!r}: {error.strerror or error}"
        raise InvalidRequest(msg, parameter="file") from error
    except UnicodeDecodeError as error:
        msg = f"{path!r} is not UTF-8, at byte {error.start}"
        raise InvalidRequest(msg, parameter="file") from error


def _ending(path: str) -> str:
    return ".jsonl" if path == "-" else os.path.splitext(path)[1].lower()


def count_rows(path: str, limit: int | None) -> int | None:
    """Return how many rows `rows_in` is going to give, at most `limit`; None if that is not known before."""
    if path == "-" or not os.path.isfile(path):
        return None
    if _ending(path) == ".parquet":
        from ..engine.parquet_files import row_count

        count = row_count(path)
    else:
        try:
            count = sum(1 for _ in islice(rows_in(path), limit))
        except InvalidRequest:  # told with the rows before it
            return None
    return count if limit is None else min(count, limit)


def check_writable(out: str, source: str = "-") -> None:
    """Refuse a file of answers that cannot be written, before anything is asked and paid for.

    Args:
        out: the file of answers.
        source: the file of rows, which the answers must not replace.

    Raises:
        InvalidRequest: if *out* is the file that is read, or in a folder that cannot be written.
    """
    folder = os.path.dirname(out) or "."
    if os.path.isdir(folder) and not os.access(folder, os.W_OK):
        msg = f"--out {out}: the folder {folder!r} cannot be written; name another one"
        raise InvalidRequest(msg, parameter="out")
    if os.path.exists(out) and os.path.exists(source) and os.path.samefile(out, source):
        msg = f"--out {out} is the file that is read, and would replace it; name another one"
        raise InvalidRequest(msg, parameter="out")


def column_types_in(path: str) -> Mapping[str, Any]:
    """Return the types of columns that a file says itself: those of a Parquet file."""
    if _ending(path) != ".parquet":
        return {}
    from ..engine.parquet_files import column_types

    return column_types(path)


def _csv(file: IO[str], path: str) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(_LONGEST)
    reader = csv.DictReader(file, strict=True)
    begins = 1  # the line of the row that is read
    try:
        _check_columns(reader.fieldnames or (), path)
        begins = reader.line_num + 1
        for row in reader:
            begins = reader.line_num + 1
            if None in row or None in row.values():
                count = len(reader.fieldnames or ())
                msg = f"{path!r}, line {reader.line_num}: a row has as many cells as the head, which has {count}"
                raise InvalidRequest(msg, parameter="file")
            yield row
    except csv.Error as error:
        msg = f"{path!r}, line {begins}: {error}; a cell with quotes begins and ends with one"
        raise InvalidRequest(msg, parameter="file") from error


def _check_columns(names: Sequence[str], path: str) -> None:
    """Refuse a head of which a row would lose a cell.

    Raises:
        InvalidRequest: naming the column that is there twice.
    """
    for place, name in enumerate(names):
        if name in names[:place]:
            msg = f"{path!r}, line 1: two columns are called {name!r}; give each a name of its own"
            raise InvalidRequest(msg, parameter="file")


def _json_lines(file: IO[str], path: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            msg = f"{path}, line {number}: this is not JSON: {error}"
            raise InvalidRequest(msg, parameter="file") from error
        if not isinstance(row, dict):
            msg = f"{path}, line {number}: a row is an object, not {type(row).__name__}"
            raise InvalidRequest(msg, parameter="file")
        yield row
