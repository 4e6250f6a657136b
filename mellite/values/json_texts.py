"""Reading JSON texts that a model wrote, as RFC 8259 has it, with lone surrogates and numbers of any length; copies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from .provider_json import Json

__all__ = ["copied_json", "equal_json", "strict_json", "well_formed"]


#: Stands before a text in some files and answers, and is not part of it.
BOM: Final = "\ufeff"


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
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < 4_000 else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def well_formed(value: Json) -> Json:
    r"""Return JSON with U+FFFD in place of lone surrogates, which models do write and UTF-8 cannot hold.

    Example:
        >>> well_formed({"face": "\ud83d\ude00", "half": ["\ud83d"]}) == {"face": "\U0001f600", "half": ["\ufffd"]}
        True
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, (list, tuple)):
        return [well_formed(item) for item in value]
    if isinstance(value, Mapping):
        return {well_formed(name): well_formed(item) for name, item in value.items()}
    return value


def equal_json(one: Json, other: Json) -> bool:
    """Return whether two JSON values are equal: 1 is 1.0, and not true.

    Example:
        >>> equal_json({"n": [1]}, {"n": (1.0,)}), equal_json({"n": 1}, {"n": True})
        (True, False)
    """
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(equal_json(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal_json(one[name], other[name]) for name in one)
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


_HOLDERS: Final = frozenset({dict, list})


def copied_json(value: Json) -> Json:
    """Return JSON whose objects and arrays are copies, at any depth, so that nobody who changes it changes the other.

    Example:
        >>> given = {"cities": ["Paris"]}
        >>> copied_json(given)["cities"].append("Rome")
        >>> given
        {'cities': ['Paris']}
    """
    if type(value) is dict and _HOLDERS.isdisjoint(map(type, value.values())):
        return value.copy()
    whole = [value]
    copies: dict[int, Any] = {}  # what stands in a value twice, even in itself, is one thing in the copy as well
    waiting: list[Any] = [whole]
    while waiting:  # not recursive: it may be deeper than Python can call
        each = waiting.pop()
        for key, inner in each.items() if type(each) is dict else enumerate(each):
            if type(inner) is not dict and type(inner) is not list:
                continue
            found = copies.get(id(inner))
            if found is None:
                found = copies[id(inner)] = inner.copy()
                waiting.append(found)
            each[key] = found
    return whole[0]
