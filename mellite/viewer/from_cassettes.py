"""A cassette, or a folder of them, as a source of the viewer: rows, whole calls, timelines and differences."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast, final

from attrs import evolve

from ..archive.entries import Answer, Entry, entries_below
from ..archive.log.choosing import Wanted
from ..archive.replay import calls_of, replay_one, route_and_body, timed_events
from ..cassettes.bodies import decoded
from ..cassettes.files.find import find_cassettes
from ..cassettes.files.read import load_cassette
from ..cassettes.interactions import Cassette, HttpInteraction
from ..cassettes.timeline import Timeline
from ..values.errors import MelliteError
from ..values.provider_json import Json, JsonObject
from .conversations import answer_message, prompt_of, request_messages
from .differences import difference_of
from .listing import Kept, chosen, costs_of, facets_of
from .masking import Masks
from .rows import Changes, Found, Row, without_repeated
from .timelines import masked_timeline, timeline_of

__all__ = ["CassetteSource"]

_MICROSECONDS: Final = 1_000_000

_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens")

_TEXTS: Final = ("prompt", "text", "thinking")

#: How often to look for new files, in seconds.
_PERIOD: Final = 1.0

#: How much of an answer that no protocol reads stands in a row.
_MOST_UNREAD: Final = 10_000


@final
class CassetteSource:
    """The calls in cassettes.

    Args:
        path: a cassette, or a folder of them.

    Raises:
        MelliteError: if it is damaged, or cannot be read; of a folder, only the cassettes that can be are shown.
    """

    kind = "cassette"

    def __init__(self, path: str) -> None:
        self.name = path
        self._path = path
        self.problems: Sequence[str] = ()
        self._is_folder = os.path.isdir(path)
        self._signed = ""
        self._look_at = 0.0
        self._entries: dict[str, Entry] = {}
        self._kept = Kept()
        self._masks = Masks()
        self._load()

    def _load(self) -> None:
        """Read all anew, if a file has changed.

        Raises:
            MelliteError: if it is damaged, or being written.
        """
        signed = self._signature()
        if signed == self._signed:
            return
        passed_over: dict[str, MelliteError] = {}
        entries = entries_below([self._path], failed=passed_over.__setitem__ if self._is_folder else None)
        _cassette.cache_clear()
        found = {self._id(entry): entry for entry in entries}
        self._kept.put({id: _row(id, entry, self._masks) for id, entry in found.items()})
        self._entries = {id: evolve(entry, name=id) for id, entry in found.items()}
        self._signed = signed
        self.problems = [str(error) for error in passed_over.values()]

    def _look(self) -> None:
        """Read what has changed, at most once a second."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _PERIOD
            try:
                self._load()
            except MelliteError as error:  # it may be being written: a later look finds it whole
                self.problems = [f"{error}; what was read before is shown"]

    def _signature(self) -> str:
        """Return what changes when a file does."""
        found: list[str] = []
        for each in find_cassettes([self._path], failed=lambda *_: None):
            try:
                stat = os.stat(each.path)
            except OSError:
                continue
            found.append(f"{each.path}:{stat.st_mtime_ns}:{stat.st_size}")
        return f"{hash(tuple(found)):x}.{len(found)}"

    def _id(self, entry: Entry) -> str:
        """Return the number of a call in its file, after the name of that in a folder."""
        return f"{os.path.relpath(entry.path, self._path)}:{entry.name}" if self._is_folder else entry.name

    def prepare(self) -> None:
        """Do nothing: all rows are in memory."""

    def calls(self, wanted: Wanted, offset: int, limit: int) -> Found:
        """Return some of the calls that are wanted."""
        if not offset:
            self._look()
        return chosen(self._kept.rows, wanted, offset, limit)

    def facets(self) -> JsonObject:
        """Return the models, states and tags among which one can choose."""
        return facets_of(self._kept.rows)

    def costs(self) -> JsonObject:
        """Return what calls cost and used, by day, model and tag."""
        return costs_of(self._kept.rows)

    def runs(self) -> list[JsonObject]:
        """Return none: a cassette does not know what belongs to a run."""
        return []

    def run(self, id: str) -> JsonObject | None:  # noqa: ARG002
        """Return None: a cassette does not know what belongs to a run."""
        return None

    def call(self, id: str, *, brief: bool = False) -> JsonObject | None:
        """Return all that is known of a call; None if there is none of this id."""
        row, entry = self._kept.get(id), self._entries.get(id)
        if row is None or entry is None:
            return None
        one = _interaction(entry)
        told: JsonObject = {
            **evolve(row, prompt=None, text="", thinking=None).as_json(),
            "source": entry.path,
            "protocol": entry.protocol,
            "finish_reason": None if entry.answer is None else entry.answer.finish_reason,
            "messages": _messages(entry),
            "message": _answer(entry, one),
            "end": entry.end,
            "request": None,
            "response": None,
            "timeline": one is not None and Timeline.of(one.extra) is not None,
        }
        if one is not None:
            told["request"] = {
                "method": one.request.method,
                "url": one.request.url,
                "headers": dict(one.request.headers),
                "body": None if brief else _body(one.request.body.characters),
            }
            told["response"] = {
                "status": one.response.status,
                "headers": dict(one.response.headers),
                "body": None if brief else _body(one.response.body.data.decode(errors="replace")),
            }
        clean: JsonObject = cast("JsonObject", self._masks.value(told))
        # Numbers of tokens are not secrets; the texts of the row are masked already, and long.
        clean |= {name: getattr(row, name) for name in (*_TOKENS, *_TEXTS)}
        return without_repeated(clean) if brief else clean

    def timeline(self, id: str) -> JsonObject | None:
        """Return when each part of an answer came; None if the recording does not say."""
        row, entry = self._kept.get(id), self._entries.get(id)
        one = None if entry is None else _interaction(entry)
        times = None if one is None else Timeline.of(one.extra)
        if row is None or one is None or times is None:
            return None
        made = timeline_of(
            [(at / 1000, event) for at, event in timed_events(one)],
            started_at=row.started_at,
            duration_ms=times.ended / 1000,
            end=row.state,
            error=row.error or (None if times.fault is None else times.fault.message),
            arrivals=[(at / 1000, size) for size, at in times.pieces()],
        )
        return {**masked_timeline(made, self._masks.value), "opened_ms": _milliseconds(times.opened)}

    def difference(self, left: str, right: str) -> JsonObject | None:
        """Compare two calls."""
        one, other = self.entries(left), self.entries(right)
        return cast("JsonObject", self.masked(difference_of(one, other))) if one and other else None

    def entries(self, id: str) -> list[Entry]:
        """Return what a call is compared by, as a list of one; none if there is no such call."""
        entry = self._entries.get(id)
        return [] if entry is None else [entry]

    def masked(self, value: Json) -> Json:
        """Return JSON without what looks like a key."""
        return self._masks.value(value)

    def changes(self, mark: str) -> Changes:
        """Return the calls that are new since a mark."""
        self._look()
        return Changes(mark=self._kept.mark, calls=self._kept.since(mark))


