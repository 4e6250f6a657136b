"""Write what a tool returned as a result that the model can read: JSON, text or parts, at a bounded length."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, MappingView, Sequence
from enum import Enum
from inspect import isawaitable
from typing import Any, Final, cast

import attrs
import msgspec

from ...values.errors import ToolFailure
from ...values.messages import Media, Text, ToolCall, ToolResult, ToolValue
from ...values.provider_json import Json
from ...values.shapes.mismatches import segment
from ...values.told_errors import error_text

__all__ = ["PLAIN", "RAN", "error_result", "result_of"]


def result_of(call: ToolCall, value: object, most: int | None) -> ToolResult:
    r"""Return the result of a call for what its tool returned.

    A ToolResult, a ToolValue, texts and media are what they are, a `ToolFailure` is an error; anything else becomes
    JSON. What has more than `most` characters becomes text: its beginning, and a note of both lengths.

    Raises:
        ToolFailure: if the value has no JSON form, with the path to the part that has none.

    Example:
        >>> call = ToolCall("call_1", "list_cities")
        >>> result_of(call, ["Paris", "Rome"], 100).result
        ToolValue(type='json', value=['Paris', 'Rome'])
        >>> result_of(call, ["Paris", "Rome"], 8).result.value
        '["Paris"\n[the first 8 of 16 characters]'
    """
    kind = type(value)
    if kind is str and (most is None or len(cast("str", value)) <= most):  # what most tools return
        return ToolResult(call.id, call.name, ToolValue("text", value))
    if kind in PLAIN:
        return ToolResult(call.id, call.name, _bounded(ToolValue("text" if kind is str else "json", value), most))
    if isinstance(value, ToolFailure):
        return error_result(call, str(value), most)
    if isinstance(value, ToolResult):
        return attrs.evolve(value, id=call.id, name=call.name, result=_bounded(value.result, most))
    # The class of messages tells text and parts from JSON.
    return ToolResult(call.id, call.name, _bounded(ToolResult("", "", cast("Any", value)).result, most))


#: Types of results that are what they are: no parts of a message, and nothing to await.
PLAIN: Final = frozenset({str, dict, bool, int, float, type(None)})


#: How the failure of a result that cannot be sent begins.
RAN: Final = "The tool ran, but its result"


def error_result(call: ToolCall, message: str, most: int | None = None) -> ToolResult:
    """Return the result of a call that failed, with what the model is told."""
    return ToolResult(call.id, call.name, ToolValue("error", _cut(message, most)))


def _bounded(value: ToolValue, most: int | None) -> ToolValue:
    inner = value.value
    if isinstance(inner, str) and value.type != "json":
        return value if most is None or len(inner) <= most else ToolValue(value.type, _cut(inner, most))
    if value.type == "content":
        return ToolValue("content", _bounded_parts(inner if isinstance(inner, (list, tuple)) else (inner,), most))
    text, copy = _as_json(inner)
    if most is not None and len(text) > most:
        return ToolValue("error" if value.type == "error" else "text", _cut(text, most))
    return ToolValue(value.type, copy)


def _cut(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    return f"{text[:most]}\n[the first {most} of {len(text)} characters]"


def _bounded_parts(parts: Sequence[object], most: int | None) -> tuple[Text | Media, ...]:
    """Return the parts; of their texts together no more than `most` characters."""
    total = sum(len(part.text) for part in parts if isinstance(part, Text))
    kept: list[Text | Media] = []
    left = most
    for part in parts:
        if isinstance(part, Text) and left is not None:
            if left:
                kept.append(part if len(part.text) <= left else attrs.evolve(part, text=part.text[:left]))
            left = max(0, left - len(part.text))
        elif isinstance(part, (Text, Media)):
            kept.append(part)
        else:
            msg = f"The tool returned {_kind(part)} among the parts of its result; they are texts and media."
            raise ToolFailure(msg)
    if most is not None and total > most:
        kept.append(Text(f"[the first {most} of {total} characters]"))
    return tuple(kept)


# --- JSON -------------------------------------------------------------------------------------------


def _as_json(value: object) -> tuple[str, Json]:
    """Return a value as the text of JSON, and as a plain copy, which the tool does not change later."""
    try:
        text = _ENCODER.encode(value)
        return text, json.loads(text)
    except Exception as error:  # among others whatever a property of the user's raises
        found = _fault(value)
        path, reason = found if found is not None else ("$", error_text(error) or type(error).__name__)
    if len(path) > _LONGEST_PATH:
        path = f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
    msg = f"{RAN} cannot be sent as JSON: at {path} it has {reason}."
    raise ToolFailure(msg)


def _other(value: object) -> Json:
    """Return what stands in JSON for something that the encoder does not know, one level deep.

    Raises:
        TypeError: if there is nothing.
    """
    if isinstance(value, _BYTES) or isawaitable(value):
        raise TypeError(_kind(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return _sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    kind = type(value)
    if attrs.has(kind):
        return _public(value, [each.name for each in attrs.fields(kind)])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _public(value, [each.name for each in dataclasses.fields(value)])
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for name, options in _ITS_OWN.items():
        its_own = getattr(value, name, None)
        if callable(its_own) and not isinstance(value, type):
            return its_own(**options)
    if isinstance(value, (Sequence, MappingView)):
        return list(cast("Iterable[object]", value))
    return _by_msgspec(value)


def _by_msgspec(value: object) -> Json:
    def inside(part: object) -> Json:
        if part is value:  # msgspec does not know it either
            raise TypeError(_kind(part))
        return _other(part)

    return msgspec.to_builtins(value, builtin_types=(bytes, bytearray), enc_hook=inside)


_BYTES: Final = (bytes, bytearray, memoryview)

#: Methods by which values of other libraries say what their plain form is: of pydantic, and of arrays and numbers of
#: numpy and those like them.
_ITS_OWN: Final[Mapping[str, Mapping[str, Any]]] = {"model_dump": {"mode": "json"}, "tolist": {}}

_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_other)


def _public(value: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if not name.startswith("_")}


def _sorted(values: set[Any] | frozenset[Any]) -> list[Any]:
    """Return the elements of a set in an order that is the same in every process."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=_ENCODER.encode)


