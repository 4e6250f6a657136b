"""Anthropic's Messages, at Anthropic and in the clouds."""

from __future__ import annotations

from functools import partial

from ...wire.protocol import Protocol
from ..error_answers import classify
from .answer import ID, AnthropicBlock, AnthropicMessage, AnthropicRaw
from .body import OPTIONS, lower, mend
from .dialect import ANTHROPIC, AnthropicDialect
from .plain import plain, plain_spent
from .schema import plan
from .state import State as AnthropicState
from .stream import flow, flowing, halt, initial, step, unary

__all__ = [
    "ANTHROPIC",
    "AnthropicBlock",
    "AnthropicDialect",
    "AnthropicMessage",
    "AnthropicRaw",
    "AnthropicState",
    "protocol",
]


def protocol(dialect: AnthropicDialect = ANTHROPIC) -> Protocol[AnthropicState]:
    """Return Anthropic Messages as one company speaks it.

    Example:
        >>> protocol().id
        'anthropic-messages'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=partial(lower, dialect=dialect),
        initial=initial,
        step=step,
        halt=halt,
        unary=unary,
        classify=classify,
        mend=mend,
        plan=partial(plan, dialect=dialect),
    ).made_by(protocol, dialect, plain=plain, plain_spent=plain_spent, flow=flow, flowing=flowing)
