"""Progress bars in the cell of a notebook, drawn again ten times a second at most."""

from __future__ import annotations

import threading
import time
from typing import Final, final

from ..loops import forking
from ..values.portrait import Portrait
from .cells import Cell

__all__ = ["CellBars"]

_INTERVAL: Final = 0.1
_WIDTH: Final = 24
_LINE: Final = 200


@final
class _Bar:
    """The progress of one bar."""

    def __init__(self, title: str, total: int | None, said: object) -> None:
        self.title = title
        self.total = total
        self.said = said
        self.completed = 0
        self.began = time.perf_counter()
        self.seconds: float | None = None

    def portrait(self) -> Portrait:
        total, completed = self.total, self.completed
        seconds = time.perf_counter() - self.began if self.seconds is None else self.seconds
        done = f"{completed:,}"
        left = ""
        if total:
            full = min(_WIDTH, _WIDTH * completed // total)
            done = f"{'█' * full}{'░' * (_WIDTH - full)} {completed:,}/{total:,}"
            if self.seconds is None and 0 < completed < total:
                left = f"about {seconds / completed * (total - completed):,.0f} s left"
        took = "" if self.seconds is None else f"{seconds:,.1f} s"
        return Portrait(kind=self.title, facts=(("done", done), ("said", str(self.said)), ("left", left or took)))


@final
class CellBars:
    """The bars in one cell. A thread draws what changed, so that the last change before a pause is seen, too.

    Lock order: the lock of a bar, then that of the bars.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._lock = forking.lock()
        self._lines: list[str] = []
        self._bars: list[_Bar] = []
        self._drawn: dict[str, str] = {}
        self._next = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="mellite progress", daemon=True)

    @property
    def width(self) -> int:
        """The columns of a line: more than a terminal has, because a cell wraps them."""
        return _LINE

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def stop(self) -> None:
        """Draw for the last time, and end the thread."""
        self._is_over.set()
        self._thread.join()
        with self._lock:
            self._draw()
        self._cell.close()

    def say(self, line: str) -> None:
        """Write a line above the bars; it stays."""
        with self._lock:
            self._lines.append(line)
            self._draw()

    def add_task(self, title: str, total: int | None, said: object) -> int:
        """Add a bar, and return its number."""
        with self._lock:
            self._bars.append(_Bar(title, total, said))
            self._draw()
            return len(self._bars) - 1

    def update(self, number: int, completed: int, total: int | None) -> None:
        """Say how far a bar has come."""
        with self._lock:
            bar = self._bars[number]
            bar.completed, bar.total = completed, total
            if time.perf_counter() >= self._next:  # also here: in marimo, other threads cannot draw
                self._draw()

    def stop_task(self, number: int) -> None:
        """Leave a bar as it is."""
        with self._lock:
            bar = self._bars[number]
            bar.seconds = time.perf_counter() - bar.began
            self._draw()

    def _repeat(self) -> None:
        while not self._is_over.wait(_INTERVAL):
            with self._lock:
                if time.perf_counter() >= self._next:
                    self._draw()

    def _draw(self) -> None:
        said = [Portrait(kind=line) for line in self._lines]
        bundles = [each.bundle() for each in [*said, *[bar.portrait() for bar in self._bars]]]
        bundle = {"text/plain": "\n".join([each["text/plain"] for each in bundles])}
        bundle["text/html"] = "".join([each["text/html"] for each in bundles])
        if bundle != self._drawn:
            self._drawn = bundle
            self._cell.draw(bundle)
        self._next = time.perf_counter() + _INTERVAL
