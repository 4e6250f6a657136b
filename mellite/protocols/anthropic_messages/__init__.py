"""Anthropic's Messages, at Anthropic and in the clouds."""

from __future__ import annotations

from .stream import (
    ANTHROPIC,
    AnthropicBlock,
    AnthropicDialect,
    AnthropicMessage,
    AnthropicRaw,
    AnthropicState,
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
    "ANTHROPIC",
    "AnthropicBlock",
    "AnthropicDialect",
    "AnthropicMessage",
    "AnthropicRaw",
    "AnthropicState",
    "classify",
    "halt",
    "initial",
    "lower",
    "mend",
    "protocol",
    "step",
    "unary",
]
