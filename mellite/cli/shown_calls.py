"""Show on standard error which tools a model calls."""

from __future__ import annotations

from typing import Final

import click

from ..thunk.observing import Activity, Observer
from ..values.messages import ToolCall
from ..values.terminal import one_line
from .output import as_json_text, encodable

__all__ = ["ShownCalls"]

#: How much of the arguments is shown, in characters.
_MOST: Final = 200


class ShownCalls(Observer):
    """Prints a line for each call that begins.

    Args:
        on_terminal: whether the text of the answer is on the same screen, in the middle of a line.
    """

    def __init__(self, *, on_terminal: bool) -> None:
        self._before = "\n" if on_terminal else ""

    def started(self, activity: Activity) -> None:
        """Print the name and the arguments of a call."""
        if activity.kind == "tool":
            call: ToolCall = activity.subject
            arguments = encodable(one_line(as_json_text(call.arguments)))
            shown = arguments if len(arguments) <= _MOST else f"{arguments[:_MOST]}..."
            click.echo(f"{self._before}[{call.name} {shown}]", err=True)
