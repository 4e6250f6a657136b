"""One row of the table of keys: a text that every such key has in it, and what stands before and after that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from attrs import field, frozen

__all__ = ["KeyShape", "is_allowed"]

# What a key may stand after: no letter or digit, unless it ends an escape (\n, \u001b, %3D) or an ANSI colour.
_BEFORE: Final = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abefnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})"
    r"|(?<=[\[;]m)|(?<=[\[;]\dm)|(?<=[\[;]\d\dm)|(?<=[\[;]\d\d\dm))"
)

#: Marks of up to this length come up by chance in long base64, where "-" and "_" are letters.
_SHORT_MARK: Final = 4
_BASE64_BEFORE: Final = 32
# What hashes are written after: Python's RECORD files (PEP 376), and https://www.w3.org/TR/SRI/.
_HASHES: Final = ("sha256=", "sha256-", "sha384-", "sha512-")
_BASE64: Final = re.compile(r"[A-Za-z0-9_+/-]+")


def _marks(written: str) -> tuple[str, ...]:
    return tuple(written.split())


def is_allowed(secret: str, allowed: Collection[str]) -> bool:
    """Return whether what looks like a secret is one of the allowed texts, give or take what was found around it.

    Example:
        >>> is_allowed("sk-example-0123456789.", ["sk-example-0123456789"]), is_allowed("sk-0123456789", ["sk-", ""])
        (True, False)
    """
    # At least half of it: "sk-" would allow every key of that form, and an empty text all there are.
    return any(secret in one or (one in secret and 2 * len(one) >= len(secret)) for one in allowed)


@frozen
class KeyShape:
    """One kind of secret that can be told by its look.

    Args:
        name: what it is called in messages.
        marks: texts, blanks between them, of which every such secret has one in it: mostly how it begins.
        rest: what follows the mark, as a regular expression. A group ``secret`` in it is what a mask replaces; without
            one that is all of it.
        source: where the format is published.
        lead: what belongs to the key and stands before the mark, as a regular expression of a fixed length.
        lead_length: that length.
        word: whether the key is one long word, without blanks and punctuation but for ``_+/.=-``.
        anywhere: whether the mark may follow a letter or a digit.
        needs: a text that every such secret has and few texts have: without it there is nothing to look for.
        opening: what may follow the mark before the key is over, as a regular expression, where blanks, commas, or
            characters beyond ASCII may be in it; empty where a key has none of them.

    Looking for one takes time in proportion to the text, which a test checks for every row of the table: marks are
    found as plain texts, and what is tried at each of them has a bound, or fails at once, or uses up what it has read.

    Example:
        >>> shape = KeyShape("made-up key", "mup_", rest="[a-z]{20}", source="https://example.com/keys")
        >>> shape.search("It is mup_abcdefghijklmnopqrst.")
        'mup_abcdefghijklmnopqrst'
    """

    name: str
    marks: tuple[str, ...] = field(converter=_marks)
    rest: str = field(kw_only=True)
    source: str = field(kw_only=True)
    lead: str = field(default="", kw_only=True)
    lead_length: int = field(default=0, kw_only=True)
    word: bool = field(default=True, kw_only=True)
    anywhere: bool = field(default=False, kw_only=True)
    needs: str = field(default="", kw_only=True)
    opening: str = field(default="", kw_only=True)
    _patterns: dict[str, re.Pattern[str]] = field(factory=dict, init=False, eq=False, repr=False)

    def search(self, text: str, allowed: Collection[str] = ()) -> str | None:
        """Return the first secret of this kind in *text* that is not *allowed*; None if there is none."""
        for found in self.matches(text):
            secret: str = found.group()
            if not is_allowed(secret, allowed):
                return secret
        return None

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Find all secrets of this kind in *text*: those of each mark in order."""
        for mark in self.marks if self.needs in text else ():
            place = text.find(mark)
            while place >= 0:
                found = self._match(text, place, mark)
                if found is not None:
                    yield found
                place = text.find(mark, place + 1 if found is None else max(found.end(), place + 1))

    def _match(self, text: str, place: int, mark: str) -> re.Match[str] | None:
        """Match the secret whose mark is at *place*."""
        start = place - self.lead_length
        if start < 0:
            return None
        pattern = self._patterns.get(mark)
        if pattern is None:
            before = "" if self.anywhere else _BEFORE
            pattern = self._patterns[mark] = re.compile(f"{before}{self.lead}{re.escape(mark)}{self.rest}")
        found = pattern.match(text, start)
        return None if found is None or self._by_chance(text, start, mark) else found

    def _by_chance(self, text: str, start: int, mark: str) -> bool:
        """Return whether the mark begins a hash, or stands inside long base64, where short marks occur by chance."""
        if self.lead or not self.word or len(mark) > _SHORT_MARK:
            return False
        if text.endswith(_HASHES, 0, start):
            return True
        if start < _BASE64_BEFORE:
            return False
        before = text[start - _BASE64_BEFORE : start]
        if _BASE64.fullmatch(before) is None:
            return False
        return any(map(str.islower, before)) and any(map(str.isupper, before)) and any(map(str.isdigit, before))