# --- what has no JSON form, and where ---------------------------------------------------------------


def _fault(value: object) -> tuple[str, str] | None:
    """Return the path to the first part of a value that has no JSON form, and what is there; None if there is none."""
    waiting: list[tuple[object, str, tuple[int, ...]]] = [(value, "$", ())]
    while waiting:  # not recursive: it may be deeper than Python can call
        item, path, around = waiting.pop()
        reason = _has_no_form(item, around)
        if reason is not None:
            return path, reason
        inside = _inside(item)
        if isinstance(inside, str):
            return path, inside
        waiting += [(inner, path + step, (*around, id(item))) for step, inner in reversed(inside)]
    return None


def _has_no_form(item: object, around: tuple[int, ...]) -> str | None:
    if isinstance(item, float) and not math.isfinite(item):
        return f"the number {item}, which JSON has not"
    if id(item) in around:
        return "something that it is a part of (a cycle)"
    if len(around) > _DEEPEST:
        return f"a part that is more than {_DEEPEST} levels deep"
    return None


_DEEPEST: Final = 500
_LONGEST_PATH: Final = 100


def _inside(item: object) -> list[tuple[str, object]] | str:
    """Return the parts of an item, each with its segment of the path; or what the item is, if it has no JSON form."""
    if item is None or isinstance(item, (str, int, float)):
        return []
    if isinstance(item, dict):
        fields = cast("dict[Any, object]", item)
        for key in fields:
            if key is not None and not isinstance(key, (str, int, float)):
                return f"a key that is {_kind(key)} and no text"
        return [(segment(str(key)), inner) for key, inner in fields.items()]
    if isinstance(item, (list, tuple)):
        return [(f"[{index}]", inner) for index, inner in enumerate(cast("Sequence[object]", item))]
    try:
        return [("", _other(item))]
    except Exception as error:
        return _kind(item) if isinstance(error, TypeError) else f"{_kind(item)}, which raised {type(error).__name__}"


def _kind(value: object) -> str:
    """Say what a value is, and nothing of what is in it."""
    if isawaitable(value):
        return f"something that was not awaited ({type(value).__name__})"
    if isinstance(value, _BYTES):
        return "bytes (decode them, or return an Image or a Document)"
    return f"a value of type {type(value).__name__}"
