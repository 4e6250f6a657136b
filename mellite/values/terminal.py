"""Texts of models and files made safe to print: nothing in them steers the terminal, and what people write stays."""

from __future__ import annotations

from typing import Final

__all__ = ["encodable", "one_line", "printable"]

#: Zero-width joiner and non-joiner count as unprintable, but make one character of several in emoji and many scripts.
_JOINERS: Final = "\u200c\u200d"

#: Spaces other than that of ASCII count as unprintable, too: that of Chinese and Japanese, those that do not break.
_SPACES: Final = "\u3000\u00a0\u202f\u2009\u2002\u2003\u2007"


def one_line(text: str, most: int | None = None) -> str:
    r"""Return a text on one line, with spaces for what would steer the terminal; tabs stay.

    Args:
        text: the text.
        most: how many characters to keep of a longer one, which then ends with ``...``.

    Example:
        >>> one_line("a\nb\x1b[31m"), one_line("abcdef", 3)
        ('a b [31m', 'abc...')
    """
    line = "".join([one if _shows(one) or one == "\t" else " " for one in text[:most]])
    return f"{line}..." if most is not None and len(text) > most else line


def printable(text: str) -> str:
    r"""Return a text of several lines, with U+FFFD for what would steer the terminal or cannot be encoded.

    Example:
        >>> printable("a\nb\x1b[31m")
        'a\nb\ufffd[31m'
    """
    return "".join([one if _shows(one) or one in "\n\t" else "\ufffd" for one in text])


def encodable(text: str, encoding: str | None = None) -> str:
    r"""Return a text with escapes for what an encoding, UTF-8 by default, has no letters for.

    Example:
        >>> encodable("a\ud800"), encodable("€", "ascii")
        ('a\\ud800', '\\u20ac')
    """
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or character in _SPACES
