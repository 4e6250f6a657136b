"""Answer from the journal of a run: what is asked again gets what was answered then, whichever client asks."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, cast

from ..archive.journal.records import Record, read_journal
from ..cassettes.replaying.canonical import Snapshot
from ..cassettes.replaying.matching import Difference, differences, explained
from ..values.errors import CassetteMiss
from ..values.events import Event
from ..values.message_json import written
from ..values.messages import Message
from ..values.provider_json import Json, JsonObject
from ..values.request import Request

__all__ = ["JournalAnswers", "is_journal"]

#: What of a part or message says how it came, and not what it says; clients send none of it back, or not as it was.
_APART: Final = frozenset({"cache", "id", "metadata", "native", "provider_metadata", "raw_arguments"})
_THINKING: Final = "reasoning"


def is_journal(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the directory of a journal."""
    return os.path.isfile(os.path.join(path, "journal.json"))


class JournalAnswers:
    """A backend that answers what a journal holds; equal calls get their answers in turn, then again from the first.

    Compared are the system prompt and the messages: texts, media, calls of tools and their results.

    Args:
        path: the directory of the journal, which is read now.

    Raises:
        InvalidJournal: if it is none, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._asked: list[tuple[JsonObject, Record]] = []
        self._known: dict[str, deque[Record]] = {}
        for record in read_journal(path).calls:
            if record.kind == "call" and record.state in ("done", "failed"):
                frame = cast("JsonObject", record.request.get("frame") or {})
                asked = _compared(frame.get("system"), record.messages)
                self._asked.append((asked, record))
                self._known.setdefault(repr(asked), deque()).append(record)

    def __repr__(self) -> str:
        return f"JournalAnswers({self._path!r})"

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Give what was answered to this request.

        Raises:
            CassetteMiss: if it was not asked, with the difference to the nearest one.
            MelliteError: if it failed so.
        """
        system = written(Message("system", request.system))["content"] if request.system else None
        asked = _compared(system, [written(message) for message in request.messages])
        found = self._known.get(repr(asked))
        if not found:
            raise self._miss(asked)
        record = found[0]
        found.rotate(-1)
        for event in record.events:
            yield event
        error = record.error
        if error is not None:
            raise error

    def _miss(self, asked: JsonObject) -> CassetteMiss:
        nearest: tuple[list[Difference], Record] | None = None
        for recorded, record in self._asked:
            found = differences(_snapshot(recorded), _snapshot(asked))
            if nearest is None or len(found) < len(nearest[0]):
                nearest = found, record
        msg = f"journal {self._path!r}: none of its {len(self._asked)} calls asked this"
        if nearest is not None:
            msg = f"{msg}\nthe nearest is call {nearest[1].number}:\n{explained(nearest[0])}"
        return CassetteMiss(msg, path=self._path)


def _snapshot(body: JsonObject) -> Snapshot:
    return Snapshot("ASK", "", headers={}, body=body, is_json=True)


def _compared(system: Json, messages: Sequence[Mapping[str, Json]]) -> JsonObject:
    return {"system": _parts(system), "messages": [_message(message) for message in messages]}


def _message(message: Mapping[str, Json]) -> JsonObject:
    return {"role": message.get("role"), "content": _parts(message.get("content"))}


def _parts(content: Json) -> list[Any]:
    """Return the parts of a message in their shortest form, without thinking and ids; results of tools as text."""
    parts = content if isinstance(content, (list, tuple)) else [] if content is None else [content]
    found: list[Any] = []
    for part in parts:
        if isinstance(part, Mapping):
            if part.get("type") == _THINKING:
                continue
            if part.get("type") == "tool_result":
                found.append({"type": "tool_result", "text": _result(part.get("result"))})
                continue
            kept = {name: _plain(value) for name, value in part.items() if name not in _APART and value is not None}
            found.append(kept.get("text") if kept.keys() <= {"type", "text"} else kept)
        else:
            found.append(part)
    return found


def _result(result: Json) -> str:
    """Return what a tool gave as the text that most protocols send."""
    value = result.get("value") if isinstance(result, Mapping) else result
    if isinstance(result, Mapping) and result.get("type") == "content" and isinstance(value, list):
        return "\n".join([str(part.get("text", part)) for part in value])
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Json) -> Json:
    return {name: _plain(each) for name, each in sorted(value.items())} if isinstance(value, Mapping) else value
