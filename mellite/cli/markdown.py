"""Markdown on a terminal: an answer as headings, lists, tables and code, whole or while it grows."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self, final

from ..values.terminal import printable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.markdown import Markdown
    from rich.segment import Segment

__all__ = ["MarkdownScreen", "draws_markdown", "print_markdown"]

#: The shortest time between two drawings, in seconds.
_INTERVAL: Final = 0.08

#: Terminals without a cursor that could go back.
_DUMB: Final = ("dumb", "unknown")


def draws_markdown() -> bool:
    """Return whether standard output is a terminal that shows all that Markdown is drawn with."""
    out = sys.stdout
    if not out.isatty() or os.environ.get("TERM", "").lower() in _DUMB:
        return False
    return (out.encoding or "").lower().replace("-", "").startswith("utf")


def print_markdown(text: str) -> None:
    """Print a text as Markdown on standard output, in colour if that is a terminal."""
    from rich.console import Console

    shown = printable(text.replace("\r", ""))
    if shown.strip():
        Console().print(_Lines(_parsed(shown)), end="")


def _parsed(text: str) -> Markdown:
    """Return a text as rich draws it: with addresses of links in sight, HTML as text, and lines of paragraphs kept."""
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown

    made = Markdown("", hyperlinks=False)
    # Rich's own parser knows HTML, of which rich draws nothing: what a model wrote in it would be gone.
    made.parsed = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).parse(text)
    for token in made.parsed:
        for child in token.children or ():
            if child.type == "softbreak":  # models end lines where they mean it
                child.type = "hardbreak"
    return made


@final
class MarkdownScreen:
    """A Markdown text that grows on a terminal: what cannot change any more is printed, the last block drawn anew.

    A context manager; at its end the rest is printed. For one thread.

    Attributes:
        taken: how many characters were added.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console()
        # Without a thread that draws: whoever adds text draws.
        self._live: Live = Live(console=self._console, auto_refresh=False, transient=True)
        self._open = ""
        self.taken = 0
        self._drawn = 0.0
        self._has_printed = False

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.update("", refresh=True)
        self._live.stop()
        for block in _blocks(self._open):
            self._print(block)

    def add(self, text: str) -> None:
        """Add a text, and draw if the last time was a while ago."""
        self._open += printable(text.replace("\r", ""))
        self.taken += len(text)  # before anything is drawn: a Ctrl-C meanwhile finds it counted
        if time.monotonic() - self._drawn < _INTERVAL:
            return
        blocks = _blocks(self._open)
        if len(blocks) > 1:
            self._live.update("")  # else the last block is drawn once more below what was printed
            for block in blocks[:-1]:
                self._print(block)
            self._open = blocks[-1]
        made = _parsed(self._open)
        self._live.update(_Lines(made, self._console.height - 2), refresh=True)
        self._drawn = time.monotonic()

    def _print(self, block: str) -> None:
        """Print a block that is over, one empty line below those before."""
        if block.strip():
            if self._has_printed:
                self._console.print()
            self._console.print(_Lines(_parsed(block)), end="")
            self._has_printed = True


def _blocks(text: str) -> list[str]:
    """Return the blocks of a text: only the last can change when more comes, by the rules of CommonMark."""
    lines = text.splitlines(keepends=True)
    begins = [token.map[0] for token in _parsed(text).parsed if token.level == 0 and token.map is not None]
    return ["".join(lines[begin:end]) for begin, end in pairwise([*dict.fromkeys([0, *begins[1:]]), len(lines)])]


@final
class _Lines:
    """The last lines of something, without empty ones around them.

    Args:
        made: what is drawn.
        most: how many lines fit on the screen; None for all.
    """

    def __init__(self, made: Markdown, most: int | None = None) -> None:
        self._made = made
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._segments(console, options)

    def _segments(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        lines = console.render_lines(self._made, options.update(height=None), pad=False)
        shown = [place for place, line in enumerate(lines) if any(each.text.strip() for each in line)]
        lines = lines[shown[0] : shown[-1] + 1] if shown else []
        for line in lines if self._most is None else lines[-max(1, self._most) :]:
            yield from line
            yield Segment.line()
