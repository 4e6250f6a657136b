"""Tools as a model sees them: what a definition says, and what may stand for one in a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from attrs import field, frozen

from .messages import CacheHint
from .provider_json import Json
from .public_names import publish
from .signatures import write_signature
from .typed_fields import a_kind_of

__all__ = ["Defined", "ToolDefinition", "ToolLike"]


@frozen
class ToolDefinition:
    """A tool as the model sees it: its name, what it is for, and the JSON Schema of its arguments.

    Example:
        >>> ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object"}).name
        'get_weather'
    """

    name: str = field(validator=a_kind_of(str, "a str"))
    description: str = field(default="", validator=a_kind_of(str, "a str"))
    input_schema: Mapping[str, Json] = field(
        factory=lambda: {"type": "object", "properties": {}},
        kw_only=True,
        validator=a_kind_of(Mapping, "a JSON Schema"),
    )
    output_schema: Mapping[str, Json] | None = field(
        default=None, kw_only=True, validator=a_kind_of(Mapping, "a JSON Schema, or None", optional=True)
    )
    strict: bool | None = field(default=None, kw_only=True)
    cache: CacheHint | None = field(
        default=None, kw_only=True, validator=a_kind_of(CacheHint, "a CacheHint, or None", optional=True)
    )
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    native: Mapping[str, Json] | None = field(default=None, kw_only=True)


class Defined(Protocol):
    """An object that carries a tool's definition, as a wrapped function may."""

    @property
    def definition(self) -> ToolDefinition:
        """The tool as the model sees it."""
        ...


#: Anything that `tools` takes as a tool: a function becomes a tool.
ToolLike: TypeAlias = ToolDefinition | Defined | Callable[..., Any]


publish(globals(), "mellite.request", "ToolDefinition")

write_signature(ToolDefinition, {"input_schema": "{'type': 'object', 'properties': {}}"})
