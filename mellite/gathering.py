"""gather(): generate many thunks at once, with a progress bar if one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from .errors import InvalidRequest
from .thunk import ModelOutputThunk, settle_all

if TYPE_CHECKING:
    from .generation import Pump
    from .progress import Bar

__all__ = ["gather"]


async def gather(*thunks: ModelOutputThunk[Any], progress: bool = False) -> list[ModelOutputThunk[Any]]:
    """Generate many at once and wait for all; gives the thunks, in order, and raises for none that failed.

    Args:
        *thunks: in any state.
        progress: show a bar on a terminal, with tokens, cost, rate and time left; nothing is drawn in a pipe.

    Raises:
        InvalidRequest: for what is no thunk.
        MissingExtra: if a bar has to be drawn, and rich is not installed.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Echo
        >>> echo = Echo()
        >>> results = asyncio.run(gather(echo.generate("one"), echo.generate("two")))
        >>> print(*[r.value for r in results if r.error is None and not r.cancelled])
        one two
    """
    for thunk in thunks:
        if not isinstance(thunk, ModelOutputThunk):
            msg = f"gather takes thunks, not {type(thunk).__name__}"
            raise InvalidRequest(msg)
    if progress:
        return await _gather_shown(thunks)
    await settle_all(*thunks)
    return list(thunks)


async def _gather_shown(thunks: tuple[ModelOutputThunk[Any], ...]) -> list[ModelOutputThunk[Any]]:
    from .progress import progress_bar

    different = dict.fromkeys(thunks)
    with progress_bar("generating", len(different)) as bar:
        if bar is not None:
            for thunk in different:
                _tell(bar, thunk)
        await settle_all(*thunks)
    return list(thunks)


def _tell(bar: Bar, thunk: ModelOutputThunk[Any]) -> None:
    """Have the bar told when a thunk settles; one that has is counted at once."""
    pump = thunk._start()
    if pump is None:
        bar.count(thunk.generation, good=thunk.state == "done")
        return
    notice = _Notice(pump, bar)
    pump.done.append(notice)
    if pump.outcome is not None:  # in another thread, just now
        notice.wake()


@final
class _Notice:
    """Waits among the consumers of a generation, and tells a bar when it has settled."""

    __slots__ = ("bar", "pump")

    def __init__(self, pump: Pump, bar: Bar) -> None:
        self.pump = pump
        self.bar: Bar | None = bar

    def wake(self) -> None:
        bar, self.bar = self.bar, None
        outcome = self.pump.outcome
        if bar is not None and outcome is not None:
            bar.count(outcome.generation, good=outcome.state == "done")

    async def wait(self) -> None:
        """Not used: it is told, and waits for nothing."""
