"""Record into a cassette so that nothing acknowledged is lost: by many processes at once, and when one is killed.

Each interaction is one line appended to a journal beside the cassette; the last to finish folds the journal in.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from ...loops import forking
from ...values.errors import CassetteError, CassetteMiss
from ...values.public_names import publish
from ..compression import compress, compression_of
from ..files.disk import MAX_BYTES
from ..files.journal_lines import JOURNAL, REWRITE, Stored, encode_record, read_records, unfolded
from ..files.locks import lock, same_file, try_lock
from ..files.read import read_stored
from ..files.storing import (
    clear_temporary,
    make_directory,
    refuse_symlink,
    store_file,
    sync_directory,
    unwritable,
    write_all,
)
from ..files.vcr import is_foreign
from ..files.write import encode_interaction, encode_metadata
from ..interactions import Cassette, Interaction
from ..secrets.scan import SecretScan

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType
    from typing import Self

__all__ = ["CassetteWriter", "WriteMode", "recover"]

#: What a recording does with the interactions that are there: add to them, or replace them once it has ended well.
WriteMode: TypeAlias = Literal["append", "rewrite"]

_FLAGS: Final = (
    os.O_RDWR
    | os.O_APPEND
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_sync: Final = getattr(os, "fdatasync", os.fsync)


class CassetteWriter:
    """Appends interactions to a cassette; several processes, threads and tasks may have writers of one cassette.

    Make it with `open`. It blocks for as long as a disk takes, so in async code call it in a thread. After `fork` the
    child may go on with it.

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
        self._condition = forking.condition()
        self._name = uuid.uuid4().hex
        self._session = self._own = -1
        self._closed = True
        self._pid = os.getpid()
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
        """Begin to record into a cassette, or join those who do.

        Args:
            path: the cassette's file; it and its directory need not exist.
            mode: ``append``, or ``rewrite`` to replace the file by what is recorded when `finish` is called.
            metadata: what a new file says of itself; a file that is added to keeps its own.
            key: says which interactions are the same; of those with one key only the first is kept, whichever
                process wrote it. None for an interaction that is never the same as another.
            scan: what looks for secrets in all that is to be stored; by default for shapes of keys, and for the values
                of secret variables of the environment.
            durable: whether an interaction survives a power cut as soon as `append` returns, and not only the
                death of the process; `finish` makes all of them durable in any case.

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
        if is_foreign(self.path):
            msg = f"cassette {self.path!r} is another recorder's by its name, and only read; record into a .json file"
            raise CassetteError(msg, path=self.path)
        try:
            refuse_symlink(self.path)
            make_directory(os.path.dirname(self.path))
            recover(self.path)
            self._session = self._own = _join(self.path + JOURNAL)
            stored = Stored.read(self.path)
            self.cassette = _checked(stored, self.path)
            if mode == "rewrite" and stored.cassette is not None:
                self._own = _join(self.path + REWRITE, fresh=True)
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
        """Close what was opened for a recording that cannot begin; remove its journal unless somebody wrote to it."""
        if self._session >= 0:
            with suppress(OSError):
                journal = self.path + JOURNAL
                alone = try_lock(self._session) and same_file(self._session, journal)
                if alone and not os.fstat(self._session).st_size:
                    _remove(journal)
        self._close()

    # --- recording ----------------------------------------------------------------------------------

    def append(self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()) -> bool:
        """Store one interaction; when this returns it is in the cassette, whatever happens to the process.

        Args:
            interaction: without its secrets; this makes sure that it is.
            started: when its request was sent, as of ``time.time()``; the interactions of one recording are kept in
                this order.
            secrets: more values to look for, such as the key that the request was sent with.

        Returns:
            Whether it counts: False if another one with the same key was there before.

        Raises:
            UnsafeCassette: if it has something in it that looks like a secret; nothing was written.
            InvalidCassette: if it could not be read again.
            CassetteError: if it cannot be written, or the recording is over.
        """
        data = encode_interaction(interaction)
        self._scan.with_known(secrets).check(interaction, path=self.path)
        key = None if self._key is None else self._key(interaction)
        with self._condition:
            self._ready()
            try:
                if key is not None and key in self._known():
                    return False
                self._write(interaction=msgspec.Raw(data), key=key, started=started, metadata=self._metadata)
                self._metadata = None
                won = key is None or self._known()[key] == self._name
            except (OSError, ValueError) as error:
                unwritable(self.path, error)
            self._syncing += 1
        try:
            if self._durable:
                _sync(self._own)
        except OSError as error:
            unwritable(self.path, error)
        finally:
            with self._condition:
                self._syncing -= 1
                self._condition.notify_all()
        return won

    def _ready(self) -> None:
        if self._closed:
            msg = f"the recording into cassette {self.path!r} is over; open another CassetteWriter"
            raise CassetteError(msg, path=self.path)
        if self._pid != os.getpid():
            self._rejoin()

    def _rejoin(self) -> None:
        """In the child of a fork: leave what belongs to the parent, and take part as a process of its own."""
        rewriting = self._own != self._session
        self._close()
        self._pid, self._name = os.getpid(), uuid.uuid4().hex
        self._seen = self._syncing = 0
        self._begin("append")
        if rewriting and os.path.exists(self.path + REWRITE):
            self._own = _join(self.path + REWRITE)

    def _write(self, **values: object) -> None:
        line = encode_record(writer=self._name, **{name: value for name, value in values.items() if value is not None})
        if os.fstat(self._own).st_size + len(line) > MAX_BYTES:
            msg = f"cassette {self.path!r} would be larger than the {MAX_BYTES:,} bytes that can be read"
            raise CassetteError(msg, path=self.path)
        # In one step, so that the lines of several processes cannot mix; what is cut off counts for nothing.
        if os.write(self._own, line) < len(line) and os.write(self._own, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _known(self) -> Mapping[str, str | None]:
        """Who was the first with each key, also among what others have written by now."""
        os.lseek(self._own, self._seen, os.SEEK_SET)
        data = b"".join(iter(lambda: os.read(self._own, 1 << 20), b""))
        end = data.rfind(b"\n") + 1  # what follows is being written
        for record in read_records(data[:end], self.path, start=self._seen):
            if record.key is not None:
                self._winners.setdefault(record.key, record.writer)
        self._seen += end
        return self._winners

    # --- the end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End the recording well; the last to do so writes the cassette. Again, it does nothing.

        Raises:
            InvalidCassette: if the cassette was damaged meanwhile; the journal is kept beside it.
            CassetteError: if it cannot be written. What was appended is kept in the journal beside it, and is read
                from there; what was to be rewritten stays as it was.
        """
        self._leave(well=True)

    def abandon(self) -> None:
        """End a recording that went wrong: what was to be rewritten stays as it was, what was appended is kept."""
        self._leave(well=False)

    def _leave(self, *, well: bool) -> None:
        if self._pid != os.getpid():  # the child of a fork that has recorded nothing; the locks are the parent's
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
                _fold_in(self.path, drop=rewriting and not well)
        except (OSError, ValueError, CassetteError) as error:
            if alone and rewriting:  # it did not end well after all, so what was there stays
                with suppress(OSError):
                    os.ftruncate(self._own, size)
            if isinstance(error, CassetteError):
                raise
            unwritable(self.path, error)
        finally:
            self._close()

    def _close(self) -> None:
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
        self._close()  # what was appended is in the journal, which the next one to open the cassette folds in

    def __repr__(self) -> str:
        return f"CassetteWriter({self.path!r}, {self.mode!r}{', finished' if self._closed else ''})"


