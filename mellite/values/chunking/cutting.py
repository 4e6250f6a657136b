"""Chunks, chunkers, and the simple ones: as sent, words, lines, paragraphs, n characters."""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol, Self, TypeAlias, final

__all__ = ["AsSent", "Chunk", "Chunker", "Cutter", "Every", "Kind", "Lines", "Paragraphs", "Words"]

#: What a chunk holds: plain text, a fenced block of code, an element of a JSON array, a member of a JSON object.
Kind: TypeAlias = Literal["text", "code", "value", "member"]


class Chunk(str):
    """A piece of a text: a str that knows where in the text it stands.

    Args:
        text: the piece itself.
        start: where it begins in the whole text, in characters; 0 begins a text.
        kind: ``code`` for a fenced block, ``value`` for an element of a JSON array, ``member`` for a key and its value
            in a JSON object, else ``text``.
        content: what is inside: the code without its fences, the JSON without what stands around it; by default all.

    Example:
        >>> from mellite import chunk
        >>> first, second = chunk("One. Two.", "sentences")
        >>> second, second.start, second.end
        ('Two.', 5, 9)
    """

    __slots__ = ("_content", "kind", "start")

    start: int
    kind: Kind
    _content: str | None

    def __new__(cls, text: str = "", start: int = 0, *, kind: Kind = "text", content: str | None = None) -> Self:
        self = str.__new__(cls, text)
        self.start = start
        self.kind = kind
        self._content = content
        return self

    @property
    def end(self) -> int:
        """The offset in the whole text just after the last character."""
        return self.start + len(self)

    @property
    def content(self) -> str:
        """The code without its fences, the JSON element without what stands around it; else the whole chunk."""
        return self if self._content is None else self._content

    def __getnewargs_ex__(self) -> tuple[tuple[str, int], dict[str, Any]]:
        return (str(self), self.start), {"kind": self.kind, "content": self._content}


class Chunker(Protocol):
    """Takes a text piece by piece and gives back the chunks that are complete."""

    def feed(self, text: str) -> Sequence[str]:
        """Take more text; return the chunks that are complete now."""
        ...

    def end(self) -> Sequence[str]:
        """End the text; return the chunks that are left."""
        ...


@final
class AsSent:
    """Every delta is a chunk, as the provider sent it."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = 0

    def feed(self, text: str) -> list[Chunk]:
        """Return the delta itself as a chunk; nothing for an empty one."""
        if not text:
            return []
        at = self._at
        self._at = at + len(text)
        return [Chunk(text, at)]

    def end(self) -> list[Chunk]:
        """Return nothing: no text is ever held back."""
        return []


class Cutter(abc.ABC):
    """The part that chunkers have in common: it keeps what is not cut off yet, as pieces that are joined once.

    A subclass looks at each new text together with the few characters that it could not decide about before.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []  # of the open chunk, looked at and decided
        self._held = ""  # the end of it, to be looked at again; a few characters
        self._at = 0  # where the open chunk begins in the whole text
        self._base = 0  # where the text that is looked at begins in the whole text
        self._text = ""
        self._from = 0
        self._out: list[Chunk] = []

    def feed(self, text: str) -> list[Chunk]:
        """Take more text; return the chunks that are complete now."""
        return self._take(self._held + text if self._held else text, final=False) if text else []

    def end(self) -> list[Chunk]:
        """End the text; return the chunk that is left, if any."""
        chunks = self._take(self._held, final=True)
        rest = "".join(self._pieces)
        self._pieces.clear()
        if rest:
            chunks.append(self._last(rest))
            self._at += len(rest)
        return chunks

    def _take(self, text: str, *, final: bool) -> list[Chunk]:
        self._text, self._from, self._out = text, 0, []
        keep = self._look(text, final=final)
        if keep > self._from:
            self._pieces.append(text[self._from : keep])
        self._held = text[keep:]
        self._base += keep
        self._text = ""
        return self._out

    def _cut(self, position: int, *, kind: Kind = "text", lead: int = 0, tail: int = 0) -> None:
        """End the open chunk at a position of the scanned text; `lead` and `tail` frame its content."""
        piece = self._text[self._from : position]
        if self._pieces:
            piece = "".join([*self._pieces, piece])
            self._pieces.clear()
        self._from = position
        if not piece:
            return
        content = None if kind == "text" else piece[lead : len(piece) - tail]
        self._out.append(Chunk(piece, self._at, kind=kind, content=content))
        self._at += len(piece)

    def _last(self, rest: str) -> Chunk:
        """Return the rest that was never cut off as a chunk, if there is any."""
        return Chunk(rest, self._at)

    @abc.abstractmethod
    def _look(self, text: str, *, final: bool) -> int:
        """Cut where a chunk ends; return the position from which the text has to be scanned again."""


@final
class Every(Cutter):
    """A number of characters each."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._length = 0

    def _look(self, text: str, *, final: bool) -> int:  # noqa: ARG002 - a position never waits for the end
        position = self._size - self._length
        while position <= len(text):
            self._cut(position)
            position += self._size
        self._length = len(text) - (position - self._size)
        return len(text)


_WORD_END: Final = re.compile(r"(?<=\S)\s")


@final
class Words(Cutter):
    """A word with the first white space after it; more of that begins the next one."""

    _in_word = False

    def _look(self, text: str, *, final: bool) -> int:  # noqa: ARG002 - white space never waits for the end
        if self._in_word and text[:1].isspace():
            self._cut(1)
        for found in _WORD_END.finditer(text):
            self._cut(found.end())
        if text:
            self._in_word = not text[-1].isspace()
        return len(text)


_LINE_END: Final = re.compile(r"\r\n?|\n")


@final
class Lines(Cutter):
    """A line with its line break: LF, CR LF or CR, and no other character."""

    def _look(self, text: str, *, final: bool) -> int:
        for found in _LINE_END.finditer(text):
            if found.end() == len(text) and text[-1] == "\r" and not final:
                return found.start()  # a LF may still come
            self._cut(found.end())
        return len(text)


@final
class Paragraphs(Cutter):
    """A paragraph with its first blank line; further ones begin the next chunk."""

    _blank_chunk = True
    _blank_line = True

    def _look(self, text: str, *, final: bool) -> int:  # noqa: ARG002 - the second line break decides
        at = 0
        while (found := text.find("\n", at)) >= 0:
            self._see(text[at:found])
            at = found + 1
            if self._blank_line and not self._blank_chunk:
                self._cut(at)
                self._blank_chunk = True
            self._blank_line = True
        self._see(text[at:])
        return len(text)

    def _see(self, part: str) -> None:
        if part and not part.isspace():
            self._blank_line = self._blank_chunk = False