def _milliseconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


@lru_cache(maxsize=16)
def _cassette(path: str) -> Cassette:
    return load_cassette(path)


def _interaction(entry: Entry) -> HttpInteraction | None:
    """Return what a call was recorded as; None for a text cassette, and for a socket that cannot be told apart."""
    if entry.format == "text":
        return None
    number, _, call = entry.name.rpartition(":")[2].partition(".")
    one = _cassette(entry.path).interactions[int(number)]
    if isinstance(one, HttpInteraction):
        return one
    calls = calls_of(one)
    return calls[int(call or 0)] if calls else None


def _messages(entry: Entry) -> list[JsonObject]:
    one = _interaction(entry)
    if one is None:
        return [{"role": "user", "content": [{"type": "text", "text": entry.question}]}] if entry.question else []
    _, body = route_and_body(one)
    found = request_messages(entry.protocol, body)
    return found or [{"role": "user", "content": [{"type": "text", "text": entry.question}]}]


def _answer(entry: Entry, one: HttpInteraction | None) -> JsonObject | None:
    thunk = None if one is None else replay_one(one)
    outcome = None if thunk is None else thunk.outcome
    if outcome is not None:
        return answer_message(outcome.parts or (), outcome.text)
    text = entry.answer.text if entry.answer is not None else _unread(entry)
    return answer_message((), text)


def _unread(entry: Entry) -> str:
    return entry.body[:_MOST_UNREAD].decode(errors="replace")


def _body(text: str) -> Json:
    is_json, value = decoded(text)
    return value if is_json else text


def _row(id: str, entry: Entry, masks: Masks) -> Row:
    answer = entry.answer or Answer(text=_unread(entry))
    usage = answer.usage
    error = answer.error
    texts: dict[str, Any] = {
        "text": answer.text,
        "thinking": answer.thinking,
        "error": None if error is None else error[1],
    }
    clean = cast("Mapping[str, Any]", masks.value(texts))
    return Row(
        id=id,
        prompt=prompt_of(cast("list[JsonObject]", masks.value(_messages(entry)))),
        started_at=None if entry.span is None else _moment(entry.span[0]),
        provider=entry.provider,
        model=entry.model,
        response_model=answer.response_model,
        state="cancelled" if entry.end == "interrupted" else "failed" if error is not None else "done",
        error_type=None if error is None else error[0],
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cache_read_tokens=None if usage is None else usage.cache_read_input_tokens,
        cost_usd=None if answer.cost_usd is None else float(answer.cost_usd),
        duration_ms=None if entry.span is None else (entry.span[1] - entry.span[0]) / 1000,
        lineage=entry.lineage or (),
        tags=_tags(entry),
        **clean,
    )


def _tags(entry: Entry) -> tuple[str, ...]:
    """Return the tags of the whole cassette."""
    tags = None if entry.format == "text" else (_cassette(entry.path).metadata or {}).get("tags")
    return tuple([str(tag) for tag in tags]) if isinstance(tags, list) else ()


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / _MICROSECONDS, UTC).isoformat(timespec="microseconds")
