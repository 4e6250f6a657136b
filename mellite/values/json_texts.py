"""Reading JSON texts that a model wrote: as RFC 8259 has it, with lone surrogates and numbers of any length."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from .provider_json import Json

__all__ = ["strict_json"]


def strict_json(text: str) -> Json:
    """Decode JSON as in RFC 8259: no NaN, no comments, nothing after the value. Lone surrogates are tolerated.

    Raises:
        ValueError: if the text is not such JSON.
        RecursionError: if it is nested too deeply.

    Example:
        >>> strict_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
    """
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # a lone surrogate, a number of 5,000 digits, or no JSON
        return json.loads(text, parse_constant=_no_constant, parse_int=_int)


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < 4_000 else math.copysign(math.inf, -1 if digits[0] == "-" else 1)
