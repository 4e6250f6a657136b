"""Lock an open file against other processes and threads, until it is closed or its process dies.

These locks come after those of a program's own threads: `CassetteWriter` takes its condition first. Between files the
order is: the lock file of the pytest plugin, the journal, the temporary file.
"""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["lock", "same_file", "try_lock"]

if sys.platform == "win32":
    import msvcrt
    from contextlib import suppress

    # Windows only has exclusive locks of bytes. A locked byte cannot be read, so this one is far behind the end.
    _PLACE: Final = 1 << 30

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> None:  # noqa: ARG001
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        with suppress(OSError):  # a process would wait for its own lock
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> None:
        # Not lockf: those locks belong to the process, and closing any descriptor of the file drops them;
        # https://man7.org/linux/man-pages/man2/fcntl_locking.2.html. A flock belongs to the open file, which a forked
        # child shares: https://man7.org/linux/man-pages/man2/flock.2.html.
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait for an exclusive lock, or one that is `shared` with others.

    Raises:
        OSError: if the file system has no locks.
    """
    _lock(descriptor, shared=shared, wait=True)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock if no other has one; return False otherwise.

    A shared lock that was held is lost in either case: the system gives it back before it tries the other one.

    Raises:
        OSError: if the file system has no locks.
    """
    try:
        _lock(descriptor, shared=False, wait=False)
    except (BlockingIOError, PermissionError):  # POSIX; Windows
        return False
    return True


def same_file(descriptor: int, path: str) -> bool:
    """Whether a path still leads to an open file, which may have been removed or replaced during a wait."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
