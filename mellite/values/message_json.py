"""Messages as JSON and back, every part with all that it holds: how conversations are saved."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, cast

from attrs import fields

from .errors import InvalidRequest, MelliteError
from .messages import (
    Audio,
    CacheHint,
    Deferred,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolValue,
    Video,
)
from .provider_json import Json, JsonObject
from .spelling import did_you_mean
from .type_names import a_type_name

__all__ = ["message_of", "part_of", "written"]

_KINDS: Final[dict[str, type[Any]]] = {
    "text": Text,
    "image": Image,
    "audio": Audio,
    "video": Video,
    "document": Document,
    "reasoning": Reasoning,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def written(message: Message) -> JsonObject:
    """Return a message as JSON-ready values; what has the value that it has by default is left out.

    Raises:
        InvalidRequest: for a thunk that has not settled or has failed, and a part of a class of the caller's own.

    Example:
        >>> written(Message.user("Hello."))
        {'role': 'user', 'content': [{'type': 'text', 'text': 'Hello.'}]}
    """
    made: JsonObject = {"role": message.role, "content": [_part(part) for part in message.content]}
    return made | {
        name: value for name in ("id", "metadata", "native") if (value := getattr(message, name)) is not None
    }


def _part(part: Part) -> JsonObject:
    if isinstance(part, Deferred):
        try:
            return {"type": "text", "text": part.deferred_text()}
        except MelliteError as error:
            msg = f"a thunk in it has no text: {error}"
            raise InvalidRequest(msg) from error
    name = _NAMES.get(type(part))
    if name is None:
        msg = f"{a_type_name(type(part))} cannot be saved; make it one of {', '.join(_KINDS)}"
        raise InvalidRequest(msg)
    return {"type": name, **_fields(part)}


def _fields(value: Any) -> JsonObject:
    return {
        field.name: _value(held)
        for field in fields(type(value))
        if (held := getattr(value, field.name)) is not field.default
    }


def _value(held: object) -> Json:
    if isinstance(held, bytes):
        return base64.b64encode(held).decode()
    if isinstance(held, ToolValue):
        value = [_part(part) for part in held.value] if held.type == "content" else held.value
        return {"type": held.type, "value": value}
    return _fields(held) if isinstance(held, CacheHint) else held


def message_of(value: Json, where: str = "$") -> Message:
    """Return the message that `written` made this of.

    Args:
        value: decoded JSON.
        where: its JSON path, for errors.

    Raises:
        InvalidRequest: for what is not a message; it says where.

    Example:
        >>> message_of({"role": "user", "content": [{"type": "text", "text": "Hello."}]}).text
        'Hello.'
    """
    given: dict[str, Any] = dict(_object(value, where))
    _check_keys(given, ("role", "content", "id", "metadata", "native"), where)
    content = [part_of(part, f"{where}.content[{n}]") for n, part in enumerate(_list(given, "content", where))]
    try:
        given["content"] = content
        return Message(**given)
    except (InvalidRequest, TypeError) as error:
        _refuse(where, str(error))


def part_of(value: Json, where: str) -> Part:
    """Return the part of a message that this JSON stands for.

    Raises:
        InvalidRequest: for what is none; it says where.
    """
    given = dict(_object(value, where))
    name = given.pop("type", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        _refuse(
            where, f"there is no part of the type {name!r}; {did_you_mean(str(name), _KINDS, otherwise='they are')}"
        )
    _check_keys(given, [field.name for field in fields(kind)], where)
    if issubclass(kind, Media) and isinstance(given.get("data"), str):
        try:
            given["data"] = base64.b64decode(given["data"], validate=True)
        except binascii.Error as error:
            _refuse(f"{where}.data", f"not valid base64: {error}")
    if given.get("cache") is not None:
        given["cache"] = _made(CacheHint, given["cache"], f"{where}.cache")
    if kind is ToolResult:
        given["result"] = _result(given.get("result"), f"{where}.result")
    return cast("Part", _made(kind, given, where))


def _result(value: Json, where: str) -> ToolValue:
    result: ToolValue = _made(ToolValue, value, where)
    if result.type == "content":
        parts = enumerate(_list({"value": result.value}, "value", where))
        return ToolValue("content", tuple([part_of(part, f"{where}.value[{n}]") for n, part in parts]))
    return result


def _made(kind: type[Any], value: Json, where: str) -> Any:
    given = _object(value, where)
    _check_keys(given, [field.name for field in fields(kind)], where)
    try:
        return kind(**given)
    except (InvalidRequest, TypeError) as error:
        _refuse(where, str(error))


def _check_keys(given: Mapping[str, Json], known: Iterable[str], where: str) -> None:
    names = tuple(known)
    for key in given:
        if key not in names:
            _refuse(where, f"there is no key {key!r}; {did_you_mean(key, names, otherwise='the keys are')}")


def _object(value: Json, where: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        _refuse(where, f"must be an object, not {value!r:.80}")
    return value


def _list(given: Mapping[str, Json], name: str, where: str) -> list[Json]:
    value = given.get(name)
    if not isinstance(value, list):
        _refuse(f"{where}.{name}", f"must be a list, not {value!r:.80}")
    return value


def _refuse(where: str, what: str) -> NoReturn:
    msg = f"{where}: {what}"
    raise InvalidRequest(msg)
