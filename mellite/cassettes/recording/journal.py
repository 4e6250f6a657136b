"""Hold the journals of a cassette together with other processes, and fold them into its file.

Every writer holds a shared file lock on ``case.json.journal`` from its beginning to its end. A process that gets the
lock exclusively is alone: no recording is going on, so it can fold in what the journals hold. The lock on the journal
is taken first; under it `store_file` takes the one on the temporary file.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...values.errors import CassetteError, CassetteMiss
from ..compression import compress, compression_of
from ..files.disk import MAX_BYTES
from ..files.journal_lines import JOURNAL, REWRITE, Stored, encode_record, unfolded
from ..files.locks import lock, same_file, try_lock
from ..files.read import read_stored
from ..files.storing import clear_temporary, store_file, unwritable, write_all
from ..interactions import Cassette

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["checked", "fold_in", "join", "recover", "remove"]

_FLAGS: Final = (
    os.O_RDWR
    | os.O_APPEND
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def recover(path: str | PathLike[str]) -> bool:
    """Fold in what recordings left whose processes died. Call this before reading a cassette.

    Returns:
        True if there was a journal and it was folded in; False without one, or while a recording is going on.

    Raises:
        InvalidCassette: if the file, or a journal, is damaged; they are left as they are.
        CassetteError: if it cannot be written.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name + JOURNAL, _FLAGS)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        unwritable(name, error)
    try:
        alone = try_lock(descriptor) and same_file(descriptor, name + JOURNAL)
        if alone:
            fold_in(name)
    except (OSError, ValueError) as error:
        unwritable(name, error)
    finally:
        os.close(descriptor)
    return alone


def join(path: str, *, fresh: bool = False) -> int:
    """Open a journal, creating it if needed, and share its lock with the other writers.

    Args:
        path: the journal.
        fresh: whether to remove first what a dead recording left in it.

    Returns:
        The descriptor. Closing it gives the lock back.

    Raises:
        OSError: if it cannot be opened or locked.
    """
    while True:
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        if fresh and try_lock(descriptor) and same_file(descriptor, path) and os.fstat(descriptor).st_size:
            remove(path)
        lock(descriptor, shared=True)
        # Between open and lock, another process may have folded this journal in and removed it.
        if same_file(descriptor, path):
            return descriptor
        os.close(descriptor)


def checked(stored: Stored, path: str) -> Cassette:
    """Decode what is on the disk, so that damage is found before anything is written; empty if there is nothing.

    Raises:
        InvalidCassette: if the file, or a journal, is damaged.
    """
    try:
        return read_stored(stored, path=path)
    except CassetteMiss:
        return Cassette(path=path)


def fold_in(path: str, *, drop: bool = False) -> None:
    """Write the cassette with what its journals hold, and remove them. The caller holds the journal exclusively.

    Args:
        path: the cassette.
        drop: whether to discard a rewriting journal that is not complete.

    Raises:
        InvalidCassette: if the file, or a journal, is damaged.
        CassetteError: if the file would be too large, or cannot be written.
        OSError: if a journal cannot be written or removed.
    """
    stored = Stored.read(path)
    checked(stored, path)
    folded = stored.folded()
    rewritten = stored.replaced or drop or not unfolded(stored.replacing, stored.cassette)
    if folded is not None:
        if len(folded) > MAX_BYTES:
            msg = f"cassette {path!r} would be larger than the {MAX_BYTES:,} bytes that can be read; {JOURNAL} is kept"
            raise CassetteError(msg, path=path)
        # If the process dies before the journals are removed, the next reader sees by this mark that the cassette
        # already holds them.
        _mark(path + JOURNAL, hashlib.sha256(folded).hexdigest())
        if stored.replaced:
            _mark(path + REWRITE, hashlib.sha256(folded).hexdigest())
        store_file(path, compress(folded, compression_of(path)))
    else:
        clear_temporary(path)
    if rewritten:
        remove(path + REWRITE)
    remove(path + JOURNAL)


def remove(journal: str) -> None:
    """Remove a journal, if it is there; on Windows, where an open file cannot be removed, empty it.

    Raises:
        OSError: if it cannot be removed.
    """
    with suppress(FileNotFoundError):
        if os.name == "nt":
            os.truncate(journal, 0)
        else:
            os.unlink(journal)


def _mark(journal: str, digest: str) -> None:
    """Append a durable line that says which cassette holds everything before it."""
    descriptor = os.open(journal, _FLAGS)
    try:
        write_all(descriptor, encode_record(folded=digest))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
