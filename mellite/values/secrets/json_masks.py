"""Mask keys in decoded JSON, by the names of fields and by the look of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..provider_json import Json
from .names import FIELDS, plain_name
from .shapes import REDACTED, masked

__all__ = ["masked_json"]

#: How deep JSON is looked at; what lies deeper is left out.
_DEEPEST: Final = 50
_LEFT_OUT: Final = "..."


def masked_json(value: Json) -> Json:
    """Return a copy of decoded JSON in which keys are masked: fields that are secret by name, and what looks like one.

    Example:
        >>> masked_json({"password": "hunter2", "note": "use sk-abcdefghijklmnopqrstuvwxyz", "max_tokens": 5})
        {'password': '[REDACTED]', 'note': 'use [REDACTED]', 'max_tokens': 5}
    """
    return _copied(value, _DEEPEST)


def _copied(value: Json, depth: int) -> Json:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, (Mapping, list, tuple)):
        if not depth:
            return _LEFT_OUT
        if isinstance(value, Mapping):
            return {masked(str(name)): _field(str(name), inner, depth - 1) for name, inner in value.items()}
        return [_copied(inner, depth - 1) for inner in value]
    return value


def _field(name: str, value: Json, depth: int) -> Json:
    return REDACTED if value is not None and plain_name(name) in FIELDS else _copied(value, depth)
