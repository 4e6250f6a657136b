"""Requests, answers and errors as the JSON of a journal, and back to events and errors.

What the program gets back when it is started again is kept as it came. What is kept for people alone, such as prompts,
the bodies of requests and texts of errors, is kept without what looks like a key. Large parts that come again and
again, such as messages, are kept once, by their hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from attrs import evolve

from ...values import errors
from ...values.backend_streams import name_of
from ...values.errors import BackendError, GenerationCancelled, MelliteError
from ...values.event_json import events_of, events_written
from ...values.events import Event, RawChunk, ResponseStart
from ...values.messages import ToolResult, ToolValue
from ...values.provider_json import Json, JsonObject
from ...values.secrets.json_masks import masked_json
from ...values.secrets.names import FIELDS, environment_secrets, plain_name
from ...values.secrets.shapes import looks_secret, masked
from ...values.told_errors import error_line
from ...values.usage import Usage
from .json_values import digest_of

__all__ = ["Packing", "error_of", "error_written", "result_of", "result_written", "unpacked"]

#: Shorter parts are kept where they stand.
_WORTH_KEEPING: Final = 64
_REFERENCE: Final = "$kept"


class Packing:
    """Packs what is kept, and hands out the large parts of it, each once.

    Args:
        keep: takes a part that was not kept before, by its hash.
        known: the hashes of what is kept already; grows.
    """

    def __init__(self, keep: Callable[[str, Json], None], known: set[str]) -> None:
        self._keep = keep
        self._known = known
        self._secrets = environment_secrets(os.environ)
        self._looked_for = {*self._secrets, *(json.dumps(each, ensure_ascii=False)[1:-1] for each in self._secrets)}

    def kept(self, value: Json) -> str:
        """Keep a part without what looks like a key; return its hash."""
        name = digest_of(value)
        if name not in self._known:
            self._known.add(name)
            self._keep(name, self.clean(value))
        return name

    def clean(self, value: Json) -> Json:
        """Return JSON without what looks like a key."""
        # Looking takes a fraction of the time that masking takes, and finds nothing nearly always.
        if not looks_secret(json.dumps(value, ensure_ascii=False, default=repr), self._looked_for):
            return masked_json(value) if _names_a_secret(value) else value
        return self._without_known(masked_json(value))

    def _without_known(self, value: Json) -> Json:
        """Return JSON without the keys that the environment of this process holds."""
        if not self._secrets:
            return value
        if isinstance(value, str):
            return masked(value, self._secrets) if any(secret in value for secret in self._secrets) else value
        if isinstance(value, Mapping):
            return {str(name): self._without_known(each) for name, each in value.items()}
        return [self._without_known(each) for each in value] if isinstance(value, list) else value

    def events(self, events: Sequence[Event]) -> list[Json]:
        """Return the events of an answer as JSON."""
        raw = [event.data.decode("utf-8", "replace") for event in events if type(event) is RawChunk]
        is_risky = bool(raw) and looks_secret("\n".join(raw), self._secrets)
        packed = events_written([self._cleaned(event) for event in events] if is_risky else events)
        for place, event in enumerate(events):
            if type(event) is ResponseStart:
                told = cast("JsonObject", packed[place])
                if event.request_body is not None:
                    told["request_body"] = self._body(event.request_body)
                if event.failures:
                    told["failures"] = [error_written(each) for each in event.failures]
        return packed

    def _cleaned(self, event: Event) -> Event:
        if type(event) is not RawChunk:
            return event
        return RawChunk(masked(event.data.decode("utf-8", "replace"), self._secrets).encode())

    def _body(self, body: Json) -> Json:
        """Return the body of a request, in which lists of messages and tools are kept item by item."""
        if not isinstance(body, Mapping):
            return self.clean(body)
        lists = {name: [self._item(each) for each in value] for name, value in body.items() if isinstance(value, list)}
        return {name: lists[name] if name in lists else self.clean(value) for name, value in body.items()}

    def _item(self, item: Json) -> Json:
        is_large = isinstance(item, dict) and len(str(cast("object", item))) > _WORTH_KEEPING
        return {_REFERENCE: self.kept(item)} if is_large else self.clean(item)


def _names_a_secret(value: Json) -> bool:
    """Tell whether a field of JSON is secret by its name."""
    if isinstance(value, Mapping):
        return any(plain_name(str(name)) in FIELDS or _names_a_secret(each) for name, each in value.items())
    return any(_names_a_secret(each) for each in value) if isinstance(value, (list, tuple)) else False


def unpacked(packed: Sequence[Json], find: Callable[[str], Json]) -> list[Event]:
    """Return the events that `Packing.events` made this of.

    Args:
        packed: JSON.
        find: gives what is kept by its hash.
    """
    events: list[Event] = []
    for each in packed:
        told = dict(cast("JsonObject", each))
        failures = told.pop("failures", None)
        if "request_body" in told:
            told["request_body"] = _whole(told["request_body"], find)
        event = events_of([told])[0]
        if failures and type(event) is ResponseStart:
            event = evolve(event, failures=tuple([error_of(one) for one in cast("list[Json]", failures)]))
        events.append(event)
    return events


def _whole(body: Json, find: Callable[[str], Json]) -> Json:
    if isinstance(body, Mapping):
        if _REFERENCE in body and len(body) == 1:
            return find(str(body[_REFERENCE]))
        return {name: _whole(value, find) for name, value in body.items()}
    return [_whole(each, find) for each in body] if isinstance(body, list) else body


# Errors

_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "non_cached_input_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
)
_PLAIN: Final = (str, int, float, bool)


def error_written(error: BaseException, backend: object = None) -> JsonObject:
    """Return an error as JSON, without what looks like a key.

    Args:
        error: what was raised.
        backend: what raised it.
    """
    kind = type(error)
    ours = isinstance(error, MelliteError) and getattr(errors, kind.__name__, None) is kind
    told: JsonObject = {"type": kind.__name__ if ours else f"{kind.__module__}.{kind.__qualname__}"}
    told["message"] = masked(str(error) if ours else f"backend {name_of(backend)} raised {error_line(error)}")
    if ours:
        facts = {name: value for name, value in vars(error).items() if isinstance(value, _PLAIN) and name[:1] != "_"}
        told["facts"] = masked_json(facts)
        usage = getattr(error, "usage", None)
        if isinstance(usage, Usage):
            told["usage"] = {name: getattr(usage, name) for name in _COUNTS if getattr(usage, name) is not None}
    cause = error.__cause__
    if cause is not None and cause is not error:
        told["cause"] = masked(error_line(cause)[:1000])
    return told


def error_of(told: Json) -> MelliteError:
    """Return the error that `error_written` told of; one that is not ours is the cause of a `BackendError`."""
    facts = cast("Mapping[str, Any]", told)
    kind = getattr(errors, str(facts["type"]), None)
    message = str(facts["message"])
    if not (isinstance(kind, type) and issubclass(kind, MelliteError)):
        found: MelliteError = BackendError(message)
        found.__cause__ = RuntimeError(message)
        return found
    found = kind(message)
    vars(found).update(cast("Mapping[str, Any]", facts.get("facts") or {}))
    if "usage" in facts:
        found.usage = Usage(**facts["usage"])
    if "cause" in facts:
        found.__cause__ = RuntimeError(str(facts["cause"]))
    return found


def reason_of(told: Json) -> str | None:
    """Return why a call was cancelled, if that is told."""
    error = error_of(told) if told else None
    return error.reason if isinstance(error, GenerationCancelled) else None


# Results of tools


def result_written(result: ToolResult) -> Json:
    """Return the result of a tool as JSON."""
    from ...values.message_json import written
    from ...values.messages import Message

    content = cast("list[Json]", written(Message("tool", (result,)))["content"])
    return content[0]


def result_of(told: Json) -> ToolResult:
    """Return the result that `result_written` told of."""
    from ...values.message_json import part_of

    return cast("ToolResult", part_of(told, "$"))


def given_result(id: str, name: str, value: Any) -> ToolResult:
    """Return the result of a call that a caller supplied: a result, or what a tool might return."""
    if isinstance(value, ToolResult):
        return evolve(value, id=id, name=name)
    if isinstance(value, ToolValue):
        return ToolResult(id, name, value)
    return ToolResult(id, name, ToolValue("text", value) if isinstance(value, str) else ToolValue("json", value))
