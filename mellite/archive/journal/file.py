"""The directory of a journal: its head, the lock that one process at a time has, and lines that are added."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, final
from uuid import uuid4

from ...cassettes.files.disk import read_file
from ...cassettes.files.locks import try_lock
from ...cassettes.files.storing import TEMPORARY, make_directory, store_file, sync_directory, write_all
from ...loops import forking
from ...values.errors import CassetteError, CassetteMiss, InvalidJournal, JournalError, JournalInUse
from ...values.provider_json import JsonObject
from .index import RECORDS, Index, Place
from .lines import Line, written_line

__all__ = ["HEAD", "Durability", "JournalFile", "head_of", "is_journal", "read_head"]

#: When what is kept is safe: before the awaiter goes on, in the kernel; when the block ends; or on the disk.
Durability: TypeAlias = Literal["call", "end", "disk"]

#: The file of a journal's directory that says what it is.
HEAD: Final = "journal.json"
_VERSION: Final = 1
#: What a process leaves that dies while it makes a journal.
_LEFT: Final = frozenset({RECORDS, HEAD + TEMPORARY})
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
#: With ``durability="end"``, so many bytes wait in memory at most.
_MOST_WAITING: Final = 1 << 20


def is_journal(directory: str) -> bool:
    """Tell whether a directory is that of a journal."""
    return os.path.isfile(os.path.join(directory, HEAD))


def head_of(parent: str | None = None, fork: JsonObject | None = None) -> JsonObject:
    """Return the head of a new journal.

    Args:
        parent: the directory of the journal that it is a fork of.
        fork: where it was forked.
    """
    head: JsonObject = {"version": _VERSION, "id": uuid4().hex, "created": datetime.now(UTC).isoformat()}
    return head if parent is None else {**head, "parent": parent, "fork": fork}


def read_head(directory: str) -> JsonObject:
    """Return the head of a journal.

    Raises:
        InvalidJournal: if there is none, or it is of a newer mellite.
    """
    path = os.path.join(directory, HEAD)
    try:
        head: Any = json.loads(read_file(path))
    except CassetteMiss:
        msg = f"{directory!r} is not a journal: there is no {HEAD} in it"
        raise InvalidJournal(msg, path=directory) from None
    except (CassetteError, ValueError, RecursionError) as error:
        msg = f"the head of the journal {directory!r}, {HEAD}, cannot be read: {error}"
        raise InvalidJournal(msg, path=directory, offset=0) from error
    if not isinstance(head, dict) or not isinstance(head.get("version"), int):
        msg = f"{path!r} is not the head of a journal"
        raise InvalidJournal(msg, path=directory, offset=0)
    if head["version"] > _VERSION:
        msg = f"the journal {directory!r} has version {head['version']}, which only a newer mellite reads"
        raise InvalidJournal(msg, path=directory)
    return head


@final
class JournalFile:
    """A journal's directory, open for one process.

    Args:
        directory: made, when it is missing.
        durability: when lines are safe.
        head: what a new one says of itself.

    Raises:
        JournalInUse: if it is open already, here or elsewhere.
        InvalidJournal: if it is damaged.
        JournalError: if it cannot be written.
    """

    def __init__(self, directory: str, durability: Durability = "call", head: JsonObject | None = None) -> None:
        self.directory = directory
        self._durability = durability
        self._process = forking.process.number
        self._waiting = bytearray()
        path = os.path.join(directory, RECORDS)
        is_made = not os.path.isdir(directory)
        try:
            make_directory(os.path.abspath(directory))
            if not is_journal(directory) and not _LEFT.issuperset(os.listdir(directory)):
                msg = f"{directory!r} is not a journal, and not empty: a journal wants a directory of its own"
                raise JournalError(msg, path=directory)
            is_new = not os.path.exists(path)
            self._descriptor = os.open(path, _OPEN, 0o600)
        except OSError as error:
            raise _unwritable(directory, error) from error
        try:
            if not try_lock(self._descriptor):
                where = "is open already, in this process or another one"
                msg = f"the journal {directory!r} {where}: wait until that has ended, or name another directory"
                raise JournalInUse(msg, path=directory)
            self.head = self._head(head)
            if is_new:
                sync_directory(directory)
            self.index = Index(directory, self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise _unwritable(directory, error) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        self.size = self.index.size
        self._is_new, self._is_made = is_new, is_made

    def _head(self, head: JsonObject | None) -> JsonObject:
        if not is_journal(self.directory):
            data = json.dumps(head or head_of(), indent=2).encode() + b"\n"
            try:
                store_file(os.path.join(self.directory, HEAD), data, replace=False)
            except CassetteError as error:
                raise _unwritable(self.directory, error.__cause__ or error) from error
        return read_head(self.directory)

    def add(self, line: Line, *, now: bool = False) -> Place:
        """Add a line; return where it will be found.

        Args:
            line: what is added.
            now: whether it, and all before it, goes to the system whatever the durability is.

        Raises:
            JournalError: if it cannot be written, or this is a process that was forked meanwhile.
        """
        if self._process != forking.process.number:
            msg = f"the journal {self.directory!r} was opened before this process was forked: one process writes it"
            raise JournalInUse(msg, path=self.directory)
        data = written_line(line)
        begin = self.size + data.index(b"{")
        self.size += len(data)
        self._waiting += data
        is_next_with_it = line.kind == "kept"  # by the line that refers to it
        if now or len(self._waiting) > _MOST_WAITING or not (self._durability == "end" or is_next_with_it):
            self.flush()
        return begin, len(data) - (data.index(b"{") + 1)

    def flush(self) -> None:
        """Hand all lines to the system: from then on they survive the end of this process.

        Raises:
            JournalError: if that fails.
        """
        try:
            write_all(self._descriptor, bytes(self._waiting))
        except OSError as error:
            # What was written of it is a torn line, which the newline before the next one ends.
            self._waiting.clear()
            self.size = os.fstat(self._descriptor).st_size
            raise _unwritable(self.directory, error) from error
        self._waiting.clear()

    def check(self) -> None:
        """Refuse to go on with a journal that was removed while it is open: what it keeps could not be found again.

        Raises:
            JournalError: if it was.
        """
        if not os.fstat(self._descriptor).st_nlink:
            msg = f"the journal {self.directory!r} was removed while it is open, so calls cannot be kept any more"
            raise JournalError(msg, path=self.directory)

    @property
    def is_synced(self) -> bool:
        """Whether the awaiter of a call goes on only when it is on the disk."""
        return self._durability == "disk"

    def sync(self) -> None:
        """Wait until all lines are on the disk. For any thread.

        Raises:
            JournalError: if the disk fails.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def close(self) -> None:
        """Hand over what waits, and let others open the journal."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if self._waiting and self._process == forking.process.number:
                write_all(descriptor, bytes(self._waiting))
                self._waiting.clear()
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        finally:
            self.index.closed()
            with suppress(OSError):
                os.close(descriptor)

    def discard_if_unused(self) -> None:
        """Remove the journal again, before it is closed, if it was made by this and nothing was added."""
        if self._is_new and not self.size and self._process == forking.process.number:
            # Under the lock: whoever opens the journal meanwhile is refused, and whoever does later makes another one.
            with suppress(OSError):  # on Windows no open file can be removed
                for name in (HEAD, RECORDS):
                    os.unlink(os.path.join(self.directory, name))
                if self._is_made:
                    os.rmdir(self.directory)


def _unwritable(directory: str, error: BaseException) -> JournalError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    if os.path.isfile(directory):
        reason = "there is a file of this name, and a journal is a directory"
    return JournalError(f"cannot write the journal {directory!r}: {reason}", path=directory)
