"""The texts in a stream of events, for a scan: each that comes again once, and what came in pieces put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, cast

import msgspec

__all__ = ["Text", "condensed", "joined", "leaves"]

Text: TypeAlias = tuple[str, str]
"""A JSON path, and the text there."""

# Events of one stream are alike but for a few values: cut at their quotes they are rows of a table, which Python can
# turn into columns, and look for what differs, about five times as fast as it can decode and walk through each of them.
_Cells: TypeAlias = list[str]
_Frame: TypeAlias = tuple[str, ...]

#: Stand for a backslash and a quote that are escaped, so that every other quote begins or ends a string.
_BACKSLASH: Final = "\x00"
_QUOTE: Final = "\x01"
_LONGEST_PATH: Final = 500
_STREAM: Final = ("data:", "event:", "id:", ":", "retry:")


def condensed(where: str, text: str) -> list[Text]:
    r"""Return the texts in a body: in a stream each value once, and then the whole of what came in pieces.

    Example:
        >>> condensed("$", 'data: {"a":"x"}\n\ndata: {"a":"y"}\n')
        [('$', 'data: { : }\na\na":"x\na":"y\n'), ('$[*].a', 'xy')]
    """
    if not text.startswith(_STREAM):
        lines = [line[5:] for line in text.splitlines() if line.startswith("data:")] if "data:" in text else []
        return [(where, text), *joined(where, lines)]
    table = _Table()
    others = [line for number, line in enumerate(text.split("\n")) if not table.add(number, line)]
    values, pieces = table.columns()
    return [(where, "\n".join([*values, *dict.fromkeys(others)])), *_together(where, pieces)]


def joined(where: str, texts: Iterable[str]) -> list[Text]:
    """Return what shows only when the pieces of a text are put together that came in several events.

    Args:
        where: the path of the events.
        texts: the JSON of each.
    """
    table = _Table()
    for number, text in enumerate(texts):
        table.add(number, text)
    return _together(where, table.columns()[1])


def leaves(where: str, value: object) -> Iterator[tuple[str, object]]:
    """Walk through what is in a decoded JSON value and is no object or list, by its path."""
    waiting: list[tuple[str, object]] = [(where, value)]
    while waiting:  # not recursive: what a parser accepts may be deeper than Python can call
        place, item = waiting.pop()
        if isinstance(item, dict):
            fields = cast("dict[str, object]", item)
            waiting += [(_deeper(place, f".{name}"), inner) for name, inner in fields.items()]
        elif isinstance(item, list):
            items = cast("list[object]", item)
            waiting += [(_deeper(place, f"[{number}]"), inner) for number, inner in enumerate(items)]
        else:
            yield place, item


def _deeper(place: str, step: str) -> str:
    """A path with one more step, unless that makes it too long to be of use: paths of all depths would add up."""
    return f"{place}{step}" if len(place) + len(step) <= _LONGEST_PATH else place


_Pieces: TypeAlias = dict[str, list[tuple[int, str]]]
"""Path, with the indexes of what it is a piece of -> the number of each event, and its piece."""


def _together(where: str, pieces: _Pieces) -> list[Text]:
    found: list[Text] = []
    for name, numbered in pieces.items():
        texts = [text for _, text in sorted(numbered, key=_number)]
        if len(set(texts)) > 1:
            found.append((f"{where}[*]{name.partition('/')[0]}", "".join(texts)))
    return found


def _number(numbered: tuple[int, str]) -> int:
    return numbered[0]


class _Table:
    """The events of a stream, those together that differ in nothing but their strings."""

    def __init__(self) -> None:
        self._alike: dict[_Frame, tuple[list[int], list[_Cells]]] = {}

    def add(self, number: int, line: str) -> bool:
        """Take in one event; False if it cannot be JSON with a string in it."""
        if "\\" in line:
            line = line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
        cells = line.split('"')
        if len(cells) < 3 or not len(cells) % 2:
            return False
        numbers, rows = self._alike.setdefault(tuple(cells[::2]), ([], []))
        numbers.append(number)
        rows.append(cells)
        return True

    def columns(self) -> tuple[list[str], _Pieces]:
        """Return each value once, with its name before it; and the values of all events by their paths."""
        values: list[str] = []
        pieces: _Pieces = {}
        for frame, (numbers, rows) in self._alike.items():
            places = [2 * cell + 1 for cell in range(len(frame) - 1)]
            names = {place for place in places if frame[(place + 1) // 2].lstrip().startswith(":")}
            values.append(" ".join(frame))
            for alike, own in _with_equal_names(rows, numbers, names):
                self._take_in(alike, own, names, values, pieces)
        return values, pieces

    @staticmethod
    def _take_in(
        rows: Sequence[_Cells], numbers: Sequence[int], names: set[int], values: list[str], pieces: _Pieces
    ) -> None:
        paths = _paths(rows[0], names)
        columns = list(zip(*rows, strict=True))
        for place in range(1, len(columns), 2):
            if place in names:
                values.append(_restored(rows[0][place]))
                continue
            column = columns[place]
            name = _restored(rows[0][place - 2]) if place - 2 in names else ""
            different = {value: _restored(value) for value in dict.fromkeys(column)}
            values += [f'{name}":"{value}' for value in different.values()]
            path = paths.get(place)
            if path is not None:
                texts = map(different.__getitem__, column)
                pieces.setdefault(path, []).extend(zip(numbers, texts, strict=True))


def _with_equal_names(
    rows: list[_Cells], numbers: list[int], names: set[int]
) -> Iterator[tuple[list[_Cells], list[int]]]:
    """Divide rows by the names of their fields; mostly they are the same in all."""
    if all(len(set(column)) == 1 for place, column in enumerate(zip(*rows, strict=True)) if place in names):
        yield rows, numbers
        return
    divided: dict[_Frame, tuple[list[_Cells], list[int]]] = {}
    for number, row in zip(numbers, rows, strict=True):
        some, own = divided.setdefault(tuple([row[place] for place in sorted(names)]), ([], []))
        some.append(row)
        own.append(number)
    yield from divided.values()


def _paths(row: _Cells, names: set[int]) -> dict[int, str]:
    """The path of each string of an event, with the indexes in the event behind it; none if it is no JSON.

    The strings are replaced by their places, and found again by those.
    """
    marked = [f"{place}" if place % 2 and place not in names else cell for place, cell in enumerate(row)]
    try:
        event = [*leaves("", msgspec.json.decode(_restored('"'.join(marked)).removeprefix("data:")))]
    except (ValueError, RecursionError):
        return {}
    turn = "".join([f"/{item}" for name, item in event if name[-5:] in ("index", "Index") and isinstance(item, int)])
    return {int(item): name + turn for name, item in event if isinstance(item, str)}


def _restored(cell: str) -> str:
    return cell.replace(_QUOTE, '\\"').replace(_BACKSLASH, "\\\\") if _QUOTE in cell or _BACKSLASH in cell else cell
