"""Make attributes and names of spans such that every exporter can write them.

Protocol Buffers hold UTF-8 and integers of 64 bits. An exporter drops an attribute with half a surrogate pair or a
larger integer, and all spans that it was about to send for one whose name has half a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["LARGEST", "exported", "exported_text"]

#: The largest integer of 64 bits.
LARGEST: Final = 2**63 - 1
_LEAST: Final = -(2**63)

#: Python refuses to write much longer integers as decimals: `sys.set_int_max_str_digits`.
_MOST_BITS: Final = 2048


def exported(attributes: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return attributes with U+FFFD for halves of surrogate pairs, and as text the integers that have over 64 bits.

    Example:
        >>> exported({"gen_ai.request.seed": 2**63, "gen_ai.request.stop_sequences": ["a", "\ud83d"]})
        {'gen_ai.request.seed': '9223372036854775808', 'gen_ai.request.stop_sequences': ['a', '�']}
    """
    found = dict(attributes)
    for name, value in attributes.items():
        kind = type(value)
        # No call for what nearly all are: this is done for each span.
        if not (value.isascii() if kind is str else kind is float or (kind is int and _LEAST <= value <= LARGEST)):
            found[name] = _exported(value)
    return found


def _exported(value: Any) -> Any:
    if isinstance(value, str):
        return exported_text(value)
    if isinstance(value, int) and not _LEAST <= value <= LARGEST:
        return hex(value) if value.bit_length() > _MOST_BITS else str(value)
    return [_exported(each) for each in value] if isinstance(value, list) else value


def exported_text(text: str) -> str:
    r"""Return a text with U+FFFD in place of halves of surrogate pairs; whole pairs become their character.

    Example:
        >>> exported_text("gpt-\udc80")
        'gpt-�'
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
