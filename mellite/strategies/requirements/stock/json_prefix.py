"""Notice, at the first wrong character, that a growing text can no longer become JSON."""

from __future__ import annotations

import re
from typing import Final, final

from ..verdict import ValidationResult, failed

__all__ = ["JsonPrefix"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}

_DIGITS: Final = "0123456789"

#: State within a number -> characters that may follow -> the next state. A number may end in the states of `_WHOLE`.
_NUMBER: Final[dict[str, dict[str, str]]] = {
    "-": {"0": "zero", "123456789": "digits"},
    "zero": {".": "point", "eE": "e"},
    "digits": {_DIGITS: "digits", ".": "point", "eE": "e"},
    "point": {_DIGITS: "fraction"},
    "fraction": {_DIGITS: "fraction", "eE": "e"},
    "e": {"+-": "sign", _DIGITS: "exponent"},
    "sign": {_DIGITS: "exponent"},
    "exponent": {_DIGITS: "exponent"},
}
_WHOLE: Final = frozenset({"zero", "digits", "fraction", "exponent"})

#: What the text should go on with, by what the checker expects.
_SHOULD: Final = {
    "value": "a value should be",
    "value-or-end": "a value or ']' should be",
    "key": "a key in quotes should be",
    "key-or-end": "a key in quotes or '}' should be",
    "colon": "':' should be",
    "comma": "',' or the closing bracket should be",
    "nothing": "the end should be",
}


class _NotJson(Exception):
    """The text can no longer become JSON."""


@final
class JsonPrefix:
    """A check of chunks: the text so far can still become JSON, as in RFC 8259.

    A checker made by `fresh` follows one text and reads each character once; any other reads the whole text each time.

    Example:
        >>> JsonPrefix()("Sure", "Sure").reason
        "it is not JSON: 'S' where a value should be, at character 0"
        >>> JsonPrefix()('{"a": ', '{"a": ') is None
        True
    """

    __slots__ = ("_at", "_counting", "_expects", "_inside", "_open", "_rest")

    def __init__(self, *, counting: bool = False) -> None:
        self._counting = counting
        self._at = 0
        self._open: list[str] = []  # the open brackets, outermost first
        self._expects = "value"  # value, value-or-end, key, key-or-end, colon, comma, nothing
        self._inside = ""  # string, key-string, escape, hex, literal, or the state of a number
        self._rest = ""  # the rest of a literal; or the string around an escape, with the number of hex digits left

    def fresh(self) -> JsonPrefix:
        """Return a checker that follows one new text."""
        return JsonPrefix(counting=True)

    def __eq__(self, other: object) -> bool:
        """Return whether both keep no state; one that follows a text is equal to itself only."""
        return self is other or (isinstance(other, JsonPrefix) and not self._counting and not other._counting)

    def __hash__(self) -> int:
        return hash(JsonPrefix)

    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        """Return a failed verdict once the text can no longer become JSON, else None."""
        if not self._counting:
            return self.fresh()(partial, partial)
        try:
            self.read(chunk)
        except _NotJson as error:
            return failed(f"it is not JSON: {error}")
        return None

    def read(self, text: str) -> None:
        """Read the next characters; raise `_NotJson` at the first that no JSON could have there."""
        at = 0
        while at < len(text):
            inside = self._inside
            if inside in ("string", "key-string"):
                at = self._string(text, at)
            elif inside in ("escape", "hex", "literal"):
                self._one_of_few(text[at], at)
                at += 1
            elif inside:
                at = self._number(text, at)
            else:
                at = _end(_SPACE, text, at)
                if at < len(text):
                    self._token(text[at], at)
                    at += 1
        self._at += len(text)

    def _string(self, text: str, at: int) -> int:
        at = _end(_PLAIN, text, at)
        if at == len(text):
            return at
        if text[at] == '"':
            self._expects = "colon" if self._inside == "key-string" else self._after_value()
            self._inside = ""
        elif text[at] == "\\":
            self._inside, self._rest = "escape", self._inside
        else:
            raise self._wrong(text[at], at, "a string should not have it")
        return at + 1

    def _one_of_few(self, character: str, at: int) -> None:
        """Read the next character of an escape or a literal."""
        if self._inside == "escape":
            if character == "u":
                self._inside, self._rest = "hex", f"{self._rest}4"
            elif character in '"\\/bfnrt':
                self._inside = self._rest
            else:
                raise self._wrong(character, at, "an escape should be")
        elif self._inside == "hex":
            if character not in _HEX:
                raise self._wrong(character, at, "a hex digit should be")
            string, left = self._rest[:-1], int(self._rest[-1]) - 1
            self._inside, self._rest = ("hex", f"{string}{left}") if left else (string, "")
        elif character == self._rest[0]:
            self._rest = self._rest[1:]
            if not self._rest:
                self._inside, self._expects = "", self._after_value()
        else:
            raise self._wrong(character, at, f"{self._rest!r} should be")

    def _number(self, text: str, at: int) -> int:
        while at < len(text):
            state = _next_of_number(self._inside, text[at])
            if state is None:
                break
            self._inside = state
            at += 1
        else:
            return at
        if self._inside not in _WHOLE:
            raise self._wrong(text[at], at, "a digit should be")
        self._inside, self._expects = "", self._after_value()
        return at

    def _token(self, character: str, at: int) -> None:
        expects = self._expects
        if character in "]}" and self._may_close(character):
            self._open.pop()
            self._expects = self._after_value()
        elif expects in ("value", "value-or-end"):
            self._value(character, at)
        elif expects in ("key", "key-or-end") and character == '"':
            self._inside = "key-string"
        elif expects == "colon" and character == ":":
            self._expects = "value"
        elif expects == "comma" and character == ",":
            self._expects = "key" if self._open[-1] == "{" else "value"
        else:
            raise self._wrong(character, at, _SHOULD[expects])

    def _may_close(self, character: str) -> bool:
        wanted = {"]": "[", "}": "{"}[character]
        ends = ("comma", "value-or-end" if wanted == "[" else "key-or-end")
        return self._expects in ends and self._open[-1:] == [wanted]

    def _value(self, character: str, at: int) -> None:
        if character == '"':
            self._inside = "string"
        elif character in "[{":
            self._open.append(character)
            self._expects = "value-or-end" if character == "[" else "key-or-end"
        elif character in _LITERALS:
            self._inside, self._rest = "literal", _LITERALS[character][1:]
        elif character == "-":
            self._inside = "-"
        elif (state := _next_of_number("-", character)) is not None:
            self._inside = state
        else:
            raise self._wrong(character, at, _SHOULD["value"])

    def _after_value(self) -> str:
        return "comma" if self._open else "nothing"

    def _wrong(self, character: str, at: int, should: str) -> _NotJson:
        return _NotJson(f"{character!r} where {should}, at character {self._at + at}")


def _next_of_number(state: str, character: str) -> str | None:
    for allowed, following in _NUMBER[state].items():
        if character in allowed:
            return following
    return None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else at
