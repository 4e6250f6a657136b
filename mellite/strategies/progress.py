"""A progress bar for many generations, on a terminal or in a notebook: number, tokens, cost, rate and failures."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, cast, final

from ..loops import forking
from ..loops.rates import waiting
from ..thunk.thunk import AnyThunk
from ..values.errors import MissingExtra
from ..values.prices.pricelist import prices
from ..values.prices.totals import Totals
from .cell_bars import CellBars
from .cells import in_notebook, open_cell
from .spending import failed_attempts, used_nothing

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "progress_bar"]


#: The columns of a line that are not for numbers: the title, the bar, how many of how many, the time left.
_ROOM_FOR_BAR: Final = 50


class Display(Protocol):
    """A display of bars: that of rich, or one in the cell of a notebook. Callable from any thread."""

    @property
    def width(self) -> int:
        """The columns of a line."""
        ...

    def start(self) -> None:
        """Begin to draw."""
        ...

    def stop(self) -> None:
        """Draw for the last time."""
        ...

    def say(self, line: str) -> None:
        """Write a line above the bars; it stays."""
        ...

    def add_task(self, title: str, total: int | None, said: object) -> int:
        """Add a bar, and return its number; `said` is asked for the text after it when it is drawn."""
        ...

    def update(self, number: int, completed: int, total: int | None) -> None:
        """Say how far a bar has come."""
        ...

    def stop_task(self, number: int) -> None:
        """Leave a bar as it is."""
        ...


class _Screen:
    """The one display for all bars of the process: two would overwrite each other. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._display: Display | None = None
        self._bars = 0

    def open(self) -> Display:
        """Return the display for one more bar, started if it is the first."""
        with self._lock:
            if self._display is None:
                cell = open_cell()
                display = _TerminalBars(_new_progress()) if cell is None else CellBars(cell)
                display.start()
                self._display = display
            self._bars += 1
            return self._display

    def close(self) -> None:
        """Note that a bar has closed; the last one stops the display."""
        with self._lock:
            self._bars -= 1
            if self._bars == 0 and self._display is not None:
                display, self._display = self._display, None
                display.stop()


