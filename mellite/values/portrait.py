"""A portrait: a summary of a thunk, run, result, cassette or journal, as HTML, plain text or for rich.

Values and text only. The HTML is div, span and pre with inline styles, without colours of its own: it reads on
dark and light, and without any style, too, which is all that sanitised exports of notebooks leave.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from .terminal import one_line, printable

if TYPE_CHECKING:
    from .usage import Usage

__all__ = ["MARKS", "MOST_ROWS", "Passage", "Portrait", "Row", "Table", "counted", "duration", "tokens", "usd"]

#: State -> the sign before it, which tells states apart without colours.
MARKS: Final = {
    "pending": "○",
    "running": "◐",
    "done": "●",
    "success": "●",
    "failed": "✗",
    "no success": "✗",
    "cancelled": "⊘",
    "open": "◐",
    "closed": "●",
}

#: The most rows of a table that are shown.
MOST_ROWS: Final = 40

#: The most characters and lines of a passage that are shown, and characters of a cell.
_MOST_CHARACTERS: Final = 10_000
_MOST_LINES: Final = 200
_MOST_OF_A_CELL: Final = 160

#: The most characters of a passage that rich is given: its layout takes time, and a terminal is small.
_MOST_FOR_RICH: Final = 2_000

_FRAME: Final = (
    "border:1px solid;border-color:rgba(128,128,128,0.45);border-radius:6px;padding:0.5em 0.8em;margin:0.3em 0;"
    "max-width:64em;line-height:1.45;text-align:left"
)
_QUIET: Final = "opacity:0.75"
_LABEL: Final = "opacity:0.75;font-size:85%;margin-top:0.5em"
_PRE: Final = (
    "margin:0.1em 0 0 0;padding:0 0 0 0.7em;border:0;border-left:2px solid rgba(128,128,128,0.45);background:none;"
    "color:inherit;font-size:95%;white-space:pre-wrap;overflow-wrap:anywhere"
)
#: Not a table of HTML: every reader of one adds a tbody, and nbconvert's sanitised export shows the tags of that.
_TABLE: Final = "display:table;border-collapse:collapse;margin:0.5em 0 0 0;font-size:90%"
_CELL: Final = (
    "display:table-cell;border-bottom:1px solid rgba(128,128,128,0.3);padding:0.2em 0.7em 0.2em 0;vertical-align:top;"
    "overflow-wrap:anywhere;text-align:"
)


#: Stands between the cells of a row where styles are taken out; spaces of other kinds are drawn as one.
_BETWEEN: Final = '<span style="display:none">\u2003\u2003</span>'


@frozen
class Passage:
    """A text with a name: a prompt, an answer, an error.

    Args:
        name: as in ``prompt``.
        text: all of it; what is shown is cut, with a note that says so.
        most: how many characters are shown.
        is_growing: whether more is coming, so that its end is shown, and not its beginning.
    """

    name: str
    text: str
    most: int = field(default=_MOST_CHARACTERS, kw_only=True)
    is_growing: bool = field(default=False, kw_only=True)

    def shown(self, most: int | None = None) -> tuple[str, str]:
        """Return what is shown of the text, and a note on what is left out; "" if nothing is."""
        most = self.most if most is None else min(most, self.most)
        text = self.text[-most:] if self.is_growing else self.text[:most]
        lines = text.split("\n")
        if len(lines) > _MOST_LINES:
            text = "\n".join(lines[-_MOST_LINES:] if self.is_growing else lines[:_MOST_LINES])
        left_out = len(self.text) - len(text)
        note = f"{counted(left_out, 'character')} before" if self.is_growing else f"{left_out:,} more characters"
        return printable(text.replace("\r\n", "\n")), f"… {note}" if left_out else ""


@frozen
class Row:
    """One row of a table.

    Args:
        cells: their texts, one for each column.
        is_chosen: whether it stands out, as the winner of a strategy does.
    """

    cells: tuple[str, ...]
    is_chosen: bool = False


@frozen
class Table:
    """Several things, one below the other.

    Args:
        name: what they are, as in ``steps``.
        columns: the names of the columns.
        rows: those that are shown.
        total: how many there are.
        right: the columns of numbers.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...] = field(kw_only=True)
    total: int = field(kw_only=True)
    right: frozenset[str] = field(default=frozenset(), kw_only=True)

    @property
    def note(self) -> str:
        """What is said of rows that are not shown; "" if all are."""
        hidden = self.total - len(self.rows)
        return f"… and {hidden:,} more" if hidden > 0 else ""

    def used_columns(self) -> list[int]:
        """Return the columns in which some row has a text."""
        return [at for at in range(len(self.columns)) if any(row.cells[at] for row in self.rows)]


