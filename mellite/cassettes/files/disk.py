"""Read a whole cassette file, and turn names into paths that cannot leave the cassette directory."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from ...values.errors import CassetteMiss, InvalidCassette, InvalidCassetteName
from ...values.public_names import publish

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["MAX_BYTES", "cassette_path", "read_file"]

#: The largest cassette that is read, in bytes, so that a sparse or runaway file cannot fill the memory.
MAX_BYTES: Final = 256 * 1024 * 1024

# O_NONBLOCK: opening a named pipe without a writer would block for ever. O_BINARY: Windows.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# Names of devices on Windows, in any directory and with any extension;
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file.
_DEVICES: Final = re.compile(r"(?i)(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.DOTALL)
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|\ud800-\udfff]")
_LONGEST_SEGMENT: Final = 255
_LONGEST_NAME: Final = 1024


def read_file(path: str, *, limit: int = MAX_BYTES) -> bytes:
    """Read a whole regular file.

    Args:
        path: the file.
        limit: the most bytes to read.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is a directory, a pipe or the like, is larger than `limit`, or cannot be read.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"there is no cassette {path!r}"
        raise CassetteMiss(msg, path=path) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the path
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            msg = f"cassette {path!r} is {kind}; move it away, or give the name of a file"
            raise InvalidCassette(msg, path=path)
        return _read(descriptor, path, status.st_size, limit)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: str, size: int, limit: int) -> bytes:
    # Ask for one byte more than the size, to notice a file that has grown meanwhile.
    pieces: list[bytes] = []
    total = 0
    while total <= limit and size <= limit:
        piece = os.read(descriptor, max(size - total, 0) + 1)
        pieces.append(piece)
        total += len(piece)
        if not piece or total == size:  # at the size, too: more was asked for, and there is no more
            return b"".join(pieces)
    msg = f"cassette {path!r} has {max(size, total):,} bytes; at most {limit:,} are read"
    raise InvalidCassette(msg, path=path, offset=limit)


def _unreadable(path: str, error: OSError | ValueError) -> InvalidCassette:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return InvalidCassette(f"cannot read cassette {path!r}: {reason}", path=path)


def cassette_path(directory: str | PathLike[str], name: str, *, suffix: str = ".json") -> str:
    """Return the path of the cassette called `name`, which is inside `directory` whatever the name is.

    Args:
        directory: where cassettes are kept; it need not exist.
        name: as in ``group/case``, with or without `suffix`. It must be valid on every system, Windows included.
        suffix: the ending of the file's name.

    Raises:
        InvalidCassetteName: if the name is empty, absolute or too long, has a part such as ``..`` or ``CON``,
            a forbidden character, a dot or blank at the end, or if a symlink on the way leads out of the directory.

    Example:
        >>> cassette_path("cassettes", "openai-chat/text").replace(os.sep, "/")
        'cassettes/openai-chat/text.json'
    """
    reason = _reason(name, suffix)
    if reason is not None:
        msg = f"invalid cassette name {name!r:.100}: {reason}; a name looks like 'group/case'"
        raise InvalidCassetteName(msg)
    root = os.fspath(directory)
    path = os.path.join(root, *name.removesuffix(suffix).split("/")) + suffix
    try:
        real, inside = os.path.realpath(path), os.path.realpath(root)
        escapes = os.path.commonpath([real, inside]) != inside
    except (OSError, ValueError) as error:
        msg = f"invalid cassette name {name!r} for the directory {root!r}: {error}"
        raise InvalidCassetteName(msg) from error
    if escapes:
        msg = f"invalid cassette name {name!r}: a symlink leads from {root!r} to {real!r}, out of the directory"
        raise InvalidCassetteName(msg, path=path)
    return path


def _reason(name: object, suffix: str) -> str | None:
    """Return why a name is not valid; None if it is."""
    if not isinstance(name, str):
        return f"it is not a str but {type(name).__name__}"
    stem = name.removesuffix(suffix)
    if not stem:
        return "it is empty"
    if stem.startswith("/"):
        return "it is absolute"
    found = _FORBIDDEN.search(stem)
    if found:
        return f"it contains {found.group()!r}"
    if len(stem.encode()) > _LONGEST_NAME:
        return f"it is longer than {_LONGEST_NAME} bytes"
    for part in stem.split("/"):
        if part in ("", ".", ".."):
            return f"it has the part {part!r}"
        if part[-1] in ". " or part[0] == " ":
            return f"its part {part!r} begins or ends with a blank, or ends with a dot"
        if _DEVICES.fullmatch(part):
            return f"its part {part!r} is a device on Windows"
        if len(part.encode()) + len(suffix) > _LONGEST_SEGMENT:
            return f"a part of it is longer than {_LONGEST_SEGMENT - len(suffix)} bytes"
    return None


publish(globals(), "mellite.cassettes", "cassette_path")
