"""One step of a run: what the model answered, what it asked for, and what that gave."""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen

from ...thunk.thunk import AnyThunk
from ...values.messages import Message, ToolCall, ToolResult
from ...values.plain_messages import message_of
from ...values.public_names import publish

__all__ = ["CUT", "RunStep", "local_calls"]

#: How an answer ends that was cut.
CUT: Final = ("length", "content-filter")


@frozen(eq=False)
class RunStep:
    """One step of a run: an answer of the model, and the tools that it asked for.

    Args:
        thunk: the answer, settled.
        calls: its tool calls, without those that the provider runs itself.
        results: the result of each call, in the same order; None if it is pending, or if the answer was cut.
        values: the value that each call's tool returned; None if it failed, or has not run.
    """

    thunk: AnyThunk
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult | None, ...] = field(default=(), kw_only=True)
    values: tuple[Any, ...] = field(default=(), kw_only=True, repr=False)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that this step adds to the history: the answer, and the results if there are any."""
        answer = self.thunk.message
        said = (answer,) if answer.content else ()
        given = tuple([result for result in self.results if result is not None])
        return (*said, message_of("tool", given)) if given else said

    @property
    def is_cut(self) -> bool:
        """Whether the answer was cut, by its length limit or a filter; its calls are then not run."""
        return self.thunk.finish_reason in CUT


def local_calls(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Return the calls that are to be run here, without those that the provider runs itself."""
    return tuple([call for call in calls if not call.provider_executed]) if calls else ()


publish(globals(), "mellite", "RunStep", elsewhere={"thunk": "thunk.thunk"})
