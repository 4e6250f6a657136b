"""The thunk and the request of a further attempt, which may tell the model what was wrong with an earlier one."""

from __future__ import annotations

from attrs import evolve

from ..thunk.thunk import AnyThunk
from ..values.messages import Message, Text
from ..values.request import Request

__all__ = ["copy_with", "told", "with_request"]


def with_request(copy: AnyThunk, request: Request) -> AnyThunk:
    """Return a thunk with the lineage of a pending one that makes another request."""
    return type(copy)(evolve(copy.call, request=request))


def copy_with(thunk: AnyThunk, request: Request) -> AnyThunk:
    """Return a pending copy of a thunk, in any state, that makes another request."""
    return with_request(thunk.resample(1)[0], request)


def told(request: Request, said: str) -> Request:
    r"""Return a request that says more: at the end of the user's last message, or in one of its own behind another's.

    Example:
        >>> told(Request.of("Greet me."), "In small letters.").text
        'Greet me.\n\nIn small letters.'
    """
    *before, last = request.messages or (Message.user(),)
    if last.role != "user":
        return evolve(request, messages=(*request.messages, Message.user(said)))
    more = Text(f"\n\n{said}" if last.content else said)
    return evolve(request, messages=(*before, evolve(last, content=(*last.content, more))))
