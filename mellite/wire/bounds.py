"""Bounds on one answer: bytes, and JSON values, which are counted before they are decoded.

Repetitive JSON takes forty times its size as Python objects, and a thousandth of its size when compressed. So a small
response could fill the memory.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from ..values.errors import InvalidRequest, OutputTooLarge

__all__ = ["DEFAULT_BOUNDS", "AnswerBounds", "check_bound", "held", "values_in"]

_BLOCK: Final = 256 * 1024
_STRUCTURE: Final = b"{[,:"
_OTHERS: Final = bytes(sorted(set(range(256)) - set(_STRUCTURE)))
_BESIDE_QUOTES: Final = bytes(sorted(set(range(256)) - set(_STRUCTURE + b'"')))
_BACKSLASH: Final = b"\\"
_LEAVES: Final = (str, bytes, bytearray, int, float, type(None))
_FEW: Final = 8  # a container with at most so many children is counted again rather than remembered


def check_bound(value: Any, name: str) -> None:
    """Refuse what is neither None, for no bound, nor a whole number of at least 1.

    Raises:
        InvalidRequest: naming the argument.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        msg = f"{name} must be a number of at least 1, or None for no bound, not {value!r:.100}"
        raise InvalidRequest(msg, parameter=name)


@frozen(kw_only=True)
class AnswerBounds:
    """The largest answer to accept; None stands for no bound.

    Args:
        max_bytes: the most bytes of the decompressed body. One event of a stream may have half as many.
        max_values: the most values of JSON to decode at once: objects, lists, their members and elements. The parser of
            a stream may keep as many.

    Raises:
        InvalidRequest: if a bound is not a whole number of at least 1.

    Example:
        >>> AnswerBounds(max_values=2).check(b'{"a": [1, 2, 3]}')
        Traceback (most recent call last):
            ...
        mellite.errors.OutputTooLarge: the answer has more than 2 values of JSON; if that is right, raise \
max_answer_values
    """

    max_bytes: int | None = 64 * 1024 * 1024
    max_values: int | None = 1_000_000

    def __attrs_post_init__(self) -> None:
        check_bound(self.max_bytes, "max_answer_bytes")
        check_bound(self.max_values, "max_answer_values")

    @property
    def max_event(self) -> int | None:
        """The most bytes of one event of a stream."""
        return None if self.max_bytes is None else max(1, self.max_bytes // 2)

    def check(self, data: bytes) -> None:
        """Refuse JSON with too many values.

        Raises:
            OutputTooLarge: if *data* has more than `max_values`.
        """
        most = self.max_values
        if most is not None and len(data) > most and values_in(data, most) > most:
            raise self.too_many()

    def too_many(self) -> OutputTooLarge:
        """Return the error for too many values."""
        msg = f"the answer has more than {self.max_values:,} values of JSON; if that is right, raise max_answer_values"
        return OutputTooLarge(msg)

    def too_long(self) -> OutputTooLarge:
        """Return the error for too many bytes."""
        msg = f"the answer is larger than {self.max_bytes:,} bytes; if that is right, raise max_answer_bytes"
        return OutputTooLarge(msg)


DEFAULT_BOUNDS: Final = AnswerBounds()


def values_in(data: bytes, most: int) -> int:
    """Return an upper bound for the number of values in JSON: the count of the characters ``{``, ``[``, ``,``, ``:``.

    Count those in strings, too, which is fast; leave them out only if the result is above *most*. The count may stop
    anywhere above *most*.

    Example:
        >>> values_in(b'{"a": [1, 2]}', 10), values_in(b'{"a": ",,,,"}', 3)
        (4, 2)
    """
    count = len(data.translate(None, _OTHERS))
    return count if count <= most else _outside_of_strings(data, most)


def _outside_of_strings(data: bytes, most: int) -> int:
    count, pos, inside = 0, 0, False
    while pos < len(data) and count <= most:
        end = min(pos + _BLOCK, len(data))
        while end < len(data) and data[end - 1 : end] == _BACKSLASH:
            end += 1  # do not part a backslash from the character that it escapes
        block = data[pos:end].replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _BESIDE_QUOTES)
        parts = block.split(b'"')  # outside, inside, outside, ...
        count += sum(map(len, parts[1::2] if inside else parts[::2]))
        inside ^= len(parts) % 2 == 0
        pos = end
    return count


def held(root: object, most: int) -> int:
    """Count the values that *root* holds in dicts, lists, tuples and attributes. The count may stop above *most*."""
    count = 0
    rest, seen = [root], set[int]()
    while rest and count <= most:
        value = rest.pop()
        children = _children(value)
        if len(children) > _FEW or not isinstance(value, (dict, list, tuple)):
            if id(value) in seen:
                continue
            seen.add(id(value))
        count += len(children)
        rest += [child for child in children if not isinstance(child, _LEAVES)]
    return count


def _children(value: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return value
    names = [name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *[getattr(value, name, None) for name in names]]
