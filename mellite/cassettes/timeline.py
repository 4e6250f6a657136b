"""The timeline of a recorded interaction: its chunks and their times, its end, and which copy of a thunk asked.

The file format has no place for this, so it is stored under a key ``mellite``, which other readers ignore::

    {"started": "2026-11-21T05:46:15.123456Z", "openedUs": 8211, "chunks": "312@95 98@20310 98x2@7", "endedUs": 90120,
     "end": "broken", "error": {"type": "ConnectionLost", "message": "..."}, "lineage": [0, 3]}

``chunks`` has one word for each piece that was read: its size in bytes, in the body as it is stored, and the
microseconds since the piece before. ``98x2@7`` stands for two such pieces, one after the other.

``end`` and ``error`` say how the body ended: in good order (``complete``, without an error); closed by the other side
before its last chunk or byte (``broken``, an error with ``"ending": "cut"``); reset (``"ending": "reset"``); or by a
timeout of the caller, with ``clock`` (``first_byte``, ``idle``, ``total``) and ``seconds``. In older files an error may
have only ``type`` and ``message``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, NoReturn, TypeAlias, cast

from attrs import asdict, field, frozen

from ..values.errors import InvalidCassette

__all__ = ["KEY", "Clock", "End", "Ending", "Fault", "Stopwatch", "Timeline", "packed", "unpacked"]

#: The key of an interaction under which all this is stored.
KEY: Final = "mellite"

#: How an interaction ended: the whole answer came; its reader went away; or it failed.
End: TypeAlias = Literal["complete", "interrupted", "broken"]

#: The clocks of a call, as in `mellite.Timeouts`.
Clock: TypeAlias = Literal["first_byte", "idle", "total"]

#: How a connection ended that was lost: see `mellite.errors.ConnectionLost`.
Ending: TypeAlias = Literal["cut", "reset"]

_ENDINGS: Final = ("cut", "reset")
_CLOCKS: Final = ("first_byte", "idle", "total")
_ENDS: Final = ("complete", "interrupted", "broken")
_WORD: Final = re.compile(r"(\d{1,15})(?:x(\d{1,9}))?(?:@(\d{1,15}))?")
#: Words that all have a delay, and stand for fewer than `_MOST_PIECES`.
_SIMPLE: Final = re.compile(r"(?:[0-9]{1,15}+(?:x[0-9]{1,2})?+@[0-9]{1,15}+(?: |\Z)){,100000}+")
_MOST_PIECES: Final = 10_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Stopwatch:
    """Microseconds since 1970 that never go back within a process, even if the clock of the machine is set."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.perf_counter_ns()

    def now(self) -> int:
        """The time, in microseconds."""
        return (time.perf_counter_ns() + self._offset) // 1000


