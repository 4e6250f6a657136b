"""A place in the cell of a notebook that can be drawn again: in Jupyter and its like, and in marimo.

Neither is imported: a program that runs in one has it loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, Protocol, final

__all__ = ["Cell", "in_notebook", "open_cell"]

_HTML: Final = "text/html"


class Cell(Protocol):
    """A place in a cell."""

    def draw(self, bundle: Mapping[str, str]) -> None:
        """Show something in place of what was shown.

        Args:
            bundle: it, by MIME type: ``text/html`` and ``text/plain``.
        """
        ...

    def close(self) -> None:
        """Leave it as last drawn."""
        ...


def in_notebook() -> bool:
    """Return whether the program runs in a notebook that can draw."""
    return _jupyter_shell() is not None or _runs_in_marimo()


def open_cell() -> Cell | None:
    """Return a new place in the cell that runs, to be closed; None outside of a notebook."""
    if _jupyter_shell() is not None:
        return _JupyterCell()
    return _marimo.open() if _runs_in_marimo() else None


def _runs_in_marimo() -> bool:
    running = getattr(_loaded("marimo"), "running_in_notebook", None)
    return running is not None and bool(running())


def _loaded(name: str) -> Any:
    """Return a module that the program has imported, maybe by half; None if it has not."""
    return sys.modules.get(name)


def _jupyter_shell() -> object | None:
    """Return the shell of a kernel; None in a terminal, also in IPython's, which cannot draw anew."""
    current = getattr(_loaded("IPython"), "get_ipython", None)
    shell = None if current is None else current()
    kinds = [kind.__name__ for kind in type(shell).__mro__]
    return None if shell is None or "TerminalInteractiveShell" in kinds else shell


@final
class _JupyterCell:
    """A display with an id, which every frontend of Jupyter can update."""

    def __init__(self) -> None:
        self._display: Any = None

    def draw(self, bundle: Mapping[str, str]) -> None:
        if self._display is None:
            self._display = _loaded("IPython").display.display(dict(bundle), raw=True, display_id=True)
        else:
            self._display.update(dict(bundle), raw=True)

    def close(self) -> None:
        self._display = None


@final
class _MarimoCell:
    def __init__(self, page: _MarimoPage) -> None:
        self._page = page
        self.html = ""

    def draw(self, bundle: Mapping[str, str]) -> None:
        self.html = bundle[_HTML]
        self._page.draw()

    def close(self) -> None:
        self._page.close(self)


@final
class _MarimoPage:
    """The output of a marimo cell: there is one, so all places that are open at the same time share it."""

    def __init__(self) -> None:
        self._cells: list[_MarimoCell] = []
        self._open = 0

    def open(self) -> _MarimoCell:
        if not self._open:
            self._cells = []
        self._open += 1
        cell = _MarimoCell(self)
        self._cells.append(cell)
        return cell

    def draw(self) -> None:
        marimo: Any = _loaded("marimo")
        marimo.output.replace(marimo.Html("".join([cell.html for cell in self._cells])))

    def close(self, cell: _MarimoCell) -> None:
        del cell  # it stays as last drawn, until the next one is opened when none is open
        self._open -= 1


_marimo: Final = _MarimoPage()
