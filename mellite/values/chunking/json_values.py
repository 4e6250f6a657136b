"""Cut out the elements of a JSON array, or the members of an object, as each becomes complete."""

from __future__ import annotations

import re
from typing import Final, final

from .cutting import Cutter

__all__ = ["JsonValues"]

_OUTSIDE: Final = re.compile(r"[\[{\n]")
#: What tells a JSON array or object from a bracket in prose; white space before it, up to a bound.
_BEGINS: Final = {"[": re.compile(r"\s{0,64}(?:[\[{\"\-0-9\]]|true|false|null)"), "{": re.compile(r"\s{0,64}[\"}]")}
_MAY_BEGIN: Final = re.compile(r"\s{0,64}(?:t|tr|tru|f|fa|fal|fals|n|nu|nul)?$")
_STRING_END: Final = re.compile(r'["\\]')
_NESTED: Final = re.compile(r'["\[\]{}]')
_SCALAR_END: Final = re.compile(r'[\s,:"\[\]{}]')
_TOP: Final = re.compile(r"[^\s,]")


@final
class JsonValues(Cutter):
    """The elements of the outermost array or object, each complete, and what stands around them.

    An element of an array has the kind ``value`` and its JSON in ``content``; a key with its value in an object has the
    kind ``member``. What leads to an element (prose, a code fence, the bracket, commas) belongs to its chunk, but for
    the lines before the array or object, which are chunks of their own, as is what follows it. JSON that is broken is
    cut somewhere, and added up all the same: whether it is valid is for a requirement to say.

    Example:
        >>> values = JsonValues()
        >>> [piece.content for piece in values.feed('[{"a": 1}, {"a": 2}, {"a"')]
        ['{"a": 1}', '{"a": 2}']
    """

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0  # 0 outside, 1 between the elements, more inside one
        self._object = False
        self._in_string = False
        self._escaped = False
        self._in_scalar = False
        self._after_colon = False
        self._element: int | None = None  # where the open element begins in the whole text

    def _look(self, text: str, *, final: bool) -> int:
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._string(text, at)
            elif self._depth == 0:
                at, decided = self._outside(text, at, final=final)
                if not decided:
                    return at
            elif self._in_scalar:
                at = self._scalar(text, at)
            elif self._depth == 1:
                at = self._between(text, at)
            else:
                at = self._inside(text, at)
        return len(text)

    def _outside(self, text: str, at: int, *, final: bool) -> tuple[int, bool]:
        found = _OUTSIDE.search(text, at)
        if found is None:
            return len(text), True
        after = found.end()
        if found.group() == "\n":
            self._cut(after)
            return after, True
        if _BEGINS[found.group()].match(text, after):
            self._cut(found.start())
            self._depth, self._object = 1, found.group() == "{"
            self._element, self._after_colon = None, False
            return after, True
        if not final and _MAY_BEGIN.match(text, after):
            return found.start(), False
        return after, True

    def _between(self, text: str, at: int) -> int:
        found = _TOP.search(text, at)
        if found is None:
            return len(text)
        character, position = found.group(), found.start()
        if character in "]}":
            self._depth = 0
            self._cut(position + 1)
        elif character == ":":
            self._after_colon = True
        else:
            if self._element is None:
                self._element = self._base + position
            self._in_string = character == '"'
            self._in_scalar = character not in '"[{'
            self._depth += character in "[{"
        return position + 1

    def _string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _STRING_END.search(text, at)
        if found is None:
            return len(text)
        if found.group() == "\\":
            self._escaped = True
        else:
            self._in_string = False
            if self._depth == 1:
                self._complete(found.end())
        return found.end()

    def _scalar(self, text: str, at: int) -> int:
        found = _SCALAR_END.search(text, at)
        if found is None:
            return len(text)
        self._in_scalar = False
        self._complete(found.start())
        return found.start()

    def _inside(self, text: str, at: int) -> int:
        found = _NESTED.search(text, at)
        if found is None:
            return len(text)
        if found.group() == '"':
            self._in_string = True
        elif found.group() in "[{":
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == 1:
                self._complete(found.end())
        return found.end()

    def _complete(self, position: int) -> None:
        """Note that a value ends here; the key of an object does not end its member."""
        if self._object and not self._after_colon:
            return
        if self._element is not None:
            self._cut(position, kind="member" if self._object else "value", lead=self._element - self._at)
        self._element, self._after_colon = None, False
