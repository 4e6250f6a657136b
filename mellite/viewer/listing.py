"""Choose, sort and add up rows that are all in memory: those of cassettes and journals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, final

from ..archive.log.choosing import Wanted
from ..values.provider_json import JsonObject
from .rows import Found, Row

__all__ = ["Kept", "chosen", "costs_of", "facets_of"]

_SUMMED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cost_usd")

_KEYS: Final[Mapping[str, Callable[[Row], float]]] = {
    "cost": lambda row: row.cost_usd or 0,
    "slowest": lambda row: row.duration_ms or 0,
    "tokens": lambda row: (row.input_tokens or 0) + (row.output_tokens or 0),
}


@final
class Kept:
    """Rows in memory, with those that are new or have changed since the last look.

    Example:
        >>> kept = Kept()
        >>> kept.put({"a": Row(id="a")})
        >>> before = kept.mark
        >>> kept.put({"a": Row(id="a"), "b": Row(id="b")})
        >>> [row.id for row in kept.since(before)], kept.since(kept.mark), len(kept.rows)
        (['b'], (), 2)
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._changed: dict[str, int] = {}
        self._latest = 1

    @property
    def rows(self) -> list[Row]:
        """All rows, as they were put."""
        return [*self._rows.values()]

    @property
    def mark(self) -> str:
        """The mark to give to `since` later."""
        return str(self._latest)

    def get(self, id: str) -> Row | None:
        """Return the row of this id; None if there is none."""
        return self._rows.get(id)

    def put(self, rows: Mapping[str, Row]) -> None:
        """Put these in the place of all that were there."""
        self._latest += 1
        for id, row in rows.items():
            if self._rows.get(id) != row:
                self._changed[id] = self._latest
        self._rows = dict(rows)

    def since(self, mark: str) -> tuple[Row, ...]:
        """Return the rows that are new or have changed since a mark; none for an empty mark."""
        since = int(mark) if mark.isdecimal() else self._latest
        if since >= self._latest:  # nearly always
            return ()
        return tuple([row for id, row in self._rows.items() if self._changed[id] > since])


def chosen(rows: Sequence[Row], wanted: Wanted, offset: int, limit: int) -> Found:
    """Return some of the rows that are wanted, the oldest of which stands first in `rows`."""
    word = wanted.word.lower()
    found = [row for row in rows if _fits(row, wanted) and (not word or _holds(row, word))]
    if wanted.order != "oldest":
        found.reverse()
    if wanted.order in _KEYS:
        found.sort(key=_KEYS[wanted.order], reverse=True)
    return Found(total=len(found), calls=tuple(found[offset : offset + limit]))


def _fits(row: Row, wanted: Wanted) -> bool:
    started = row.started_at or ""
    return (
        (not wanted.state or row.state == wanted.state)
        and (not wanted.model or wanted.model in (row.model, row.response_model, f"{row.provider}:{row.model}"))
        and (not wanted.tag or wanted.tag in row.tags)
        and (not wanted.parent or row.parent == wanted.parent)
        and (not wanted.since or started >= wanted.since)
        and (not wanted.until or (bool(started) and started < wanted.until))
        and (wanted.min_usd is None or (row.cost_usd or 0) >= wanted.min_usd)
        and (wanted.min_ms is None or (row.duration_ms or 0) >= wanted.min_ms)
    )


def _holds(row: Row, word: str) -> bool:
    return any(word in text.lower() for text in (row.prompt, row.text, row.thinking, row.error) if text)


def facets_of(rows: Iterable[Row]) -> JsonObject:
    """Return the models, states and tags among which one can choose, the most frequent first."""
    models: dict[str, int] = {}
    states: dict[str, int] = {}
    tags: dict[str, int] = {}
    for row in rows:
        if row.model:
            models[row.model] = models.get(row.model, 0) + 1
        states[row.state] = states.get(row.state, 0) + 1
        for tag in row.tags:
            tags[tag] = tags.get(tag, 0) + 1
    return {
        name: sorted(counts, key=lambda each: (-counts[each], each))
        for name, counts in (("models", models), ("states", states), ("tags", tags))
    }


def costs_of(rows: Sequence[Row]) -> JsonObject:
    """Return what calls used and cost: in all, by day, model and tag. What is only replayed costs nothing."""
    paid = [row for row in rows if not row.replayed]
    return {
        "all": _sums(paid, "all"),
        "days": _grouped(paid, lambda row: [(row.started_at or "")[:10] or "unknown"]),
        "models": _grouped(paid, lambda row: [_model(row)]),
        "tags": _grouped(paid, lambda row: row.tags),
        "replayed": len(rows) - len(paid),
    }


def _model(row: Row) -> str:
    return ":".join([each for each in (row.provider, row.response_model or row.model) if each]) or "unknown"


def _grouped(rows: Iterable[Row], names: Callable[[Row], Iterable[str]]) -> list[JsonObject]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        for name in names(row):
            groups.setdefault(name, []).append(row)
    return [_sums(group, name) for name, group in sorted(groups.items())]


def _sums(rows: Sequence[Row], name: str) -> JsonObject:
    sums: dict[str, Any] = {"name": name, "calls": len(rows), "failed": sum(row.state == "failed" for row in rows)}
    for column in _SUMMED:
        known = [value for row in rows if (value := getattr(row, column)) is not None]
        sums[column] = sum(known) if known else None
    used = [row for row in rows if row.input_tokens is not None or row.output_tokens is not None]
    sums["unpriced"] = sum(row.cost_usd is None for row in used)
    return sums
