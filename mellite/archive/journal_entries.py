"""The calls in a journal as the entries that cassettes are compared by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, cast

from ..cassettes.replaying.canonical import Snapshot
from ..thunk.outcome import Clock, metadata_of
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from ..values.usage import Usage
from .entries import Answer, Entry
from .journal.records import Record, read_journal

__all__ = ["entry_of", "journal_entries"]

_MICROSECONDS: Final = 1_000_000

#: What of a message is never sent to a provider, so that it does not count.
_NEVER_SENT: Final = ("id", "metadata")

_NOTHING_USED: Final = Usage.of(input_tokens=0, output_tokens=0)

_METHODS: Final = {"call": "ASK", "tool": "TOOL", "function": "FUNCTION"}


def journal_entries(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield the calls of a journal, by the numbers that `mellite journal show` prints.

    Raises:
        InvalidJournal: if it is none, or damaged.
    """
    directory = os.fspath(path)
    for record in read_journal(directory).calls:
        yield entry_of(directory, record)


def entry_of(path: str, record: Record) -> Entry:
    """Return one call of a journal as an entry."""
    who = record.who
    is_call = record.kind == "call"
    return Entry(
        path=path,
        name=f"{record.number}",
        format="journal",
        provider=cast("str | None", who.get("provider") or who.get("name") or who.get("backend")),
        model=cast("str | None", who.get("model")),
        protocol=cast("str | None", who.get("protocol")),
        question=_question(record) if is_call else f"{record.name}({_json(record.arguments)})",
        request=Snapshot(
            _METHODS.get(record.kind, record.kind.upper()),
            _target(record),
            headers={},
            body=_asked(record.request) if is_call else {"arguments": record.arguments},
            is_json=True,
        ),
        end=record.state if record.state in ("cancelled", "unsettled") else "complete",
        span=_span(record),
        lineage=record.lineage if is_call else None,
        answer=_answer(record),
    )


def _target(record: Record) -> str:
    """Return the backend as one text; or the name of a tool or function."""
    return _json(record.who) if record.kind == "call" else record.name


def _asked(request: JsonObject) -> Json:
    messages = cast("list[JsonObject]", request.get("messages") or [])
    said = [{name: value for name, value in each.items() if name not in _NEVER_SENT} for each in messages]
    return {"frame": request.get("frame"), "messages": said}


def _question(record: Record) -> str:
    """Return the last words of the user."""
    for message in reversed(record.messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join([str(cast("Mapping[str, Json]", one).get("text", "")) for one in parts if isinstance(one, dict)])


def _span(record: Record) -> tuple[int, int] | None:
    if record.seconds is None:
        return None
    begun = int(record.started_at.timestamp() * _MICROSECONDS)
    return begun, begun + int(record.seconds * _MICROSECONDS)


def _answer(record: Record) -> Answer:
    error = record.error
    failed = None if error is None else (type(error).__name__, str(error))
    if record.kind != "call":
        # What a tool gave is the text of its answer; it used no tokens of its own.
        return Answer(text=_json(record.result), error=failed, usage=_NOTHING_USED, cost_usd=Decimal(0))
    told = record.folded
    made = metadata_of(told, Request(()), None, Clock(started_at=record.started_at))
    return Answer(
        text=told.text,
        thinking=told.thinking,
        tool_calls=tuple(
            [(call.name, call.raw_arguments if call.arguments is None else call.arguments) for call in told.tool_calls]
        ),
        finish_reason=made.finish_reason,
        error=failed,
        usage=made.usage,
        cost_usd=made.cost_usd,
    )


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
