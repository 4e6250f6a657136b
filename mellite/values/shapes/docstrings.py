"""Descriptions of parameters in a docstring: Google, NumPy and reST, and mixtures; the rest of the text stays."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Final

__all__ = ["read_docstring"]

_HEADINGS: Final = (
    "args|arguments|parameters|params|keyword args|keyword arguments|other parameters|attributes|fields|members"
)
_GOOGLE: Final = re.compile(rf"\s*({_HEADINGS})\s*:\s*", re.IGNORECASE)
_NUMPY: Final = re.compile(rf"\s*({_HEADINGS})\s*", re.IGNORECASE)
_UNDERLINE: Final = re.compile(r"\s*[-=~]{3,}\s*")
_NAMES: Final = r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)"
_GOOGLE_ENTRY: Final = re.compile(rf"\s*{_NAMES}\s*(?:\(.*?\)|\[.*?\])?\s*:(?!\S)\s*(?P<text>.*)")
_NUMPY_ENTRY: Final = re.compile(rf"\s*{_NAMES}\s*(?::.*)?")
_REST_ENTRY: Final = re.compile(
    r"\s*[:@](?:param|parameter|arg|argument|key|keyword|ivar|var)\s+(?:[^:]*\s)?(?P<names>\*{0,2}\w+)\s*:\s*"
    r"(?P<text>.*)"
)
_REST_TYPE: Final = re.compile(r"\s*[:@](?:type|vartype)\s+(?P<names>\*{0,2}\w+)\s*:")


def read_docstring(text: str | None, names: Collection[str] | None = None) -> tuple[str, dict[str, str]]:
    r"""Return a docstring without what it says of parameters, and that by parameter.

    Nothing gets lost: what cannot be told to be about a parameter stays in the text.

    Args:
        text: the docstring.
        names: the parameters there are; None takes any name for one.

    Example:
        >>> read_docstring("Look up.\n\nArgs:\n    city: The city.\n\nRaises:\n    OSError: never.", ["city"])
        ('Look up.\n\nRaises:\n    OSError: never.', {'city': 'The city.'})
    """
    lines = inspect.cleandoc(text or "").split("\n")
    reader = _Reader(lines, names)
    while reader.at < len(lines):
        reader.step()
    found = {name: "\n".join([_text(lines) for lines in blocks]) for name, blocks in reader.found.items()}
    rest = re.sub(r"\n{3,}", "\n\n", "\n".join(reader.rest)).strip()
    return rest, {name: said for name, said in found.items() if said}


def _text(lines: list[str]) -> str:
    return inspect.cleandoc("\n".join(lines)).strip()


class _Reader:
    """Goes through the lines of a docstring."""

    def __init__(self, lines: list[str], names: Collection[str] | None) -> None:
        self.lines = lines
        self.names = names
        self.at = 0
        self.rest: list[str] = []
        self.found: dict[str, list[list[str]]] = {}

    def step(self) -> None:
        """Take in one line, or the block that it begins."""
        line, below = self.lines[self.at], self._line(self.at + 1)
        if _GOOGLE.fullmatch(line):
            # What is indented below the first line of a docstring is not, once the docstring's own margin is cut.
            self._block([line], _GOOGLE_ENTRY, self._deeper(_indent(line) if self.at else -1))
        elif _NUMPY.fullmatch(line) and _UNDERLINE.fullmatch(below):
            self._block([line, below], _NUMPY_ENTRY, self._section(_indent(line)))
        elif (entry := _REST_ENTRY.fullmatch(line)) and (names := self._known(entry)):
            end = self._deeper(_indent(line))
            self.at += 1
            self._begin(names, entry["text"]).extend(self._taken(end))
        elif (entry := _REST_TYPE.match(line)) and self._known(entry):
            self.at += 1
        else:
            self.rest.append(line)
            self.at += 1

    def _line(self, index: int) -> str:
        return self.lines[index] if index < len(self.lines) else ""

    def _deeper(self, depth: int) -> int:
        """Return the end of what stands below a line at a depth: the next line that is not deeper."""
        return self._end(lambda index: bool(self._line(index).strip()) and _indent(self._line(index)) <= depth)

    def _section(self, depth: int) -> int:
        """Return the end of a section of the NumPy style: the next heading with a line under it."""
        begin = self.at + 1

        def ends(index: int) -> bool:
            line = self._line(index)
            return index > begin and bool(line.strip()) and _UNDERLINE.fullmatch(self._line(index + 1)) is not None

        return self._end(
            lambda index: ends(index) or (bool(self._line(index).strip()) and _indent(self._line(index)) < depth)
        )

    def _end(self, ends: Callable[[int], bool]) -> int:
        return next((index for index in range(self.at + 1, len(self.lines)) if ends(index)), len(self.lines))

    def _taken(self, end: int) -> list[str]:
        """Take in the lines up to an end."""
        taken = self.lines[self.at : end]
        self.at = max(self.at, end)
        return taken

    def _block(self, heading: list[str], form: re.Pattern[str], end: int) -> None:
        """Take in a heading and the entries below it; what is about no parameter stays, with the heading."""
        self.at += len(heading)
        kept: list[str] = []
        current = kept
        found = False
        depth: int | None = None
        for line in self._taken(end):
            depth = _indent(line) if depth is None and line.strip() else depth
            entry = form.fullmatch(line) if line.strip() and _indent(line) == depth else None
            if entry is not None and (names := self._known(entry)):
                current = self._begin(names, entry.groupdict().get("text") or "")
                found = True
                continue
            if entry is not None or (form is _NUMPY_ENTRY and line.strip() and _indent(line) == depth):
                current = kept
            current.append(line)
        self.rest += [""] if found and not any(line.strip() for line in kept) else [*heading, *kept]

    def _known(self, entry: re.Match[str]) -> list[str]:
        """Return the parameters that an entry is about."""
        names = [name.strip().lstrip("*") for name in entry["names"].split(",")]
        return names if self.names is None or all(name in self.names for name in names) else []

    def _begin(self, names: list[str], text: str) -> list[str]:
        """Return the list for the lines about some parameters."""
        lines = [text]
        for name in names:
            self.found.setdefault(name, []).append(lines)
        return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
