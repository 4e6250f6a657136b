"""Conversations as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from attrs import asdict, frozen

from ...values.errors import InvalidRequest, MelliteError
from ...values.message_json import message_of, part_of, written
from ...values.messages import Message, Text, WholeAnswer
from ...values.options import CachePolicy, Timeouts
from ...values.provider_json import Json, JsonObject
from ...values.tools import ToolChoice

__all__ = ["Kept", "read", "saved"]

_VERSION: Final = 1
_KEYS: Final = ("mellite", "id", "system", "options", "messages")

#: Options that are objects, by name; the others are what JSON has.
_OBJECTS: Final[Mapping[str, type[Any]]] = {"cache": CachePolicy, "timeouts": Timeouts, "tool_choice": ToolChoice}


@frozen(kw_only=True)
class Kept:
    """The saved form of a conversation."""

    id: str | None
    system: tuple[Text, ...]
    options: Mapping[str, Any]
    messages: tuple[Message, ...]


def saved(chat: Kept) -> str:
    """Return a conversation as JSON; see `Conversation.to_json`."""
    messages = []
    for index, message in enumerate(chat.messages):
        _check_done(message, index)
        try:
            messages.append(_checked(written(message)))
        except InvalidRequest as error:
            msg = f"message {index} of the conversation cannot be saved: {error}"
            raise InvalidRequest(msg) from error
    content: JsonObject = {"mellite": {"conversation": _VERSION}, "id": chat.id}
    content["system"] = [_checked(part) for part in written(Message("system", chat.system))["content"]]
    content["options"] = {name: _option(name, value) for name, value in chat.options.items()}
    return json.dumps(content | {"messages": messages}, ensure_ascii=False)


def _check_done(message: Message, index: int) -> None:
    """Raise InvalidRequest if a message stands for those of an answer that is not done."""
    whole = WholeAnswer.in_place_of(message)
    if whole is None:
        return
    try:
        whole.deferred_messages()
    except MelliteError as error:
        state = getattr(whole.of, "state", "not done")
        todo = "await it before saving" if state in ("pending", "running") else str(error)
        msg = f"message {index} of the conversation is an answer that is {state}: {todo}"
        raise InvalidRequest(msg) from error


def _checked(value: JsonObject) -> JsonObject:
    """Return values that are JSON.

    Raises:
        InvalidRequest: if they are not.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"what it holds is not JSON: {error}"
        raise InvalidRequest(msg) from error
    return value


def _option(name: str, value: object) -> Json:
    if name == "http":
        msg = "option 'http' is not saved, because it may hold a key; give it to ask() instead of the conversation"
        raise InvalidRequest(msg, parameter=name)
    if name == "tool_choice" and not isinstance(value, str):
        value = ToolChoice.of(value)
    plain = asdict(value) if isinstance(value, (CachePolicy, Timeouts, ToolChoice)) else value
    try:
        return _checked({name: plain})[name]
    except InvalidRequest as error:
        msg = f"option {name!r} cannot be saved, {error}; give it to ask() instead of the conversation"
        raise InvalidRequest(msg, parameter=name) from error


def read(text: str | bytes) -> Kept:
    """Read what `saved` wrote; see `Conversation.from_json`."""
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, TypeError, RecursionError) as error:
        msg = f"this is not the JSON of a conversation: {error}"
        raise InvalidRequest(msg, parameter="text") from error
    mark = content.get("mellite") if isinstance(content, dict) else None
    if not isinstance(mark, dict) or mark.get("conversation") != _VERSION:
        of = f" of version {mark['conversation']}" if isinstance(mark, dict) and "conversation" in mark else ""
        _refuse(f"it is not what to_json() of this version of mellite writes, but {'JSON' if not of else 'one'}{of}")
    for name, kind in (("system", list), ("options", dict), ("messages", list)):
        if not isinstance(content.get(name), kind):
            _refuse(f"$.{name} must be {'a list' if kind is list else 'an object'}")
    system = [part_of(value, f"$.system[{index}]") for index, value in enumerate(content["system"])]
    if not all(isinstance(part, Text) for part in system):
        _refuse("$.system must hold texts only")
    return Kept(
        id=content.get("id"),
        system=tuple([part for part in system if isinstance(part, Text)]),
        options={name: _option_of(name, value) for name, value in content["options"].items()},
        messages=tuple([message_of(value, f"$.messages[{index}]") for index, value in enumerate(content["messages"])]),
    )


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _option_of(name: str, value: Json) -> Any:
    kind = _OBJECTS.get(name)
    if kind is None or not isinstance(value, dict):
        return value
    try:
        return kind(**value)
    except (TypeError, MelliteError) as error:
        _refuse(f"$.options.{name}: {error}")


def _refuse(what: str) -> NoReturn:
    msg = f"this is not the JSON of a conversation: {what}"
    raise InvalidRequest(msg, parameter="text")
