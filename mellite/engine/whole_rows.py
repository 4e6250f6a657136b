"""Rows as lines of JSON or CSV, in a file that ends with a whole row even where the disk was full within one."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from typing import IO, Any, Final, NamedTuple, Protocol, final

from ..values.errors import InvalidRequest

__all__ = ["RowBytes", "WholeRows", "csv_rows", "json_lines"]

#: So many bytes are held before they are written.
_PIECE: Final = 64 * 1024


class RowBytes(Protocol):
    """What makes bytes of a row."""

    def __call__(self, row: Mapping[str, Any], /) -> bytes:
        """Return a row as it stands in the file."""
        ...


class _State(NamedTuple):
    """How far the file is. Replaced at once, so that a Ctrl-C leaves it true.

    Args:
        end: behind the last row that is in the file.
        held: the rows behind it.
    """

    end: int
    held: list[bytes]


@final
class WholeRows:
    """Rows on their way to a file, which is cut behind the last whole one if it cannot take all.

    Args:
        file: the file, without a buffer.
        row_bytes: makes bytes of a row.

    Attributes:
        lost: how many rows could not be written.
        has_end: whether the file can be read; it always can.
    """

    has_end = True

    def __init__(self, file: IO[bytes], row_bytes: RowBytes) -> None:
        self._file = file
        self._row_bytes = row_bytes
        self._state = _State(0, [])
        self._size = 0
        self.lost = 0

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row.

        Raises:
            InvalidRequest: for a row with columns that the file does not have.
            OSError: if it cannot be written, nor those before it that were held.
        """
        data = self._row_bytes(row)
        self._state.held.append(data)
        self._size += len(data)
        if self._size >= _PIECE:
            self.finish()

    def finish(self) -> None:
        """Write what is held.

        Raises:
            OSError: if that fails.
        """
        end, held = self._state
        data = b"".join(held)
        rest = memoryview(data)
        self._file.seek(end)  # a Ctrl-C may have come behind the same bytes before
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._cut()
            raise
        self._state = _State(end + len(data), [])
        self._size = 0

    def _cut(self) -> None:
        """Leave only whole rows in the file."""
        end, held = self._state
        written = os.fstat(self._file.fileno()).st_size - end
        for place, data in enumerate(held):
            written -= len(data)
            if written < 0:
                self.lost += len(held) - place
                break
            end += len(data)
        self._state = _State(end, [])
        self._size = 0
        self._file.truncate(end)


def json_lines() -> RowBytes:
    """Return what makes a line of JSON of a row.

    Example:
        >>> json_lines()({"prompt": "a"}).decode().splitlines()
        ['{"prompt": "a"}']
    """

    def line(row: Mapping[str, Any]) -> bytes:
        return json.dumps(row, default=str).encode() + b"\n"

    return line


def csv_rows(path: str) -> RowBytes:
    """Return what makes CSV of rows that have the columns of the first one; the first comes with the head.

    Args:
        path: the file, for errors.

    Example:
        >>> row_bytes = csv_rows("answers.csv")
        >>> row_bytes({"prompt": "a, b", "n": 1}).decode().splitlines()
        ['prompt,n', '"a, b",1']
    """
    columns: dict[str, None] = {}
    text = io.StringIO()
    write = csv.writer(text).writerow

    def lines(row: Mapping[str, Any]) -> bytes:
        text.seek(0)
        text.truncate()
        if not columns:
            columns.update(dict.fromkeys(row))
            write(columns)
        extra = row.keys() - columns.keys()
        if extra:
            found = ", ".join(sorted(extra))
            msg = f"{path!r} has the columns of its first row, and one has {found}, too; write .jsonl"
            raise InvalidRequest(msg, parameter="collect")
        write([_cell(row.get(name)) for name in columns])
        return text.getvalue().encode("utf-8", "replace")  # models do send halves of surrogate pairs

    return lines


def _cell(value: Any) -> Any:
    """Return a value as a cell: what is neither text nor a number as JSON, so that it can be read again."""
    return json.dumps(value, default=str) if isinstance(value, (dict, list, bool)) else value
