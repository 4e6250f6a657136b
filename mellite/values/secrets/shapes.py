"""Find and mask keys by their look: the whole table of shapes, and the search by it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Final

from attrs import frozen

from .cloud_keys import CLOUD_KEYS
from .general_forms import GENERAL_FORMS
from .keyshape import KeyShape, is_allowed
from .model_keys import MODEL_KEYS
from .other_forms import long_words, plain_forms
from .service_keys import SERVICE_KEYS

__all__ = [
    "END_OF_PRIVATE_KEY",
    "REDACTED",
    "SHAPES",
    "begun_private_key",
    "looks_secret",
    "masked",
    "may_match",
    "shapes_in",
]

#: What stands where a secret was.
REDACTED: Final = "[REDACTED]"

_LONGEST_WORD: Final = 4096
_LONGEST_KEY: Final = 400
#: Longer words are not kept in mind.
_LONGEST_KEPT: Final = 1024

#: All shapes that are known.
SHAPES: Final[tuple[KeyShape, ...]] = (*GENERAL_FORMS, *MODEL_KEYS, *CLOUD_KEYS, *SERVICE_KEYS)


def shapes_in(
    text: str, long: Sequence[str] | None = None, *, allowed: Collection[str] = ()
) -> Iterator[tuple[KeyShape, str]]:
    """Find the secrets that a text has in it, by their look: of each kind the first.

    Args:
        text: what to look at, without escapes; see `plain_forms`.
        long: its long words, if they are known already.
        allowed: what is not a secret, though it looks like one.

    Example:
        >>> [shape.name for shape, _ in shapes_in("Use sk-ant-api03-abcdefghijklmnop.")]
        ['Anthropic key', "key of OpenAI's form"]
    """
    words = [_ends(word) for word in (long_words(text) if long is None else long)]
    joined = "\n".join(words)
    for row in sorted({row for word in words for row in _rows_of(word)}):
        secret = SHAPES[row].search(joined, allowed)
        if secret is not None:
            yield SHAPES[row], secret
    for row in _index().phrases(text):
        secret = SHAPES[row].search(text, allowed)
        if secret is not None:
            yield SHAPES[row], secret


def may_match(text: str, long: Sequence[str]) -> bool:
    """Cheap check whether `shapes_in` may find something in a text with these long words."""
    for word in long:
        if len(word) > _LONGEST_KEPT or _rows_of_known(word):
            return True
    return any(SHAPES[row].search(text) is not None for row in _index().phrases(text))


def _rows_of(word: str) -> Sequence[int]:
    """Return the rows that a long word matches."""
    return _rows_of_known(word) if len(word) <= _LONGEST_KEPT else _rows_matching(word)


def _rows_matching(word: str) -> tuple[int, ...]:
    return tuple([row for row in _index().words(word) if SHAPES[row].search(word) is not None])


#: Cached, as answers repeat most words: models, addresses, names of fields.
_rows_of_known: Final = lru_cache(maxsize=4096)(_rows_matching)


def _ends(word: str) -> str:
    """Return a word; of the base64 of a picture only both ends, as no key is in the middle."""
    if len(word) <= _LONGEST_WORD or "-" in word or "_" in word or "." in word:
        return word
    return f"{word[:_LONGEST_KEY]}\n{word[-_LONGEST_KEY:]}"


def looks_secret(text: str, known: Collection[str] = ()) -> bool:
    """Return whether a text holds something of the shape of a key, or one of the `known` secrets.

    Example:
        >>> looks_secret("Authorization: Bearer abcdefghijklmnop"), looks_secret("Say hello.")
        (True, False)
    """
    if any(secret in text for secret in known):
        return True
    return any(next(shapes_in(form), None) is not None for form in plain_forms(text))


# --- masks ------------------------------------------------------------------------------------------

#: Ends a private key.
END_OF_PRIVATE_KEY: Final = re.compile("-----END [A-Z ]{0,40}PRIVATE KEY-----")

#: A whole private key, also one whose line breaks are escapes, or that was cut off.
_PEM: Final = re.compile(rf"-----BEGIN [A-Z ]{{0,40}}PRIVATE KEY.*?(?:{END_OF_PRIVATE_KEY.pattern}|\Z)", re.DOTALL)

#: What stands between the delimiters of URLs (RFC 3986 section 2.2), JSON and prose.
_WORD_OF_URL: Final = re.compile(r"[^\s\"'<>&=?#/\\;,{}\[\]]+")


def masked(text: str, known: Collection[str] = (), *, allowed: Collection[str] = ()) -> str:
    """Return a text with everything in it replaced that looks like a key.

    Args:
        text: any text; what is masked already stays as it is.
        known: more texts to replace.
        allowed: what is not a secret, though it looks like one.

    Example:
        >>> masked("Use sk-abcdefghijklmnopqrstuvwxyz.")
        'Use [REDACTED].'
        >>> masked("https://example.com/?state=1%2F%2F0abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMN&page=2")
        'https://example.com/?state=[REDACTED]&page=2'
    """
    clean = _masked(text, known, allowed)
    if "%" not in clean:
        return clean
    return _WORD_OF_URL.sub(lambda found: _without_quoted(found.group(), known, allowed), clean)


def begun_private_key(text: str) -> int | None:
    """Return where a private key begins that does not end in the text; None if there is none.

    Example:
        >>> begun_private_key("It is -----BEGIN PRIVATE KEY-----MIIE"), begun_private_key("It is none.")
        (6, None)
    """
    if "PRIVATE KEY" not in text:
        return None
    last = max([found.start() for found in _PEM.finditer(text)], default=None)
    return None if last is None or END_OF_PRIVATE_KEY.search(text, last) else last


def _without_quoted(word: str, known: Collection[str], allowed: Collection[str]) -> str:
    """Return a word of a URL, or the mask where a key is in it whose punctuation is written as ``%2F``."""
    if "%" not in word:
        return word
    secret = any(_masked(form, known, allowed) != form for form in plain_forms(word))
    return REDACTED if secret and word not in allowed else word


def _masked(text: str, known: Collection[str], allowed: Collection[str]) -> str:
    """Mask what stands as it is in the text."""
    for value in known:
        if value and value not in allowed:
            text = text.replace(value, REDACTED)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(REDACTED, text)
    for shape in SHAPES:
        if any(mark in text for mark in shape.marks):
            text = _without(text, shape, allowed)
    return text


def _without(text: str, shape: KeyShape, allowed: Collection[str]) -> str:
    spans = sorted({_secret_span(found) for found in shape.matches(text)})
    pieces: list[str] = []
    kept = 0
    for start, end in spans:
        secret = text[start:end]
        if start >= kept and not is_allowed(secret, allowed):
            pieces += [text[kept:start], REDACTED]
            kept = end
    return "".join(pieces) + text[kept:] if pieces else text


def _secret_span(found: re.Match[str]) -> tuple[int, int]:
    return found.span("secret" if "secret" in found.re.groupindex else 0)


# --- which rows are worth a try ---------------------------------------------------------------------

_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_APART: Final = bytes([byte if byte in _LETTERS else ord(" ") for byte in range(256)])
_LETTERS_FIRST: Final = re.compile("[A-Za-z0-9]*")


@frozen
class _Index:
    """The rows by how their marks begin, so that nearly all texts are done with after a look at sets.

    Args:
        whole: rows by the letters and digits that their marks begin with, where another character follows.
        beginnings: rows by the first two or three of them, where a letter or a digit follows.
        inside: rows whose mark stands inside of the key, and the mark.
        of_phrases: rows that are not long words, and their marks, by what each such secret has in small letters.
    """

    whole: dict[bytes, list[int]]
    beginnings: dict[bytes, list[int]]
    inside: list[tuple[str, int]]
    of_phrases: dict[str, list[tuple[str, int]]]

    def words(self, word: str) -> list[int]:
        """Return the rows that a long word may match."""
        parts = word.encode().translate(_APART).split()
        rows: set[int] = set()
        for name in self.whole.keys() & parts:
            rows.update(self.whole[name])
        for name in self.beginnings.keys() & {part[:length] for part in parts for length in (2, 3)}:
            rows.update(self.beginnings[name])
        rows.update([row for mark, row in self.inside if mark in word])
        return sorted(rows)

    def phrases(self, text: str) -> list[int]:
        """Return the rows that are not long words and may match in a text."""
        lower = text.lower()
        found = [marks for shared, marks in self.of_phrases.items() if shared in lower]
        rows = {row for marks in found for mark, row in marks if mark in text} if found else ()
        return sorted(rows)


def _shared(shape: KeyShape) -> str:
    """Return a text that each secret of a kind has in it, in small letters; of several the longest."""
    if shape.needs:
        return shape.needs.lower()
    first, *others = [mark.lower() for mark in shape.marks]
    texts = [first[start:end] for start in range(len(first)) for end in range(start + 1, len(first) + 1)]
    return max([text for text in texts if all(text in other for other in others)], key=len)


@lru_cache(maxsize=1)
def _index() -> _Index:
    index = _Index({}, {}, [], {})
    for row, shape in enumerate(SHAPES):
        for mark in shape.marks:
            if not shape.word:
                index.of_phrases.setdefault(_shared(shape), []).append((mark, row))
                continue
            first = _LETTERS_FIRST.match(mark)
            name = "" if first is None else first.group()
            if shape.lead or not name:
                index.inside.append((mark, row))
            elif name == mark:
                index.beginnings.setdefault(name[:3].encode(), []).append(row)
            else:
                index.whole.setdefault(name.encode(), []).append(row)
    return index
