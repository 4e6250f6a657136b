"""The texts in a stream of events, for a scan: repeated ones only once, and pieces of one text joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, cast

import msgspec

from ..alike import STREAM, Lines, Run, cells_of, is_name, restored

__all__ = ["Text", "condensed", "joined", "leaves", "together"]

Text: TypeAlias = tuple[str, str]
"""A JSON path, and the text there."""

# Events of one stream differ in a few values only. Split at their quotes they are rows of a table. Turning that into
# columns, and looking for what differs, is about five times as fast as decoding each event and walking through it.
_Cells: TypeAlias = list[str]
_Frame: TypeAlias = tuple[str, ...]

_LONGEST_PATH: Final = 500
#: A text that all lines of a run have is repeated up to about so many characters, where it is joined with others: more
#: than any key has.
_LONGEST_REPEATED: Final = 1024


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


def together(lines: Lines) -> list[str] | None:
    """Return the texts of a stream, for a search that only says whether there is something in them.

    What there is in one of the texts that `condensed` returns is in one of these. None if its texts come in an order
    that cannot be told from these lines.
    """
    table = _Table()
    values: list[str] = []
    for number, one in enumerate(lines.strings):
        if isinstance(one, str):
            table.add(number, one)
            continue
        table.add_run(number, one)
        values += [f":{text}" for text in one.numbers]
        for place, texts in one.texts.items():
            name = restored(one.cells[place - 2]) if place > 2 and is_name(one.cells, place - 2) else ""
            values += [f'{name}":"{text}' for text in dict.fromkeys(texts)]
    found, pieces = table.columns()
    if table.ambiguous:
        return None
    return ["\n".join([*values, *found, *lines.others]), *[text for _, text in _together("", pieces)]]


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


_Piece: TypeAlias = tuple[int, str, int]
"""The number of an event, what it has of a text, and how many like it do; 0 for what many have together."""

_Pieces: TypeAlias = dict[str, list[_Piece]]
"""The path of a piece, with the indexes of its text -> the pieces."""


def _together(where: str, pieces: _Pieces) -> list[Text]:
    found: list[Text] = []
    for name, numbered in pieces.items():
        texts = {text for _, text, _ in numbered}
        if len(texts) > 1 or (len(numbered) > 1 and any(not times for _, _, times in numbered)):
            whole = "".join([_repeated(text, times) for _, text, times in sorted(numbered, key=_number)])
            found.append((f"{where}[*]{name.partition('/')[0]}", whole))
    return found


def _number(piece: _Piece) -> int:
    return piece[0]


def _repeated(text: str, times: int) -> str:
    return text if times < 2 else text * min(times, _LONGEST_REPEATED // (len(text) or 1) + 2)


class _Table:
    """The events of a stream, grouped with those that differ only in their strings.

    Attributes:
        ambiguous: whether a run of events has two texts of one path, whose pieces alternate.
    """

    def __init__(self) -> None:
        self._alike: dict[_Frame, tuple[list[int], list[_Cells]]] = {}
        self._runs: dict[int, Run] = {}
        self.ambiguous = False

    def add(self, number: int, line: str) -> bool:
        """Add one event; return False if it cannot be JSON with a string in it."""
        cells = cells_of(line)
        if len(cells) < 3 or not len(cells) % 2:
            return False
        numbers, rows = self._alike.setdefault(tuple(cells[::2]), ([], []))
        numbers.append(number)
        rows.append(cells)
        return True

    def add_run(self, number: int, run: Run) -> None:
        """Add events that are alike as one."""
        numbers, rows = self._alike.setdefault(tuple(run.cells[::2]), ([], []))
        numbers.append(number)
        rows.append([*run.cells])
        self._runs[number] = run

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

    def _take_in(
        self, rows: Sequence[_Cells], numbers: Sequence[int], names: set[int], values: list[str], pieces: _Pieces
    ) -> None:
        paths = _paths(rows[0], names)
        runs = [self._runs.get(number) for number in numbers] if self._runs else []
        self.ambiguous = self.ambiguous or (any(runs) and len({*paths.values()}) < len(paths))
        columns = list(zip(*rows, strict=True))
        for place in range(1, len(columns), 2):
            if place in names:
                values.append(restored(rows[0][place]))
                continue
            column = columns[place]
            name = restored(rows[0][place - 2]) if place - 2 in names else ""
            different = {value: restored(value) for value in dict.fromkeys(column)}
            values += [f'{name}":"{value}' for value in different.values()]
            path = paths.get(place)
            if path is not None:
                texts = map(different.__getitem__, column)
                times = [1 if run is None else 0 if place in run.texts else run.count for run in runs]
                pieces.setdefault(path, []).extend(zip(numbers, texts, times or [1] * len(numbers), strict=True))


def _with_equal_names(
    rows: list[_Cells], numbers: list[int], names: set[int]
) -> Iterator[tuple[list[_Cells], list[int]]]:
    """Group rows by the names of their fields, which are mostly the same in all rows."""
    if len(rows) == 1 or all(
        len(set(column)) == 1 for place, column in enumerate(zip(*rows, strict=True)) if place in names
    ):
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
        event = [*leaves("", msgspec.json.decode(restored('"'.join(marked)).removeprefix("data:")))]
    except (ValueError, RecursionError):
        return {}
    turn = "".join([f"/{item}" for name, item in event if name[-5:] in ("index", "Index") and isinstance(item, int)])
    return {int(item): name + turn for name, item in event if isinstance(item, str)}
