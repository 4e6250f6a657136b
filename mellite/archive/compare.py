"""Compare two cassettes: which requests differ, which answers changed, and what that means in tokens and dollars."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from decimal import Decimal
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen

from ..cassettes.files.find import Failed
from ..cassettes.replaying.matching import Difference, differences
from ..values.prices.amounts import EXACT
from ..values.prices.totals import Totals
from ..values.secrets.names import environment_secrets
from ..values.usage import Usage
from .entries import Answer, Entry, entries_below

__all__ = ["CHANGES", "Change", "Comparison", "Pair", "compare"]

#: ``same``: nothing differs. ``answer``: the same request, another answer. ``request``: the request differs.
#: ``removed``, ``added``: only the first, or only the second cassette has the call.
Change: TypeAlias = Literal["same", "answer", "request", "removed", "added"]

CHANGES: Final[tuple[Change, ...]] = ("same", "answer", "request", "removed", "added")


@frozen(kw_only=True)
class Pair:
    """A call of one cassette and the matching call of the other.

    Args:
        change: how they differ.
        left: the call in the first cassette; None if only the second has it.
        right: the call in the second cassette; None if only the first has it.
        request: the differences between the requests.
        answer: the differences between the answers: the field, its first and its second value.
        file: the name of the file in both folders; empty if two files, or text cassettes, are compared.
    """

    change: Change
    left: Entry | None = None
    right: Entry | None = None
    request: tuple[Difference, ...] = ()
    answer: tuple[tuple[str, Any, Any], ...] = ()
    file: str = ""

    @property
    def name(self) -> str:
        """The name of the call: its file, if there are several, and its number, or both numbers if they differ."""
        numbers = dict.fromkeys([entry.name for entry in (self.left, self.right) if entry is not None])
        return f"{self.file} {'/'.join(numbers)}".lstrip()


@frozen(kw_only=True)
class Comparison:
    """Two cassettes beside each other.

    Args:
        pairs: every call of both, in order.
        input_tokens: how many more the second used; likewise `output_tokens` and, in USD, `cost_usd`. None if that of
            one call that differs is unknown. One that was refused with an HTTP error used nothing.
    """

    pairs: tuple[Pair, ...]
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return all(pair.change == "same" for pair in self.pairs)

    @property
    def first(self) -> Pair | None:
        """The first call whose request differs, or that only one side has."""
        return next((pair for pair in self.pairs if pair.change in ("request", "removed", "added")), None)

    def count(self, change: Change) -> int:
        """Count the calls with a kind of change."""
        return sum([pair.change == change for pair in self.pairs])


def compare(left: str, right: str, *, failed: Failed | None = None) -> Comparison:
    """Compare two cassettes, or two folders of them.

    Calls are aligned by their requests, so that one that is added in the middle moves no other. If calls of a file ran
    at the same time, their order is chance and is ignored: equal requests belong together wherever they are, and of
    several equal ones those with equal answers. Calls of text cassettes are aligned by their keys. In folders, calls
    of files with the same name are compared.

    Args:
        left: the first file or folder, usually the older one.
        right: the second.
        failed: called for a cassette in a folder that cannot be read, and the others are compared; without it, the
            error is raised.

    Raises:
        CassetteMiss: if one does not exist.
        InvalidCassette: if a cassette is damaged.
        MissingExtra: for a format whose package is not installed.

    Example:
        >>> compare("mellite/demo_cassettes/chat.json", "mellite/demo_cassettes/chat.json").same
        True
    """
    ours, theirs = [_grouped(path, failed) for path in (left, right)]
    pairs: list[Pair] = []
    for name in [*ours, *[name for name in theirs if name not in ours]]:
        sides = ours.get(name, []), theirs.get(name, [])
        found = _pooled(*sides) if any(_overlap(side) for side in sides) else _aligned(*sides)
        pairs += [evolve(pair, file=name) for pair in found]
    differing = [pair for pair in pairs if not _spent_alike(pair)]
    one, other = _totals([pair.left for pair in differing]), _totals([pair.right for pair in differing])
    more_input, more_output = _more_tokens(one, other)
    return Comparison(
        pairs=tuple(pairs),
        input_tokens=more_input,
        output_tokens=more_output,
        cost_usd=_more_dollars(one, other),
    )


def _grouped(path: str, failed: Failed | None) -> dict[str, list[Entry]]:
    """Return the calls below a path, grouped by the name that pairs files of both sides."""
    groups: dict[str, list[Entry]] = {}
    folder = os.path.isdir(path)
    for entry in entries_below([path], failed=failed if folder else None):
        # Two single files may have different names, and text cassettes are paired by their keys.
        name = os.path.relpath(entry.path, path) if folder and entry.format != "text" else ""
        groups.setdefault(name, []).append(entry)
    return groups


def _aligned(left: Sequence[Entry], right: Sequence[Entry]) -> Iterator[Pair]:
    """Pair the calls of both sides in order, as a diff pairs lines."""
    keys = [_key(entry) for entry in left], [_key(entry) for entry in right]
    for what, one, one_end, other, other_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        ours, theirs = left[one:one_end], right[other:other_end]
        if what == "replace" and all(entry.format != "text" for entry in (*ours, *theirs)):
            common = min(len(ours), len(theirs))
            yield from [_pair(*two) for two in zip(ours[:common], theirs[:common], strict=True)]
            ours, theirs = ours[common:], theirs[common:]
        elif what == "equal":
            yield from [_pair(*two) for two in zip(ours, theirs, strict=True)]
            continue
        yield from [Pair(change="removed", left=entry) for entry in ours]
        yield from [Pair(change="added", right=entry) for entry in theirs]


def _overlap(entries: Sequence[Entry]) -> bool:
    """Whether some of the calls ran at the same time."""
    spans = sorted([entry.span for entry in entries if entry.span is not None])
    return any(following[0] < span[1] for span, following in pairwise(spans))


def _pooled(left: Sequence[Entry], right: Sequence[Entry]) -> list[Pair]:
    """Pair the calls of both sides by their requests, in any order: first those whose answers are equal, too."""
    partners: dict[int, int] = {}
    for key in (_key_with_answer, _key):
        waiting: dict[Hashable, deque[int]] = {}
        taken = set(partners.values())
        for place, entry in enumerate(right):
            if place not in taken:
                waiting.setdefault(key(entry), deque()).append(place)
        for place, entry in enumerate(left):
            if place not in partners and (found := waiting.get(key(entry))):
                partners[place] = found.popleft()
    pairs = [_pair(left[place], right[partners[place]]) for place in sorted(partners)]
    taken = set(partners.values())
    ours = [entry for place, entry in enumerate(left) if place not in partners]
    theirs = [entry for place, entry in enumerate(right) if place not in taken]
    return [*pairs, *_aligned(ours, theirs)]


def _key_with_answer(entry: Entry) -> Hashable:
    answer = entry.answer
    said = entry.body if answer is None else (answer.text, answer.thinking, repr(answer.tool_calls), answer.error)
    return _key(entry), entry.status, entry.end, said


def _key(entry: Entry) -> Hashable:
    asked = entry.request
    if asked is None:
        return entry.format, entry.name
    body = json.dumps(asked.body, sort_keys=True) if asked.is_json else asked.body
    return asked.method, asked.url, tuple(sorted(asked.headers.items())), body


def _pair(left: Entry, right: Entry) -> Pair:
    asked: list[Difference] = []
    if left.request is not None and right.request is not None:
        asked = differences(left.request, right.request, secrets=environment_secrets(os.environ))
    changed = tuple(_answer_changes(left, right))
    change: Change = "request" if asked else "answer" if changed else "same"
    return Pair(change=change, left=left, right=right, request=tuple(asked), answer=changed)


def _answer_changes(left: Entry, right: Entry) -> Iterator[tuple[str, Any, Any]]:
    for name in ("status", "end", "ending"):
        one, other = getattr(left, name), getattr(right, name)
        if one != other:
            yield name, one, other
    if left.answer is None or right.answer is None:
        if left.body != right.body:
            yield "body", f"{len(left.body):,} bytes", f"{len(right.body):,} bytes"
        return
    for name in ("text", "thinking", "tool_calls", "finish_reason", "error"):
        one, other = getattr(left.answer, name), getattr(right.answer, name)
        if one != other:
            yield name, one, other


def _spent_alike(pair: Pair) -> bool:
    """Return whether both calls used and cost the same: then they differ by nothing, even where that is unknown."""
    if pair.left is None or pair.right is None:
        return False
    one, other = pair.left.answer, pair.right.answer
    if one is None or other is None:
        return pair.change == "same"
    return pair.change == "same" and (one.usage, one.cost_usd) == (other.usage, other.cost_usd)


def _totals(entries: Iterable[Entry | None]) -> Totals:
    """Add up what calls used and cost; that of a call whose protocol mellite does not know is unknown."""
    totals = Totals()
    for entry in entries:
        if entry is not None and not entry.refused:
            answer = entry.answer or Answer()
            totals = totals.plus(answer.usage, answer.cost_usd)
    return totals


def _more_tokens(one: Totals, other: Totals) -> tuple[int | None, int | None]:
    """Return how many more input and output tokens the second took; None if those of one are unknown."""
    if one.unmetered or other.unmetered:
        return None, None
    first, second = one.usage or Usage(), other.usage or Usage()
    return (
        (second.input_tokens or 0) - (first.input_tokens or 0),
        (second.output_tokens or 0) - (first.output_tokens or 0),
    )


def _more_dollars(one: Totals, other: Totals) -> Decimal | None:
    """Return how much more the second cost; None if the cost of one is unknown."""
    if one.unpriced or other.unpriced:
        return None
    return EXACT.subtract(other.cost_usd or Decimal(0), one.cost_usd or Decimal(0))
