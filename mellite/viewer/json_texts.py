"""JSON for pages: numbers that JSON does not know become texts, and nothing can end the element that it stands in."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from ..values.provider_json import Json

__all__ = ["Packing", "as_ascii", "embedded", "squeezed"]

#: The key of what stands for something that is kept once: a number, its place in the list of those.
_SAME: Final = "$same"

#: Shorter items are left where they stand, in characters.
_WORTH_KEEPING: Final = 120


def as_ascii(value: object) -> bytes:
    r"""Return a value as JSON in ASCII, which can hold half a surrogate pair, too.

    Example:
        >>> as_ascii({"text": "é"})
        b'{"text":"\\u00e9"}'
    """
    return _text(value, ascii_only=True).encode()


def embedded(value: object) -> str:
    r"""Return a value as JSON that may stand in a ``script`` element of a page.

    Example:
        >>> embedded("</script>")
        '"\\u003c/script>"'
    """
    text = _text(value, ascii_only=False).encode("utf-8", "backslashreplace").decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def squeezed(value: object) -> str:
    """Return a value as JSON, compressed, in base64."""
    return base64.b64encode(gzip.compress(as_ascii(value), 9, mtime=0)).decode()


def _text(value: object, *, ascii_only: bool) -> str:
    def made(each: object) -> str:
        return json.dumps(each, ensure_ascii=ascii_only, default=str, allow_nan=False, separators=(",", ":"))

    try:
        return made(value)
    except ValueError:  # infinite, or no number
        return made(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


class Packing:
    """Keeps what stands in many lists once, such as the messages of a conversation that goes on.

    Attributes:
        kept: what was kept; others refer to it by its place.
    """

    def __init__(self) -> None:
        self.kept: list[Json] = []
        self._places: dict[str, int] = {}

    def packed(self, value: Json) -> Json:
        """Return JSON in which large items of lists are references.

        Example:
            >>> packing = Packing()
            >>> packing.packed([{"role": "user", "content": "x" * 200}] * 2), len(packing.kept)
            ([{'$same': 0}, {'$same': 0}], 1)
        """
        if isinstance(value, Mapping):
            return {name: self._guarded(each) for name, each in value.items()}
        return [self._item(each) for each in value] if isinstance(value, (list, tuple)) else value

    def _guarded(self, value: Json) -> Json:
        """Pack a value of an object; one that looks like a reference is kept, so that it is not taken for one."""
        return self._kept(value) if isinstance(value, dict) and _SAME in value else self.packed(value)

    def _item(self, item: Json) -> Json:
        if not isinstance(item, dict):
            return self.packed(item)
        is_large = len(json.dumps(item, default=str)) > _WORTH_KEEPING
        return self._kept(item) if is_large or _SAME in item else self.packed(item)

    def _kept(self, item: Json) -> Json:
        packed = self.packed(item)
        text = json.dumps(packed, sort_keys=True, default=str)
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self.kept)
            self.kept.append(packed)
        return {_SAME: place}
