"""OpenAI's Chat Completions, and every server that speaks like it."""

from __future__ import annotations

from .stream import (
    OPENAI,
    ChatCompletion,
    ChatDialect,
    ChatState,
    OpenAIChatRaw,
    classify,
    halt,
    initial,
    lower,
    protocol,
    step,
    unary,
)

__all__ = [
    "OPENAI",
    "ChatCompletion",
    "ChatDialect",
    "ChatState",
    "OpenAIChatRaw",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]
