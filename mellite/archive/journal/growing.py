"""Show answers of a journal while they arrive, ten times a second, for as long as there is a reader.

Whoever looks touches a file in the journal's directory. While that is fresh, the process that writes the journal
appends what arrives to another file. Neither is a part of the journal: without them it says the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, final

from ...values.events import Event, ReasoningDelta, TextDelta

__all__ = ["PERIOD", "GrowingAnswers", "Growth"]

#: How often what has arrived is told, in microseconds.
PERIOD: Final = 100_000

#: Touched by whoever looks; it is fresh for so many seconds.
_LOOKED: Final = "looked"
_FRESH: Final = 3.0

#: What has arrived: a line of JSON for each piece, with the number of its call.
_GROWING: Final = "growing"

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
            text = "".join([event.text for event in events if isinstance(event, (TextDelta, ReasoningDelta))])
            if text:
                descriptor = os.open(self._growing, _APPEND, 0o600)
                try:
                    os.write(descriptor, json.dumps([number, text]).encode() + b"\n")
                finally:
                    os.close(descriptor)
        except OSError:  # nobody has ever looked; or what is only to be looked at has no room
            return False
        return True

    def forget(self) -> None:
        """Take away what was told: its calls have settled, or will be asked again."""
        with suppress(OSError):
            os.unlink(self._growing)


def _told(line: bytes) -> tuple[int, str]:
    """Return the number of a call and a piece of its answer; of no call where somebody else has written the line."""
    try:
        told = json.loads(line)
    except ValueError:
        return 0, ""
    match told:
        case [int(number), str(text)]:
            return number, text
        case _:
            return 0, ""


@final
class GrowingAnswers:
    """Reads the arrived parts of answers, and reports them to readers.

    Args:
        directory: the journal.
    """

    def __init__(self, directory: str) -> None:
        self._looked = os.path.join(directory, _LOOKED)
        self._growing = os.path.join(directory, _GROWING)
        self._place = 0
        self._texts: dict[int, str] = {}

    def look(self) -> Mapping[int, str]:
        """Return what has arrived, by the numbers of calls; settled ones may be among them."""
        with suppress(OSError):  # somebody else's directory: then nothing grows
            with open(self._looked, "ab"):
                os.utime(self._looked)
            if os.stat(self._growing).st_size < self._place:
                self._place, self._texts = 0, {}
            with open(self._growing, "rb") as file:
                file.seek(self._place)
                told = file.read()
            whole, newline, _ = told.rpartition(b"\n")
            self._place += len(whole) + len(newline)
            pieces: dict[int, list[str]] = {}
            for line in whole.split(b"\n") if whole else ():
                number, text = _told(line)
                pieces.setdefault(number, []).append(text)
            for number, added in pieces.items():
                self._texts[number] = "".join([self._texts.get(number, ""), *added])
        return self._texts

    def drop(self, number: int) -> None:
        """Forget what has arrived of a call: it has settled, or is asked again."""
        self._texts.pop(number, None)
