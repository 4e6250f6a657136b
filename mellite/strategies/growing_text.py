"""Texts that grow on a terminal, drawn by rich: the ends of those that run, and above them those that are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from ..loops import forking
from ..values.portrait import Portrait
from ..values.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

__all__ = ["GrowingTexts", "growing_texts"]

#: The fewest lines that a text has, however many there are, and the lines of the terminal that stay free.
_FEWEST: Final = 3
_FREE: Final = 2


@final
class GrowingTexts:
    """The display of everything that is watched on the terminal; two would overwrite each other."""

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._live: Live | None = None
        self._shown: dict[object, Portrait] = {}

    def draw(self, key: object, portrait: Portrait) -> None:
        """Show what runs, the end of its text and its state, in place of what was shown of it.

        Args:
            key: tells those apart that run at the same time.
            portrait: what is to be seen of it.
        """
        with self._lock:
            self._shown[key] = portrait
            if self._live is None:
                from rich.live import Live

                # Without a thread that draws: who watches draws when something has come.
                self._live = Live(console=_console(), auto_refresh=False, transient=True)
                self._live.start()
            self._refresh(self._live)

    def end(self, key: object, text: str, lines: Sequence[str]) -> None:
        """Print what has settled, whole, and draw it no more.

        Args:
            key: which one.
            text: all of its text.
            lines: what is said of it after that.
        """
        from rich.text import Text

        with self._lock:
            live = self._live
            self._forget(key)
            console = _console() if live is None else live.console
            if text.strip():
                console.print(Text(printable(text.rstrip("\r\n").replace("\r\n", "\n"))), soft_wrap=True)
            for line in lines:
                console.print(Text(line, style="dim"), soft_wrap=True)

    def drop(self, key: object) -> None:
        """Stop drawing what is no longer watched."""
        with self._lock:
            self._forget(key)

    def _forget(self, key: object) -> None:
        self._shown.pop(key, None)
        live = self._live
        if live is None:
            return
        self._refresh(live)
        if not self._shown:
            self._live = None
            live.stop()

    def _refresh(self, live: Live) -> None:
        from rich.console import Group

        console = live.console
        most = max(_FEWEST, (console.height - _FREE) // max(1, len(self._shown)) - 1)
        texts = [text for portrait in self._shown.values() for text in _lines(console, portrait, most)]
        live.update(Group(*texts), refresh=True)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _lines(console: Console, portrait: Portrait, most: int) -> list[Text]:
    """Return the last lines of what grows in a portrait, and the headline."""
    from rich.text import Text

    growing = [passage for passage in portrait.passages if passage.is_growing]
    found: list[Text] = []
    if growing:
        text, _ = growing[-1].shown(most * console.width)
        found = list(Text(text.rstrip("\n")).wrap(console, console.width))[-most:]
    return [*found, Text(portrait.headline, style="dim", no_wrap=True, overflow="ellipsis")]


growing_texts: Final = GrowingTexts()
