"""Amazon Bedrock's Converse."""

from __future__ import annotations

from .stream import (
    BedrockConverseRaw,
    ConverseResponse,
    ConverseState,
    classify,
    halt,
    initial,
    lower,
    mend,
    protocol,
    step,
    unary,
)

__all__ = [
    "BedrockConverseRaw",
    "ConverseResponse",
    "ConverseState",
    "classify",
    "halt",
    "initial",
    "lower",
    "mend",
    "protocol",
    "step",
    "unary",
]