@frozen
class Fault:
    """The error with which an interaction ended.

    Args:
        type: the name of the error's class.
        message: the error's message.
        ending: for a lost connection, how it ended: ``cut`` if the other side closed it in good order but too early,
            as in a body without its last chunk; ``reset`` if it failed; None if that is not known.
        clock: for a timeout, which one of the call ran out, as in `mellite.Timeouts`; None if that is not known.
        seconds: the seconds that it was set to.
    """

    type: str
    message: str
    ending: Ending | None = field(default=None, kw_only=True)
    clock: Clock | None = field(default=None, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Timeline:
    """The times and the end of one interaction. Times are in microseconds.

    Args:
        started: when the request was sent, since 1970.
        opened: when the status arrived, after the start; None if it never did.
        chunks: the pieces of the body, packed; see `pieces`.
        ended: when it ended, after the start.
        end: how it ended.
        fault: the error, if it is broken.
        lineage: which copy of a thunk asked; None if that is not known.
    """

    started: int
    opened: int | None = None
    chunks: str = field(default="", repr=lambda chunks: f"<{len(chunks)}>")
    ended: int = 0
    end: End = "complete"
    fault: Fault | None = None
    lineage: tuple[int, ...] | None = None

    @classmethod
    def of(cls, extra: Mapping[str, Any], *, path: str | None = None) -> Timeline | None:
        """Read the timeline of an interaction from its further keys; None if it has none.

        Args:
            extra: the keys of the interaction that the format does not know.
            path: the cassette, for the error.

        Raises:
            InvalidCassette: if it is not as described above.
        """
        stored = extra.get(KEY)
        return None if stored is None else _Stored(stored, path).timeline()

    def to_extra(self) -> dict[str, Any]:
        """Return the further keys of the interaction, as they are stored."""
        stored: dict[str, Any] = {"started": _written(self.started)}
        if self.opened is not None:
            stored["openedUs"] = self.opened
        stored |= {"chunks": self.chunks, "endedUs": self.ended, "end": self.end}
        if self.fault is not None:
            stored["error"] = {name: value for name, value in asdict(self.fault).items() if value is not None}
        if self.lineage is not None:
            stored["lineage"] = list(self.lineage)
        return {KEY: stored}

    def pieces(self, *, path: str | None = None) -> list[tuple[int, int]]:
        """Unpack the pieces that were read: for each its size in bytes, and when it came after the start.

        Args:
            path: the cassette, for the error.

        Raises:
            InvalidCassette: if they are not packed as described above.
        """
        try:
            return list(unpacked(self.chunks, self.opened or 0))
        except ValueError as error:
            _Stored(None, path).refuse("chunks", "words such as '312@95'", str(error))

    def sizes(self, *, path: str | None = None) -> list[int]:
        """Unpack the sizes of the pieces only, in bytes, which is much faster; see `pieces`.

        Raises:
            InvalidCassette: as `pieces`.
        """
        if not _SIMPLE.fullmatch(self.chunks):
            return [size for size, _ in self.pieces(path=path)]
        words = self.chunks.replace("@", " ").split()[::2]
        known = {word: _repeated(word) for word in set(words)}  # pieces are much alike
        sizes: list[int] = []
        for word in words:
            sizes += known[word]
        return sizes


def packed(pieces: Iterable[tuple[int, int]], start: int = 0) -> str:
    """Pack pieces (bytes, microseconds since the start) into one short text.

    Args:
        pieces: the pieces, in order.
        start: the moment from which the first one is counted.

    Example:
        >>> packed([(312, 100), (98, 200), (98, 300), (7, 300)], 90)
        '312@10 98x2@100 7'
    """
    words: list[str] = []
    size_before = delay_before = -1
    count = 0
    for size, at in pieces:
        delay = at - start if at > start else 0
        start += delay
        if size == size_before and delay == delay_before:
            count += 1
            continue
        if count:
            words.append(_word(size_before, delay_before, count))
        size_before, delay_before, count = size, delay, 1
    if count:
        words.append(_word(size_before, delay_before, count))
    return " ".join(words)


def _word(size: int, delay: int, count: int) -> str:
    return f"{size}{f'x{count}' if count > 1 else ''}{f'@{delay}' if delay else ''}"


def unpacked(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the pieces of a packed text.

    Raises:
        ValueError: if it is malformed.

    Example:
        >>> list(unpacked("312@10 98x2@100 7", 90))
        [(312, 100), (98, 200), (98, 300), (7, 300)]
    """
    total = 0
    for word in text.split():
        found = _WORD.fullmatch(word)
        count = int(found[2] or 1) if found else 0
        total += count
        if found is None or total > _MOST_PIECES:
            msg = f"{word[:40]!r} is not a piece"
            raise ValueError(msg)
        size, delay = int(found[1]), int(found[3] or 0)
        for _ in range(count):
            start += delay
            yield size, start


def _repeated(word: str) -> list[int]:
    """Return the sizes that a word without its delay stands for."""
    size, _, count = word.partition("x")
    return [int(size)] * int(count or 1)


def _written(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Write a second of UTC. Cached: many short calls are recorded in one."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@frozen
class _Stored:
    """The JSON value under the key. It is read strictly, since it may have been edited by hand."""

    value: object
    path: str | None

    def timeline(self) -> Timeline:
        if not isinstance(self.value, dict):
            self.refuse("", "an object", self.value)
        fields = cast("dict[str, object]", self.value)
        end, opened, chunks = fields.get("end", "complete"), fields.get("openedUs"), fields.get("chunks", "")
        if end not in _ENDS:
            self.refuse("end", f"one of {', '.join(_ENDS)}", end)
        if not isinstance(chunks, str):
            self.refuse("chunks", "a text", chunks)
        return Timeline(
            started=self.moment(fields.get("started")),
            opened=None if opened is None else self.count("openedUs", opened),
            chunks=chunks,
            ended=self.count("endedUs", fields.get("endedUs", 0)),
            end=end,
            fault=self.fault(fields.get("error")),
            lineage=self.lineage(fields.get("lineage")),
        )

    def moment(self, value: object) -> int:
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.refuse("started", "a time as in '2026-11-21T05:46:15.123456Z'", value)
        since = moment - _EPOCH
        return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds

    def count(self, name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.refuse(name, "a number of microseconds", value)
        return value

    def fault(self, value: object) -> Fault | None:
        if value is None:
            return None
        fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        kind, message = fields.get("type"), fields.get("message")
        if not (isinstance(kind, str) and isinstance(message, str)):
            self.refuse("error", "an object with the texts 'type' and 'message'", value)
        ending, clock, seconds = fields.get("ending"), fields.get("clock"), fields.get("seconds")
        if ending not in (None, *_ENDINGS):
            self.refuse("error.ending", f"one of {', '.join(_ENDINGS)}", ending)
        if clock is None:
            return Fault(kind, message, ending=ending)
        if clock not in _CLOCKS:
            self.refuse("error.clock", f"one of {', '.join(_CLOCKS)}", clock)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            self.refuse("error.seconds", "a number of seconds above 0", seconds)
        return Fault(kind, message, ending=ending, clock=clock, seconds=seconds)

    def lineage(self, value: object) -> tuple[int, ...] | None:
        if value is None:
            return None
        items: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            self.refuse("lineage", "a list of whole numbers", value)
        return tuple(cast("list[int]", items))

    def refuse(self, name: str, wanted: str, found: object) -> NoReturn:
        cassette = "the cassette" if self.path is None else f"cassette {self.path!r}"
        place = f"{KEY}.{name}" if name else KEY
        shown = f"{found!r:.80}" if isinstance(found, (str, int, float)) else type(found).__name__
        msg = f"{cassette} is damaged: as {place!r} of an interaction expected {wanted}, found {shown}"
        raise InvalidCassette(msg, path=self.path)