@final
class _TerminalBars:
    """The bars of rich on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.start, self.stop = progress.start, progress.stop

    @property
    def width(self) -> int:
        return self._progress.console.width

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)

    def add_task(self, title: str, total: int | None, said: object) -> int:
        return self._progress.add_task(title, total=total, said=said)

    def update(self, number: int, completed: int, total: int | None) -> None:
        self._progress.update(cast("TaskID", number), completed=completed, total=total)

    def stop_task(self, number: int) -> None:
        self._progress.stop_task(cast("TaskID", number))


def _new_progress() -> Progress:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column
    except ModuleNotFoundError as error:
        msg = f"a progress bar needs {(error.name or 'rich').partition('.')[0]}: pip install 'mellite[cli]'"
        raise MissingExtra(msg) from error
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),  # so that only the bar shrinks on a narrow terminal
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
        expand=True,
    )


_screen: Final = _Screen()


@contextmanager
def progress_bar(
    title: str, total: int | None = None, *, wanted: bool = True, about: str = "", projects: bool = False
) -> Generator[Bar | None]:
    """Draw a bar on standard error, or in the cell of a notebook, while the block runs; give None where neither is.

    Bars that are open at the same time are drawn below each other.

    Args:
        title: the text before the bar.
        total: the number of generations, if known.
        wanted: whether to draw a bar at all.
        about: a line to stand above it, such as the limits in force.
        projects: whether to say what all of it will cost, from what those that are there have.

    Raises:
        MissingExtra: if a bar has to be drawn, and rich is not installed.
        ConfigurationError: if a bar has to be drawn, and MELLITE_PRICES names a file that is not a price list.

    Example:
        >>> with progress_bar("generating", wanted=False) as bar:
        ...     print(bar)
        None
    """
    if not wanted or not (in_notebook() or (sys.stderr is not None and sys.stderr.isatty())):
        yield None
        return
    prices()  # raises here if they cannot be read, and not where a generation ends
    bar = Bar(_screen.open(), title, total, about, projects=projects)
    try:
        yield bar
    finally:
        bar.close()
        _screen.close()


class _Said:
    """The text after a bar; drawn several times a second, and then tells who waits for a rate limit."""

    def __init__(self) -> None:
        self.text = ""

    def __str__(self) -> str:
        count = waiting()
        return self.text if not count else f"{self.text}{' · ' if self.text else ''}{count} waiting"


class _Sample(Protocol):
    @property
    def thunk(self) -> AnyThunk: ...


class Bar:
    """One progress bar, which serves a strategy as its ``watch``. Its methods may be called from any thread.

    Lock order: the lock of a bar, then that of the display.
    """

    def __init__(
        self, display: Display, title: str, total: int | None, about: str = "", *, projects: bool = False
    ) -> None:
        self._projects = projects
        self._display = display
        self._total = total
        self._began = time.perf_counter()
        self._lock = forking.lock()
        self._closed = False
        self._seen: set[str] = set()
        self._done = self._failed = 0
        self._failures: Counter[str] = Counter()
        self._kinds_untold = False
        self._note = ""
        self._spent = Totals()
        self._said = _Said()
        if about:
            display.say(f"{title}: {about}")
        self._task = display.add_task(title, total, self._said)

    def expects(self, total: int) -> None:
        """Set the number of generations."""
        with self._lock:
            self._total = total
            self._draw()

    def started(self, thunk: AnyThunk) -> None:
        """Do nothing: a generation that has begun is not drawn."""

    def ended(self, sample: _Sample) -> None:
        """Count a settled copy of a strategy."""
        self.count(sample.thunk)

    def count(self, thunk: AnyThunk) -> None:
        """Count a settled generation. The cost of one that several thunks share is added once; replayed is free."""
        self.add((thunk,), state=thunk.state)

    def add(self, thunks: Iterable[AnyThunk], *, state: str, failure: str | None = None, note: str = "") -> None:
        """Count something that has settled.

        Args:
            thunks: the generations that were made for it.
            state: done, failed or cancelled.
            failure: the kind of failure.
            note: more to stand after the numbers from now on.
        """
        with self._lock:
            if self._closed:  # the block has ended; the generation went on for another consumer
                return
            self._note = note
            self._done += 1
            self._failed += state != "done"
            if failure is not None:
                self._failures[failure] += 1
            for thunk in thunks:
                self._spend(thunk)
            self._draw()

    def _spend(self, thunk: AnyThunk) -> None:
        made = thunk.generation
        if not made.replayed and (made.generation_id is None or made.generation_id not in self._seen):
            self._seen.add(made.generation_id or "")
            if not used_nothing(thunk):
                self._spent = self._spent.plus(made.usage, made.cost_usd)
            for usage, cost in failed_attempts(made):
                self._spent = self._spent.plus(usage, cost)

    def _draw(self) -> None:
        spent = self._spent
        tokens = (spent.usage.total_tokens if spent.usage is not None else None) or 0
        said = [f"{'>=' if spent.unmetered and tokens else ''}{tokens:,} tokens"]
        if spent.known_cost_usd is not None:
            said.append(f"{'>=' if spent.unpriced else ''}${spent.known_cost_usd:,.4f}{self._projected()}")
        seconds = time.perf_counter() - self._began
        said.append(f"{self._done / seconds if seconds > 0 else 0:.1f}/s")
        if self._note:
            said.append(self._note)
        if self._failed:
            said.append(f"{self._failed} failed{self._kinds_that_fit(said)}")
        self._said.text = " · ".join(said)
        total = None if self._total is None else max(self._total, self._done)
        self._display.update(self._task, self._done, total)

    def _kinds_that_fit(self, said: list[str]) -> str:
        """Return the kinds of failures, if there is room for them on the line; else they are told at the end."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._failures.most_common(3))
        room = self._display.width - len(" · ".join(said)) - _ROOM_FOR_BAR
        self._kinds_untold = len(kinds) > room
        return f" ({kinds})" if kinds and not self._kinds_untold else ""

    def _projected(self) -> str:
        """Return what all of it is going to cost, if it goes on like this."""
        cost, total = self._spent.known_cost_usd, self._total
        if not self._projects or cost is None or total is None or not self._done or total <= self._done:
            return ""
        return f" of ~${cost * total / self._done:,.2f}"

    def close(self) -> None:
        """Stop the bar; it stays as last drawn."""
        with self._lock:
            self._closed = True
            if self._kinds_untold:
                kinds = ", ".join(f"{count} {kind}" for kind, count in self._failures.most_common())
                self._display.say(f"failed: {kinds}")
        self._display.stop_task(self._task)
