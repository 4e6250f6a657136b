"""The texts in a stream of events, for a scan: repeated ones only once, and pieces of one text joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, cast

import msgspec

__all__ = ["STREAM", "Text", "condensed", "joined", "leaves"]

Text: TypeAlias = tuple[str, str]
"""A JSON path, and the text there."""

# Events of one stream differ in a few values only. Split at their quotes they are rows of a table. Turning that into
# columns, and looking for what differs, is about five times as fast as decoding each event and walking through it.
_Cells: TypeAlias = list[str]
_Frame: TypeAlias = tuple[str, ...]

#: Replace an escaped backslash and an escaped quote, so that every quote that is left begins or ends a string.
_BACKSLASH: Final = "\x00"
_QUOTE: Final = "\x01"
_LONGEST_PATH: Final = 500
#: How the lines of a stream begin, by the rules of server-sent events.
STREAM: Final = ("data:", "event:", "id:", ":", "retry:")


def condensed(where: str, text: str) -> list[Text]:
    r"""Return the texts in a body: of a stream each value once, and then the texts that came in pieces, joined.

    Example:
        >>> condensed("$", 'data: {"a":"x"}\n\ndata: {"a":"y"}\n')
        [('$', 'data: { : }\na\na":"x\na":"y\n'), ('$[*].a', 'xy')]
    """
    if not text.startswith(STREAM):
        lines = [line[5:] for line in text.splitlines() if line.startswith("data:")] if "data:" in text else []
        return [(where, text), *joined(where, lines)]
    table = _Table()
    others = [line for number, line in enumerate(text.split("\n")) if not table.add(number, line)]
    values, pieces = table.columns()
    return [(where, "\n".join([*values, *dict.fromkeys(others)])), *_together(where, pieces)]


def joined(where: str, texts: Iterable[str]) -> list[Text]:
    """Return the texts that came in pieces, in several events, joined.

    Args:
        where: the path of the events.
        texts: the JSON of each.
    """
    table = _Table()
    for number, text in enumerate(texts):
        table.add(number, text)
    return _together(where, table.columns()[1])


def leaves(where: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the scalars in a decoded JSON value, each with its path."""
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
    """Add a step to a path, unless it gets too long: in deeply nested JSON, whole paths would take quadratic memory."""
    return f"{place}{step}" if len(place) + len(step) <= _LONGEST_PATH else place


_Pieces: TypeAlias = dict[str, list[tuple[int, str]]]
"""The path of a piece, with the indexes of its text -> the number of each event, and its piece."""


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
    """The events of a stream, grouped with those that differ only in their strings."""

    def __init__(self) -> None:
        self._alike: dict[_Frame, tuple[list[int], list[_Cells]]] = {}

    def add(self, number: int, line: str) -> bool:
        """Add one event; return False if it cannot be JSON with a string in it."""
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
        """Return each value once, with its name before it, and the values of all events by their paths."""
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
    """Group rows by the names of their fields, which are mostly the same in all rows."""
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
    """Return the path of each string of an event, followed by the event's indexes; empty if it is not JSON.

    Before decoding, each string is replaced by its place in the row, by which it is found again.
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