@frozen(kw_only=True)
class Portrait:
    """A snapshot of an object, as it is shown.

    Args:
        kind: what it is, as in ``thunk``.
        name: which one it is, where it has a name.
        state: as in ``done``; "" for what has none.
        facts: name -> text, in order; the texts say what they are by themselves: ``17 + 10 tokens``.
        passages: texts.
        table: several things that are in it.

    Example:
        >>> seen = Portrait(kind="thunk", state="done", facts=(("time", "1.2 s"),), passages=(Passage("text", "<b>"),))
        >>> print(seen.text())
        thunk ● done · 1.2 s
        text  <b>
        >>> "<b>" in seen.html(), "&lt;b&gt;" in seen.html()
        (False, True)
    """

    kind: str
    name: str = ""
    state: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    passages: tuple[Passage, ...] = ()
    table: Table | None = None

    @property
    def title(self) -> str:
        """The kind, the name and the state."""
        return " ".join(filter(None, (self.kind, one_line(self.name, _MOST_OF_A_CELL), self.marked_state)))

    @property
    def marked_state(self) -> str:
        """The state with its sign."""
        return f"{MARKS[self.state]} {self.state}" if self.state in MARKS else self.state

    @property
    def headline(self) -> str:
        """The title and the facts, on one line."""
        return " · ".join([self.title, *self._facts()])

    def _facts(self) -> list[str]:
        return [one_line(text, _MOST_OF_A_CELL) for _, text in self.facts if text]

    # Plain text

    def text(self) -> str:
        """Return the portrait as plain text."""
        lines = [self.headline]
        for passage in self.passages:
            shown, note = passage.shown()
            body = [*([note] if note and passage.is_growing else []), *shown.split("\n")]
            body += [note] if note and not passage.is_growing else []
            width = max([len(each.name) for each in self.passages]) + 2
            if len(body) == 1:
                lines.append(f"{passage.name:{width}}{body[0]}")
            else:
                lines += [passage.name, *[f"  {line}" for line in body]]
        if self.table is not None and self.table.rows:
            lines += _text_table(self.table)
        return "\n".join([line.rstrip() for line in lines])

    # HTML

    def html(self) -> str:
        """Return the portrait as HTML: div, span and pre; everything that is not ours is escaped."""
        title = " ".join(filter(None, (self.kind, one_line(self.name, _MOST_OF_A_CELL))))
        head = [f'<span style="font-weight:600">{_escaped(title)}</span>']
        if self.state:
            head.append(f"<span>{_escaped(self.marked_state)}</span>")
        facts = self._facts()
        if facts:
            head.append(f'<span style="{_QUIET}">· {_escaped(" · ".join(facts))}</span>')
        parts = [f"<div>{' '.join(head)}</div>", *map(_html_passage, self.passages)]
        if self.table is not None and self.table.rows:
            parts.append(_html_table(self.table))
        return f'<div style="{_FRAME}">{"".join(parts)}</div>'

    def bundle(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, str]:
        """Return the portrait by MIME type, as Jupyter asks for it.

        Args:
            include: the MIME types that are wanted; None or none for all.
            exclude: those that are not.
        """
        makers = {"text/plain": self.text, "text/html": self.html}
        wanted = [kind for kind in makers if (not include or kind in include) and (not exclude or kind not in exclude)]
        return {kind: makers[kind]() for kind in wanted}

    # For rich

    def rich_fields(self) -> Iterator[object]:
        """Yield the portrait as rich wants it of a ``__rich_repr__``: values, and pairs of a name and a value."""
        if self.name:
            yield one_line(self.name, _MOST_OF_A_CELL)
        if self.state:
            yield _Bare(self.state)
        table = self.table if self.table is not None and self.table.rows else None
        for name, text in self.facts:
            if text and (table is None or name != table.name):
                said = _Bare(one_line(text, _MOST_OF_A_CELL))
                yield said if text.endswith(name) else (name, said)  # "0 replayed" says it by itself
        for passage in self.passages:
            text, note = passage.shown(_MOST_FOR_RICH)
            whole = f"{note} {text}" if passage.is_growing else f"{text} {note}"
            yield passage.name.replace(" ", "_"), whole if note else text
        if table is not None:
            rows = [_Bare(_joined(row)) for row in table.rows]
            yield table.name, [*rows, *([_Bare(table.note)] if table.note else [])]


