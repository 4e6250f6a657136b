"""A file on a disk that may be full: room for what is written next is taken before it is written."""

from __future__ import annotations

import os
from typing import IO, Final, final

__all__ = ["RoomAhead"]

_ZEROS: Final = bytes(64 * 1024)


@final
class RoomAhead:
    """A file to write to, front to back, in which room can be taken ahead.

    Args:
        file: an open file for bytes, without a buffer.

    Attributes:
        is_broken: whether something could not be written though there was room for it, as where a disk packs zeros.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile(buffering=0) as file:
        ...     ahead = RoomAhead(file)
        ...     ahead.take(1_000_000)
        ...     ahead.write(b"all of it")
        ...     ahead.give_back()
        ...     file.seek(0), file.read()
        9
        (0, b'all of it')
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = self._end = 0
        self.is_broken = False

    def take(self, size: int) -> None:
        """Take room for so many bytes behind what was written.

        Raises:
            OSError: if there is not so much of it; then there is as much as before.
        """
        wanted = self._at + size
        before = self._end
        if wanted <= before:
            return
        self._file.seek(before)
        try:
            while self._end < wanted:
                self._end += self._file.write(_ZEROS[: wanted - self._end])
        except OSError:
            self._end = before
            self._file.truncate(before)
            raise
        finally:
            self._file.seek(self._at)

    def write(self, data: bytes) -> int:
        """Write bytes behind those before."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self.is_broken = True
            raise
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is held."""

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._at

    def give_back(self) -> None:
        """Give back the room that was taken and is not needed."""
        os.ftruncate(self._file.fileno(), self._at)
        self._end = self._at
