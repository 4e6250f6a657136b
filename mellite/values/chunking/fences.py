"""Cut a text at its fenced code blocks: what stands between them, and each block, in turns."""

from __future__ import annotations

import re
from typing import Final, final

from .cutting import Chunk, Cutter

__all__ = ["Fences"]

_FENCE: Final = re.compile(r"[ \t]{0,15}(`{3,64}|~{3,64})([^\n]{0,256})\n")
_FENCE_AT_END: Final = re.compile(r"[ \t]{0,15}(`{3,64}|~{3,64})([^\n]{0,256})$")
_BEGUN: Final = re.compile(r"[ \t]{0,15}(?:`{0,2}|~{0,2}|(?:`{3,64}|~{3,64})[^\n]{0,256})$")


@final
class Fences(Cutter):
    r"""Fenced blocks, of back ticks or tildes, and what stands between them.

    A block has the kind ``code`` and, in ``content``, the code without its fences. It is complete with the line that
    closes it; the text before it with the line that opens it.

    Example:
        >>> fences = Fences()
        >>> [code] = fences.feed("```py\nx = 1\n```\n")
        >>> code.kind, code.content
        ('code', 'x = 1\n')
    """

    def __init__(self) -> None:
        super().__init__()
        self._fence = ""  # what opened the block that is open
        self._lead = 0
        self._line_start = True  # whether the text that is looked at begins a line

    def _look(self, text: str, *, final: bool) -> int:
        at = 0 if self._line_start else self._next_line(text, 0)
        while at < len(text):
            fence = _FENCE.match(text, at) or (_FENCE_AT_END.match(text, at) if final else None)
            if fence is not None:
                self._fenced(fence, at)
                at = fence.end()
            elif not final and _BEGUN.match(text, at):
                self._line_start = True
                return at
            else:
                at = self._next_line(text, at)
        self._line_start = text[-1:] == "\n" or (not text and self._line_start)
        return len(text)

    def _next_line(self, text: str, at: int) -> int:
        return text.find("\n", at) + 1 or len(text)

    def _fenced(self, fence: re.Match[str], at: int) -> None:
        marks, info = fence.groups()
        if not self._fence:
            if marks[0] == "`" and "`" in info:
                return  # code within a line
            self._cut(at)
            self._fence, self._lead = marks, fence.end() - at
        elif marks[0] == self._fence[0] and len(marks) >= len(self._fence) and not info.strip():
            self._fence = ""
            self._cut(fence.end(), kind="code", lead=self._lead, tail=fence.end() - at)

    def _last(self, rest: str) -> Chunk:
        if not self._fence:
            return super()._last(rest)
        return Chunk(rest, self._at, kind="code", content=rest[self._lead :])  # the closing fence never came