class _Bare:
    """A text that stands in a repr without quotes."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _joined(row: Row) -> str:
    cells = [one_line(cell, _MOST_OF_A_CELL).strip() for cell in row.cells if cell]
    return f"{'* ' if row.is_chosen else ''}{' · '.join(cells)}"


def _text_table(table: Table) -> list[str]:
    columns = table.used_columns()
    grid = [[table.columns[at] for at in columns]]
    grid += [[one_line(row.cells[at], _MOST_OF_A_CELL) for at in columns] for row in table.rows]
    widths = [max([len(line[at]) for line in grid]) for at in range(len(columns))]
    marks = ["", *["*" if row.is_chosen else "" for row in table.rows]]
    gutter = "  " if any(marks) else ""
    lines = []
    for mark, line in zip(marks, grid, strict=True):
        cells = [
            cell.rjust(width) if table.columns[at] in table.right else cell.ljust(width)
            for at, cell, width in zip(columns, line, widths, strict=True)
        ]
        lines.append(f"{mark:{len(gutter)}}{'  '.join(cells)}")
    return [*lines, *([table.note] if table.note else [])]


def _html_passage(passage: Passage) -> str:
    text, note = passage.shown()
    said = f'<div style="{_LABEL}">{_escaped(note)}</div>' if note else ""
    body = f'<pre style="{_PRE}">{_escaped(text)}</pre>'
    name = f'<div style="{_LABEL}">{_escaped(passage.name)}</div>'
    return f"{name}{said}{body}" if passage.is_growing else f"{name}{body}{said}"


def _html_table(table: Table) -> str:
    columns = table.used_columns()
    is_marked = any(row.is_chosen for row in table.rows)
    lines = [_html_row("", [table.columns[at] for at in columns], table, columns, style=_QUIET, is_marked=is_marked)]
    for row in table.rows:
        mark, style = ("*", "font-weight:600") if row.is_chosen else ("", "")
        cells = [one_line(row.cells[at], _MOST_OF_A_CELL) for at in columns]
        lines.append(_html_row(mark, cells, table, columns, style=style, is_marked=is_marked))
    note = f'<div style="{_LABEL}">{_escaped(table.note)}</div>' if table.note else ""
    return f'<div style="{_TABLE}">{"".join(lines)}</div>{note}'


def _html_row(
    mark: str, cells: Sequence[str], table: Table, columns: Sequence[int], *, style: str, is_marked: bool
) -> str:
    found = [("left", mark)] if is_marked else []
    found += [
        ("right" if table.columns[at] in table.right else "left", cell) for at, cell in zip(columns, cells, strict=True)
    ]
    written = _BETWEEN.join([f'<span style="{_CELL}{side}">{_escaped(cell)}</span>' for side, cell in found])
    return f'<div style="display:table-row;{style}">{written}</div>'


def _escaped(text: str) -> str:
    return html.escape(text)


# How facts are said


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "step"), counted(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def tokens(usage: Usage | None) -> str:
    """Return the tokens of a usage, input and output; "" where none are known.

    Example:
        >>> from mellite import Usage
        >>> tokens(Usage.of(input_tokens=17, output_tokens=10)), tokens(Usage(total_tokens=1))
        ('17 + 10 tokens', '1 token')
    """
    if usage is None:
        return ""
    if usage.input_tokens is not None and usage.output_tokens is not None:
        cached = f" ({usage.cache_read_input_tokens:,} cached)" if usage.cache_read_input_tokens else ""
        return f"{usage.input_tokens:,}{cached} + {usage.output_tokens:,} tokens"
    return "" if usage.total_tokens is None else counted(usage.total_tokens, "token")


def usd(cost: Decimal | None, *, at_least: bool = False) -> str:
    """Return a cost in dollars with four digits that count; "" where it is not known.

    Example:
        >>> usd(Decimal("0.00000855")), usd(Decimal("12.34567"), at_least=True), usd(Decimal(0))
        ('$0.00000855', 'at least $12.35', '$0')
    """
    if cost is None:
        return ""
    if cost == 0:
        said = "0"
    elif abs(cost) >= 1:
        said = f"{cost:,.2f}"
    else:
        said = f"{Decimal(f'{cost:.3e}'):f}".rstrip("0")
    return f"{'at least ' if at_least else ''}${said}"


def duration(milliseconds: float | None) -> str:
    """Return how long something took; "" where that is not known.

    Example:
        >>> duration(340.2), duration(1234.5), duration(61_000)
        ('340 ms', '1.2 s', '61.0 s')
    """
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:,.1f} s"
