"""Decide how an answer is held to its type, and write the request so: natively, by a tool, or in words."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, field, frozen

from ..values.errors import InvalidRequest, UnsupportedOption
from ..values.messages import Text
from ..values.output import schema_of
from ..values.outputs.plan import WRAPPED, OutputPlan
from ..values.outputs.schemas import is_of_objects, wrapped
from ..values.provider_json import JsonObject
from ..values.request import Request
from ..values.tools import ToolChoice, ToolDefinition
from .schema_projection import SchemaRules, Unheld, projected

__all__ = ["Form", "Held", "Ways", "held", "named", "planned"]

_TOOL: Final = "answer"
_DESCRIPTION: Final = "Give the final answer by calling this tool. Its arguments are the answer."
_BY_CALLING: Final = "Give the final answer by calling the tool `{tool}`, in no other way, and write nothing beside it."
_IN_WORDS: Final = (
    "Answer with one JSON value in a fenced block that begins with ```json, and nothing else. It must fit this JSON "
    "Schema:\n{schema}"
)


@frozen(kw_only=True)
class Form:
    """The form of the schemas that a vendor holds answers to natively.

    Args:
        who: the vendor, for messages.
        rules: what the form has.
        objects: whether it is for JSON objects only.
        loosely: whether the vendor also takes a schema that it cannot hold an answer to strictly.
    """

    who: str
    rules: SchemaRules
    objects: bool = True
    loosely: bool = False


@frozen(kw_only=True)
class Ways:
    """The ways in which one model can be held to a type, as facts.

    Args:
        form: the form of schemas.
        native: whether it can be held to a schema natively; None if not beside tools.
        tools: whether it can call tools.
        forced: whether a call can be forced.
        strict_tools: whether the arguments of a tool can be held to their schema.
    """

    form: Form
    native: bool | None = True
    tools: bool = True
    forced: bool = True
    strict_tools: bool = False


@frozen
class Held:
    """A schema in the form of a vendor.

    Args:
        schema: the schema.
        key: the key that the answer stands under, if it had to be wrapped.
        strict: whether answers are held to all of it.
    """

    schema: JsonObject
    key: str | None
    strict: bool = field(default=True, kw_only=True)


def held(output: Any, ways: Ways) -> Held:
    """Return the schema of an output type as the model is held to it natively.

    Raises:
        InvalidRequest: if it cannot be, naming what of the type is in the way.
    """
    form = ways.form
    try:
        found = _kept(output, form, repr(output))  # unions are equal in any order, and written in their own
    except TypeError:  # a type that cannot be hashed
        found = _formed(output, form)
    return evolve(found, schema=copy.deepcopy(found.schema))  # whoever gets the body may change it


def _formed(output: Any, form: Form, _shown: str = "") -> Held:
    schema, key = _objects_only(schema_of(output)) if form.objects else (schema_of(output), None)
    try:
        return Held(projected(schema, form.rules), key)
    except Unheld as error:
        if form.loosely:
            return Held(schema, key, strict=False)
        msg = (
            f"the output type {named(output)} is nothing that {form.who} can hold an answer to natively: {error}; "
            "output_mode='tool' or 'text' checks the answer when it is read"
        )
        raise InvalidRequest(msg, parameter="output") from error


_kept: Final[Callable[[Any, Form, str], Held]] = lru_cache(maxsize=256)(_formed)


def _objects_only(schema: JsonObject) -> tuple[JsonObject, str | None]:
    return (schema, None) if is_of_objects(schema) else (wrapped(schema), WRAPPED)


def named(output: Any) -> str:
    """Return the name of an output type in the characters that servers take.

    Example:
        >>> named(list[int]), named(5)
        ('list', 'answer')
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(output, "__name__", None) or "answer")[:64] or "answer"


def planned(request: Request, ways: Ways) -> tuple[Request, OutputPlan]:
    """Return the request that has its answer held to its output type, and how that is done.

    If the request does not say how, it is natively where the model can, else by a tool that must be called, else by
    instructions. What comes back for a planned request is the same.

    Raises:
        InvalidRequest: if the type has no JSON Schema, or none that can be asked for in the way that is wanted.
        UnsupportedOption: for a way that the model does not have, unless ``drop_unsupported`` is set.
    """
    wanted = request.output_mode
    is_native = bool(ways.native) or (ways.native is None and not request.tools)
    if wanted is None or wanted == "native":
        if is_native:
            try:
                form = held(request.output, ways)
            except InvalidRequest:
                if wanted == "native" or not ways.tools:
                    raise
            else:
                return evolve(request, output_mode="native"), OutputPlan("native", key=form.key)
        elif wanted == "native":
            _refuse("native", request, ways)
    if wanted != "text" and ways.tools:
        return _by_tool(request, ways)
    if wanted == "tool":
        _refuse("tool", request, ways)
    return _in_words(request)


def _refuse(mode: str, request: Request, ways: Ways) -> None:
    if not request.options.drop_unsupported:
        msg = (
            f"{ways.form.who} cannot honour the option output_mode={mode!r} with the model {request.model!r}"
            f"{' beside tools' if ways.native is None and mode == 'native' else ''}; leave it out, and the best way "
            "that there is will be taken"
        )
        raise UnsupportedOption(msg, option="output_mode")


def _by_tool(request: Request, ways: Ways) -> tuple[Request, OutputPlan]:
    schema, key = _objects_only(schema_of(request.output))
    strict = None
    if ways.strict_tools:
        try:
            schema, strict = projected(schema, ways.form.rules), True
        except Unheld:  # the arguments are checked when they are read
            strict = False
    name, number = _TOOL, 2
    while any(tool.name == name for tool in request.tools):
        name, number = f"{_TOOL}_{number}", number + 1
    tool = ToolDefinition(name, _DESCRIPTION, input_schema=schema, strict=strict)
    choice = _choice(request, name)
    system = request.system
    if not ways.forced and choice.type in ("required", "tool") and choice.name in (None, name):
        choice = ToolChoice("auto")
        system = (*system, Text(_BY_CALLING.format(tool=name)))
    changed = evolve(
        request, output=str, output_mode=None, tools=(*request.tools, tool), tool_choice=choice, system=system
    )
    return changed, OutputPlan("tool", tool=name, key=key)


def _choice(request: Request, answer: str) -> ToolChoice:
    """Return which tool must be called: the one for the answer, or any where the caller's may be called before."""
    choice = request.tool_choice
    if not request.tools or (choice is not None and choice.type == "none"):
        return ToolChoice("tool", answer)
    return choice if choice is not None and choice.type == "tool" else ToolChoice("required")


def _in_words(request: Request) -> tuple[Request, OutputPlan]:
    schema = json.dumps(schema_of(request.output), ensure_ascii=False)
    told = Text(_IN_WORDS.format(schema=schema))
    return evolve(request, output=str, output_mode=None, system=(*request.system, told)), OutputPlan("text")
