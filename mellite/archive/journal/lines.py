"""The lines of a journal's file: what each may say, how it is written, and how those are read that a crash left.

A line is ``mj1 <length> <CRC-32> <JSON>``, as in the journals of cassettes, with a newline before and another one after
it. A line that is shorter than its length and has no newline of its own was being written when its process died, and is
passed over. A line that has its newline but not its length, or not its CRC, is damaged, and so is the journal.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias
from zlib import crc32

import msgspec
from msgspec.structs import replace

from ...values.errors import InvalidJournal

__all__ = ["NOTHING", "Callee", "Kind", "Line", "State", "damaged", "lines_in", "read_line", "written_line"]

#: What a line tells of: what a later line refers to by its hash; a run; that a call begins; what came of it; that it is
#: to be run again, though nobody knows what came of it; that the parent of a fork ran it; checks; a choice among
#: samples; a value of the program's own.
Kind: TypeAlias = Literal["kept", "run", "begun", "settled", "again", "inherited", "checked", "sampled", "value"]

#: What is called: a model, a tool or a function.
Callee: TypeAlias = Literal["call", "tool", "function"]

#: What came of a call.
State: TypeAlias = Literal["done", "failed", "cancelled"]

#: JSON that is not there.
NOTHING: Final = msgspec.Raw(b"")


class Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line. Large parts stay undecoded until they are read.

    Attributes:
        kind: what it tells.
        call: the number of the call, from 1.
        at: the moment, in microseconds since 1970; no two lines of a journal have the same.
        of: what begins: a call of a model, of a tool, or of a function.
        key: the digest of what is asked, in hex; the hash of what is kept; the name of a run.
        nth: the how-manieth with this key, from 0.
        name: of a model, tool or function, or of the kind of a value.
        once: whether it must not run twice.
        run: the name of the run that it is a step of.
        step: which step, from 1.
        state: what came of it.
        retryable: whether asking again may help.
        body: the request, the answer, or what else the line is about, as JSON.
    """

    kind: Kind
    call: int = 0
    at: int = 0
    of: Callee = "call"
    key: str = ""
    nth: int = 0
    name: str | None = None
    once: bool = False
    run: str = ""
    step: int = 0
    state: State = "done"
    retryable: bool = False
    body: msgspec.Raw = NOTHING


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Line).decode
_HEAD: Final = re.compile(rb"mj(\d{1,9}) (\d{1,15}) ([0-9a-f]{8}) ")
#: The beginning of a line that was being written.
_TORN: Final = re.compile(rb"m(j(\d+( (\d+( ([0-9a-f]{0,8})?)?)?)?)?)?")
_LONGEST_HEAD: Final = 64
_NEWLINE: Final = ord("\n")


def written_line(line: Line) -> bytes:
    """Return a line as it is written. The newline in front of it ends a torn one that may come before."""
    try:
        data = _encode(line)
    except UnicodeEncodeError:  # a model has called a tool by half a character
        data = _encode(replace(line, name=(line.name or "").encode("utf-8", "replace").decode()))
    return b"\nmj1 %d %08x %b\n" % (len(data), crc32(data), data)


def lines_in(data: bytes | mmap.mmap, path: str) -> Iterator[tuple[int, int, Line]]:
    """Read all lines of a file but those that are torn: where its JSON begins, how long it is, and what it says.

    Args:
        data: the bytes of the file.
        path: the file, for errors.

    Raises:
        InvalidJournal: if a line is damaged, or was written by a newer mellite.
    """
    size, place = len(data), 0
    while place < size:
        if data[place] == _NEWLINE:
            place += 1
            continue
        head = _HEAD.match(data, place, min(size, place + _LONGEST_HEAD))
        if head is not None and head[1] == b"1":
            begin, length = head.end(), int(head[2])
            end = begin + length
            if end == size or (end < size and data[end] == _NEWLINE):
                text = data[begin:end]
                if b"%08x" % crc32(text) == head[3]:
                    yield begin, length, _read(text, path, place)
                    place = end + 1
                    continue
        place = _passed_over(data, place, path, head)


def read_line(data: bytes) -> Line:
    """Return what the JSON of a line says that was read before."""
    return _decode(data)


def _read(data: bytes, path: str, offset: int) -> Line:
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise damaged(path, offset, str(error)) from error


def _passed_over(data: bytes | mmap.mmap, place: int, path: str, head: re.Match[bytes] | None) -> int:
    """Return where a torn line ends.

    Raises:
        InvalidJournal: if it is damaged instead.
    """
    end = data.find(b"\n", place)
    end = len(data) if end < 0 else end
    # Its own newline is followed by the one before the next line, or by the end.
    ended = end < len(data) and (end + 1 == len(data) or data[end + 1] == _NEWLINE)
    unwritten = end == len(data) and b"\0" in data[place:end]  # a block that a power cut left as zeros
    if unwritten:
        return end
    if head is None:
        if _TORN.fullmatch(data, place, end) and not ended:
            return end
        raise damaged(path, place, "it is not a line of a journal")
    if head[1] != b"1":
        raise damaged(path, place, f"it has version {head[1].decode()}, which only a newer mellite reads")
    missing = head.end() + int(head[2]) - end
    if missing > 0 and not ended:
        return end
    reason = f"it lacks {missing} bytes" if missing > 0 else "its digest does not fit"
    raise damaged(path, place, reason)


def damaged(path: str, offset: int, reason: str) -> InvalidJournal:
    """Return the error for a line that says what no line of a journal says."""
    msg = f"the journal {path!r} is damaged in the line at byte {offset}: {reason}; it is left as it is"
    return InvalidJournal(msg, path=path, offset=offset)
