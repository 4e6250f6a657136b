"""Errors of a tool that are not meant for the model: which they are, and how a run fails with them."""

from __future__ import annotations

from types import TracebackType
from typing import Final, TypeVar

from ...values.errors import ToolDefect, ToolFailure
from ...values.messages import ToolCall
from ...values.provider_json import Json
from ...values.secrets.json_masks import masked_json
from ...values.secrets.shapes import masked
from ...values.told_errors import error_text

__all__ = ["defect_of", "failure_in", "without_our_frames"]

E = TypeVar("E", bound=BaseException)

#: How much of an error's own text is told, in characters.
_LONGEST: Final = 500
_OURS: Final = "mellite."


def defect_of(who: str, call: ToolCall, arguments: Json, error: BaseException) -> ToolDefect:
    """Return the error of a run in which code of the user's raised *error*, without keys."""
    text = error_text(error)
    said = masked(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
    kind = type(error).__name__
    msg = (
        f"{who} raised {kind}{': ' if said else ''}{said} "
        "(what the model is to read, a tool raises as mellite.ToolFailure)"
    )
    return ToolDefect(msg, tool=call.name, arguments=masked_json(arguments), call_id=call.id)


def failure_in(error: Exception) -> ToolFailure | None:
    """Return what a group of failures, as task groups raise them, tells the model; None for any other error."""
    if not isinstance(error, ExceptionGroup):
        return None
    failures, others = error.split(ToolFailure)
    if failures is None or others is not None:
        return None
    return ToolFailure("\n".join([str(each) for each in _leaves(failures)]))


def _leaves(group: ExceptionGroup[ToolFailure]) -> list[ToolFailure]:
    leaves: list[ToolFailure] = []
    for each in group.exceptions:
        leaves += _leaves(each) if isinstance(each, ExceptionGroup) else [each]
    return leaves


def without_our_frames(error: E) -> E:
    """Return an error that is kept, with its traceback from the tool's own code on.

    The frames before know what the error is kept in: see "Cycles" in `mellite.thunk`.
    """
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None and str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
