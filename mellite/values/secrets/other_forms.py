r"""The other forms a secret hides in: escapes of JSON and URLs, colours of terminals, base64, also over many lines."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

__all__ = ["decoded", "long_words", "plain_forms"]

# --- escapes and colours ----------------------------------------------------------------------------

_UNICODE_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPES: Final = (("\\n", "\n"), ('\\"', '"'), ("\\r", "\r"), ("\\t", "\t"), ("\\b", "\b"), ("\\f", "\f"))
_PERCENT: Final = re.compile("%[0-9A-Fa-f]{2}")
#: How often a text may be written for URLs and then again.
_TIMES_QUOTED: Final = 3
# The colours and other settings of a terminal: ECMA-48 section 5.4, and how they are written in source code.
_CONTROL: Final = re.compile("\x1b\\[[0-9;?]{0,12}[A-Za-z]")
_WRITTEN_CONTROLS: Final = ("\\x1b[", "\\x1B[", "\\033[", "\\e[")


def plain_forms(text: str) -> tuple[str, ...]:
    r"""Return what *text* says without its escapes: one form, or two where terminal colours may stand inside a word.

    Example:
        >>> plain_forms('{"a": "x\\n\\u0041%20B"}')
        ('{"a": "x\nA B"}',)
    """
    if "\\" in text:
        text = _unescaped(text)
    joined = None
    if "\x1b" in text:
        joined, text = _CONTROL.sub("", text), _CONTROL.sub(" ", text)
    forms = (text,) if joined is None else (text, joined)
    return tuple([_unquoted(form) for form in forms]) if "%" in text else forms


def _unescaped(text: str) -> str:
    """Remove backslashes, however many levels of JSON in JSON they come from."""
    while "\\\\" in text:
        text = text.replace("\\\\", "\\")
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    for escape in _WRITTEN_CONTROLS:
        text = text.replace(escape, "\x1b[")
    if "\\u" in text:
        text = _UNICODE_ESCAPE.sub(_character, text)
    return text.replace("\\", "")


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _unquoted(text: str) -> str:
    for _ in range(_TIMES_QUOTED):
        if _PERCENT.search(text) is None:
            break
        text = unquote(text)
    return text


# --- long words -------------------------------------------------------------------------------------

# Secrets are long words, and most of a text is short ones: a table and a search for a run of x find them 20 times as
# fast as a regular expression does.
_WORD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/.=-")
_IN_WORD: Final = bytes([ord("x") if byte in _WORD else ord(" ") for byte in range(256)])
_SHORTEST: Final = 20
_SHORTEST_WORD: Final = b"x" * _SHORTEST
#: Base64 is cut into lines of 64 or 76 characters (RFC 7468 section 2, RFC 2045 section 6.8), which may be indented.
_SHORTEST_LINE: Final = 48
_LONGEST_INDENT: Final = 16


def long_words(text: str) -> list[str]:
    """Return the long words of a text, each once: they may hold keys, tokens or base64. Lines of base64 are joined.

    Example:
        >>> long_words("It is sk-abcdefghijklmnopqrstuvwx, or sk-abcdefghijklmnopqrstuvwx.")
        ['sk-abcdefghijklmnopqrstuvwx', 'sk-abcdefghijklmnopqrstuvwx.']
    """
    data = text.encode(errors="replace")
    mask = data.translate(_IN_WORD)
    found: dict[bytes, None] = {}
    lines: list[bytes] = []  # of one piece of base64
    before = -_LONGEST_INDENT - 1  # where the last word ended
    start = mask.find(_SHORTEST_WORD)
    while start >= 0:
        if lines and (start - before > _LONGEST_INDENT or not data[before:start].isspace()):
            found[_together(lines, data, mask, before)] = None
            lines = []
        end = mask.find(b" ", start)
        end = len(mask) if end < 0 else end
        word = data[start:end]
        found[word] = None
        if lines or end - start >= _SHORTEST_LINE:
            lines.append(word)
        before = end
        start = mask.find(_SHORTEST_WORD, end)
    if lines:
        found[_together(lines, data, mask, before)] = None
    return b"\n".join(found).decode().split("\n") if found else []


def _together(lines: list[bytes], data: bytes, mask: bytes, end: int) -> bytes:
    """Join lines of base64 with the last one, which may be short."""
    start = mask.find(b"x", end, end + _LONGEST_INDENT + 1)
    if start >= 0 and data[end:start].isspace():
        last = mask.find(b" ", start)
        lines.append(data[start : len(mask) if last < 0 else last])
    return b"".join(lines)


# --- base64 -----------------------------------------------------------------------------------------

_BASE64: Final = str.maketrans("-_=.", "+/  ")
#: In a longer word, base64 is only looked for from its beginning on.
_LONGEST_AT_ANY_PLACE: Final = 4096
_READABLE: Final = re.compile(rb"[\n\r\t -~]{8}")


def decoded(words: Iterable[str]) -> str:
    """Decode words as base64, from any of their characters unless they are long.

    Example:
        >>> "here is a secret." in decoded(["aGVyZSBpcyBhIHNlY3JldC4="])
        True
    """
    found: list[bytes] = []
    for word in words:
        if len(word) <= _LONGEST_AT_ANY_PLACE:
            found += _decoded_at_any_place(word)
        else:
            for piece in word.translate(_BASE64).split():
                found += _readable(_decoded(piece)) if len(piece) >= _SHORTEST else ()
    return b"\n".join(found).decode("latin-1")


@lru_cache(maxsize=4096)
def _decoded_at_any_place(word: str) -> tuple[bytes, ...]:
    """Return what is readable of a word. Cached, as answers repeat most words: models, names of fields."""
    texts = [
        _decoded(piece[shift:])
        for piece in word.translate(_BASE64).split()
        if len(piece) >= _SHORTEST
        for shift in range(4)
    ]
    return tuple([text for text in texts if _READABLE.search(text) is not None])


_PRINTABLE: Final = bytes([ord("x") if byte in b"\n\r\t" or 32 <= byte < 127 else ord(" ") for byte in range(256)])
_SHORTEST_READABLE: Final = b"x" * 12


def _readable(data: bytes) -> list[bytes]:
    """Return the readable pieces of bytes; none of a picture."""
    mask = data.translate(_PRINTABLE)
    found: list[bytes] = []
    start = mask.find(_SHORTEST_READABLE)
    while start >= 0:
        end = mask.find(b" ", start)
        end = len(mask) if end < 0 else end
        found.append(data[start:end])
        start = mask.find(_SHORTEST_READABLE, end)
    return found


def _decoded(piece: str) -> bytes:
    with suppress(binascii.Error):
        return binascii.a2b_base64(piece + "A" * (-len(piece) % 4))
    return b""
