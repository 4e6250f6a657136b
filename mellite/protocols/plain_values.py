"""How `plain` and `plain_spent` of each protocol read an answer of text: types of a known depth, without surprises.

A field that is typed so is decoded like any other JSON, never passed over: what msgspec passes over it does not check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from ..values.provider_json import Json
from ..values.usage import Spent, Usage, spent

__all__ = ["Count", "Few", "Flat", "Nothing", "Report", "Word", "decoded", "spent_reader"]

T = TypeVar("T")

#: The most bytes of a body that is worth trying: for a longer answer, one decoding more or less counts.
_LONGEST: Final = 64 * 1024

#: A value that holds no others.
Word: TypeAlias = str | int | float | bool | None

#: An object of words.
Flat: TypeAlias = dict[str, Word]

#: What is told of an answer beside what it says: objects and lists, one in the other, a few deep.
Few: TypeAlias = dict[str, Word | list[Word | Flat] | dict[str, Word | list[Word | Flat] | Flat]]

#: A number of tokens.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]

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


class Report(Protocol):
    """A report of tokens of the usual shape, which is read without a `Usage`."""

    def spent(self) -> Spent | None:
        """Return the tokens; None if there is something in the report that takes the long way."""
        ...


def spent_reader(
    name: str, usage_of: Callable[[Mapping[str, Json]], Usage], usual: type[Report] | None = None
) -> Callable[[bytes], Spent | None]:
    """Return what reads the tokens of an answer of text, and nothing else of it.

    Args:
        name: the field that holds the report.
        usage_of: the protocol's own reading of a report.
        usual: a struct for reports of the usual shape, in the same words.

    Example:
        >>> read = spent_reader("used", lambda report: Usage.of(total_tokens=report["all"]))
        >>> read(b'{"text": "Hi!", "used": {"all": 3}}'), read(b'{"text": "Hi!"}')
        (Spent(total=3, output=None), None)
    """
    decode = _decoder(name, dict[str, Any])
    decode_usual = None if usual is None else _decoder(name, usual)

    def plain_spent(body: bytes) -> Spent | None:
        """Return the tokens that an answer of text reports; None if it reports none."""
        if decode_usual is not None:
            try:
                usual_report = decode_usual(body).report
                found: Spent | None = None if usual_report is None else usual_report.spent()
            except msgspec.ValidationError:
                found = None
            if found is not None:
                return found
        report = decode(body).report
        return spent(usage_of(report)) if report else None

    return plain_spent


def _decoder(name: str, kind: Any) -> Callable[[bytes], Any]:
    answer: Any = msgspec.defstruct("Answer", [("report", kind | None, None)], rename={"report": name})
    return msgspec.json.Decoder(answer).decode
