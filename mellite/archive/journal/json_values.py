"""JSON as journals keep it: encoded so that any text survives, canonical for digests, and the values of a program."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from ...values.errors import InvalidRequest
from ...values.json_texts import strict_json
from ...values.provider_json import Json
from ...values.type_names import a_type_name

__all__ = ["as_raw", "digest_of", "program_value", "read_raw", "written_value"]

_encode: Final = msgspec.json.Encoder().encode
_ESCAPED: Final = "$escaped"


def as_raw(value: Json) -> msgspec.Raw:
    """Return JSON encoded. JSON that UTF-8 cannot hold, for the lone surrogates that models do send, becomes a text."""
    try:
        return msgspec.Raw(_encode(value))
    except (UnicodeEncodeError, OverflowError, TypeError):
        text = json.dumps(value, separators=(",", ":"), default=_other)
        return msgspec.Raw(_encode({_ESCAPED: text}))


def read_raw(raw: msgspec.Raw) -> Any:
    """Return the JSON that `as_raw` encoded; None for none."""
    data = bytes(raw)
    found = strict_json(data.decode()) if data else None
    if isinstance(found, dict) and _ESCAPED in found and len(cast("dict[str, Any]", found)) == 1:
        return json.loads(found[_ESCAPED])
    return found


def digest_of(value: object) -> str:
    """Return a digest of JSON that is the same however its objects are ordered, as 32 characters of hex."""
    return hashlib.blake2b(_canonical(value).encode(), digest_size=16).hexdigest()


def _other(value: object) -> Json:
    """Return what stands in a digest for something that JSON does not know."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, cast("set[object]", value)))
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    # An address in memory is another one in the next process.
    text = repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}" if " at 0x" in text else text


_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_other).encode

# What a program keeps

_TAG: Final = "$kept"
_MOST_DEEP: Final = 100


def written_value(value: object, what: str, depth: int = _MOST_DEEP) -> Json:
    """Return a value of a program as JSON: plain data, and tuples, sets, bytes, dates, decimals and UUIDs.

    Args:
        value: what is kept.
        what: what gave it, for the error.

    Raises:
        InvalidRequest: for anything else, which would come back as something else.

    Example:
        >>> written_value((1, "a"), "f"), program_value(written_value((1, "a"), "f"))
        ({'$kept': 'tuple', 'value': [1, 'a']}, (1, 'a'))
    """
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(cast("float", value))):
        return value
    if not depth:
        msg = f"what {what} returned is nested too deeply to be kept"
        raise InvalidRequest(msg)
    if kind is list:
        return [written_value(each, what, depth - 1) for each in cast("list[object]", value)]
    if kind is dict and all(type(name) is str for name in cast("dict[Any, object]", value)):
        written = {
            name: written_value(each, what, depth - 1) for name, each in cast("dict[str, object]", value).items()
        }
        return {_TAG: "dict", "value": written} if _TAG in written else written
    writer = _WRITERS.get(kind)
    if writer is None:
        msg = (
            f"what {what} returned has {a_type_name(kind)} in it, which a journal cannot keep: return plain data, such "
            "as dict, list, tuple, str and numbers"
        )
        raise InvalidRequest(msg)
    plain = writer(value)
    if isinstance(plain, list):
        plain = [written_value(each, what, depth - 1) for each in cast("list[object]", plain)]
    return {_TAG: kind.__name__, "value": plain}


def program_value(value: Json) -> Any:
    """Return the value that `written_value` made this of."""
    if isinstance(value, list):
        return [program_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {name: program_value(each) for name, each in value.items()}
    inner = value["value"]
    if value[_TAG] == "dict":
        return {name: program_value(each) for name, each in cast("dict[str, Json]", inner).items()}
    plain = [program_value(each) for each in inner] if isinstance(inner, list) else inner
    return _READERS[str(value[_TAG])](plain)


_WRITERS: Final[dict[type, Callable[[Any], object]]] = {
    tuple: list,
    set: lambda value: sorted(value, key=repr),
    frozenset: lambda value: sorted(value, key=repr),
    bytes: lambda value: base64.b64encode(value).decode(),
    datetime: datetime.isoformat,
    date: date.isoformat,
    Decimal: str,
    UUID: str,
    float: repr,
}
_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "bytes": base64.b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
    "float": float,
}
