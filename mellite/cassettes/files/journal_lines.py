"""The journals beside a cassette: interactions on a line each as they were recorded, and how they become its file.

``case.json.journal`` holds what is added to ``case.json``, ``case.json.rewrite`` what is to replace it. A line is
``mj1 <length> <CRC-32> <JSON>``, with a newline before and another one after it. A line that is shorter than its length
and has no newline of its own was being written when its process died. It was never acknowledged, and is passed over. A
line that has its newline but not its length, or not its CRC, is damaged. Older journals have a BLAKE2b digest there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from zlib import crc32

import msgspec
from attrs import field, frozen

from ...values.errors import CassetteMiss, InvalidCassette
from ..compression import compression_of, expand
from .disk import MAX_BYTES, read_file
from .locks import same_file
from .write import pretty

__all__ = ["JOURNAL", "REWRITE", "Record", "Stored", "encode_line", "encode_record", "read_records", "unfolded"]

#: The ending of the journal whose interactions are added to the cassette.
JOURNAL: Final = ".journal"

#: The ending of the journal whose interactions replace those of the cassette, once the recording has ended well.
REWRITE: Final = ".rewrite"

_LINE: Final = re.compile(rb"mj(\d{1,9}) (\d{1,15}) ([0-9a-f]{8}|[0-9a-f]{32}) (.*)", re.DOTALL)
# The beginning of a line that was being written.
_TORN: Final = re.compile(rb"m(j(\d+( (\d+( ([0-9a-f]{0,32})?)?)?)?)?)?")
_NOTHING: Final = msgspec.Raw(b"")
#: Enough bytes for what stands before the JSON.
_HEAD: Final = 64
_encode_into: Final = msgspec.json.Encoder().encode_into


class Record(msgspec.Struct, frozen=True):
    """One line of a journal."""

    interaction: msgspec.Raw = _NOTHING
    """An interaction, as in a cassette file."""
    metadata: msgspec.Raw = _NOTHING
    """The metadata for a new cassette."""
    key: str | None = None
    """The key of the interaction. Of those with the same key only the first is kept."""
    writer: str | None = None
    """The name of the writer."""
    started: float | None = None
    """When its request was sent, in seconds since 1970."""
    folded: str | None = None
    """The SHA-256 of the cassette that holds everything before this line. It is written before that cassette is."""
    ended: bool = False
    """Whether the recording ended well here."""


def encode_record(**values: object) -> bytes:
    """Encode a line of a journal. The newline in front of it ends a torn line that may come before."""
    return bytes(encode_line(values, bytearray()))


def encode_line(values: Mapping[str, object], into: bytearray) -> memoryview:
    """Encode a line of a journal as `encode_record` does, into a buffer that can be used again: no byte is copied.

    Returns:
        The line; release it before the buffer is used again.
    """
    _encode_into(values, into, _HEAD)
    size = len(into) - _HEAD
    with memoryview(into) as encoded:
        # A CRC tells of damage as well as a digest here, and takes a tenth of the time.
        head = b"\nmj1 %d %08x " % (size, crc32(encoded[_HEAD:]))
    begin = _HEAD - len(head)
    into[begin:_HEAD] = head
    into += b"\n"
    return memoryview(into)[begin:]


def _fits(data: bytes, digest: bytes) -> bool:
    if len(digest) == len(b"%08x" % 0):
        return b"%08x" % crc32(data) == digest
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode() == digest


def read_records(data: bytes, path: str, *, start: int = 0) -> list[Record]:
    """Decode the lines of a journal, without those that are torn.

    Args:
        data: the journal's bytes, or those from `start` on.
        path: the journal, for errors.
        start: the byte of the journal at which `data` begins, for errors.

    Raises:
        InvalidCassette: if it is damaged, or was written by a newer mellite.
    """
    records: list[Record] = []
    offset = start
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        # A line's own newline is followed by the one before the next record, or by the end: an empty line either way.
        ended = number < len(lines) and not lines[number]
        record = _record(line, path, offset, ended=ended, last=number == len(lines)) if line else None
        if record is not None:
            records.append(record)
        offset += len(line) + 1
    return records


def _record(line: bytes, path: str, offset: int, *, ended: bool, last: bool) -> Record | None:
    """Decode one line; None if it is torn.

    Args:
        line: the line without its newlines.
        path: the journal, for errors.
        offset: the byte at which the line begins, for errors.
        ended: whether its own newline follows.
        last: whether it is the last line.

    Raises:
        InvalidCassette: if it is damaged, or was written by a newer mellite.
    """
    # After a power cut, a block that was never written reads as zeros.
    unwritten = last and b"\0" in line
    found = _LINE.fullmatch(line)
    if found is None:
        if unwritten or (_TORN.fullmatch(line) and not ended):
            return None
        raise _damaged(path, offset, "it is not a line of a journal")
    version, size, digest, data = found.groups()
    if version != b"1":
        raise _damaged(path, offset, f"it has version {version.decode()}, which only a newer mellite reads")
    length = int(size)
    if unwritten or (len(data) < length and not ended):
        return None
    if len(data) < length:
        missing = length - len(data)
        raise _damaged(path, offset, f"it was written to its end, and yet lacks bytes: {missing} of {length}")
    if len(data) > length or not _fits(data, digest):
        raise _damaged(path, offset, "its digest does not fit")
    try:
        return msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise _damaged(path, offset, str(error)) from error


def _damaged(path: str, offset: int, reason: str) -> InvalidCassette:
    msg = f"the journal {path!r} of a cassette is damaged in the line at byte {offset}: {reason}; it is left as it is"
    return InvalidCassette(msg, path=path, offset=offset)


# --- journals and cassette together -----------------------------------------------------------------


def unfolded(records: Sequence[Record], cassette: bytes | None) -> Sequence[Record]:
    """Return the records that the cassette does not hold yet: those after the last mark that fits it."""
    for place in range(len(records) - 1, -1, -1):
        folded = records[place].folded
        if folded is not None and cassette is not None and folded == hashlib.sha256(cassette).hexdigest():
            return records[place + 1 :]
    return records


def _first_of_each(records: Iterable[Record]) -> Iterable[msgspec.Raw]:
    """Return the interactions in the order in which their requests were sent; of those with one key, the first."""
    keys: set[str] = set()
    found: list[Record] = []
    for record in records:
        if record.interaction == _NOTHING or record.key in keys:
            continue
        if record.key is not None:
            keys.add(record.key)
        found.append(record)
    if all(record.started is not None for record in found):
        found.sort(key=lambda record: record.started or 0.0)
    return [record.interaction for record in found]


@frozen
class _Open:
    """A journal that is kept open while the cassette is read, so that its inode cannot be reused for another file."""

    path: str
    descriptor: int | None
    size: int = 0

    @classmethod
    def of(cls, path: str) -> _Open:
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError):  # missing; or unreadable, which `read` reports
            return cls(path, None)
        return cls(path, descriptor, os.fstat(descriptor).st_size)

    def read(self) -> list[Record]:
        try:
            return read_records(read_file(self.path), self.path)
        except CassetteMiss:
            return []

    def unchanged(self) -> bool:
        if self.descriptor is None:
            return not os.path.lexists(self.path)
        # On Windows a journal is not removed but emptied.
        return same_file(self.descriptor, self.path) and os.fstat(self.descriptor).st_size >= self.size

    def close(self) -> None:
        if self.descriptor is not None:
            with suppress(OSError):
                os.close(self.descriptor)


@frozen
class Stored:
    """The files on disk for one cassette, at one moment.

    Args:
        cassette: the bytes of its file, decompressed; None if there is none.
        added: the records of its journal.
        replacing: the records of its rewriting journal.
    """

    cassette: bytes | None
    added: Sequence[Record]
    replacing: Sequence[Record] = field(kw_only=True)

    @classmethod
    def read(cls, path: str, *, limit: int = MAX_BYTES) -> Stored:
        """Read a cassette and its journals, even while others record or fold theirs in.

        No lock is taken, so that a reader never waits for a recording. Instead everything is read again if a journal
        was removed or replaced meanwhile.

        Raises:
            InvalidCassette: if a journal is damaged, or something cannot be read.
        """
        while True:
            journals = [_Open.of(path + JOURNAL), _Open.of(path + REWRITE)]
            try:
                # The cassette first: the mark of what was folded in is in a journal before the new file is there, so
                # that whoever has read the new file finds the mark.
                try:
                    data = read_file(path, limit=limit)
                    cassette: bytes | None = expand(data, compression_of(path), path=path, limit=limit)
                except CassetteMiss:
                    cassette = None
                added, replacing = [one.read() for one in journals]
                if all(one.unchanged() for one in journals):
                    return cls(cassette, added, replacing=replacing)
            finally:
                for one in journals:
                    one.close()

    @property
    def replaced(self) -> bool:
        """Whether a recording that replaces the cassette has ended well but is not folded in yet."""
        return any(one.ended for one in unfolded(self.replacing, self.cassette))

    def folded(self) -> bytes | None:
        """Return the cassette file with what its journals hold; None if they hold nothing new.

        The cassette itself must be sound.
        """
        new = list(unfolded(self.added, self.cassette))
        if self.replaced:
            new = [*unfolded(self.replacing, self.cassette), *new]
        interactions = list(_first_of_each(new))
        if not interactions and not self.replaced:
            return None
        document: dict[str, msgspec.Raw] = {"version": msgspec.Raw(b"1")}
        old: list[msgspec.Raw] = []
        if self.cassette is not None:
            document = msgspec.json.decode(self.cassette, type=dict[str, msgspec.Raw])
            old = msgspec.json.decode(document.pop("interactions"), type=list[msgspec.Raw])
        metadata = next((one.metadata for one in new if one.metadata != _NOTHING), None)
        if metadata is not None and (self.replaced or "metadata" not in document):
            document["metadata"] = metadata
        kept = [] if self.replaced else old
        return pretty(msgspec.json.encode({**document, "interactions": [*kept, *interactions]}))
