"""Cohere's v2 Chat."""

from __future__ import annotations

from .stream import CohereChatRaw, CohereResponse, CohereState, classify, halt, initial, lower, protocol, step, unary

__all__ = [
    "CohereChatRaw",
    "CohereResponse",
    "CohereState",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]
