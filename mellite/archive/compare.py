"""Compare two cassettes: which requests differ, which answers changed, and what that means in tokens and dollars."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from ..cassettes.files.find import Failed
from ..cassettes.replaying.matching import Difference, differences
from ..values.prices.amounts import EXACT
from ..values.prices.totals import Totals
from ..values.secrets.names import environment_secrets
from ..values.usage import Usage
from .aligning import aligned
from .entries import Answer, Entry, entries_below

__all__ = ["CHANGES", "Change", "Comparison", "Pair", "called", "compare", "compare_entries", "compare_journals"]

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
        left: what all calls of the first used and cost; likewise `right`.
    """

    pairs: tuple[Pair, ...]
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    left: Totals = field(factory=Totals)
    right: Totals = field(factory=Totals)

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

    def costs_more(self, percent: Decimal) -> bool | None:
        """Return whether the second cost more than so many percent above the first; None if that is unknown."""
        more, known = self.cost_usd, self.left.known_cost_usd or Decimal(0)
        if more is None:
            return None
        if more <= 0 or more * 100 <= percent * known:
            return False
        return None if self.left.unpriced else True


def compare(left: str, right: str, *, failed: Failed | None = None) -> Comparison:
    """Compare two cassettes, or two folders of them.

    Calls are aligned by their requests, and equal ones by the copy of the thunk that asked, so that one that is added
    in the middle moves no other. If calls of a file ran at the same time, their order is chance and is ignored: equal
    requests belong together wherever they are. A request that changed is paired with the one that differs least from
    it. Calls of text cassettes are aligned by their keys. In folders, calls of files with the same name are compared.

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
    return _compared(ours, theirs)


def compare_journals(left: str, right: str) -> Comparison:
    """Compare two journals of runs, as `compare` does cassettes.

    Args:
        left: the directory of the first, usually the older one.
        right: the second, as a fork of it.

    Raises:
        InvalidJournal: if one is none, or damaged.
    """
    from .journal_entries import journal_entries

    ours, theirs = [{"": list(journal_entries(path))} for path in (left, right)]
    return _compared(ours, theirs)


def compare_entries(left: Sequence[Entry], right: Sequence[Entry]) -> Comparison:
    """Compare calls that were read already, as `compare` does those of cassettes."""
    return _compared({"": list(left)}, {"": list(right)})


def _compared(ours: Mapping[str, list[Entry]], theirs: Mapping[str, list[Entry]]) -> Comparison:
    """Compare the calls of both sides, group by group."""
    pairs: list[Pair] = []
    for name in [*ours, *[name for name in theirs if name not in ours]]:
        pairs += [_pair(*two, name) for two in aligned(ours.get(name, []), theirs.get(name, []))]
    differing = [pair for pair in pairs if not _spent_alike(pair)]
    one, other = _totals([pair.left for pair in differing]), _totals([pair.right for pair in differing])
    more_input, more_output = _more_tokens(one, other)
    return Comparison(
        pairs=tuple(pairs),
        input_tokens=more_input,
        output_tokens=more_output,
        cost_usd=_more_dollars(one, other),
        left=_totals([pair.left for pair in pairs]),
        right=_totals([pair.right for pair in pairs]),
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


def _pair(left: Entry | None, right: Entry | None, file: str) -> Pair:
    if left is None or right is None:
        return Pair(change="added" if left is None else "removed", left=left, right=right, file=file)
    asked: list[Difference] = []
    if left.request is not None and right.request is not None:
        asked = differences(left.request, right.request, secrets=environment_secrets(os.environ))
    changed = tuple(_answer_changes(left, right))
    change: Change = "request" if asked else "answer" if changed else "same"
    return Pair(change=change, left=left, right=right, request=tuple(asked), answer=changed, file=file)


def _answer_changes(left: Entry, right: Entry) -> Iterator[tuple[str, Any, Any]]:
    for name in ("status", "end", "ending"):
        one, other = getattr(left, name), getattr(right, name)
        if one != other:
            yield name, one, other
    if left.answer is None or right.answer is None:
        if left.body != right.body:
            yield "body", f"{len(left.body):,} bytes", f"{len(right.body):,} bytes"
        return
    for name in ("text", "thinking", "finish_reason", "error"):
        one, other = getattr(left.answer, name), getattr(right.answer, name)
        if one != other:
            yield name, one, other
    for number, (mine, yours) in enumerate(zip_longest(left.answer.tool_calls, right.answer.tool_calls)):
        if mine != yours:
            yield f"tool call {number}", called(mine), called(yours)


def called(call: tuple[str, Any] | None) -> str | None:
    """Return a call of a tool as a program would write it; None if there is none."""
    if call is None:
        return None
    name, arguments = call
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return f"{name}({text})"


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
