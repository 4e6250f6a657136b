"""How `plain` and `plain_usage` of each protocol read an answer of text: types of a known depth, without surprises.

A field that is typed so is decoded like any other JSON, never passed over: what msgspec passes over it does not check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from ..values.provider_json import Json
from ..values.usage import Usage

__all__ = ["Few", "Flat", "Nothing", "Word", "decoded", "usage_reader"]

T = TypeVar("T")

#: The most bytes of a body that is worth trying: for a longer answer, one decoding more or less counts.
_LONGEST: Final = 64 * 1024

#: A value that holds no others.
Word: TypeAlias = str | int | float | bool | None

#: An object of words.
Flat: TypeAlias = dict[str, Word]

#: What is told of an answer beside what it says: objects and lists, one in the other, a few deep.
Few: TypeAlias = dict[str, Word | list[Word | Flat] | dict[str, Word | list[Word | Flat] | Flat]]

#: A list where nothing is told.
Nothing: TypeAlias = Annotated[list[None], msgspec.Meta(max_length=0)]


def decoded(decode: Callable[[bytes], T], body: bytes) -> T | None:
    """Return an answer as a decoder reads it; None where it does not fit: the long way finds out what it is."""
    if len(body) > _LONGEST:
        return None
    try:
        return decode(body)
    except (ValueError, RecursionError):
        return None


def usage_reader(name: str, usage_of: Callable[[Mapping[str, Json]], Usage]) -> Callable[[bytes], Usage | None]:
    """Return what reads the usage of an answer of text, and nothing else of it.

    Args:
        name: the field that holds the report.
        usage_of: the protocol's own reading of a report.

    Example:
        >>> read = usage_reader("used", lambda report: Usage.of(total_tokens=report["all"]))
        >>> read(b'{"text": "Hi!", "used": {"all": 3}}').total_tokens, read(b'{"text": "Hi!"}')
        (3, None)
    """
    kind: Any = msgspec.defstruct("Reported", [("usage", dict[str, Any] | None, None)], rename={"usage": name})
    decode = msgspec.json.Decoder(kind).decode

    def plain_usage(body: bytes) -> Usage | None:
        """Return the usage that an answer of text reports; None if it reports none."""
        report = decode(body).usage
        return usage_of(report) if report else None

    return plain_usage
