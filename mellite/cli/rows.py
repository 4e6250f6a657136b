"""Rows of the files that `mellite map` reads: CSV with a head, and JSON lines."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from ..values.errors import InvalidRequest

__all__ = ["rows_in"]

#: The longest cell of a CSV file, in characters.
_LONGEST: Final = 16 * 1024 * 1024


def rows_in(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file, one by one: ``.csv``, ``.jsonl``, and ``-`` for JSON lines on standard input.

    Raises:
        InvalidRequest: if it cannot be read, or a line is not what it should be; with its number.
    """
    ending = ".jsonl" if path == "-" else os.path.splitext(path)[1].lower()
    if ending not in (".csv", ".jsonl"):
        msg = f"{path!r} is read by its ending, .csv or .jsonl, and has another; - is JSON lines on standard input"
        raise InvalidRequest(msg, parameter="file")
    if path == "-":
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


def _csv(file: IO[str], path: str) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(_LONGEST)
    reader = csv.DictReader(file, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                count = len(reader.fieldnames or ())
                msg = f"{path!r}, line {reader.line_num}: a row has as many cells as the head, which has {count}"
                raise InvalidRequest(msg, parameter="file")
            yield row
    except csv.Error as error:
        msg = f"{path!r}, line {reader.line_num}: {error}"
        raise InvalidRequest(msg, parameter="file") from error


def _json_lines(file: IO[str], path: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            msg = f"{path}, line {number}: this is no JSON: {error}"
            raise InvalidRequest(msg, parameter="file") from error
        if not isinstance(row, dict):
            msg = f"{path}, line {number}: a row is an object, not {type(row).__name__}"
            raise InvalidRequest(msg, parameter="file")
        yield row
