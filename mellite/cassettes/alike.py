"""The lines of a stream that are alike, put together: what they share is kept once, and what differs apart.

The events of an answer are hundreds of lines that differ in a few strings and numbers. Who looks for something in them
looks at one of these lines, and at what differs. A line that fits no other is given as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

__all__ = ["STREAM", "Lines", "Run", "cells_of", "is_name", "restored"]

#: How the lines of a stream begin, by the rules of server-sent events.
STREAM: Final = ("data:", "event:", "id:", ":", "retry:")

_Column: TypeAlias = Sequence[str]

#: Replace an escaped backslash and an escaped quote, so that every quote that is left begins or ends a string.
_BACKSLASH: Final = "\x00"
_QUOTE: Final = "\x01"

_STRINGS: Final = re.compile(r'(?:[^"\\\n]*+(?:\\.[^"\\\n]*+)*+\n)*+')
_NUMBERS: Final = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?\n)*+")
_NUMBER: Final = re.compile(r"([0-9][0-9.eE+-]*)")
#: So many lines are compared to find out what differs in lines that are alike.
_SAMPLES: Final = 4
#: Lines are compared in blocks of so many, which is faster than one by one.
_BLOCK: Final = 64
#: After so many lines that are not like the next one, and one more for each four that are, no more are compared.
_MOST_MISSES: Final = 32


def cells_of(line: str) -> list[str]:
    """Split a line of JSON at its quotes: every other cell is what stands in a string. See `restored`."""
    if "\\" in line:
        line = line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
    return line.split('"')


def restored(cell: str) -> str:
    """Return a cell with its escapes as they were."""
    return cell.replace(_QUOTE, '\\"').replace(_BACKSLASH, "\\\\") if _QUOTE in cell or _BACKSLASH in cell else cell


def is_name(cells: Sequence[str], place: int) -> bool:
    """Whether a string is the name of a field."""
    return cells[place + 1].lstrip().startswith(":")


@frozen(kw_only=True)
class Run:
    """Lines one after the other that are alike.

    Args:
        first: the first of them.
        cells: its cells, with the joined texts of all lines in the place of a string that differs.
        count: how many they are.
        texts: the place of a string that differs among the cells -> its text in each line.
        numbers: the different numbers, where these differ.
    """

    first: str
    cells: Sequence[str]
    count: int
    texts: Mapping[int, _Column]
    numbers: Sequence[str]


@frozen
class Lines:
    """The lines of a stream.

    Args:
        strings: those that have a string in them, in order; lines that are alike are one `Run`.
        others: the different others.
    """

    strings: Sequence[str | Run]
    others: Sequence[str] = field(kw_only=True)

    @classmethod
    def of(cls, text: str) -> Lines | None:
        """Return the lines of a stream; None if *text* is none, or has lines in it that cannot be JSON."""
        if not text.startswith(STREAM) or _BACKSLASH in text or _QUOTE in text:
            return None
        lines = text.split("\n")
        blank = lines.count("")
        strings = [line for line in lines if '"' in line]
        others = [""] if blank else []
        if len(strings) + blank < len(lines):
            others = [*dict.fromkeys([line for line in lines if '"' not in line])]
        together = [*_together(strings)]
        if any(isinstance(one, str) and not _is_whole(cells_of(one)) for one in together):
            return None
        return cls(together, others=others)


def _is_whole(cells: Sequence[str]) -> bool:
    """Whether each string in a line has its end there."""
    return len(cells) >= 3 and len(cells) % 2 == 1


def _together(lines: Sequence[str]) -> Iterator[str | Run]:
    place, misses = 0, 0
    while place < len(lines):
        run = None
        if misses <= _MOST_MISSES + place // 4:
            shape = _Shape.of(lines[place], lines[place + 1 : place + 1 + _SAMPLES])
            run = None if shape is None else shape.run(lines, place)
            misses += run is None
        yield lines[place] if run is None else run
        place += 1 if run is None else run.count


@frozen(kw_only=True)
class _Shape:
    """What similar lines share, and where they differ.

    Args:
        first: the first of the lines.
        cells: its cells.
        shared: what stands between the places where they differ: one more than there are of these.
        places: the cells that differ: a string, or what is between two strings and has a number that differs.
        tight: whether they differ in the blanks after the last string, too.
    """

    first: str
    cells: Sequence[str]
    shared: Sequence[str]
    places: Sequence[int]
    tight: bool

    @classmethod
    def of(cls, first: str, others: Sequence[str]) -> _Shape | None:
        """Compare a line with those that follow; None if the next one is not like it."""
        cells = cells_of(first)
        numbers: dict[int, int] = {}
        strings: set[int] = set()
        alike = tight = False
        for other in others:
            differing = _differing(cells, cells_of(other))
            if differing is None:
                break
            alike = True
            for place, number in differing.items():
                if number is None:
                    strings.add(place)
                elif number < 0:
                    tight = True
                elif numbers.setdefault(place, number) != number:
                    return None
        if not alike:
            return None
        if tight:
            first = _tight(first)
            cells = cells_of(first)
        places = sorted([*strings, *numbers])
        return cls(first=first, cells=cells, shared=_shared(cells, places, numbers), places=places, tight=tight)

    def run(self, lines: Sequence[str], start: int) -> Run | None:
        """Return the lines from *start* on that have this shape; None if there is only one."""
        columns = self._columns(lines, start) if self.places else []
        count = min([len(column) for column in columns], default=0)
        for place, column in zip(self.places, columns, strict=True):
            count = _sound(column[:count], _STRINGS if place % 2 else _NUMBERS)
        if count < 2:
            return None
        cells = [*self.cells]
        texts: dict[int, _Column] = {}
        numbers: dict[str, None] = {}
        for place, column in zip(self.places, columns, strict=True):
            if place % 2:
                texts[place] = column[:count]
                cells[place] = "".join(texts[place])
            else:
                numbers.update(dict.fromkeys(column[:count]))
        return Run(first=self.first, cells=cells, count=count, texts=texts, numbers=[*numbers])

    def _columns(self, lines: Sequence[str], start: int) -> list[_Column]:
        """Return what stands in each place of the lines from *start* on, as long as they have what is shared."""
        head, *inner, tail = self.shared
        shared_length = len(head) + len(tail)
        rests: list[str] = []
        for place in range(start, len(lines), _BLOCK):
            block = lines[place : place + _BLOCK]
            if self.tight:
                block = [_tight(line) for line in block]
            own = [line.removeprefix(head).removesuffix(tail) for line in block]
            lengths = [*map(len, block)]
            if sum(map(len, own)) == sum(lengths) - shared_length * len(block):
                rests += own
                continue
            fit = [len(rest) == length - shared_length for rest, length in zip(own, lengths, strict=True)]
            rests += own[: fit.index(False)]
            break
        columns: list[_Column] = []
        for shared in inner:
            parts = [rest.partition(shared) for rest in rests]
            found = [part[1] for part in parts]
            if "" in found:
                parts = parts[: found.index("")]
            columns.append([part[0] for part in parts])
            rests = [part[2] for part in parts]
        return [*columns, rests]


def _differing(cells: Sequence[str], others: Sequence[str]) -> dict[int, int | None] | None:
    """Return where a line differs from one that is like it; None if it is not.

    Returns:
        The place of a string, and None; of what is between two, and which of its numbers differs, or -1 for blanks.
    """
    if len(cells) != len(others) or not _is_whole(cells):
        return None
    found: dict[int, int | None] = {}
    for place, (cell, other) in enumerate(zip(cells, others, strict=True)):
        if cell == other:
            continue
        if place % 2:
            if is_name(cells, place):
                return None
            found[place] = None
            continue
        number = _differing_number(cell, other)
        if number is None and place == len(cells) - 1 and cell.replace(" ", "") == other.replace(" ", ""):
            number = -1
        # A text belongs to the index beside it, so lines with different ones are not alike.
        name = cells[place - 1] if place else ""
        if number is None or name.endswith(("index", "Index")) or "\\" in name:
            return None
        found[place] = number
    return found


def _differing_number(cell: str, other: str) -> int | None:
    """Return which number is the only difference of two texts; None if they differ otherwise."""
    parts, others = _NUMBER.split(cell), _NUMBER.split(other)
    if len(parts) != len(others):
        return None
    differing = [place for place, part in enumerate(parts) if part != others[place]]
    return differing[0] if len(differing) == 1 and differing[0] % 2 else None


def _shared(cells: Sequence[str], places: Sequence[int], numbers: Mapping[int, int]) -> list[str]:
    """Return what stands before, between and after the places where lines differ."""
    shared: list[str] = []
    text = ""
    for place, cell in enumerate(cells):
        text += '"' if place else ""
        if place not in places:
            text += restored(cell)
            continue
        after = ""
        if not place % 2:
            parts, number = _NUMBER.split(cell), numbers[place]
            text += "".join(parts[:number])
            after = "".join(parts[number + 1 :])
        shared.append(text)
        text = after
    return [*shared, text]


def _tight(line: str) -> str:
    """Return a line without the blanks behind its last string."""
    head, quote, tail = line.rpartition('"')
    return head + quote + tail.replace(" ", "")


def _sound(column: _Column, pattern: re.Pattern[str]) -> int:
    """Return how many of the texts, from the first on, are what stands in a string of JSON, or numbers."""
    if pattern is _STRINGS:
        joined = "".join(column)
        if '"' not in joined and "\\" not in joined:
            return len(column)
    if pattern.fullmatch("".join([f"{text}\n" for text in column])):
        return len(column)
    return next(number for number, text in enumerate(column) if not pattern.fullmatch(f"{text}\n"))
