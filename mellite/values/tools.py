"""Tools as a model sees them: their definitions, and whether it may or must call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from attrs import field, frozen

from .errors import InvalidRequest
from .messages import CacheHint
from .provider_json import Json
from .public_names import publish
from .signatures import write_signature

__all__ = ["Defined", "Tool", "ToolChoice", "ToolDefinition", "definition_of"]


@frozen
class ToolDefinition:
    """A tool as the model sees it: its name, what it is for, and the JSON Schema of its arguments.

    Example:
        >>> ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object"}).name
        'get_weather'
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, Json] = field(factory=lambda: {"type": "object", "properties": {}}, kw_only=True)
    output_schema: Mapping[str, Json] | None = field(default=None, kw_only=True)
    strict: bool | None = field(default=None, kw_only=True)
    cache: CacheHint | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    native: Mapping[str, Json] | None = field(default=None, kw_only=True)


class Defined(Protocol):
    """Something that carries a tool's definition, as a wrapped function may."""

    @property
    def definition(self) -> ToolDefinition:
        """The tool as the model sees it."""
        ...


#: What stands for a tool in a call.
Tool: TypeAlias = ToolDefinition | Defined


_Mode: TypeAlias = Literal["auto", "none", "required"]
_MODES: Final[tuple[_Mode, ...]] = get_args(_Mode)


@frozen
class ToolChoice:
    """Whether the model may, must or must not call tools, or which one it must call.

    Example:
        >>> ToolChoice.of("required"), ToolChoice.of("get_weather")
        (ToolChoice(type='required', name=None), ToolChoice(type='tool', name='get_weather'))
    """

    type: Literal["auto", "none", "required", "tool"]
    name: str | None = None

    @classmethod
    def of(cls, value: object) -> ToolChoice | None:
        """Read a choice: ``auto``, ``none`` and ``required`` are modes; any other str, or a definition, names a tool.

        Raises:
            InvalidRequest: for anything else.
        """
        if value is None or isinstance(value, ToolChoice):
            return value
        if isinstance(value, str):
            return cls(value) if value in _MODES else cls("tool", value)
        return cls("tool", definition_of(value).name)


def definition_of(tool: object) -> ToolDefinition:
    """Return the definition that `tool` is, or that it has as its attribute ``definition``.

    Raises:
        InvalidRequest: if it is none and has none.
    """
    definition = getattr(tool, "definition", tool)
    if isinstance(definition, ToolDefinition):
        return definition
    kind = type(definition).__name__
    msg = f"a tool is a ToolDefinition, or has one as its attribute `definition`; {kind} is neither"
    raise InvalidRequest(msg, parameter="tools")


publish(globals(), "mellite.request", "ToolChoice", "ToolDefinition")

write_signature(ToolDefinition, {"input_schema": "{'type': 'object', 'properties': {}}"})
