"""Whether a model may or must call tools, and the definition of whatever stands for a tool in a call."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from .public_names import publish
from .tool_definitions import Defined, ToolDefinition, ToolLike
from .typed_fields import a_kind_of, one_of

__all__ = ["Defined", "ToolChoice", "ToolDefinition", "ToolLike", "definition_of"]


_Mode: TypeAlias = Literal["auto", "none", "required"]
_MODES: Final[tuple[_Mode, ...]] = get_args(_Mode)


@frozen
class ToolChoice:
    """A setting for whether the model may, must or must not call tools, or which one it must call.

    Example:
        >>> ToolChoice.of("required"), ToolChoice.of("get_weather")
        (ToolChoice(type='required', name=None), ToolChoice(type='tool', name='get_weather'))
    """

    type: Literal["auto", "none", "required", "tool"] = field(validator=one_of((*_MODES, "tool")))
    name: str | None = field(default=None, validator=a_kind_of(str, "a str, or None", optional=True))

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
    """Return the definition that `tool` is, that it has as its attribute ``definition``, or that a function gives.

    Raises:
        InvalidRequest: if it is none of these, or the function has a parameter that no model can be asked for.
    """
    definition = getattr(tool, "definition", tool)
    if isinstance(definition, ToolDefinition):
        return definition
    from .function_tools import tool_of

    return definition_of(tool_of(tool))


publish(globals(), "mellite.request", "ToolChoice")
