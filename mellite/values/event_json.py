"""Events as JSON and back: how whole answers are kept."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

import msgspec
from attrs import fields_dict

from . import events
from .errors import InvalidRequest, MelliteError
from .events import Event
from .message_json import message_of, written
from .messages import Message, ToolCall, ToolResult
from .provider_json import Json, JsonObject
from .usage import Usage

__all__ = ["events_of", "events_written"]

_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for name in events.__all__
    if isinstance(kind := getattr(events, name), type) and kind is not Usage
}


def events_written(answer: Sequence[Event]) -> list[Json]:
    """Return events as JSON-ready values, without errors that they may hold.

    Raises:
        InvalidRequest: for a part of a class of the caller's own.

    Example:
        >>> events_written([events.TextDelta("Hi."), events.Finish("stop")])
        [{'type': 'TextDelta', 'text': 'Hi.'}, {'type': 'Finish', 'reason': 'stop'}]
    """
    return [{"type": type(event).__name__, **_fields(event)} for event in answer]


@cache
def _defaults(kind: Hashable) -> Mapping[str, object]:
    """Return the fields of a kind of event, and what each is by default."""
    of: Any = kind
    if issubclass(of, msgspec.Struct):
        return {field.name: field.default for field in msgspec.structs.fields(of)}
    return {name: field.default for name, field in fields_dict(of).items()}


def _fields(value: Any) -> JsonObject:
    held = [(name, getattr(value, name), default) for name, default in _defaults(cast("Hashable", type(value))).items()]
    return {name: _value(each) for name, each, default in held if each != default and not _is_error(each)}


def _is_error(value: Any) -> bool:
    return isinstance(value, Exception) or (type(value) is tuple and bool(value) and isinstance(value[0], Exception))


def _value(held: Any) -> Json:
    if isinstance(held, bytes):
        try:
            return held.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(held).decode()}
    if isinstance(held, (ToolCall, ToolResult)):
        content = cast("list[Json]", written(Message("assistant", (held,)))["content"])
        return content[0]
    if isinstance(held, Usage):
        return _fields(held)
    if isinstance(held, tuple):
        return list(held)
    return dict(held) if isinstance(held, Mapping) else held


def events_of(value: Json) -> list[Event]:
    """Return the events that `events_written` made this of.

    Raises:
        InvalidRequest: for what is none of them.

    Example:
        >>> events_of([{"type": "TextDelta", "text": "Hi."}])
        [TextDelta(text='Hi.', id='text-0')]
    """
    if not isinstance(value, list):
        msg = f"events are a list, not {value!r:.80}"
        raise InvalidRequest(msg)
    return [_event_of(each) for each in value]


def _event_of(value: Json) -> Event:
    given = dict(value) if isinstance(value, Mapping) else {}
    kind = _KINDS.get(str(given.pop("type", None)))
    if kind is None:
        msg = f"there is no such event: {value!r:.80}"
        raise InvalidRequest(msg)
    try:
        made: Event = kind(**{name: _READ.get(name, _same)(held) for name, held in given.items()})
    except (TypeError, ValueError, KeyError, MelliteError) as error:
        msg = f"{value!r:.80} is not an event: {error}"
        raise InvalidRequest(msg) from error
    return made


def _same(value: Json) -> Any:
    return value


def _usage(value: Json) -> Usage:
    return Usage(**cast("dict[str, Any]", value))


def _part(value: Json) -> Any:
    return message_of({"role": "assistant", "content": [value]}).content[0]


def _bytes(value: Json) -> bytes:
    if isinstance(value, Mapping):
        return base64.b64decode(cast("str", value["base64"]))
    return cast("str", value).encode()


_READ: Final[dict[str, Callable[[Json], Any]]] = {
    "usage": _usage,
    "call": _part,
    "result": _part,
    "data": _bytes,
    "repairs": lambda value: tuple(cast("list[str]", value)),
}
