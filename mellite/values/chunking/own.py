"""Custom chunkers: a function, a regular expression, or an object; text that they lose is noticed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from ..errors import InvalidRequest
from ..shortened import shortened
from ..told_errors import error_line
from ..type_names import a_type_name
from .cutting import Chunk, Chunker

__all__ = ["ByPattern", "Own", "Split"]

#: An open chunk longer than this is looked at again only when it has grown by a sixteenth: looking at all of it with
#: each delta would take time quadratic in its length.
_LONG: Final = 1024

#: How much of the text before a chunk a regular expression may look back at, in characters.
_CONTEXT: Final = 256


def _due(length: int) -> int:
    """Return the length at which an open chunk of this length is scanned again."""
    return length + 1 if length <= _LONG else length + (length >> 4)


@final
class Split:
    r"""Cut with a function from a text to its pieces; the last piece waits, because it may still grow.

    What the function cuts off must not depend on the text after the piece that follows: then the chunks are the
    same however the text arrives.

    Raises:
        InvalidRequest: if the pieces do not add up to the text, or the function raises.

    Example:
        >>> lines = Split(lambda text: text.splitlines(keepends=True))
        >>> lines.feed("one\ntw"), lines.feed("o"), lines.end()
        (['one\n'], [], ['two'])
    """

    def __init__(self, cut: Callable[[str], Sequence[str]]) -> None:
        self._cut = cut
        self._parts: list[str] = []
        self._length = 0
        self._due = 1
        self._at = 0

    def feed(self, text: str) -> list[Chunk]:
        """Take more text; return all pieces but the last."""
        self._parts.append(text)
        self._length += len(text)
        if self._length < self._due:
            return []
        pieces = self._pieces("".join(self._parts))
        rest = pieces.pop() if pieces else ""
        self._keep(rest)
        return self._chunks(pieces)

    def end(self) -> list[Chunk]:
        """Return the last piece; several if the last text has not been scanned yet."""
        text = "".join(self._parts)
        pieces = self._pieces(text) if text else []
        self._keep("")
        return self._chunks(pieces)

    def _keep(self, rest: str) -> None:
        self._parts = [rest] if rest else []
        self._length = len(rest)
        self._due = _due(self._length)

    def _pieces(self, text: str) -> list[str]:
        name = getattr(self._cut, "__name__", repr(self._cut))
        try:
            pieces = [piece for piece in self._cut(text) if piece]
            whole = "".join(pieces)
        except Exception as error:
            self._keep("")
            msg = f"the chunking {name} raised {error_line(error)} instead of giving the pieces of a text"
            raise InvalidRequest(msg, parameter="chunking") from error
        if whole != text:
            self._keep("")
            msg = f"the chunking {name} loses or adds text: its pieces must add up to the text exactly"
            raise InvalidRequest(msg, parameter="chunking")
        return pieces

    def _chunks(self, pieces: list[str]) -> list[Chunk]:
        chunks = []
        for piece in pieces:
            chunks.append(Chunk(piece, self._at))
            self._at += len(piece)
        return chunks


@final
class ByPattern:
    """A chunk ends with each match of a regular expression; a match at the end of the text waits for more.

    The expression may look back 256 characters, and one character ahead: what it matches must not depend on
    text further on. Python's ``re`` can take exponential time for some patterns: use none that you were sent.

    Example:
        >>> import re
        >>> clauses = ByPattern(re.compile(r"[,;] *"))
        >>> clauses.feed("one, two;"), clauses.feed(" three"), clauses.end()
        (['one, '], ['two; '], ['three'])
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._parts: list[str] = []
        self._length = 0  # of what is kept, context included
        self._due = 1
        self._start = 0  # where the open chunk begins in what is kept
        self._at = 0

    def feed(self, text: str) -> list[Chunk]:
        """Take more text; return the chunks that end in it."""
        self._parts.append(text)
        self._length += len(text)
        return self._cut(final=False) if self._length - self._start >= self._due else []

    def end(self) -> list[Chunk]:
        """End the text; return the chunk that is left, if any."""
        return self._cut(final=True)

    def _cut(self, *, final: bool) -> list[Chunk]:
        text = "".join(self._parts)
        start, chunks = self._start, []
        while (end := self._match_end(text, start)) is not None and (end < len(text) or final):
            chunks.append(self._chunk(text[start:end]))
            start = end
        if final and start < len(text):
            chunks.append(self._chunk(text[start:]))
            start = len(text)
        before = max(0, start - _CONTEXT)
        self._parts = [text[before:]]
        self._length = len(text) - before
        self._start = start - before
        self._due = _due(len(text) - start)
        return chunks

    def _match_end(self, text: str, start: int) -> int | None:
        return next((found.end() for found in self._pattern.finditer(text, start) if found.end() > start), None)

    def _chunk(self, piece: str) -> Chunk:
        made = Chunk(piece, self._at)
        self._at += len(piece)
        return made


@final
class Own:
    """A chunker that the caller wrote. Each character that it returns is compared once with what it was given.

    Raises:
        InvalidRequest: if its chunks are not the text, piece by piece and all of it, or it raises.
    """

    def __init__(self, chunker: Chunker) -> None:
        self._chunker = chunker
        self._fed: deque[str] = deque()
        self._used = 0  # how much of the first of them has come back
        self._at = 0
        self._broken = False

    def feed(self, text: str) -> list[Chunk]:
        """Return what the wrapped chunker gives for this text."""
        if not text:
            return []
        self._fed.append(text)
        return self._chunks(self._chunker.feed, text)

    def end(self) -> list[Chunk]:
        """Return what the wrapped chunker gives at the end; by then it must have given all of the text."""
        if self._broken:
            return []
        chunks = self._chunks(self._chunker.end)
        if self._fed:
            lost = "".join(self._fed)[self._used :]
            wrong = self._wrong(f"loses text: {_shown(lost)} was fed and never came back")
            raise wrong
        return chunks

    def _chunks(self, call: Callable[..., Sequence[str]], *args: Any) -> list[Chunk]:
        try:
            pieces = list(call(*args))
        except Exception as error:
            wrong = self._wrong(f"raised {error_line(error)}")
            raise wrong from error
        chunks = []
        for piece in pieces:
            if not isinstance(piece, str):
                wrong = self._wrong(f"gave {a_type_name(type(piece))}, not a str")
                raise wrong
            self._claim(piece)
            if piece:
                kind = piece.kind if isinstance(piece, Chunk) else "text"
                content = piece.content if isinstance(piece, Chunk) and piece.content is not piece else None
                chunks.append(Chunk(piece, self._at, kind=kind, content=content))
                self._at += len(piece)
        return chunks

    def _claim(self, piece: str) -> None:
        """Take a piece off the text that was fed. Each character is compared once."""
        at = 0
        while at < len(piece):
            if not self._fed:
                wrong = self._wrong(f"adds text: {_shown(piece[at:])} was never fed")
                raise wrong
            head = self._fed[0]
            size = min(len(head) - self._used, len(piece) - at)
            if head[self._used : self._used + size] != piece[at : at + size]:
                wrong = self._wrong(f"gave {_shown(piece)} where the text goes on with {_shown(head[self._used :])}")
                raise wrong
            at += size
            self._used += size
            if self._used == len(head):
                self._fed.popleft()
                self._used = 0

    def _wrong(self, what: str) -> InvalidRequest:
        self._broken = True
        msg = f"the chunker {type(self._chunker).__name__} {what}; its chunks must be the text, in order and all of it"
        return InvalidRequest(msg, parameter="chunking")


def _shown(text: str) -> str:
    return repr(shortened(text, 40))
