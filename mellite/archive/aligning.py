"""Find out which call of one recording is which call of another: by its copy of a thunk and by what was asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Final, TypeAlias

from ..cassettes.replaying.matching import differences
from .entries import Entry

__all__ = ["Two", "aligned", "asked", "said"]

#: A call of one side, and its counterpart of the other; None where there is none.
Two: TypeAlias = tuple[Entry | None, Entry | None]

#: Up to so many pairs of calls that differ are looked at to find the nearest ones; else they are taken in order.
_MOST_PAIRS: Final = 900

#: What it weighs that two calls are not of the same copy, that they go to other places, and that one has no partner.
_OTHER_COPY: Final = 10
_OTHER_PLACE: Final = 5
_NO_REQUEST: Final = 40
_ALONE: Final = 1000


def aligned(left: Sequence[Entry], right: Sequence[Entry]) -> list[Two]:
    """Pair the calls of two recordings.

    Equal requests belong together: in their order, or wherever they are if some calls of a side ran at the same time.
    Of several equal ones those of the same copy of a thunk belong together, and else those with equal answers. Of the
    rest, those belong together that differ least, so that a changed request is not a call lost and another one added.
    """
    pool = any(_overlap(side) for side in (left, right))
    return _in_any_order(left, right) if pool else _in_order(left, right)


def _overlap(entries: Iterable[Entry]) -> bool:
    """Whether some of the calls ran at the same time."""
    spans = sorted([entry.span for entry in entries if entry.span is not None])
    return any(following[0] < span[1] for span, following in pairwise(spans))


def _in_order(left: Sequence[Entry], right: Sequence[Entry]) -> list[Two]:
    """Pair the calls of both sides in order, as a diff pairs lines."""
    by_copy = all(entry.lineage is not None for entry in (*left, *right))
    key = _of_copy if by_copy else asked
    keys = [key(entry) for entry in left], [key(entry) for entry in right]
    found: list[Two] = []
    for what, one, one_end, other, other_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        ours, theirs = left[one:one_end], right[other:other_end]
        found += zip(ours, theirs, strict=True) if what == "equal" else _nearest_in_order(ours, theirs)
    return _reunited(found)


def _reunited(found: list[Two]) -> list[Two]:
    """Pair what was asked by the same copy of a thunk, though copies were driven in another order."""
    lost: dict[Hashable, deque[int]] = {}
    for place, (one, other) in enumerate(found):
        if one is not None and other is None and one.lineage:
            lost.setdefault(_of_copy(one), deque()).append(place)
    gone: set[int] = set()
    for place, (one, other) in enumerate(found):
        if one is None and other is not None and (waiting := lost.get(_of_copy(other))):
            partner = waiting.popleft()
            found[partner] = found[partner][0], other
            gone.add(place)
    return [two for place, two in enumerate(found) if place not in gone]


def _in_any_order(left: Sequence[Entry], right: Sequence[Entry]) -> list[Two]:
    """Pair the calls of both sides by their requests, in any order."""
    partners: dict[int, int] = {}
    for key in (_of_copy_with_answer, _of_copy, _asked_with_answer, asked):
        _match(left, right, key, partners)
    ours = [place for place in range(len(left)) if place not in partners]
    theirs = sorted(set(range(len(right))) - set(partners.values()))
    partners |= _nearest(left, right, ours, theirs)
    taken = set(partners.values())
    found: list[Two] = [
        (entry, right[partners[place]] if place in partners else None) for place, entry in enumerate(left)
    ]
    return [*found, *[(None, entry) for place, entry in enumerate(right) if place not in taken]]


def _match(
    left: Sequence[Entry], right: Sequence[Entry], key: Callable[[Entry], Hashable], partners: dict[int, int]
) -> None:
    """Add pairs of calls with equal keys, each call once."""
    taken = set(partners.values())
    waiting: dict[Hashable, deque[int]] = {}
    for place, entry in enumerate(right):
        if place not in taken:
            waiting.setdefault(key(entry), deque()).append(place)
    for place, entry in enumerate(left):
        if place not in partners and (found := waiting.get(key(entry))):
            partners[place] = found.popleft()


# --- what calls are compared by -------------------------------------------------------------------


def asked(entry: Entry) -> Hashable:
    """Return what is equal for calls that ask the same."""
    sent = entry.request
    if sent is None:
        return entry.format, entry.name
    body = json.dumps(sent.body, sort_keys=True) if sent.is_json else sent.body
    return sent.method, sent.url, tuple(sorted(sent.headers.items())), body


def _of_copy(entry: Entry) -> Hashable:
    return asked(entry), entry.lineage


def said(entry: Entry) -> Hashable:
    """Return what is equal for calls that are answered alike."""
    answer = entry.answer
    words = entry.body if answer is None else (answer.text, answer.thinking, repr(answer.tool_calls), answer.error)
    return entry.status, entry.end, words


def _asked_with_answer(entry: Entry) -> Hashable:
    return asked(entry), said(entry)


def _of_copy_with_answer(entry: Entry) -> Hashable:
    return _of_copy(entry), said(entry)


# --- what differs ---------------------------------------------------------------------------------


def _apart(one: Entry, other: Entry) -> int:
    """Return how much two requests differ."""
    copies = _OTHER_COPY if None not in (one.lineage, other.lineage) and one.lineage != other.lineage else 0
    if one.request is None or other.request is None:
        return copies + _NO_REQUEST
    found = differences(one.request, other.request)
    return copies + sum([_OTHER_PLACE if each.section in ("method", "url") else 1 for each in found])


def _is_text(entries: Iterable[Entry]) -> bool:
    """Whether some are text cassettes, of which two with different keys are never the same call."""
    return any(entry.format == "text" for entry in entries)


def _alone(ours: Iterable[Entry], theirs: Iterable[Entry]) -> list[Two]:
    return [*[(entry, None) for entry in ours], *[(None, entry) for entry in theirs]]


def _nearest_in_order(ours: Sequence[Entry], theirs: Sequence[Entry]) -> list[Two]:
    """Pair as many calls as can be, in order, so that the pairs differ as little as can be."""
    if not ours or not theirs or _is_text([*ours, *theirs]):
        return _alone(ours, theirs)
    if len(ours) == len(theirs) or len(ours) * len(theirs) > _MOST_PAIRS:
        common = min(len(ours), len(theirs))
        return [*zip(ours[:common], theirs[:common], strict=True), *_alone(ours[common:], theirs[common:])]
    # The edit distance of Wagner and Fischer: what the rest of both sides costs, from each place on.
    rest = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    apart = [[_apart(one, other) for other in theirs] for one in ours]
    for i in range(len(ours), -1, -1):
        for j in range(len(theirs), -1, -1):
            ways = [_ALONE + rest[i + 1][j]] if i < len(ours) else []
            ways += [_ALONE + rest[i][j + 1]] if j < len(theirs) else []
            ways += [apart[i][j] + rest[i + 1][j + 1]] if i < len(ours) and j < len(theirs) else []
            rest[i][j] = min(ways, default=0)
    return _way_back(ours, theirs, apart, rest)


def _way_back(
    ours: Sequence[Entry], theirs: Sequence[Entry], apart: list[list[int]], rest: list[list[int]]
) -> list[Two]:
    """Return the pairs on the way that costs least."""
    found: list[Two] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if rest[i][j] == apart[i][j] + rest[i + 1][j + 1]:
            found.append((ours[i], theirs[j]))
            i, j = i + 1, j + 1
        elif rest[i][j] == _ALONE + rest[i + 1][j]:
            found.append((ours[i], None))
            i += 1
        else:
            found.append((None, theirs[j]))
            j += 1
    return [*found, *_alone(ours[i:], theirs[j:])]


def _nearest(left: Sequence[Entry], right: Sequence[Entry], ours: list[int], theirs: list[int]) -> dict[int, int]:
    """Pair as many calls as possible, in any order, the most similar first. Return the places of the partners."""
    if _is_text([*left, *right]):
        return {}
    if len(ours) * len(theirs) > _MOST_PAIRS:
        return dict(zip(ours, theirs, strict=False))
    ranked = sorted(
        [(_apart(left[one], right[other]), abs(one - other), one, other) for one in ours for other in theirs]
    )
    partners: dict[int, int] = {}
    for _, _, one, other in ranked:
        if one not in partners and other not in partners.values():
            partners[one] = other
    return partners
