"""How much one answer may be: bytes, and values of JSON, counted before anything is decoded.

A short body of repetitive JSON takes forty times its size as Python objects, and compressed it is shorter still by a
factor of a thousand.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from ..values.errors import InvalidRequest, OutputTooLarge

__all__ = ["DEFAULT_BOUNDS", "AnswerBounds", "held", "values_in"]

_BLOCK: Final = 256 * 1024
_STRUCTURE: Final = b"{[,:"
_OTHERS: Final = bytes(sorted(set(range(256)) - set(_STRUCTURE)))
_BESIDE_QUOTES: Final = bytes(sorted(set(range(256)) - set(_STRUCTURE + b'"')))
_BACKSLASH: Final = b"\\"
_LEAVES: Final = (str, bytes, bytearray, int, float, type(None))
_FEW: Final = 8  # children of a container that is not worth being remembered


def _bound(value: Any, name: str) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        msg = f"{name} must be a number of at least 1, or None for no bound, not {value!r:.100}"
        raise InvalidRequest(msg, parameter=name)


@frozen(kw_only=True)
class AnswerBounds:
    """What one answer may be at most; None stands for no bound.

    Args:
        max_bytes: of the body, decompressed; one event of a stream may have half of it.
        max_values: of the JSON that is decoded at once: objects, lists, their members and elements. A stream may keep
            as many.

    Raises:
        InvalidRequest: if one is no number of at least 1.

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
        _bound(self.max_bytes, "max_answer_bytes")
        _bound(self.max_values, "max_answer_values")

    @property
    def max_event(self) -> int | None:
        """The most bytes of one event of a stream."""
        return None if self.max_bytes is None else max(1, self.max_bytes // 2)

    def check(self, data: bytes) -> None:
        """Refuse JSON that would become too many values.

        Raises:
            OutputTooLarge: if it would.
        """
        most = self.max_values
        if most is not None and len(data) > most and values_in(data, most) > most:
            raise self.too_many()

    def too_many(self) -> OutputTooLarge:
        """The error for too many values."""
        msg = f"the answer has more than {self.max_values:,} values of JSON; if that is right, raise max_answer_values"
        return OutputTooLarge(msg)

    def too_long(self) -> OutputTooLarge:
        """The error for too many bytes."""
        msg = f"the answer is larger than {self.max_bytes:,} bytes; if that is right, raise max_answer_bytes"
        return OutputTooLarge(msg)


DEFAULT_BOUNDS: Final = AnswerBounds()


def values_in(data: bytes, most: int) -> int:
    """Count the values in JSON, from above: the signs that begin or part them.

    All such signs are counted first, which is fast; those outside of strings only if they are more than `most`. The
    count stops a little above `most`.

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
            end += 1  # what is escaped belongs to its backslash
        block = data[pos:end].replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _BESIDE_QUOTES)
        parts = block.split(b'"')  # outside, inside, outside, ...
        count += sum(map(len, parts[1::2] if inside else parts[::2]))
        inside ^= len(parts) % 2 == 0
        pos = end
    return count


def held(root: object, most: int) -> int:
    """Count the values that an object keeps in dicts, lists, tuples and attributes; stop a little above `most`."""
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
