"""Turn the log on and off, by a call or for a block, and wait until it is written."""

from __future__ import annotations

import os
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from ...values.errors import InvalidRequest
from ...values.public_names import publish
from .noting import files, whole_path
from .writer import Writer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Log", "flush", "to"]


@final
class Log:
    """An open log; made by `mellite.log.to`.

    As a context manager, it is closed at the end of the block.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str, writer: Writer) -> None:
        self.path: Final = path
        self._writer = writer
        self._is_open = True

    @property
    def written(self) -> int:
        """The number of rows that this process has written to the file."""
        return self._writer.written

    @property
    def lost(self) -> int:
        """The number of rows that could not be written."""
        return self._writer.lost

    @property
    def problem(self) -> str | None:
        """Why the first lost row could not be written, as a sentence; None if no row was lost."""
        return self._writer.problem

    def flush(self) -> None:
        """Wait until everything that has settled is in the file."""
        self._writer.flush()

    def close(self) -> None:
        """Stop logging, and wait until everything that has settled is in the file. Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        if files.remove(self.path):
            self._writer.close()
        else:
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Log {self.path!r}: {self.written} rows written, {self.lost} lost>"


def to(path: str | os.PathLike[str], *, retention: timedelta | float | None = None, raw: bool = True) -> Log:
    """Log every thunk, run and step of the process that settles from now on to a SQLite file.

    Logging continues until `Log.close`, the end of the block in ``with mellite.log.to(path):``, or the end of the
    process. A separate thread writes within 0.2 s of something settling. Answers never depend on it: rows that cannot
    be written are counted (`Log.lost`) and reported once, as a warning of the logger ``mellite``. Several processes may
    write one file. Secrets are masked.

    Args:
        path: the file, created with the first row; its folder must exist. A file that is not a log is left as it is.
        retention: how long rows are kept: a `timedelta`, or a number of days; by default for ever.
        raw: whether to keep the provider's own answers, too.

    Raises:
        InvalidRequest: if `path` is not a path, or `retention` is not a positive duration.

    Example:
        >>> import sqlite3, tempfile, mellite
        >>> from mellite.backends import Echo
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with mellite.log.to(f"{folder}/log.db"):
        ...         answer = Echo().generate("Hello.").result()
        ...     log = sqlite3.connect(f"{folder}/log.db")
        ...     rows = log.execute("SELECT state, prompt, text FROM calls").fetchall()
        ...     log.close()
        >>> rows
        [('done', 'Hello.', 'Hello.')]
    """
    file, kept = whole_path(path), _retention(retention)
    writer = files.of(file).writer
    writer.retention, writer.raw = kept, raw
    files.add(file)
    return Log(file, writer)


def flush() -> None:
    """Wait until everything that has settled is in the files of all logs, where it survives the process.

    Example:
        >>> import mellite
        >>> mellite.log.flush()
    """
    for noting in list(files.noting.values()):
        noting.writer.flush()


def _retention(retention: object) -> timedelta | None:
    if retention is None:
        return None
    is_number = isinstance(retention, (int, float)) and not isinstance(retention, bool)
    try:
        kept = timedelta(days=retention) if is_number else retention  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        kept = None
    if not isinstance(kept, timedelta) or kept <= timedelta(0):
        msg = f"'retention' must be a timedelta or a number of days, above zero, not {retention!r:.100}"
        raise InvalidRequest(msg, parameter="retention")
    return kept


publish(globals(), "mellite.log", "Log", "flush", "to")
