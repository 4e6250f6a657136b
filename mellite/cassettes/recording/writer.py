"""Write a cassette so that no acknowledged interaction is lost, by many processes at once, and if one is killed.

Each interaction is one line appended to a journal beside the cassette. The last writer to finish folds the journal
into the file; see `mellite.cassettes.recording.journal` for the file locks.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from ...loops import forking
from ...values.errors import CassetteError
from ...values.public_names import publish
from ..files.disk import MAX_BYTES
from ..files.journal_lines import JOURNAL, REWRITE, Stored, encode_line, read_records
from ..files.locks import same_file, try_lock
from ..files.storing import make_directory, refuse_symlink, sync_directory, unwritable
from ..files.vcr import is_foreign
from ..files.write import NOT_JSON, checked_document, encode_metadata, no_json
from ..interactions import Cassette, Interaction
from ..secrets.scan import SecretScan
from .journal import checked, fold_in, join, recover, remove

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType
    from typing import Self

__all__ = ["CassetteWriter", "WriteMode"]

#: What a recording does with the interactions that are there: add to them, or replace them once it has ended well.
WriteMode: TypeAlias = Literal["append", "rewrite"]

#: The buffer in which lines are encoded is kept up to this size.
_LARGEST_KEPT: Final = 1024 * 1024

_sync: Final = getattr(os, "fdatasync", os.fsync)


class CassetteWriter:
    """A recording into a cassette file. Many processes, threads and tasks may record into one file at once.

    Make one with `open`. Every method may be called from any thread, and blocks for as long as a disk takes; in async
    code call it in a worker thread. After a fork the child may continue with its copy, which then writes to its own
    file.

    A method first takes ``_lock``, which ``_condition`` shares, and touches the files under it. Only the sync of an
    `append` happens outside: threads sync at the same time, and `finish` waits until they are done.

    Attributes:
        path: the cassette's file.
        mode: ``append`` or ``rewrite``.
        cassette: what was there when the recording began.

    Example:
        >>> import tempfile
        >>> from mellite.cassettes import HttpInteraction, RecordedRequest, RecordedResponse, load_cassette
        >>> path = os.path.join(tempfile.mkdtemp(), "case.json")
        >>> with CassetteWriter.open(path) as writer:
        ...     writer.append(HttpInteraction(RecordedRequest("GET", "https://example.com/"), RecordedResponse(204)))
        ...     os.listdir(os.path.dirname(path)), len(load_cassette(path).interactions)
        True
        (['case.json.journal'], 1)
        >>> os.listdir(os.path.dirname(path)), len(load_cassette(path).interactions)
        (['case.json'], 1)
    """

    def __init__(
        self,
        path: str,
        mode: WriteMode,
        *,
        metadata: msgspec.Raw | None,
        key: Callable[[Interaction], str | None] | None,
        scan: SecretScan,
        durable: bool,
    ) -> None:
        self.path: Final = path
        self.mode: Final[WriteMode] = mode
        self._metadata = metadata
        self._key = key
        self._scan = scan
        self._durable = durable
        self._lock = forking.lock()
        self._condition = forking.condition(self._lock)
        self._name = uuid.uuid4().hex
        self._session = self._own = -1
        self._closed = True
        self._process = forking.process.number
        self._buffer = bytearray()
        self._syncing = 0
        self._seen = 0
        self._winners: dict[str, str | None] = {}
        self.cassette: Cassette = Cassette()

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        mode: WriteMode = "append",
        *,
        metadata: Mapping[str, Any] | None = None,
        key: Callable[[Interaction], str | None] | None = None,
        scan: SecretScan | None = None,
        durable: bool = True,
    ) -> CassetteWriter:
        """Begin to record into a cassette, together with others that are recording into it.

        Args:
            path: the cassette's file; it and its directory need not exist.
            mode: ``append``, or ``rewrite`` to replace the file by what is recorded when `finish` is called.
            metadata: the metadata of a new file; an existing file keeps its own.
            key: returns the key of an interaction: of those with the same key only the first is kept, whichever process
                wrote it; None always keeps it.
            scan: looks for secrets in everything that is stored; by default for shapes of keys, and for the values of
                secret environment variables.
            durable: whether an interaction survives a power cut as soon as `append` returns, and not only the
                death of the process. `finish` makes all of them durable in any case.

        Raises:
            InvalidCassette: if the file, or a journal beside it, is damaged; it is left as it is.
            UnsafeCassette: if the metadata have something in them that looks like a secret.
            CassetteError: if it is a symlink or in VCR's YAML, or nothing can be written there.
        """
        name, scan = os.fspath(path), SecretScan() if scan is None else scan
        named = None
        if metadata is not None:
            encoded = encode_metadata(metadata)
            scan.refuse(scan.text(encoded.decode(), "$.metadata"), path=name)
            named = msgspec.Raw(encoded)
        writer = cls(name, mode, metadata=named, key=key, scan=scan, durable=durable)
        writer._begin(mode)
        return writer

    def _begin(self, mode: WriteMode) -> None:
        """Fold in what dead recordings left, join the journals and read what is there. On failure close all of it."""
        if is_foreign(self.path):
            msg = f"cassette {self.path!r} is another recorder's by its name, and only read; record into a .json file"
            raise CassetteError(msg, path=self.path)
        try:
            refuse_symlink(self.path)
            make_directory(os.path.dirname(self.path))
            recover(self.path)
            self._session = self._own = join(self.path + JOURNAL)
            stored = Stored.read(self.path)
            self.cassette = checked(stored, self.path)
            if mode == "rewrite" and stored.cassette is not None:
                self._own = join(self.path + REWRITE, fresh=True)
            elif self._key is not None:
                self._winners = dict.fromkeys(filter(None, map(self._key, self.cassette.interactions)))
            sync_directory(os.path.dirname(self.path))
            self._closed = False
        except (OSError, ValueError) as error:
            unwritable(self.path, error)
        finally:
            if self._closed:
                self._give_up()

    def _give_up(self) -> None:
        """Close what was opened for a recording that cannot begin; remove its journal if that is empty and unused."""
        if self._session >= 0:
            with suppress(OSError):
                journal = self.path + JOURNAL
                alone = try_lock(self._session) and same_file(self._session, journal)
                if alone and not os.fstat(self._session).st_size:
                    remove(journal)
        self._close()

    # --- recording ----------------------------------------------------------------------------------

    def append(self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()) -> bool:
        """Store one interaction. Once this has returned, the interaction survives the death of the process.

        Args:
            interaction: its secrets already removed, which is checked here.
            started: when its request was sent, as of ``time.time()``; the interactions of one recording are kept in
                this order.
            secrets: more values to look for, such as the key that the request was sent with.

        Returns:
            Whether it is kept: False if an earlier one has the same key.

        Raises:
            UnsafeCassette: if something in it looks like a secret; nothing was written.
            InvalidCassette: if it could not be read again.
            CassetteError: if it cannot be written, or the recording is over.
        """
        document = checked_document(interaction)
        scan = self._scan.with_known(secrets) if secrets else self._scan
        scan.check(interaction, path=self.path)
        key = None if self._key is None else self._key(interaction)
        with self._lock:
            self._ready()
            try:
                if key is not None and key in self._known():
                    return False
                self._write(interaction=document, key=key, started=started, metadata=self._metadata)
                self._metadata = None
                won = key is None or self._known()[key] == self._name
            except (OSError, ValueError) as error:
                unwritable(self.path, error)
            if not self._durable:
                return won
            self._syncing += 1
        try:
            _sync(self._own)
        except OSError as error:
            unwritable(self.path, error)
        finally:
            with self._condition:
                self._syncing -= 1
                self._condition.notify_all()
        return won

    def _ready(self) -> None:
        """Make sure that this process may write. Call with the condition held."""
        if self._closed:
            msg = f"the recording into cassette {self.path!r} is over; open another CassetteWriter"
            raise CassetteError(msg, path=self.path)
        if self._process != forking.process.number:
            self._rejoin()

    def _rejoin(self) -> None:
        """In a forked child: close the parent's descriptors, and join the recording as a process of its own.

        A file lock belongs to the open file, which the two processes share. Closing the child's descriptors leaves
        the parent's lock in place; https://man7.org/linux/man-pages/man2/flock.2.html.
        """
        rewriting = self._own != self._session
        self._close()
        self._process, self._name = forking.process.number, uuid.uuid4().hex
        self._seen = self._syncing = 0
        self._begin("append")
        if rewriting and os.path.exists(self.path + REWRITE):
            self._own = join(self.path + REWRITE)

    def _write(self, **values: object) -> None:
        """Append one line to the journal. Call with the condition held, or when nothing else can be writing.

        Raises:
            InvalidCassette: if something in it is not JSON in UTF-8.
            CassetteError: if the cassette would be too large to be read.
            OSError: if the disk is full, or fails.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            line = encode_line({"writer": self._name, **given}, self._buffer)
        except NOT_JSON as error:
            raise no_json(error) from error
        try:
            self._write_line(line)
        finally:
            line.release()
            if len(self._buffer) > _LARGEST_KEPT:
                self._buffer = bytearray()

    def _write_line(self, line: memoryview) -> None:
        if os.fstat(self._own).st_size + len(line) > MAX_BYTES:
            msg = f"cassette {self.path!r} would be larger than the {MAX_BYTES:,} bytes that can be read"
            raise CassetteError(msg, path=self.path)
        # One write per line: with O_APPEND the lines of several processes cannot mix
        # (https://pubs.opengroup.org/onlinepubs/9699919799/functions/write.html). A short write leaves a torn line,
        # which readers pass over, so the whole line is written once more.
        if os.write(self._own, line) < len(line) and os.write(self._own, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _known(self) -> Mapping[str, str | None]:
        """Read what was written since the last call, by any process, and return the first writer of each key.

        Call with the condition held: the descriptor has only one position.
        """
        os.lseek(self._own, self._seen, os.SEEK_SET)
        data = b"".join(iter(lambda: os.read(self._own, 1 << 20), b""))
        end = data.rfind(b"\n") + 1  # the rest is still being written
        for record in read_records(data[:end], self.path, start=self._seen):
            if record.key is not None:
                self._winners.setdefault(record.key, record.writer)
        self._seen += end
        return self._winners

    # --- the end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Finish the recording. Idempotent. The last writer writes the file.

        Raises:
            InvalidCassette: if the cassette was damaged meanwhile; the journal is kept beside it.
            CassetteError: if it cannot be written. What was appended is kept in the journal beside it, and is read
                from there; a cassette that was to be rewritten stays as it was.
        """
        self._leave(well=True)

    def abandon(self) -> None:
        """End a failed recording. Idempotent. What was appended is kept; a rewritten cassette stays as it was."""
        self._leave(well=False)

    def _leave(self, *, well: bool) -> None:
        """Stop accepting interactions, wait for threads that are syncing, and fold in if this is the last writer."""
        if (
            self._process != forking.process.number
        ):  # a forked child that has recorded nothing: the recording is the parent's
            self._close()
            return
        with self._condition:
            if self._closed:
                return
            self._closed = True
            self._condition.wait_for(lambda: not self._syncing)
        rewriting = self._own != self._session
        alone = False
        size = os.fstat(self._own).st_size
        try:
            if rewriting and well:
                self._write(ended=True)
            os.fsync(self._own)
            alone = try_lock(self._session) and same_file(self._session, self.path + JOURNAL)
            if alone:
                fold_in(self.path, drop=rewriting and not well)
        except (OSError, ValueError, CassetteError) as error:
            if alone and rewriting:  # take "ended" back, so that the old cassette stays
                with suppress(OSError):
                    os.ftruncate(self._own, size)
            if isinstance(error, CassetteError):
                raise
            unwritable(self.path, error)
        finally:
            self._close()

    def _close(self) -> None:
        """Close the descriptors, and with them give the file locks back. Takes no lock: `__del__` calls this."""
        descriptors = {self._own, self._session} - {-1}
        self._own = self._session = -1
        self._closed = True
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(well=kind is None)

    def __del__(self) -> None:
        # The garbage collector may run this in any thread, even one that holds a lock, so nothing is written. What
        # was appended is in the journal; `recover` folds it in when the cassette is opened again.
        self._close()

    def __repr__(self) -> str:
        return f"CassetteWriter({self.path!r}, {self.mode!r}{', finished' if self._closed else ''})"


publish(globals(), "mellite.cassettes", "CassetteWriter")
