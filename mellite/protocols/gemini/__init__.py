"""Google's generateContent, at Gemini and Vertex AI."""

from __future__ import annotations

from .stream import (
    GOOGLE,
    GeminiDialect,
    GeminiRaw,
    GeminiResponse,
    GeminiState,
    classify,
    halt,
    initial,
    lower,
    protocol,
    step,
    unary,
)

__all__ = [
    "GOOGLE",
    "GeminiDialect",
    "GeminiRaw",
    "GeminiResponse",
    "GeminiState",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]
