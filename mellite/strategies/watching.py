"""watch(): wait for a thunk or a run, and see its text grow meanwhile: in a notebook, on a terminal, in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from importlib.util import find_spec
from typing import ClassVar, Final, Protocol, TextIO, TypeVar, final

from .. import loops
from ..loops import forking
from ..thunk.pump import Pump
from ..thunk.thunk import AnyThunk, ModelOutputThunk
from ..values.errors import InvalidRequest, MelliteError
from ..values.events import StepStart, TextDelta
from ..values.pictured import portrait_of
from ..values.public_names import publish
from ..values.terminal import encodable, one_line, printable
from ..values.told_errors import error_line
from .cells import Cell, open_cell

__all__ = ["watch"]

ThunkT = TypeVar("ThunkT", bound=AnyThunk)

#: The shortest time between two drawings, in seconds, and the part of the time that may go into drawing.
_INTERVAL: Final = 0.1
_SHARE: Final = 0.1


async def watch(thunk: ThunkT) -> ThunkT:
    """Wait until a thunk or run has settled, show its text as it grows, and return it. Never raise for a failure.

    In a notebook (Jupyter, marimo), a summary of the thunk is drawn in the cell; on a terminal, its text is shown, with
    rich if installed; in a pipe, the plain text is written as it comes. A second consumer sees the same text without
    another generation; cancelling a watch is like cancelling an ``await``.

    Args:
        thunk: a thunk in any state; a run is one.

    Raises:
        InvalidRequest: if it is not a thunk, or if called inside the thunk's own generation.

    Example:
        >>> import asyncio, mellite
        >>> from mellite.backends import Echo
        >>> asyncio.run(mellite.watch(Echo().generate("Hello."))).state
        Hello.
        'done'
    """
    if not isinstance(thunk, ModelOutputThunk):
        msg = f"mellite.watch() shows a thunk or a run, not {type(thunk).__name__}: {thunk!r:.80}"
        raise InvalidRequest(msg)
    pump = thunk.begin()
    if pump is not None and pump.is_inside():
        await thunk.settle()  # raises: it would wait for itself
    cell = open_cell()
    if cell is not None:
        await _drawn(thunk, pump, _CellScreen(cell))
    elif _is_terminal(sys.stdout) and find_spec("rich") is not None:
        await _drawn(thunk, pump, _Terminal(thunk))
    else:
        await _written(thunk, pump, sys.stdout)
    return thunk


class _Screen(Protocol):
    """The place where a thunk is drawn."""

    def draw(self, thunk: AnyThunk) -> None: ...

    def close(self, thunk: AnyThunk) -> None: ...


@final
class _CellScreen:
    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def draw(self, thunk: AnyThunk) -> None:
        self._cell.draw(portrait_of(thunk).bundle())

    def close(self, thunk: AnyThunk) -> None:
        self.draw(thunk)
        self._cell.close()


@final
class _Terminal:
    def __init__(self, key: object) -> None:
        from .growing_text import growing_texts

        self._key = (key, object())  # the same thunk may be watched twice
        self._texts = growing_texts

    def draw(self, thunk: AnyThunk) -> None:
        self._texts.draw(self._key, portrait_of(thunk))

    def close(self, thunk: AnyThunk) -> None:
        if thunk.is_computed():
            self._texts.end(self._key, thunk.partial, _epilogue(thunk))
        else:
            self._texts.drop(self._key)


async def _drawn(thunk: AnyThunk, pump: Pump | None, screen: _Screen) -> None:
    """Draw a thunk until it has settled."""
    try:
        if pump is None:
            return
        async with _consuming(pump):
            drawn = -1
            pause = 0.0
            while pump.settled is None:
                with loops.move_on_after(pause):
                    await pump.wait_settled()
                count = len(pump.events)
                if pump.settled is None and count != drawn:
                    begun = time.perf_counter()
                    screen.draw(thunk)
                    drawn = count
                    pause = max(_INTERVAL, (time.perf_counter() - begun) / _SHARE)
    finally:
        screen.close(thunk)


@asynccontextmanager
async def _consuming(pump: Pump) -> AsyncGenerator[None]:
    """Be a consumer of a generation in the block; on leaving by an exception, wait until it is cancelled if it is."""
    consumer = pump.enter()
    try:
        yield
    except GeneratorExit:  # nothing can be awaited any more
        pump.leave(consumer, cancelled=True)
        raise
    except BaseException:
        if pump.leave(consumer, cancelled=True):
            await pump.linger()
        raise
    pump.leave(consumer, cancelled=False)
    if pump.interrupt is not None:
        pump.raise_interrupt()


async def _written(thunk: AnyThunk, pump: Pump | None, out: TextIO | None) -> None:
    """Write the text of a thunk as it comes, a line of its own for each step of a run."""
    if out is None:  # a program without a console
        await thunk.settle()
        return
    pen = _Pen(out)
    try:
        async with nullcontext() if pump is None else _consuming(pump):
            await _copy(thunk, pen)
    except MelliteError:
        if not thunk.is_computed():  # not the thunk's own error, which the caller finds there
            raise
    finally:
        pen.close()
    if thunk.state != "done" and sys.stderr is not None:
        sys.stderr.write(encodable("\n".join([*_epilogue(thunk), ""]), sys.stderr.encoding))


async def _copy(thunk: AnyThunk, pen: _Pen) -> None:
    async for event in thunk.events():
        if type(event) is TextDelta:
            pen.write(event.text)
        elif type(event) is StepStart:
            pen.end_line()


@final
class _Pen:
    """Writes one text as it comes. Of several at the same time the first writes; the others keep theirs until then."""

    _lock = forking.lock()
    _line: ClassVar[list[_Pen]] = []

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._kept: list[str] = []
        self._is_mid_line = self.is_closed = False
        with self._lock:
            self._line.append(self)

    def write(self, text: str) -> None:
        if not text:
            return
        shown = printable(text.replace("\r\n", "\n")) if self._is_terminal else text
        with self._lock:
            self._kept.append(encodable(shown, self._out.encoding))
            self._is_mid_line = not text.endswith("\n")
            if self._line[0] is self:
                self.flush()

    def end_line(self) -> None:
        if self._is_mid_line:
            self.write("\n")

    def close(self) -> None:
        with self._lock:
            if self._is_mid_line:
                self._kept.append("\n")
            self.is_closed = True
            while self._line and self._line[0].is_closed:
                self._line.pop(0).flush()
            if self._line:
                self._line[0].flush()

    def flush(self) -> None:
        kept, self._kept = self._kept, []
        if kept:
            self._out.write("".join(kept))
            self._out.flush()


def _epilogue(thunk: AnyThunk) -> list[str]:
    """Return what is said after the text: state, model, tokens, cost, time; and the error."""
    error = thunk.error
    said = [portrait_of(thunk).headline]
    return said if error is None else [*said, one_line(error_line(error), 1_000)]


def _is_terminal(out: TextIO | None) -> bool:
    return out is not None and out.isatty()


publish(globals(), "mellite", "watch")
