"""Parquet files of rows: read row by row, and written in row groups as rows come (extra ``parquet``)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final, final

from ..values.errors import InvalidRequest, MissingExtra
from .room_ahead import RoomAhead

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["ParquetRows", "column_types", "need_pyarrow", "read_rows", "row_count"]

#: A row group is written when it has so many rows, or texts of so many characters.
_ROWS: Final = 1_000
_CHARACTERS: Final = 16 * 1024 * 1024

#: How many bytes more each column of a group may take where it stands far from the beginning of a file.
_SLACK: Final = 64


def need_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow, and its part for Parquet.

    Raises:
        MissingExtra: if it is not installed.
    """
    try:
        import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
        from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError as error:
        msg = f"Parquet files need {(error.name or 'pyarrow').partition('.')[0]}: pip install 'mellite[parquet]'"
        raise MissingExtra(msg) from error
    return pa, parquet


@final
class ParquetRows:
    """Rows on their way into a file: those of a row group are held, and written together.

    The columns are those of the first row group. A column that is not in `types` is text: what is not text in it is
    written as JSON, so that the schema depends on no value. Where the disk is full, the file has an end all the same:
    room for a group, and for the end of the file behind it, is taken before its rows are written.

    Args:
        file: an open file for bytes, without a buffer; the caller closes it.
        types: the types of columns, "string", "int64", "float64" and "bool", or types of pyarrow.
        path: the name of the file, for errors.

    Attributes:
        lost: how many rows could not be written.
        has_end: whether the file can be read.

    Raises:
        MissingExtra: if pyarrow is not installed.
    """

    def __init__(self, file: IO[bytes], types: Mapping[str, Any], path: str) -> None:
        self._arrow, self._parquet = need_pyarrow()
        self._room = RoomAhead(file)
        self._path = path
        self._types = types
        self._writer: parquet.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self._columns: dict[str, None] = {}
        self._held: list[Mapping[str, Any]] = []
        self._size = self._footer = 0
        # A Ctrl-C comes to the main thread. What is written in another one is written whole.
        self._thread = ThreadPoolExecutor(1, "mellite parquet")
        self.lost = 0
        self.has_end = False

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row.

        Raises:
            InvalidRequest: for a row with a column that the first row group does not have.
            OSError: if it cannot be written, nor some of those before it that were held.
        """
        extra = [name for name in row if name not in self._columns]
        if extra and self._schema is not None:
            found = ", ".join(sorted(extra))
            msg = f"{self._path!r} has the columns of its first {_ROWS:,} rows, and one has {found}, too; write .jsonl"
            raise InvalidRequest(msg, parameter="collect")
        self._columns.update(dict.fromkeys(extra))
        cells = {name: cell if name in self._types else _as_text(cell) for name, cell in row.items()}
        self._size += sum([len(cell) for cell in cells.values() if isinstance(cell, str)])
        self._held.append(cells)
        if len(self._held) >= _ROWS or self._size >= _CHARACTERS:
            self._thread.submit(self._write_held).result()

    def finish(self) -> None:
        """Write what is held, and the end of the file.

        Raises:
            OSError: if not all rows could be written; where there was room for an end, the file has one.
        """
        try:
            self._thread.submit(self._end).result()
        finally:
            self._thread.shutdown()

    def _end(self) -> None:
        try:
            if self._held or self._schema is None:
                self._write_held()
        finally:
            writer, self._writer = self._writer, None
            if writer is not None and not self._room.is_broken:
                writer.close()
                self._room.give_back()
                self.has_end = True

    def _write_held(self) -> None:
        """Write the rows that are held, or as many of them as there is room for."""
        rows, self._held, self._size = self._held, [], 0
        try:
            self._write_group(rows)
        except OSError:
            written, count = 0, len(rows) // 2
            while count:
                with suppress(OSError):
                    self._write_group(rows[written : written + count])
                    written += count
                count //= 2
            self.lost += len(rows) - written
            raise
        except Exception:
            self.lost += len(rows)
            raise

    def _write_group(self, rows: Sequence[Mapping[str, Any]]) -> None:
        arrow, parquet = self._arrow, self._parquet
        schema = self._schema or self._schema_of_columns()
        cells = [arrow.array(_sound([row.get(each.name) for row in rows]), each.type) for each in schema]
        table = arrow.Table.from_arrays(cells, schema=schema)
        # How long it is going to be tells a file of this group alone, to some bytes of its places in the file.
        alone = arrow.BufferOutputStream()
        parquet.write_table(table, alone)
        size = len(alone.getvalue())
        footer = self._footer + parquet.read_metadata(arrow.BufferReader(alone.getvalue())).serialized_size
        slack = _SLACK * (len(schema) + 1)
        self._room.take(size + footer + slack)
        self._footer = footer + slack
        writer = self._writer or parquet.ParquetWriter(self._room, schema)
        self._schema, self._writer = schema, writer
        if rows:
            writer.write_table(table)

    def _schema_of_columns(self) -> Any:
        alias = self._arrow.type_for_alias
        named = {name: self._types.get(name, "string") for name in self._columns or self._types}
        return self._arrow.schema(
            [(name, alias(kind) if isinstance(kind, str) else kind) for name, kind in named.items()]
        )


def _as_text(cell: Any) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, default=str)


def _sound(cells: list[Any]) -> list[Any]:
    """Return cells without halves of surrogate pairs, which Parquet cannot hold."""
    return [
        each.encode("utf-8", "replace").decode() if isinstance(each, str) and _is_torn(each) else each for each in cells
    ]


def _is_torn(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _opened(path: str) -> Any:
    """Return the file, open for reading.

    Raises:
        InvalidRequest: if it cannot be read.
        MissingExtra: if pyarrow is not installed.
    """
    arrow, parquet = need_pyarrow()
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
        msg = f"cannot read {path!r}: {said}"
        raise InvalidRequest(msg, parameter="file") from error


def read_rows(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file, one by one; only a part of the file is in memory.

    Raises:
        InvalidRequest: if it cannot be read.
        MissingExtra: if pyarrow is not installed.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            for row in batch.to_pylist():
                yield {
                    name: None if isinstance(cell, float) and math.isnan(cell) else cell for name, cell in row.items()
                }


def column_types(path: str) -> Mapping[str, Any]:
    """Return the columns of a file, each with its type.

    Raises:
        InvalidRequest: if it cannot be read.
        MissingExtra: if pyarrow is not installed.
    """
    with _opened(path) as file:
        return {field.name: field.type for field in file.schema_arrow}


def row_count(path: str) -> int:
    """Return how many rows a file has.

    Raises:
        InvalidRequest: if it cannot be read.
        MissingExtra: if pyarrow is not installed.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)
