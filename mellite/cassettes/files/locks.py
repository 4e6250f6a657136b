"""Lock a file against other processes and threads, until it is closed or its process dies."""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["lock", "same_file", "try_lock"]

if sys.platform == "win32":
    import msvcrt
    from contextlib import suppress

    # There are only exclusive locks, of bytes; far behind the end, since a locked byte cannot be read.
    _PLACE: Final = 1 << 30

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> None:  # noqa: ARG001
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        with suppress(OSError):  # it would wait for itself
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> None:
        # flock, not lockf: those locks belong to the process, and closing any descriptor of the file drops them.
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait until the file is ours: alone, or `shared` with others that share it.

    Raises:
        OSError: if the file system has no locks.
    """
    _lock(descriptor, shared=shared, wait=True)


def try_lock(descriptor: int) -> bool:
    """Take the file for us alone if nobody has it; a shared lock that was held is then gone either way.

    Raises:
        OSError: if the file system has no locks.
    """
    try:
        _lock(descriptor, shared=False, wait=False)
    except (BlockingIOError, PermissionError):  # POSIX; Windows
        return False
    return True


def same_file(descriptor: int, path: str) -> bool:
    """Whether the path still leads to the open file: it may have been removed or replaced while we waited."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
