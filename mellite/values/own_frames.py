"""Hide the frames of mellite in tracebacks that pytest shows, so that a failed test shows the lines of its author."""

from __future__ import annotations

from traceback import walk_tb
from typing import cast

__all__ = ["hide_own_frames"]


def hide_own_frames(error: BaseException) -> None:
    """Hide the frames of mellite in the tracebacks that pytest shows without ``--full-trace``."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", one).exceptions
        for frame, _ in walk_tb(one.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] == "mellite":
                frame.f_globals.setdefault("__tracebackhide__", True)  # where pytest looks for it