# --- journals ---------------------------------------------------------------------------------------


def _join(path: str, *, fresh: bool = False) -> int:
    """Open a journal, made if there is none, and hold it together with the others who write it.

    `fresh`: what a recording left that nobody takes part in any more is removed.
    """
    while True:
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        if fresh and try_lock(descriptor) and same_file(descriptor, path) and os.fstat(descriptor).st_size:
            _remove(path)
        lock(descriptor, shared=True)
        if same_file(descriptor, path):
            return descriptor
        os.close(descriptor)


def _checked(stored: Stored, path: str) -> Cassette:
    try:
        return read_stored(stored, path=path)
    except CassetteMiss:
        return Cassette(path=path)


def recover(path: str | PathLike[str]) -> bool:
    """Fold in what recordings left whose processes died; for whoever opens a cassette.

    Returns:
        Whether there was anything to do, and nobody is recording.

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
            _fold_in(name)
    except (OSError, ValueError) as error:
        unwritable(name, error)
    finally:
        os.close(descriptor)
    return alone


def _fold_in(path: str, *, drop: bool = False) -> None:
    """Write the cassette with what its journals hold, and remove them; the caller has the journal for itself alone."""
    stored = Stored.read(path)
    _checked(stored, path)
    folded = stored.folded()
    rewritten = stored.replaced or drop or not unfolded(stored.replacing, stored.cassette)
    if folded is not None:
        if len(folded) > MAX_BYTES:
            msg = f"cassette {path!r} would be larger than the {MAX_BYTES:,} bytes that can be read; {JOURNAL} is kept"
            raise CassetteError(msg, path=path)
        # If the process dies before the journals are gone, this says that they are in the cassette already.
        _mark(path + JOURNAL, hashlib.sha256(folded).hexdigest())
        if stored.replaced:
            _mark(path + REWRITE, hashlib.sha256(folded).hexdigest())
        store_file(path, compress(folded, compression_of(path)))
    else:
        clear_temporary(path)
    if rewritten:
        _remove(path + REWRITE)
    _remove(path + JOURNAL)


def _remove(journal: str) -> None:
    with suppress(FileNotFoundError):
        if os.name == "nt":
            os.truncate(journal, 0)  # an open file cannot be removed there
        else:
            os.unlink(journal)


def _mark(journal: str, digest: str) -> None:
    descriptor = os.open(journal, _FLAGS)
    try:
        write_all(descriptor, encode_record(folded=digest))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


publish(globals(), "mellite.cassettes", "CassetteWriter")
