"""Cut a text into sentences: abbreviations, decimals, quotes, lists and the full stops of other scripts.

A sentence ends

- with ``.``, ``!``, ``?`` or ``…`` (and the quotes and brackets that close after it) before white space. A full stop
  does not end one inside 3.14 or example.com, nor after an abbreviation (Dr., e.g., Fig. 2), an initial (J. Smith) or
  the number of a list (1.); an ellipsis or a closing quote does not if it goes on in lower case ("Why?" he asked);
- with 。, ！, ？, ।, ። and their like, without white space;
- with a line break before a blank line, a list item, a heading, a quote, a table or a code fence.

The first white space belongs to the sentence before it, so that a sentence is complete as soon as that is there.
Rules, not a language model: a wrong guess moves a border, and never loses text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from .cutting import Cutter

__all__ = ["Sentences"]

#: How far back a rule looks, in characters: the word before a full stop, the beginning of its line.
_CONTEXT: Final = 32

#: How many closing quotes, or how much white space, a rule looks past.
_RUN: Final = 8

_END: Final = re.compile(r"[.!?…‼⁇⁈⁉؟۔]{1,8}|[。！？｡．।॥።။។]{1,8}|\n")
_FULL: Final = frozenset("。！？｡．।॥።။។")
_CLOSING: Final = re.compile(r"""["'”’»›)\]}*_`」』）】》〉]{0,8}""")
_QUOTES: Final = frozenset("\"'”’»›)]}")
_SPACE: Final = re.compile(r"\s{0,8}")
_WORD: Final = re.compile(r"[^\s(\[{\"'“‘*_]*$")
_MARKER: Final = re.compile(r"[^\S\n]{0,8}(?:(\n)|[-*+•]\s|#{1,6}\s|\d{1,3}[.)]\s|>|\||```)")
_MARKER_BEGUN: Final = re.compile(r"[^\S\n]{0,8}(?:[-*+•]|#{1,6}|\d{1,3}[.)]?|`{1,2})?$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Never the end of a sentence, whatever follows.
_ABBREVIATIONS: Final = _words(
    "adm al approx brig capt cf cmdr col cpl dr e.g eg gen gov hon i.e ie lt maj messrs mlle mme mr mrs ms mt mx pres "
    "prof rep resp rev sen sgt st viz vs z.b d.h u.a bzw ca"
)

#: Abbreviations only before a number: "No. 5", but "He said no."
_NUMBERED: Final = _words("art ch chap eq fig figs no nos nr p par pp sec vol")

#: They may end a sentence; they do not where it goes on in lower case or with a comma.
_EITHER: Final = _words("a.m p.m co corp dept est etc inc jr ltd sr univ")

#: A. A. Milne, U.S., Ph.D.; but not "I", which ends sentences.
_INITIALS: Final = re.compile(r"(?!I$)[A-ZÀ-ÖØ-Þ]|(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")


@final
class Sentences(Cutter):
    """Sentences, as the module describes them."""

    def __init__(self) -> None:
        super().__init__()
        self._before = "\n"  # the last characters that are decided; a text begins like a line
        self._blank = True  # whether the open chunk is white space so far

    def _look(self, text: str, *, final: bool) -> int:
        offset = len(self._before)
        whole = self._before + text
        at = offset
        keep = len(whole)
        for found in _END.finditer(whole, offset):
            if found.start() < at:
                continue  # the second line break of a blank line: cut off already
            if self._blank and at < found.start():
                self._blank = whole[at : found.start()].isspace()
            at = found.start()
            cut = self._line_end(whole, found.end()) if whole[at] == "\n" else self._mark(whole, found, final=final)
            if cut is None and not final:
                keep = at
                break
            if cut is not None and cut > 0:
                self._cut(cut - offset)
                self._blank = True
                at = cut
            elif whole[at] != "\n":
                self._blank = False
                at = found.end()
        if self._blank and at < keep:
            self._blank = whole[at:keep].isspace()
        self._before = whole[max(0, keep - _CONTEXT) : keep]
        return keep - offset

    # Each rule gives where to cut, 0 for nowhere, or None if it has to see more of the text.

    def _line_end(self, whole: str, after: int) -> int | None:
        if self._blank:
            return 0
        marker = _MARKER.match(whole, after)
        if marker is not None:
            return marker.end() if marker.group(1) else after
        return None if _MARKER_BEGUN.match(whole, after) else 0

    def _mark(self, whole: str, found: re.Match[str], *, final: bool) -> int | None:
        closing = _CLOSING.match(whole, found.end())
        after = closing.end() if closing is not None else found.end()
        if after == len(whole):
            return None
        full = whole[found.start()] in _FULL
        space = whole[after]
        if not space.isspace():
            return after if full else 0
        if space == "\r":
            if after + 1 == len(whole) and not final:
                return None
            after += whole.startswith("\n", after + 1)
        if full:
            return after + 1
        goes_on = _goes_on(whole, found, whole[found.end() : after])
        if isinstance(goes_on, bool):
            return 0 if goes_on else after + 1
        following = _SPACE.match(whole, after)
        ahead = following.end() if following is not None else after
        if ahead - after == _RUN:
            return after + 1
        if ahead == len(whole):
            return None
        return 0 if goes_on(whole[ahead]) else after + 1


def _goes_on(whole: str, found: re.Match[str], closing: str) -> bool | Callable[[str], bool]:
    """Return whether a sentence goes on after a mark and white space, or what the next character must be for that."""
    mark = found.group()
    if _QUOTES & set(closing) or mark[-1] == "…" or mark.endswith(".."):
        return _is_low
    if mark != ".":
        return False
    start = max(0, found.start() - _CONTEXT)
    word = _WORD.search(whole, start, found.start())
    token = word.group() if word is not None else ""
    bare = token.lower()
    if bare in _NUMBERED:
        return str.isdigit
    if bare in _EITHER:
        return _is_low
    if token.isdigit() and len(token) <= 3:
        return whole[start : found.start() - len(token)].rstrip(" \t").endswith("\n")
    return bare in _ABBREVIATIONS or _INITIALS.fullmatch(token) is not None


def _is_low(character: str) -> bool:
    return character.islower() or character in ",;:"
