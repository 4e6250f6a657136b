"""Cohere's Chat, version 2."""

from __future__ import annotations

from ...wire.protocol import Protocol
from ..error_answers import classify
from .answer import ID, CohereChatRaw, CohereResponse
from .body import OPTIONS, lower, mend
from .plain import plain, plain_spent
from .schema import plan
from .state import State as CohereState
from .stream import flow, flowing, halt, initial, step, unary

__all__ = ["CohereChatRaw", "CohereResponse", "CohereState", "protocol"]


def protocol() -> Protocol[CohereState]:
    """Return Cohere's Chat.

    Example:
        >>> protocol().id
        'cohere-chat'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=lower,
        initial=initial,
        step=step,
        halt=halt,
        unary=unary,
        classify=classify,
        mend=mend,
        plan=plan,
    ).made_by(protocol, plain=plain, plain_spent=plain_spent, flow=flow, flowing=flowing)
