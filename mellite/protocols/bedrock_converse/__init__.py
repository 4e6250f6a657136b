"""Amazon Bedrock's Converse."""

from __future__ import annotations

from ...wire.protocol import Protocol
from .answer import ID, BedrockConverseRaw, ConverseResponse
from .body import OPTIONS, lower, mend
from .exceptions import classify
from .plain import plain, plain_spent
from .schema import plan
from .state import State as ConverseState
from .stream import flow, halt, initial, step, unary

__all__ = ["BedrockConverseRaw", "ConverseResponse", "ConverseState", "classify", "protocol"]


def protocol() -> Protocol[ConverseState]:
    """Return Converse.

    Example:
        >>> protocol().id
        'bedrock-converse'
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
    ).made_by(protocol, plain=plain, plain_spent=plain_spent, flow=flow)
