"""A journal of a run as a source of the viewer: rows, whole calls, timelines, the tree of runs, and what goes on."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast, final

from attrs import frozen

from ..archive.entries import Entry
from ..archive.journal.growing import GrowingAnswers
from ..archive.journal.index import RECORDS
from ..archive.journal.records import Record, Records, read_journal
from ..archive.journal_entries import entry_of
from ..archive.log.choosing import Wanted
from ..thunk.outcome import Clock, metadata_of
from ..values.errors import MelliteError
from ..values.events import ReasoningDelta, ResponseStart, TextDelta, ToolInputDelta
from ..values.messages import Part, Reasoning, Text
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from ..values.secrets.json_masks import masked_json
from ..values.secrets.shapes import masked
from .conversations import answer_message, prompt_of, result_text
from .differences import difference_of
from .growing_texts import GrowingTexts
from .listing import Kept, chosen, costs_of, facets_of
from .rows import Changes, Found, Row, without_repeated
from .timelines import masked_timeline, timeline_of
from .trees import node

__all__ = ["JournalSource"]

_MS: Final = 1000

#: After a journal was read, it is not read again for so many times as long as that took a processor.
_SHARE: Final = 5

#: The longest time for which it is not read again, in seconds.
_LONGEST_PAUSE: Final = 5.0


@frozen
class _File:
    """The file of the records at a moment."""

    name: tuple[int, int]
    size: int
    changed: int

    def goes_on(self, before: _File | None) -> bool:
        """Return whether this is the file that was there before, and only longer."""
        return before is not None and self.name == before.name and self.size >= before.size


@final
class JournalSource:
    """The calls of a journal.

    Args:
        path: its directory.

    Raises:
        InvalidJournal: if it is none, or damaged.
    """

    kind = "journal"

    def __init__(self, path: str) -> None:
        self.name = path
        self.problems: Sequence[str] = ()
        self._path = path
        self._file: _File | None = None
        self._load_at = 0.0
        self._growing = GrowingAnswers(path)
        self._texts = GrowingTexts()
        self._kept = Kept()
        self._calls: dict[int, Record] = {}
        self._unsettled: set[int] = set()
        self._load()

    def _load(self) -> None:
        """Read it anew, if it has grown."""
        is_first = self._file is None  # with what has to be imported
        stat = os.stat(os.path.join(self._path, RECORDS))
        file = _File((stat.st_dev, stat.st_ino), stat.st_size, stat.st_mtime_ns)
        if file == self._file or time.monotonic() < self._load_at:
            return
        began = time.thread_time()
        self._records: Records = read_journal(self._path)
        self.problems = ()
        if not file.goes_on(self._file):
            self._calls, self._unsettled = {}, set()
        self._file = file
        calls = {record.number: record for record in self._records.calls}
        self._kept.put({str(number): self._fresh(record) for number, record in calls.items() if record.kind == "call"})
        self._calls = calls
        self._unsettled = {number for number, record in self._calls.items() if record.state == "unsettled"}
        # One that is long takes long: most of the time is left to others.
        took = 0.0 if is_first else time.thread_time() - began
        self._load_at = time.monotonic() + min(_SHARE * took, _LONGEST_PAUSE)

    def _fresh(self, record: Record) -> Row:
        """Return the row of a call: that which is there, unless it had not settled."""
        is_known = record.number in self._calls and record.number not in self._unsettled
        known = self._kept.get(str(record.number)) if is_known else None
        return known if known is not None and known.state == record.state else _row(record)

    def _look(self) -> None:
        """Read what has been added."""
        try:
            self._load()
        except MelliteError as error:  # a line may be being written: the next look finds it whole
            self.problems = [f"{error}; what was read before is shown"]

    def _record(self, id: str) -> Record | None:
        return self._calls.get(int(id)) if id.isdecimal() else None

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

    def call(self, id: str, *, brief: bool = False) -> JsonObject | None:
        """Return all that is known of a call, of a model or of a tool; None if there is none of this id."""
        record = self._record(id)
        if record is None:
            return None
        row = self._kept.get(id) or _tool_row(record)
        told: JsonObject = {
            **row.as_json(),
            "cache_read_tokens": row.cache_read_tokens,
            "kind": record.kind,
            "source": self._path,
            "run": record.run or None,
            "step": record.step or None,
            "verdicts": [list(check) for check in record.checks],
        }
        if record.kind != "call":
            return {
                **told,
                "messages": [],
                "message": None,
                "request": None,
                "response": None,
                "timeline": False,
                "tool": {"name": record.name, "arguments": record.arguments, "result": masked_json(record.result)},
            }
        return without_repeated({**told, **_whole(record)}) if brief else {**told, **_whole(record)}

    def timeline(self, id: str) -> JsonObject | None:
        """Return when each part of an answer came; None if it has not settled, or is that of a tool."""
        record = self._record(id)
        row = self._kept.get(id)
        if record is None or row is None or row.state == "unsettled":
            return None
        made = timeline_of(
            [(at * _MS, event) for at, event in zip(record.times, record.events, strict=False)],
            started_at=row.started_at,
            duration_ms=row.duration_ms,
            end=row.state,
            error=row.error,
            verdicts=[
                {**cast("JsonObject", verdict), "at_ms": at * _MS}
                for at, check in zip(record.checked_at, record.checks, strict=True)
                for verdict in check
                if verdict is not None
            ],
        )
        return masked_timeline(made, masked_json)

    def runs(self) -> list[JsonObject]:
        """Return the runs, the newest first."""
        counts = Counter(record.run for record in self._calls.values())
        found = [{**self._run_node(name), "parts": [], "calls": counts[name]} for name in self._records.runs]
        loose = self._loose()
        if loose:
            found.append({**loose, "parts": [], "calls": len(loose["parts"])})
        return sorted(found, key=lambda each: str(each["started_at"] or ""), reverse=True)

    def run(self, id: str) -> JsonObject | None:
        """Return a run with its steps, tools, inner runs and samples; None if there is none of this id."""
        if id == _LOOSE:
            return self._loose()
        return self._run_node(id) if id in self._records.runs else None

    def _loose(self) -> JsonObject | None:
        """Return what is a part of no run, as one."""
        records = [record for record in self._calls.values() if not record.run]
        return self._tree(_LOOSE, "outside runs", records, []) if records else None

    def _run_node(self, name: str) -> JsonObject:
        records = [record for record in self._calls.values() if record.run == name]
        inner = [self._run_node(each) for each, told in self._records.runs.items() if told.get("parent") == name]
        asked = next((record.name for record in records if record.kind == "call"), "")
        return self._tree(name, f"run of {asked or 'a model'}", records, inner)

    def _tree(self, id: str, name: str, records: list[Record], inner: list[JsonObject]) -> JsonObject:
        rows = [(record, self._kept.get(str(record.number)) or _tool_row(record)) for record in records]
        return _whole_run(id, name, rows, inner, self._samplings(records))

    def _samplings(self, records: list[Record]) -> list[JsonObject]:
        """Return the choices among samples of which some are these calls."""
        numbers = {record.number for record in records}
        return [
            each
            for each in self._records.samplings
            if numbers & {sample.get("call") for sample in each.get("samples") or ()}
        ]

    def difference(self, left: str, right: str) -> JsonObject | None:
        """Compare two calls, or two runs."""
        one, other = self.entries(left), self.entries(right)
        return cast("JsonObject", self.masked(difference_of(one, other))) if one and other else None

    def entries(self, id: str) -> list[Entry]:
        """Return what a call, or those of a run, are compared by; none if there is no such call or run."""
        record, run = self._record(id), "" if id == _LOOSE else id
        found = [record] if record is not None else [each for each in self._calls.values() if (each.run or "") == run]
        return [entry_of(self._path, each) for each in found]

    def masked(self, value: Json) -> Json:
        """Return JSON without what looks like a key."""
        return masked_json(value)

    def changes(self, mark: str) -> Changes:
        """Return the calls that began or settled since a mark, and what has arrived of those that go on."""
        self._look()
        is_void, pieces = self._growing.look()
        if is_void:
            self._texts = GrowingTexts()
        self._texts.take(pieces)
        self._texts.drop(lambda number: number in self._calls and number not in self._unsettled)  # not those unread yet
        growing = self._texts.of(self._unsettled)
        return Changes(mark=self._kept.mark, calls=self._kept.since(mark), growing=growing)


#: Names what is a part of no run.
_LOOSE: Final = "outside"


def _row(record: Record) -> Row:
    folded, error, who = record.folded, record.error, record.who
    made = metadata_of(folded, Request(()), None, Clock(started_at=record.started_at))
    usage = made.usage
    return Row(
        id=str(record.number),
        parent=record.run or None,
        started_at=record.started_at.isoformat(timespec="microseconds"),
        provider=cast("str | None", who.get("provider") or made.provider or who.get("name") or who.get("backend")),
        model=cast("str | None", made.model or who.get("model")) or record.name or None,
        response_model=made.response_model,
        state=record.state,
        prompt=prompt_of(_messages(record)),
        text=masked(folded.text),
        thinking=None if folded.thinking is None else masked(folded.thinking),
        error_type=None if error is None else type(error).__name__,
        error=None if error is None else str(error),
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cache_read_tokens=None if usage is None else usage.cache_read_input_tokens,
        cost_usd=None if made.cost_usd is None else float(made.cost_usd),
        duration_ms=None if record.seconds is None else record.seconds * _MS,
        lineage=record.lineage,
        tags=tuple([masked(tag) for tag in record.tags]),
    )


def _tool_row(record: Record) -> Row:
    error = record.error
    return Row(
        id=str(record.number),
        parent=record.run or None,
        started_at=record.started_at.isoformat(timespec="microseconds"),
        state=record.state,
        prompt=f"{record.name}({_json(record.arguments)})",
        text=result_text(masked_json(record.result)),
        error_type=None if error is None else type(error).__name__,
        error=None if error is None else str(error),
        duration_ms=None if record.seconds is None else record.seconds * _MS,
    )


def _messages(record: Record) -> list[JsonObject]:
    frame = cast("Mapping[str, Any]", record.request.get("frame") or {})
    system: list[JsonObject] = [{"role": "system", "content": frame["system"]}] if frame.get("system") else []
    return [*system, *record.messages]


def _whole(record: Record) -> JsonObject:
    events, folded, who = record.events, record.folded, record.who
    start = folded.start if any(isinstance(event, ResponseStart) for event in events) else None
    spoken = (TextDelta, ReasoningDelta, ToolInputDelta)
    first = next((at for at, event in zip(record.times, events, strict=False) if isinstance(event, spoken)), None)
    finish = folded.finish
    parts: list[Part] = [Reasoning(folded.thinking)] if folded.thinking else []
    parts += [Text(folded.text)] if folded.text else []
    body = None if start is None else start.request_body
    request: JsonObject = {
        "method": "POST",
        "url": who.get("url"),
        "headers": {},
        "body": body if body is not None else record.request.get("frame"),
    }
    return cast(
        "JsonObject",
        masked_json(
            {
                "protocol": who.get("protocol"),
                "messages": _messages(record),
                "message": answer_message([*parts, *folded.tool_calls], folded.text),
                "finish_reason": None if finish is None else finish.reason,
                "ttfb_ms": None if first is None else first * _MS,
                "timeline": record.state != "unsettled",
                "request": request,
                "response": {
                    "status": None if start is None else start.status,
                    "headers": {} if start is None else dict(start.headers or {}),
                    "body": None if finish is None else finish.response,
                },
            }
        ),
    )


def _whole_run(
    id: str, name: str, records: list[tuple[Record, Row]], inner: list[JsonObject], samplings: list[JsonObject]
) -> JsonObject:
    """Return a run as a tree: steps, each with its call and its tools, and the runs inside of it."""
    won = {each.get("winner") for each in samplings}
    facts = {sample["call"]: sample for each in samplings for sample in each.get("samples") or ()}
    steps: dict[int, list[JsonObject]] = {}
    for record, row in records:
        vote = dict(facts.get(record.number) or {})
        if vote:
            vote["won"] = record.number in won
        steps.setdefault(record.step, []).append(_part(record, row, vote))
    parts: list[JsonObject] = [*steps.pop(0, [])]
    for number, made in sorted(steps.items()):
        parts.append(_group("step", f"{id}/{number}", f"step {number}", made))
    tree = _group("run", id, name, sorted([*parts, *inner], key=lambda each: str(each["started_at"] or "")))
    return {**tree, "samplings": samplings}


def _group(kind: Any, id: str, name: str, parts: list[JsonObject]) -> JsonObject:
    begun = [datetime.fromisoformat(str(each["started_at"])) for each in parts if each["started_at"]]
    ended = [
        datetime.fromisoformat(str(each["started_at"])).timestamp() * _MS + float(each["duration_ms"])
        for each in parts
        if each["started_at"] and each["duration_ms"] is not None
    ]
    states = [each["state"] for each in parts]
    last = states[-1] if states else "done"
    return node(
        kind,
        id,
        name,
        state="unsettled" if "unsettled" in states else str(last),
        started_at=min(begun).isoformat(timespec="microseconds") if begun else None,
        duration_ms=max(ended) - min(begun).timestamp() * _MS if ended and begun else None,
        parts=parts,
    )


def _part(record: Record, row: Row, facts: JsonObject) -> JsonObject:
    return node(
        cast("Any", record.kind),
        str(record.number),
        record.name if record.kind == "call" else row.prompt or record.name,
        state=record.state,
        started_at=row.started_at,
        duration_ms=row.duration_ms,
        cost_usd=row.cost_usd,
        text=row.text,
        error=row.error,
        call=str(record.number),
        facts=facts,
    )


def _json(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
