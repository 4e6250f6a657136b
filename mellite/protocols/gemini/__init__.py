"""Google's generateContent, at Gemini and Vertex AI."""

from __future__ import annotations

from functools import partial

from ...wire.protocol import Protocol
from ..error_answers import classify
from .answer import ID, GeminiRaw, GeminiResponse
from .body import OPTIONS, lower, mend
from .dialect import GOOGLE, GeminiDialect
from .plain import plain, plain_spent
from .schema import plan
from .state import State as GeminiState
from .stream import flow, flowing, halt, initial, step, unary

__all__ = ["GOOGLE", "GeminiDialect", "GeminiRaw", "GeminiResponse", "GeminiState", "protocol"]


def protocol(dialect: GeminiDialect = GOOGLE) -> Protocol[GeminiState]:
    """Return Gemini's protocol, as it is spoken at one place.

    Example:
        >>> protocol().id
        'gemini'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=partial(lower, dialect=dialect),
        initial=partial(initial, dialect=dialect),
        step=step,
        halt=halt,
        unary=partial(unary, dialect=dialect),
        classify=classify,
        mend=mend,
        plan=plan,
    ).made_by(protocol, dialect, plain=plain, plain_spent=plain_spent, flow=flow, flowing=flowing)
