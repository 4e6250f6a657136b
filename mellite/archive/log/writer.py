"""Write to a log file in a thread of its own, a few times a second; at the end of the process what is left."""

from __future__ import annotations

import atexit
import sqlite3
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final, final

from ...loops import forking
from ...values.errors import MelliteError
from ...values.secrets.shapes import masked
from ...values.telling import log
from ...values.told_errors import error_line
from .masking import Masks
from .rows import Settled, rows_of, texts_of
from .storing import Row, Store

__all__ = ["Writer"]

#: How long what has settled waits for what else does, in seconds: a transaction costs more than many rows.
_PERIOD: Final = 0.05

#: So many rows are written in one transaction.
_BATCH: Final = 256

#: So many wait at most; what comes then is lost, or a disk that stands still would fill the memory.
_MOST: Final = 20_000

#: How often old rows are deleted, in seconds.
_PRUNING: Final = 3600.0


@final
class Writer:
    """Writes one log file.

    Args:
        path: the file.

    Attributes:
        path: the file.
        retention: how long rows are kept; None for ever.
        raw: whether the provider's own answers are kept, too.
        written: how many rows have been written.
        lost: how many rows could not be written.
        problem: what went wrong first, if anything.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.retention: timedelta | None = None
        self.raw = True
        self.written = 0
        self.lost = 0
        self.problem: str | None = None
        self._masks = Masks()
        self._queue: deque[Settled] = deque()
        self._writing = forking.held_lock()  # held by whoever writes; nothing else is locked meanwhile
        # Nor is anything forked: SQLite keeps what is locked per process, and a child would wait for its parent's
        # connection as for one of its own (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_file_across_a_fork_).
        self._writes: int | None = None  # the thread that does
        self._begin()
        forking.renewed(self)
        atexit.register(self._at_exit)

    def _begin(self) -> None:
        self._store: Store | None = None
        self._pruned_at: float | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_idle = True
        self._is_ending = False

    def _at_fork_reinit(self) -> None:
        """Begin anew in a forked child: what waits is the parent's, as are its thread and its connection.

        The connection is kept, for closing it would take the parent's locks away:
        https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_file_across_a_fork_
        """
        if self._store is not None:
            _inherited.append(self._store)
        self._queue.clear()
        self._writes = None
        self._begin()

    def put(self, settled: Settled) -> None:
        """Have something written soon; from any thread, and cheap."""
        if len(self._queue) >= _MOST:
            self._lose(1, "more settles than can be written")
            return
        self._queue.append(settled)
        if self._is_idle:
            self._is_idle = False
            self._start()

    def flush(self) -> None:
        """Write all that has been put so far."""
        self._drain(len(self._queue))

    def close(self) -> None:
        """Write what waits, and close the file; what is put later opens it again."""
        self.flush()
        with self._writing:
            self._close()

    # The thread

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._wake.set()
            return
        if not self._is_ending:
            thread = threading.Thread(target=self._work, name="mellite-log", daemon=True)
            _finish_in_workers(self)  # before the thread starts, which takes a while: the process may end meanwhile
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends, or there are too many threads
                self._is_ending = True
            else:
                self._thread = thread
                return
        self._is_idle = True
        self._drain(len(self._queue))

    def _work(self) -> None:
        while True:
            time.sleep(_PERIOD)
            self._drain(len(self._queue))
            if not self._queue:
                self._is_idle = True
                if self._queue:  # put before that could be seen
                    self._is_idle = False
                    continue
                self._wake.wait()
                self._wake.clear()

    def _at_exit(self) -> None:
        """Write what is left, and whatever still settles at once."""
        self._is_ending = True
        self._is_idle = True
        self._thread = None
        self.close()

    # Writing

    def _drain(self, count: int) -> None:
        """Write the first rows of those that wait, up to a number."""
        if self._writes == threading.get_ident():
            return  # something settles while it is collected as garbage here: the loop below comes to it
        with self._writing:
            self._writes = threading.get_ident()
            try:
                self._masks.renew()
                while count > 0 and self._queue:
                    count -= self._write_batch()
                self._prune()
            finally:
                self._writes = None

    def _write_batch(self) -> int:
        settled: list[Settled] = []
        queue = self._queue
        try:
            while queue and len(settled) < _BATCH:
                settled.append(queue.popleft())
            self._masks.look_at([text for each in settled for text in texts_of(each)])
            rows = [row for each in settled if (row := self._row(each)) is not None]
            self._store_rows(rows)
        except (KeyboardInterrupt, SystemExit):  # in a flush: nothing has been written
            queue.extendleft(reversed(settled))
            raise
        return len(settled)

    def _row(self, settled: Settled) -> Row | None:
        try:
            return rows_of(settled, self._masks, raw=self.raw)
        except Exception as error:
            self._lose(1, error_line(error))
            return None

    def _store_rows(self, rows: list[Row]) -> None:
        if not rows:
            return
        try:
            store = self._opened()
            store.write(rows)
        except (sqlite3.OperationalError, OSError, MelliteError) as error:  # of the file, not of a row
            self._lose(len(rows), error)
            self._close()
        except (sqlite3.Error, ValueError, OverflowError) as error:
            if len(rows) == 1:
                self._lose(1, error)
                return
            for row in rows:
                self._store_rows([row])
        else:
            self.written += len(rows)

    def _opened(self) -> Store:
        store = self._store
        if store is not None and not store.is_there():
            self._close()
            store = None
        if store is None:
            self._store = store = Store(self.path)
        return store

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _prune(self) -> None:
        if self.retention is None or self._store is None:
            return
        now = time.monotonic()
        if self._pruned_at is not None and now - self._pruned_at < _PRUNING:
            return
        self._pruned_at = now
        try:
            self._store.prune(datetime.now(UTC) - self.retention)
        except sqlite3.Error as error:
            self._complain(f"old rows of the log {self.path} cannot be deleted: {error}")

    def _lose(self, count: int, reason: object) -> None:
        self.lost += count
        said = getattr(reason, "strerror", None) or reason
        self._complain(f"the log {self.path} cannot be written, and calls go on without it: {said}")

    def _complain(self, text: str) -> None:
        if self.problem is None:
            self.problem = masked(text)
            said = "%s; this is said once, and the rows that are lost are counted"
            log.warning("log_file.failed", said, self.problem, path=self.path)


#: The connections of the processes before this one. Kept for ever, and never touched.
_inherited: Final[list[Store]] = []


def _finish_in_workers(writer: Writer) -> None:
    """Have what is left written where a process of `multiprocessing` ends, which calls nothing of `atexit`."""
    finalize = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
    if finalize is not None:  # in such a process it has been imported wholly
        finalize(None, writer.close, exitpriority=1)
