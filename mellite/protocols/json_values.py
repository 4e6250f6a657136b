"""Read and write JSON strictly, look at what a provider has sent, and say what is wrong with a value of it."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Final, NoReturn

import msgspec

from ..values.errors import InvalidProviderOutput, InvalidRequest
from ..values.plain_data import plain_data
from ..values.provider_json import Json, JsonObject

__all__ = [
    "count",
    "decode_json",
    "inner",
    "json_text",
    "listed",
    "shown",
    "text_of",
    "wrong",
]

_LONGEST_EXCERPT: Final = 120
_LARGE: Final = 256 * 1024  # bytes of JSON that may become many objects
_BOM: Final = "\ufeff"
_BOM_BYTES: Final = _BOM.encode()


def decode_json(data: bytes | str) -> Json:
    """Decode JSON strictly; lone surrogates, which models do write, are kept as they are.

    Bytes that are not UTF-8 become U+FFFD in a text. In the name of a field, or in the ``type`` of an object, they are
    refused: no code looks for a damaged name, so the answer would seem whole without its value.

    Raises:
        InvalidProviderOutput: if the data is not JSON, holds NaN or Infinity, is nested too deeply to be read, or has
            the name of a field or a type that is not UTF-8.

    Example:
        >>> decode_json(b'{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    if len(data) < _LARGE or not gc.isenabled():
        return _decoded(data)
    # While many objects are made, the garbage collector goes through all of them again and again, which costs three
    # times the decoding itself. Nothing that is made here can be garbage.
    gc.disable()
    try:
        return _decoded(data)
    finally:
        gc.enable()


def _decoded(data: bytes | str) -> Json:
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass  # msgspec refuses lone surrogates and bytes that are not UTF-8; the slow reader below decides
    if data.startswith(_BOM_BYTES if isinstance(data, bytes) else _BOM):  # type: ignore[arg-type]
        return decode_json(data[len(_BOM_BYTES) :] if isinstance(data, bytes) else data[1:])
    text, pairs = (data, None) if isinstance(data, str) else _readable(data)
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=pairs)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    excerpt = text if len(text) <= _LONGEST_EXCERPT else text[:_LONGEST_EXCERPT] + "..."
    msg = f"not valid JSON ({reason}): {excerpt!r}"
    raise InvalidProviderOutput(msg)


def _readable(data: bytes) -> tuple[str, Callable[[list[tuple[str, Json]]], JsonObject] | None]:
    """Return the bytes as text and, where they are not all UTF-8, the function that makes objects of their fields."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), _undamaged


def _undamaged(fields: list[tuple[str, Json]]) -> JsonObject:
    for name, value in fields:
        if "\ufffd" in name:
            msg = f"the name of a field is not UTF-8: {name[:_LONGEST_EXCERPT]!r}"
            raise ValueError(msg)
        if name == "type" and isinstance(value, str) and "\ufffd" in value:
            msg = f"a type is not UTF-8: {value[:_LONGEST_EXCERPT]!r}"
            raise ValueError(msg)
    return dict(fields)


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"the number {text[:20]} is out of range"
        raise ValueError(msg)
    return value


def json_text(value: object, *, what: str) -> str:
    """Write anything JSON-like as compact JSON, attrs classes, dataclasses, dates and the like included.

    Args:
        value: anything that has a JSON form.
        what: the name of the value in the error.

    Raises:
        InvalidRequest: if the value cannot be written as JSON; NaN and Infinity cannot.

    Example:
        >>> json_text({"temperature": 22}, what="the result")
        '{"temperature":22}'
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=plain_data)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{what} cannot be written as JSON: {error}"
        raise InvalidRequest(msg) from error


# Looking at what has been sent

_SHORT: Final = Repr()
_SHORT.maxstring = 120


def shown(value: object) -> str:
    """Return a value of any size and depth in a few words, for messages."""
    return _SHORT.repr(value)


def wrong(value: object, what: str, wanted: str) -> InvalidProviderOutput:
    """Return the error for a value in an answer that is not what it should be.

    Example:
        >>> wrong(5, "a delta", "a JSON object")
        InvalidProviderOutput('a delta must be a JSON object, not 5')
    """
    return InvalidProviderOutput(f"{what} must be {wanted}, not {shown(value)}")


def listed(value: Json, what: str) -> list[Json]:
    """Return a list of an answer; an empty one for null.

    Raises:
        InvalidProviderOutput: if the value is something else; `what` is its name there.

    Example:
        >>> listed(None, "choices"), listed([1], "choices")
        ([], [1])
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(value, what, "a list")
    return value


def text_of(value: Json, what: str) -> str:
    """Return a text of an answer; an empty one for null.

    Raises:
        InvalidProviderOutput: if the value is something else; `what` is its name there.

    Example:
        >>> text_of(None, "a delta"), text_of("Hi", "a delta")
        ('', 'Hi')
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(value, what, "a text")
    return value


def inner(raw: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """Return the object in a field; an empty one if the field holds none.

    Example:
        >>> inner({"usage": {"total": 5}}, "usage"), inner({"usage": None}, "usage")
        ({'total': 5}, {})
    """
    if name not in raw:
        return {}
    value = raw[name]
    return value if isinstance(value, Mapping) else {}


_NUMBERS: Final = frozenset({int, float})


def count(raw: Mapping[str, Json], *names: str) -> int | None:
    """Return the first number of 0 or more under one of the names, as some hosts write floats; None if there is none.

    Example:
        >>> count({"a": None, "b": 5.0}, "a", "b"), count({"a": True}, "a")
        (5, None)
    """
    for name in names:
        if name in raw:
            value: Json = raw[name]
            if type(value) in _NUMBERS and value >= 0:  # no subclass: a bool is not a count
                return int(value)
    return None
