"""Values as plain JSON data, the same in every process: a set has no order of its own, and a request needs one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .provider_json import Json

__all__ = ["plain_data"]


def plain_data(value: object, *, other: Callable[[Any], Any] | None = None) -> Json:
    """Return a value as JSON data: objects by their fields, mappings in their order, sets sorted.

    The order of a set of texts differs from process to process. A request that has it in it would be another one each
    time: no cassette and no journal would know it again.

    Args:
        value: what has a JSON form.
        other: makes plain what msgspec does not know.

    Raises:
        TypeError: if something has no JSON form; ValueError and RecursionError likewise.

    Example:
        >>> plain_data({"z": {"pear", "apple"}, "a": (1, 2)})
        {'z': ['apple', 'pear'], 'a': [1, 2]}
    """
    return _ordered(value, msgspec.to_builtins(value, str_keys=True, enc_hook=other))


def _ordered(value: Any, plain: Any) -> Any:
    """Return the plain data of a value with what was a set in it sorted."""
    if isinstance(plain, (list, tuple)):
        if not isinstance(value, (list, tuple, set, frozenset)) or len(value) != len(plain):
            return plain
        parts = [_ordered(*pair) for pair in zip(value, plain, strict=True)]
        return _sorted(parts) if isinstance(value, (set, frozenset)) else parts
    if not isinstance(plain, dict):
        return plain
    if isinstance(value, Mapping):
        if len(value) != len(plain):  # 1 and "1" are one key
            return plain
        return {key: _ordered(each, plain[key]) for key, each in zip(plain, value.values(), strict=True)}
    kind: Any = type(value)
    names: Mapping[str, str] = {}  # of fields, by what they are called in JSON
    if isinstance(value, msgspec.Struct):
        names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    fields: dict[str, Any] = plain
    return {key: _ordered(getattr(value, names.get(key, key), None), each) for key, each in fields.items()}


def _sorted(elements: list[Any]) -> list[Any]:
    try:
        return sorted(elements)
    except TypeError:  # of several kinds, or objects
        return sorted(elements, key=lambda each: json.dumps(each, sort_keys=True, default=repr))
