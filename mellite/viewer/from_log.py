"""A log of calls as a source of the viewer: rows, whole calls, runs and costs, read again for each request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast, final

from ..archive.entries import Answer, Entry
from ..archive.log.choosing import Wanted
from ..archive.log.kept_texts import KeptTexts
from ..archive.log.reading import reading
from ..cassettes.replaying.canonical import Snapshot
from ..values.errors import MelliteError
from ..values.provider_json import Json, JsonObject
from ..values.usage import Usage
from .differences import difference_of
from .rows import Changes, Found, Row, without_repeated
from .trees import node

__all__ = ["LogSource"]

#: How many new calls are told at once.
_MOST_NEW: Final = 200

#: How deep runs stand in the steps and tools of others.
_DEEPEST: Final = 20


@final
class LogSource:
    """The calls in a log.

    Args:
        path: its file.

    Raises:
        ConfigurationError: if it is none, damaged, or of another version.
    """

    kind = "log"
    problems: Sequence[str] = ()

    def __init__(self, path: str) -> None:
        self.name = path
        self._path = path
        self._texts = KeptTexts()
        with reading(path) as log:
            log.latest()

    def prepare(self) -> None:
        """Keep all texts in memory, so that words are found sooner."""
        with suppress(MelliteError), reading(self._path) as log:
            log.keep(self._texts)

    def calls(self, wanted: Wanted, offset: int, limit: int) -> Found:
        """Return some of the calls that are wanted."""
        with reading(self._path) as log:
            total, calls = log.chosen(wanted, offset, limit, self._texts)
        return Found(total=total, calls=tuple([Row.of(call) for call in calls]))

    def call(self, id: str, *, brief: bool = False) -> JsonObject | None:
        """Return all that is known of a call; None if there is none of this id."""
        found = self._named(id)
        if found is None:
            return None
        raw = cast("Mapping[str, Json] | None", found.get("raw"))
        response = None if raw is None else {**raw, "body": raw.get("response")}
        messages = [_in_parts(message) for message in found["messages"]]
        answer = None if found["message"] is None else _in_parts(found["message"])
        parent = found["parent"]
        with reading(self._path) as log:
            run = parent if parent is not None and log.has_run(parent) else None
        said = {"messages": messages, "message": answer, "run": run}
        told = {**found, **said, "protocol": None, "request": None, "response": response, "timeline": False}
        return without_repeated(told) if brief else told

    def _named(self, id: str) -> JsonObject | None:
        with reading(self._path) as log:
            return log.whole(id)

    def timeline(self, id: str) -> JsonObject | None:  # noqa: ARG002
        """Return None: a log does not keep when the parts of an answer came."""
        return None

    def runs(self) -> list[JsonObject]:
        """Return the runs, the newest first."""
        with reading(self._path) as log:
            return log.runs()

    def run(self, id: str) -> JsonObject | None:
        """Return a run with its calls, steps and the runs in its tools; None if there is none of this id."""
        with reading(self._path) as log:
            run = log.run(id)
            if run is None or run["id"] != id:
                return None

            def parts(id: str, depth: int) -> list[JsonObject]:
                found = cast("Any", log.parts_of(id))
                is_deep = depth >= _DEEPEST
                made = [_call_node(call) for call in found["calls"]]
                made += [_run_node(row, parts(row["id"], depth + 1)) for row in found["runs"] if not is_deep]
                made += [_step_node(row, parts(row["activity"], depth + 1)) for row in found["steps"] if not is_deep]
                return sorted(made, key=lambda each: str(each["started_at"] or ""))

            return {**_run_node(run, parts(id, 0)), "samplings": []}

    def facets(self) -> JsonObject:
        """Return the models, states and tags among which one can choose."""
        with reading(self._path) as log:
            return log.facets()

    def costs(self) -> JsonObject:
        """Return what calls cost and used, by day, model and tag."""
        with reading(self._path) as log:
            return log.spent()

    def difference(self, left: str, right: str) -> JsonObject | None:
        """Compare two calls, or two runs."""
        one, other = self.entries(left), self.entries(right)
        return difference_of(one, other) if one and other else None

    def masked(self, value: Json) -> Json:
        """Return JSON as it is: what looks like a key was taken out before it was logged."""
        return value

    def entries(self, id: str) -> list[Entry]:
        """Return what a call, or those of a run, are compared by; none if there is no such call or run."""
        call = self._named(id)
        if call is not None:
            return [_entry(call)]
        with reading(self._path) as log:
            run = cast("Any", log.run(id))
            calls = [] if run is None or run["id"] != id else [log.whole(each["id"]) or each for each in run["calls"]]
        return [_entry(each) for each in calls]

    def changes(self, mark: str) -> Changes:
        """Return the calls that are newer than a mark."""
        with reading(self._path) as log:
            if not mark.isdecimal():
                return Changes(mark=str(log.latest()))
            latest = log.latest()
            new = log.between(int(mark), latest, _MOST_NEW)
        return Changes(mark=str(latest), calls=tuple([Row.of(call) for call in new]))


def _in_parts(message: JsonObject) -> JsonObject:
    """Return a message whose content is a list of parts: a log keeps a bare text as one."""
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _call_node(call: Mapping[str, Any]) -> JsonObject:
    return node(
        "call",
        call["id"],
        call["model"] or call["provider"] or "a model",
        state=call["state"],
        started_at=call["started_at"],
        duration_ms=call["duration_ms"],
        cost_usd=call["cost_usd"],
        text=call["text"],
        error=call["error"],
        call=call["id"],
    )


def _run_node(run: Mapping[str, Any], parts: list[JsonObject]) -> JsonObject:
    return node(
        "run",
        run["id"],
        f"run {str(run['id'])[:8]}",
        state=run["state"],
        started_at=run["started_at"],
        duration_ms=run["duration_ms"],
        error=run["error"],
        text=run["stop_reason"],
        parts=parts,
    )


def _step_node(row: Mapping[str, Any], parts: list[JsonObject]) -> JsonObject:
    state = {"success": "done", "error": "failed"}.get(row["status"], str(row["status"]))
    began = min([str(each["started_at"]) for each in parts if each["started_at"]], default=None)
    return node(
        "step",
        row["activity"] or "",
        f"{row['flow_id']} / {row['step_id']}",
        state=state,
        started_at=began,
        parts=parts,
    )


def _entry(call: Mapping[str, Any]) -> Entry:
    """Return a call of a log as what recordings are compared by."""
    usage = None
    if call["input_tokens"] is not None or call["output_tokens"] is not None:
        usage = Usage.of(input_tokens=call["input_tokens"], output_tokens=call["output_tokens"])
    error = None if call["error_type"] is None else (call["error_type"], call["error"] or "")
    message = cast("Any", call["message"] or {})
    parts = message.get("content") if isinstance(message.get("content"), list) else []
    asked = {"messages": call["messages"], "options": call["options"]}
    return Entry(
        path="",
        name=call["id"],
        format="log",
        provider=call["provider"],
        model=call["model"],
        question=(call["prompt"] or "").rpartition("\n\nuser: ")[2],
        request=Snapshot("ASK", f"{call['provider']}:{call['model']}", headers={}, body=asked, is_json=True),
        end=call["state"] if call["state"] == "cancelled" else "complete",
        span=_span(call["started_at"], call["duration_ms"]),
        lineage=tuple(call["lineage"] or ()),
        answer=Answer(
            text=call["text"],
            thinking=call["thinking"],
            tool_calls=tuple([(p["name"], p.get("arguments")) for p in parts if p.get("type") == "tool_call"]),
            finish_reason=call["finish_reason"],
            error=error,
            usage=usage,
            cost_usd=None if call["cost_usd"] is None else Decimal(str(call["cost_usd"])),
        ),
    )


def _span(started_at: str | None, duration_ms: float | None) -> tuple[int, int] | None:
    if started_at is None or duration_ms is None:
        return None
    began = datetime.fromisoformat(started_at)
    ended = began + timedelta(milliseconds=duration_ms)
    return int(began.timestamp() * 1_000_000), int(ended.timestamp() * 1_000_000)
