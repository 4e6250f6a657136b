"""Approve, change or refuse calls of tools before they run: `mellite.Approval`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final, Literal, Self

from attrs import field, frozen

from ... import loops
from ...values.callables import is_async
from ...values.errors import InvalidRequest
from ...values.function_tools import Approve
from ...values.messages import ToolCall
from ...values.provider_json import Json
from ...values.public_names import publish

__all__ = ["Approval", "decide"]


@frozen
class Approval:
    """The decision about a tool call, as an ``approve`` function returns it.

    Made by `run`, `refuse`, `replace`, `answer` and `defer`. True and None stand for ``Approval.run()``, False for
    ``Approval.refuse()``.

    Args:
        decision: one of ``run``, ``refuse``, ``replace``, ``answer`` and ``defer``.
        reason: why a call is refused, for the model to read.
        arguments: the arguments to use instead of the model's.
        result: what the model gets instead of a call.

    Example:
        >>> def approve(call: ToolCall) -> Approval:
        ...     return Approval.refuse("not on Sundays") if call.name == "send_mail" else Approval.run()
        >>> approve(ToolCall("call_1", "send_mail", {"to": "ada@example.com"})).reason
        'not on Sundays'
    """

    decision: Literal["run", "refuse", "replace", "answer", "defer"]
    reason: str | None = field(default=None, kw_only=True)
    arguments: Json = field(default=None, kw_only=True)
    result: Any = field(default=None, kw_only=True)

    @classmethod
    def run(cls) -> Self:
        """Let the tool be called, unless a later ``approve`` decides otherwise."""
        return cls("run")

    @classmethod
    def refuse(cls, reason: str | None = None) -> Self:
        """Tell the model that the call was refused; the tool is not called."""
        return cls("refuse", reason=reason)

    @classmethod
    def replace(cls, arguments: Json) -> Self:
        """Call the tool with other arguments; the history keeps those that the model wrote."""
        return cls("replace", arguments=arguments)

    @classmethod
    def answer(cls, result: Any) -> Self:
        """Give the model this result; the tool is not called."""
        return cls("answer", result=result)

    @classmethod
    def defer(cls) -> Self:
        """End the run after this step, with the call in its ``pending_calls``, to be resumed with the result."""
        return cls("defer")


_RUN: Final = Approval("run")


async def decide(call: ToolCall, approves: Iterable[Approve]) -> Approval:
    """Ask one after another about a call; return the first decision that is not to run it.

    Raises:
        InvalidRequest: if one of them returns something else than a decision.
    """
    for approve in approves:
        answer = _read(await _asked(approve, call), approve)
        if answer.decision != "run":
            return answer
    return _RUN


async def _asked(approve: Approve, call: ToolCall) -> object:
    # In a thread, because a plain function may block it, as one does that asks at a terminal.
    answer = approve(call) if is_async(approve) else await loops.run_in_thread(approve, call)
    return await answer if inspect.isawaitable(answer) else answer


def _read(answer: object, approve: Approve) -> Approval:
    if isinstance(answer, Approval):
        return answer
    if answer is None or answer is True:
        return _RUN
    if answer is False:
        return Approval.refuse()
    name = getattr(approve, "__name__", type(approve).__name__)
    msg = f"approve function {name!r} returned {answer!r:.80}: it returns a mellite.Approval, True, False or None"
    raise InvalidRequest(msg, parameter="approve")


publish(globals(), "mellite", "Approval")
