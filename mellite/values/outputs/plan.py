"""Plan how an answer is held to its output type: by the provider, by a tool that must be called, or in words."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from attrs import field, frozen

__all__ = ["MODES", "WRAPPED", "OutputMode", "OutputPlan"]

#: How an answer is held to its type: by a schema that the provider enforces, by the arguments of a tool that the model
#: must call, or by instructions in the prompt.
OutputMode: TypeAlias = Literal["native", "tool", "text"]

MODES: Final[tuple[OutputMode, ...]] = ("native", "tool", "text")

#: The key under which an answer that is not a JSON object stands, where only objects can be asked for.
WRAPPED: Final = "value"


@frozen
class OutputPlan:
    """The way in which one answer is held to its type, as decided for the model and the type.

    Args:
        mode: the way.
        tool: the name of the tool whose arguments are the answer; None in the other modes.
        key: the key of an object under which the answer stands; None if it is the whole JSON.
    """

    mode: OutputMode
    tool: str | None = field(default=None, kw_only=True)
    key: str | None = field(default=None, kw_only=True)
