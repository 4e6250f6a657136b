"""Cut a text into chunks while it arrives; the chunks add up to the text exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from .errors import InvalidRequest

__all__ = ["AsSent", "Chunker", "Chunking", "Split", "chunker_for"]

#: How to cut: None for as sent, or a function that cuts a whole text into consecutive pieces.
Chunking: TypeAlias = "Callable[[str], Sequence[str]] | None"


class Chunker(Protocol):
    """Takes the text piece by piece and gives back what is ready."""

    def feed(self, text: str) -> list[str]: ...

    def end(self) -> list[str]: ...


class AsSent:
    """Every delta is a chunk, as the provider sent it."""

    def feed(self, text: str) -> list[str]:
        return [text] if text else []

    def end(self) -> list[str]:
        return []


class Split:
    r"""Cut with a function from a text to its pieces; the last piece waits, because it may still grow.

    Raises:
        InvalidRequest: if the pieces do not add up to the text.

    Example:
        >>> lines = Split(lambda text: text.splitlines(keepends=True))
        >>> lines.feed("one\ntw"), lines.feed("o"), lines.end()
        (['one\n'], [], ['two'])
    """

    def __init__(self, cut: Callable[[str], Sequence[str]]) -> None:
        self._cut = cut
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        pieces = self._pieces(self._rest + text)
        self._rest = pieces.pop() if pieces else ""
        return pieces

    def end(self) -> list[str]:
        rest, self._rest = self._rest, ""
        return [rest] if rest else []

    def _pieces(self, text: str) -> list[str]:
        pieces = [piece for piece in self._cut(text) if piece]
        if "".join(pieces) != text:
            name = getattr(self._cut, "__name__", repr(self._cut))
            msg = f"the chunking {name} loses or adds text: its pieces must add up to the text exactly"
            raise InvalidRequest(msg, parameter="chunking")
        return pieces


def chunker_for(chunking: Chunking) -> Chunker:
    """A fresh chunker of this kind.

    Raises:
        InvalidRequest: if it is neither None nor a function.
    """
    if chunking is None:
        return AsSent()
    if callable(chunking):
        return Split(chunking)
    msg = f"chunking must be None or a function from a text to its pieces, not {chunking!r}"
    raise InvalidRequest(msg, parameter="chunking")
