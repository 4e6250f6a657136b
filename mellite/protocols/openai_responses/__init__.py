"""OpenAI's Responses, over HTTP and WebSocket."""

from __future__ import annotations

from .stream import (
    OPENAI,
    OpenAIResponsesRaw,
    ResponseObject,
    ResponseOutputItem,
    ResponsesDialect,
    ResponsesState,
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
    "OpenAIResponsesRaw",
    "ResponseObject",
    "ResponseOutputItem",
    "ResponsesDialect",
    "ResponsesState",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]
