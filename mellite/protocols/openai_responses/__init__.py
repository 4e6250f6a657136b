"""OpenAI's Responses, over HTTP and WebSocket."""

from __future__ import annotations

from functools import partial

from ...wire.protocol import Protocol
from ..error_answers import classify
from .answer import ID, OpenAIResponsesRaw, ResponseObject, ResponseOutputItem
from .body import lower, mend, options_of
from .dialect import OPENAI, ResponsesDialect
from .plain import plain, plain_spent
from .schema import plan
from .state import State as ResponsesState
from .stream import flow, flowing, halt, initial, step, unary

__all__ = [
    "OPENAI",
    "OpenAIResponsesRaw",
    "ResponseObject",
    "ResponseOutputItem",
    "ResponsesDialect",
    "ResponsesState",
    "protocol",
]


def protocol(dialect: ResponsesDialect = OPENAI) -> Protocol[ResponsesState]:
    """Return Responses as one company speaks it.

    Example:
        >>> protocol().id
        'openai-responses'
    """
    return Protocol(
        id=ID,
        options=options_of(dialect),
        lower=partial(lower, dialect=dialect),
        initial=partial(initial, dialect=dialect),
        step=step,
        halt=halt,
        unary=partial(unary, dialect=dialect),
        classify=classify,
        mend=mend,
        plan=partial(plan, dialect=dialect),
        elsewhere="ask a server that only knows Chat Completions with '{provider}-chat:' instead of '{provider}:'",
    ).made_by(protocol, dialect, plain=plain, plain_spent=plain_spent, flow=flow, flowing=flowing)
