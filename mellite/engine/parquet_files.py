"""Parquet files of rows: read row by row, and written in row groups as rows come (extra ``parquet``)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Final, final

from ..values.errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["ParquetRows", "column_types", "need_pyarrow", "read_rows", "row_count"]

#: A row group is written when it has so many rows, or texts of so many characters.
_ROWS: Final = 1_000
_CHARACTERS: Final = 16 * 1024 * 1024


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
    written as JSON, so that the schema depends on no value.

    Args:
        file: an open file for bytes; the caller closes it.
        types: the types of columns, "string", "int64", "float64" and "bool", or types of pyarrow.
        path: the name of the file, for errors.

    Raises:
        MissingExtra: if pyarrow is not installed.
    """

    def __init__(self, file: IO[bytes], types: Mapping[str, Any], path: str) -> None:
        self._arrow, self._parquet = need_pyarrow()
        self._file = file
        self._path = path
        self._types = types
        self._writer: parquet.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self._columns: dict[str, list[Any]] = {}
        self._held = self._size = 0

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row.

        Raises:
            InvalidRequest: for a row with a column that the first row group does not have.
        """
        extra = [name for name in row if name not in self._columns]
        if extra and self._schema is not None:
            found = ", ".join(sorted(extra))
            msg = f"{self._path!r} has the columns of its first {_ROWS:,} rows, and one has {found}, too; write .jsonl"
            raise InvalidRequest(msg, parameter="collect")
        for name in extra:
            self._columns[name] = [None] * self._held
        for name, cells in self._columns.items():
            cell = row.get(name)
            if name not in self._types:
                cell = cell if cell is None or isinstance(cell, str) else json.dumps(cell, default=str)
            if isinstance(cell, str):
                self._size += len(cell)
            cells.append(cell)
        self._held += 1
        if self._held >= _ROWS or self._size >= _CHARACTERS:
            self._write_group()

    def _write_group(self) -> None:
        arrow = self._arrow
        schema = self._schema
        if schema is None:
            named = {name: self._types.get(name, "string") for name in self._columns or self._types}
            fields = [
                (name, arrow.type_for_alias(kind) if isinstance(kind, str) else kind) for name, kind in named.items()
            ]
            schema = self._schema = arrow.schema(fields)
            self._writer = self._parquet.ParquetWriter(self._file, schema)
        if self._writer is not None and self._held:
            cells = [arrow.array(_sound(self._columns[each.name]), each.type) for each in schema]
            self._writer.write_table(arrow.Table.from_arrays(cells, schema=schema))
        for column in self._columns.values():
            column.clear()
        self._held = self._size = 0

    def finish(self) -> None:
        """Write what is held, and the end of the file."""
        if self._held or self._schema is None:
            self._write_group()
        if self._writer is not None:
            self._writer.close()


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
