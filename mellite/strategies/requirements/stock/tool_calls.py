"""Stock requirement: the model called a tool, with acceptable arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, cast

from attrs import field, frozen

from ....values.errors import InvalidRequest
from ....values.json_texts import equal_json
from ....values.shortened import shortened
from ..requirement import Requirement, let_go
from ..verdict import PASSED, ValidationResult, failed, plain_bool

if TYPE_CHECKING:
    from ....thunk.thunk import AnyThunk
    from ....values.messages import ToolCall
    from ....values.provider_json import Json

__all__ = ["tool_called"]


def tool_called(
    name: str | None = None, *, arguments: Mapping[str, object] | Callable[[Json], bool] | None = None
) -> Requirement:
    """Require that the model called a tool.

    Args:
        name: the name of the tool; None for any.
        arguments: the values that the call must have, by name, among others; or a function that takes the decoded
            arguments and returns True or False.

    Raises:
        InvalidRequest: if `name` or `arguments` is of the wrong type.

    Example:
        >>> tool_called("get_weather", arguments={"city": "Paris"}).description
        "The tool 'get_weather' is called with the right arguments."
    """
    if name is not None and not isinstance(name, str):
        msg = f"tool_called takes the name of a tool, not {name!r}"
        raise InvalidRequest(msg, parameter="name")
    if arguments is not None and not isinstance(arguments, Mapping) and not callable(arguments):
        msg = f"arguments are a mapping by name, or a function of the decoded arguments, not {arguments!r}"
        raise InvalidRequest(msg, parameter="arguments")
    what = f"The tool {name!r}" if name is not None else "A tool"
    words = f"{what} is called{' with the right arguments' if arguments is not None else ''}."
    return Requirement(words, _ToolCalled(name, arguments=arguments))


@frozen
class _ToolCalled:
    name: str | None
    arguments: Mapping[str, object] | Callable[[Json], bool] | None = field(kw_only=True)

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        calls = thunk.tool_calls
        named = [call for call in calls if self.name in (None, call.name)]
        if not named:
            called = ", ".join(sorted({repr(call.name) for call in calls})) or "no tool"
            return failed(f"it calls {called}" + (f", not {self.name!r}" if self.name else ""))
        if any(self._fits(call) for call in named):
            return PASSED
        given = ", ".join(call.raw_arguments or repr(call.arguments) for call in named)
        return failed(f"it calls {named[0].name!r} with other arguments: {given[:200]}")

    def _fits(self, call: ToolCall) -> bool:
        if self.arguments is None:
            return True
        if isinstance(self.arguments, Mapping):
            given = call.arguments
            return isinstance(given, Mapping) and all(
                name in given and equal_json(given[name], cast("Json", value)) for name, value in self.arguments.items()
            )
        found: object = self.arguments(call.arguments)
        fits = plain_bool(found)
        if fits is None:
            if isawaitable(found):
                let_go(found)
            msg = f"a function of the arguments gives True or False, not {shortened(repr(found))}"
            raise InvalidRequest(msg, parameter="arguments")
        return fits
