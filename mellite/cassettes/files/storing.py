"""Write files so that a crash leaves the old one or the new one, never a part, and processes take turns."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final, NoReturn

from ...values.errors import CassetteError
from .locks import lock, same_file

__all__ = [
    "TEMPORARY",
    "clear_temporary",
    "make_directory",
    "refuse_symlink",
    "store_file",
    "sync_directory",
    "unwritable",
    "write_all",
]

#: The ending of the file that is renamed to the real one when it is complete.
TEMPORARY: Final = ".tmp"

_CREATE: Final = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_REOPEN: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def store_file(path: str, data: bytes, *, replace: bool = True) -> bool:
    """Write a whole file, atomically and durably: after a crash or a power cut it is the old one or the new one.

    Processes and threads that store the same file take turns, by the lock of its temporary file. A new file can be
    read by its owner only; one that is replaced keeps its permissions. A missing directory is created.

    Args:
        path: the file.
        data: all its bytes.
        replace: whether to replace an existing file; if not, the first of several writers wins.

    Returns:
        Whether the file was written: False if it existed and `replace` is false.

    Raises:
        CassetteError: if it cannot be written, or is a symlink; what was there is untouched.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "a.txt")
        >>> store_file(path, b"one"), store_file(path, b"two", replace=False)
        (True, False)
    """
    temporary = path + TEMPORARY
    try:
        refuse_symlink(path)
        make_directory(os.path.dirname(path))
        descriptor = _own(path)
        try:
            written = _fill(descriptor, path, data, replace=replace)
        except BaseException:
            with suppress(OSError):  # report the first error
                if same_file(descriptor, temporary):
                    os.unlink(temporary)
            raise
        finally:
            with suppress(OSError):
                os.close(descriptor)
    except (OSError, ValueError) as error:
        unwritable(path, error)
    return written


def _fill(descriptor: int, path: str, data: bytes, *, replace: bool) -> bool:
    """Write the temporary file and rename it. The caller holds its lock."""
    temporary = path + TEMPORARY
    there = _status(path)
    if there is not None and not replace:
        os.unlink(temporary)
        return False
    if there is not None and hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(there.st_mode))
    write_all(descriptor, data)
    os.fsync(descriptor)
    if os.name == "nt":
        os.close(descriptor)  # Windows cannot rename an open file
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))
    return True


def _own(path: str) -> int:
    """Create and lock the temporary file, after waiting for a writer that has it; return its descriptor."""
    temporary = path + TEMPORARY
    while True:
        try:
            descriptor = os.open(temporary, _CREATE, 0o600)
        except FileExistsError:
            clear_temporary(path)
            continue
        lock(descriptor)
        if same_file(descriptor, temporary):
            return descriptor
        os.close(descriptor)  # before it was locked, another process took it for a dead one's and removed it


def clear_temporary(path: str) -> None:
    """Remove the temporary file that a dead process left of storing `path`. Wait for a process that is alive.

    Raises:
        OSError: if it cannot be removed.
    """
    temporary = path + TEMPORARY
    try:
        descriptor = os.open(temporary, _REOPEN)
    except FileNotFoundError:
        return
    try:
        lock(descriptor)
        if same_file(descriptor, temporary):
            os.unlink(temporary)
    finally:
        os.close(descriptor)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes, in as many steps as the system takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def refuse_symlink(path: str) -> None:
    """Refuse to write through a symlink, which may lead anywhere.

    Raises:
        CassetteError: if it is one.
    """
    status = _status(path)
    if status is not None and stat.S_ISLNK(status.st_mode):
        msg = f"cassette {path!r} is a symlink, which is not followed when writing; give the file that it leads to"
        raise CassetteError(msg, path=path)


def make_directory(directory: str) -> None:
    """Create a directory and its parents, durably, unless it exists.

    Raises:
        OSError: if it cannot be created.
    """
    if not directory or os.path.isdir(directory):
        return
    parent = os.path.dirname(directory)
    make_directory(parent)
    with suppress(FileExistsError):
        os.mkdir(directory)
    sync_directory(parent)


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable, if the system can do that.

    Raises:
        OSError: if the disk fails.
    """
    if os.name == "nt":
        return
    descriptor = os.open(directory or ".", os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: str, error: OSError | ValueError) -> NoReturn:
    """Raise the error for a cassette that cannot be written, with the system's error as its cause.

    Raises:
        CassetteError: always.
    """
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    msg = f"cannot write cassette {path!r}: {reason}; what was recorded before is untouched"
    raise CassetteError(msg, path=path) from error
