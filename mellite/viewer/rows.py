"""Calls as the viewer shows them, one row each with the columns of a log's view ``calls``, and how rows are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from attrs import asdict, evolve, fields_dict, frozen

from ..archive.entries import Entry
from ..archive.log.choosing import Wanted
from ..values.provider_json import Json, JsonObject
from .growing_texts import Grown

__all__ = ["SORTS", "Changes", "Found", "Row", "Sort", "Source", "shortened", "without_repeated"]

Sort: TypeAlias = Literal["newest", "oldest", "cost", "slowest", "tokens"]

SORTS: Final[tuple[Sort, ...]] = ("newest", "oldest", "cost", "slowest", "tokens")

#: The columns whose texts stand in the messages of a whole call, too.
_REPEATED: Final = ("prompt", "text", "thinking")

#: How much of a text a list needs: what fits a line, and some to look at.
_SHORT: Final = 400


@frozen(kw_only=True)
class Row:
    """One call, by the names of the columns of a log's view ``calls``.

    Args:
        id: names it in its source.
        parent: the run or step that it is a part of.
        started_at: in UTC, as in ``2026-11-30T22:05:05.123456+00:00``; None if that is not known.
        provider: who was asked.
        model: which model was asked for; `response_model` the one that answered.
        state: ``done``, ``failed``, ``cancelled``, or ``unsettled`` if the outcome is unknown.
        prompt: the messages as one text.
        text: the answer as far as it came; `thinking` what the model thought.
        error_type: the class of the error of a failed call; `error` its message.
        input_tokens: tokens used; likewise `output_tokens`.
        cost_usd: the cost in USD; None if it is not known.
        duration_ms: how long it took, in milliseconds.
        lineage: which copy of a thunk it was.
        tags: words that the program gave it.
        replayed: whether it cost nothing, because it came from a cassette.
        cache_read_tokens: input tokens that were read from a cache, a part of `input_tokens`; no column of the view.
    """

    id: str
    parent: str | None = None
    started_at: str | None = None
    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    state: str = "done"
    prompt: str | None = None
    text: str = ""
    thinking: str | None = None
    error_type: str | None = None
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    duration_ms: float | None = None
    lineage: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    replayed: bool = False
    cache_read_tokens: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Json]) -> Row:
        """Return the row with these values; others are passed over."""
        known: dict[str, Any] = {name: value for name, value in values.items() if name in _NAMES}
        for name in ("lineage", "tags"):
            known[name] = tuple(cast("Sequence[Json]", known.get(name) or ()))
        return cls(**known)

    def as_json(self) -> JsonObject:
        """Return the columns of the view as JSON-ready values."""
        values = asdict(self, recurse=False)
        del values["cache_read_tokens"]
        return values | {"lineage": list(self.lineage), "tags": list(self.tags)}

    def brief(self, length: int = _SHORT) -> Row:
        """Return it with only the end of its prompt and the beginnings of its other texts."""
        return evolve(
            self,
            prompt=shortened(self.prompt, length, end=True),
            text=shortened(self.text, length) or "",
            thinking=shortened(self.thinking, length),
            error=shortened(self.error, length),
        )


_NAMES: Final = frozenset(fields_dict(Row))


def without_repeated(call: Mapping[str, Json]) -> JsonObject:
    """Return a whole call without what a brief one leaves out: see `Source.call`."""
    told = {name: value for name, value in call.items() if name not in _REPEATED}
    for name in ("request", "response"):
        sent = told.get(name)
        if isinstance(sent, dict):
            told[name] = {part: value for part, value in sent.items() if part != "body"}
    return told


def shortened(text: str | None, length: int, *, end: bool = False) -> str | None:
    """Return the beginning of a text, or its end, with an ellipsis where something is left out."""
    if text is None or len(text) <= length:
        return text
    return f"…{text[-length:]}" if end else f"{text[:length]}…"


@frozen(kw_only=True)
class Found:
    """A part of the calls that a choice has found: how many there are in all, and some of them."""

    total: int
    calls: tuple[Row, ...]


@frozen(kw_only=True)
class Changes:
    """The changes since the last look.

    Args:
        mark: to be given back at the next look.
        calls: the calls that are new or have changed.
        growing: what there is of the answers of calls that go on, by their ids.
    """

    mark: str
    calls: tuple[Row, ...] = ()
    growing: Mapping[str, Grown] = {}


class Source(Protocol):
    """A source of what the viewer shows. Methods are called in any thread, by one caller at a time.

    Attributes:
        kind: ``cassette``, ``journal`` or ``log``.
        name: what it is called for people.
        problems: what cannot be shown and why, a sentence each.
    """

    kind: str
    name: str
    problems: Sequence[str]

    def prepare(self) -> None:
        """Get ready for searches, when the first calls have been shown; others may ask meanwhile."""
        ...

    def calls(self, wanted: Wanted, offset: int, limit: int) -> Found:
        """Return some of the calls that are wanted."""
        ...

    def call(self, id: str, *, brief: bool = False) -> JsonObject | None:
        """Return all that is known of a call; None if there is none of this id.

        Args:
            id: names it.
            brief: leave out what is long and stands in the messages, too: the prompt and the answer as texts, and
                the bodies of the request and the response.
        """
        ...

    def timeline(self, id: str) -> JsonObject | None:
        """Return when each part of an answer came; None if that is not known."""
        ...

    def runs(self) -> list[JsonObject]:
        """Return the runs, without their parts."""
        ...

    def run(self, id: str) -> JsonObject | None:
        """Return a run with its calls, tools and samples; None if there is none of this id."""
        ...

    def facets(self) -> JsonObject:
        """Return the models, states and tags among which one can choose."""
        ...

    def costs(self) -> JsonObject:
        """Return what calls cost and used, by day, model and tag."""
        ...

    def difference(self, left: str, right: str) -> JsonObject | None:
        """Compare two calls, or two runs, by their ids; None if there is no such call or run."""
        ...

    def entries(self, id: str) -> Sequence[Entry]:
        """Return what a call, or those of a run, are compared by; none if there is no such call or run."""
        ...

    def masked(self, value: Json) -> Json:
        """Return JSON without what looks like a key."""
        ...

    def changes(self, mark: str) -> Changes:
        """Return what has changed since a mark; of an empty mark nothing, but a mark."""
        ...
