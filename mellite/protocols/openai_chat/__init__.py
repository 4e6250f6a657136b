"""OpenAI's Chat Completions, and every server that speaks like it."""

from __future__ import annotations

from functools import partial

from ...wire.protocol import Protocol
from ..error_answers import classify
from .answer import ID, ChatCompletion, OpenAIChatRaw
from .body import lower, mend, options_of
from .dialect import OPENAI, ChatDialect
from .plain import plain, plain_spent
from .schema import plan
from .state import State as ChatState
from .stream import flow, flowing, halt, initial, step, unary

__all__ = ["OPENAI", "ChatCompletion", "ChatDialect", "ChatState", "OpenAIChatRaw", "protocol"]


def protocol(dialect: ChatDialect = OPENAI) -> Protocol[ChatState]:
    """Return Chat Completions as one company speaks it.

    Example:
        >>> protocol().id
        'openai-chat'
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
        mend=partial(mend, dialect=dialect),
        plan=partial(plan, dialect=dialect),
    ).made_by(protocol, dialect, plain=plain, plain_spent=plain_spent, flow=flow, flowing=flowing)
