"""Show answers of a journal while they arrive, ten times a second, for as long as there is a reader.

Whoever looks touches a file in the journal's directory. While that is fresh, the process that writes the journal
appends what arrives to another file. Neither is a part of the journal: without them it says the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, Final, final

from attrs import field, frozen

from ...values.events import Event, ReasoningDelta, ReasoningEnd, TextDelta, TextEnd

__all__ = ["PERIOD", "GrowingAnswers", "Growth", "Piece"]

#: How often what has arrived is told, in microseconds.
PERIOD: Final = 100_000

#: Touched by whoever looks; it is fresh for so many seconds.
_LOOKED: Final = "looked"
_FRESH: Final = 3.0

#: What has arrived: a line of JSON for each piece, with the number of its call, its kind and the id of its block. The
#: text is null where the block ends.
_GROWING: Final = "growing"

_KINDS: Final[Mapping[type, str]] = {
    TextDelta: "text",
    TextEnd: "text",
    ReasoningDelta: "thinking",
    ReasoningEnd: "thinking",
}

_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@final
class Growth:
    """Tells those who look what has arrived of answers. For the process that writes the journal.

    Args:
        directory: the journal.
    """

    def __init__(self, directory: str) -> None:
        self._looked = os.path.join(directory, _LOOKED)
        self._growing = os.path.join(directory, _GROWING)
        self.forget()

    def tell(self, number: int, events: Iterable[Event]) -> bool:
        """Report the arrived part of a call; return whether there is a reader, for whom to go on."""
        try:
            if time.time() - os.stat(self._looked).st_mtime > _FRESH:
                return False
            lines = b"".join([json.dumps(piece).encode() + b"\n" for piece in _pieces(number, events)])
            if lines:
                descriptor = os.open(self._growing, _APPEND, 0o600)
                try:
                    os.write(descriptor, lines)
                finally:
                    os.close(descriptor)
        except OSError:  # nobody has ever looked; or what is only to be looked at has no room
            return False
        return True

    def forget(self) -> None:
        """Take away what was told: its calls have settled, or will be asked again."""
        with suppress(OSError):
            os.unlink(self._growing)


def _pieces(number: int, events: Iterable[Event]) -> Iterator[list[str | int | None]]:
    """Yield what the lines say of some events: the text of each block as far as no other one comes between."""
    said: list[str] = []
    last: tuple[str, str] | None = None
    for event in events:
        if not isinstance(event, (TextDelta, ReasoningDelta, TextEnd, ReasoningEnd)):
            continue
        block = (_KINDS[type(event)], event.id)
        if said and last != block and last is not None:
            yield [number, "".join(said), *last]
            said = []
        last = block
        if isinstance(event, (TextDelta, ReasoningDelta)):
            said += [event.text] if event.text else []
            continue
        if said:
            yield [number, "".join(said), *block]
            said = []
        yield [number, None, *block]
    if said and last is not None:
        yield [number, "".join(said), *last]


@frozen
class Piece:
    """A piece of an answer that has arrived.

    Args:
        number: of the call.
        text: what has arrived; None where the block is over.
        kind: ``text`` or ``thinking``.
        block: the id of the block that it is a part of.
    """

    number: int
    text: str | None
    kind: str = field(default="text", kw_only=True)
    block: str = field(default="", kw_only=True)


def _told(line: bytes) -> Piece | None:
    """Return what a line says; None where somebody else has written it."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match told:
        case [int(number), str(text)]:  # as earlier versions write it
            return Piece(number, text)
        case [int(number), (str() | None) as text, ("text" | "thinking") as kind, str(block)]:
            return Piece(number, text, kind=kind, block=block)
        case _:
            return None


#: How much before the place up to which was read must be as it was.
_KNOWN: Final = 256


@final
class GrowingAnswers:
    """Reads the arrived parts of answers, and reports them to readers.

    Args:
        directory: the journal.
    """

    def __init__(self, directory: str) -> None:
        self._looked = os.path.join(directory, _LOOKED)
        self._growing = os.path.join(directory, _GROWING)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._file: tuple[int, int] | None = None
        self._place = 0
        self._known = b""  # what stands before that place

    def look(self) -> tuple[bool, list[Piece]]:
        """Return whether all that was told before is void, and what has arrived since the last look."""
        is_void = False
        told = b""
        with suppress(OSError):  # somebody else's directory: then nothing grows
            with open(self._looked, "ab"):
                os.utime(self._looked)
            with suppress(FileNotFoundError), open(self._growing, "rb") as file:
                is_void = self._is_another(file)
                file.seek(self._place)
                told = file.read()
        whole, newline, _ = told.rpartition(b"\n")
        self._place += len(whole) + len(newline)
        self._known = (self._known + whole + newline)[-_KNOWN:]
        pieces = [_told(line) for line in whole.split(b"\n")] if whole else []
        return is_void, [piece for piece in pieces if piece is not None]

    def _is_another(self, file: BinaryIO) -> bool:
        """Notice that a file is not the one that was read before, and begin anew then."""
        stat = os.fstat(file.fileno())
        name = (stat.st_dev, stat.st_ino)
        file.seek(self._place - len(self._known))
        if self._file in (None, name) and file.read(len(self._known)) == self._known:
            self._file = name
            return False
        self._begin_anew()
        self._file = name
        return True
