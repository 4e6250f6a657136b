"""Tools made of Python functions, or of a JSON Schema with a handler: what a model is told, and how a call is bound."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from types import FrameType, MethodType
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from attrs import evolve, field, fields, frozen

from .callables import is_async
from .errors import InvalidRequest
from .messages import ToolCall
from .provider_json import Json, JsonObject
from .public_names import publish
from .shapes import Mismatch, Parameters, SchemaCheck, frame_of
from .tool_definitions import Defined, ToolDefinition

__all__ = ["MAX_RESULT_CHARS", "Approve", "Tool", "tool", "tool_of"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

#: Decides about a call before the tool runs; see `mellite.Approval` for what it may return.
Approve = Callable[[ToolCall], Any]

#: What every provider takes for the name of a tool.
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")

#: How long the result of a tool may be, in characters, before it is cut.
MAX_RESULT_CHARS: Final = 100_000


@frozen(slots=False, repr=False)
class Tool(Generic[P, R]):
    """A function that a model may call; made by `tool`, or by `Tool.from_schema`.

    It is called like the function it was made from. For a method, take the tool from an instance.

    Args:
        function: the function to call.
        name: what the model calls it.
        timeout: how long a call may take, in seconds; None for no limit.
        approve: decides on each call before it runs; see `Approval`.
        max_result_chars: how long a result may be, in characters; a longer one is cut, with a note.
        once: whether it must not run twice for the same call.

    Example:
        >>> @tool
        ... def add(a: int, b: int = 1) -> int:
        ...     '''Add two numbers.'''
        ...     return a + b
        >>> add(2, 3), add.name, add.description, list(add.input_schema["properties"])
        (5, 'add', 'Add two numbers.', ['a', 'b'])
        >>> add.bind({"a": 2.0})
        ((), {'a': 2})
    """

    function: Callable[P, R] = field(hash=False)
    name: str
    timeout: float | None = field(default=None, kw_only=True)
    approve: Approve | None = field(default=None, kw_only=True)
    max_result_chars: int = field(default=MAX_RESULT_CHARS, kw_only=True)
    once: bool = field(default=False, kw_only=True)
    _told: str | None = field(default=None, kw_only=True, alias="told")
    _schema: Mapping[str, Json] | None = field(default=None, kw_only=True, hash=False, alias="schema")
    _static: bool = field(default=False, kw_only=True, alias="static")
    _frame: FrameType | None = field(default=None, kw_only=True, eq=False, alias="frame")

    def __attrs_post_init__(self) -> None:
        _check(self)
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if isinstance(value := getattr(self.function, name, None), str):
                vars(self)[name] = value
        if self._schema is None:
            vars(self)["__wrapped__"] = self.function

    @classmethod
    def from_schema(
        cls,
        name: str,
        schema: Mapping[str, Json],
        handler: Callable[[dict[str, Any]], S],
        *,
        description: str = "",
        timeout: float | None = None,
        approve: Approve | None = None,
        max_result_chars: int = MAX_RESULT_CHARS,
        once: bool = False,
    ) -> Tool[[dict[str, Any]], S]:
        """Make a tool from a JSON Schema.

        Arguments are checked against the whole schema if the extra `schema` is installed, and otherwise against its top
        level: required properties, and their types.

        Args:
            name: what the model calls it.
            schema: the JSON Schema of the arguments, for an object.
            handler: called with the arguments as one dict, checked and not converted; may be async.
            description: what the model is told about it.
            timeout: how long a call may take, in seconds.
            approve: decides on each call before it runs; see `Approval`.
            max_result_chars: how long a result may be, in characters.
            once: whether it must not run twice for the same call.

        Raises:
            InvalidRequest: if the schema is invalid, not for an object, or refers to another one; or for a name that
                providers refuse.

        Example:
            >>> shout = Tool.from_schema(
            ...     "shout",
            ...     {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
            ...     lambda arguments: arguments["text"].upper(),
            ... )
            >>> shout.bind({"text": "hello"})
            (({'text': 'hello'},), {})
        """
        if not isinstance(schema, Mapping):
            msg = f"tool {name!r}: schema is the JSON Schema of the arguments, a mapping, not {schema!r:.80}"
            raise InvalidRequest(msg, parameter="schema")
        made: Tool[[dict[str, Any]], S] = Tool(
            handler,
            name,
            told=description,
            schema=schema,
            timeout=timeout,
            approve=approve,
            max_result_chars=max_result_chars,
            once=once,
        )
        _ = made._checker  # a schema that is none is told now, to whoever wrote it
        return made

    @cached_property
    def _parameters(self) -> Parameters:
        """The parameters of the function; its annotations are resolved when they are first asked for.

        Raises:
            InvalidRequest: if an annotation cannot be resolved or has no JSON form, with the name of the parameter.
        """
        owner = vars(self).get("owner")
        if owner is not None and inspect.isfunction(self.function) and not self._static:
            msg = f"tool {self.name!r} is a method of {owner}: take it from an instance, {owner}(...).{self.name}"
            raise InvalidRequest(msg, parameter="tools")
        found = Parameters.of(self.function, self.name, self._frame.f_locals if self._frame is not None else {})
        object.__setattr__(self, "_frame", None)  # with it go the local variables of the function around
        return found

    @cached_property
    def _checker(self) -> SchemaCheck | None:
        """The validator for the arguments of a tool from a schema; None for a tool from a function."""
        if self._schema is None:
            return None
        try:
            checker = SchemaCheck(self._schema)
        except ValueError as error:
            msg = f"tool {self.name!r}: {error}"
            raise InvalidRequest(msg, parameter="schema") from None
        if self._schema.get("type", "object") != "object":
            msg = f"tool {self.name!r}: arguments are an object, so the schema must have the type 'object' at its top"
            raise InvalidRequest(msg, parameter="schema")
        return checker

    @property
    def description(self) -> str:
        """The description for the model: as given, or the docstring without its parts on single parameters."""
        return self._description

    @cached_property
    def _description(self) -> str:
        return self._told if self._told is not None else Parameters.described(self.function, self.name)

    @property
    def input_schema(self) -> JsonObject:
        """The JSON Schema of the arguments, its properties in the order of the source.

        Raises:
            InvalidRequest: if an annotation cannot be resolved or has no JSON form, with the name of the parameter.
        """
        return self._input_schema

    @cached_property
    def _input_schema(self) -> JsonObject:
        return self._parameters.schema() if self._checker is None else {"type": "object", **self._checker.schema}

    @property
    def definition(self) -> ToolDefinition:
        """The tool as the model sees it."""
        return self._definition

    @cached_property
    def _definition(self) -> ToolDefinition:
        return ToolDefinition(self.name, self.description, input_schema=self.input_schema)

    @property
    def is_async(self) -> bool:
        """Whether a call returns an awaitable."""
        return self._is_async

    @cached_property
    def _is_async(self) -> bool:
        return is_async(self.function)

    def bind(self, arguments: Json) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Convert a model's arguments to positional and keyword arguments of the function.

        3.0 is an int and "3" is not; an unknown key is an error; null for a parameter that has a default, and whose
        type does not allow null, counts as not given.

        Raises:
            Mismatch: if the arguments do not match, with the path and what is allowed there.
        """
        if self._checker is None:
            return self._parameters.bind(arguments)
        if not isinstance(arguments, Mapping):
            msg = "expected an object with the arguments"
            raise Mismatch(msg, arguments)
        return (dict(self._checker.read(arguments)),), {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Tool[P, R]: ...

    @overload
    def __get__(self: Tool[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Tool[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if self._static or self._schema is not None or not hasattr(self.function, "__get__"):
            return self
        bound = self.function.__get__(instance, owner)
        return self if bound is self.function else evolve(self, function=bound)

    def __set_name__(self, owner: type, name: str) -> None:
        vars(self)["owner"] = owner.__name__

    def __copy__(self) -> Tool[P, R]:
        return self

    def __deepcopy__(self, memo: object) -> Tool[P, R]:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        settings = {
            each.alias: getattr(self, each.name) for each in fields(Tool) if each.name not in ("function", "_frame")
        }
        if self._schema is not None:
            return _changed, (Tool, self.function, settings)
        function = self.function
        if isinstance(function, MethodType) and isinstance(getattr(function.__self__, function.__name__, None), Tool):
            return _method, (function.__self__, function.__name__, settings)
        named = _named(function)
        if named is self:
            return str(vars(self)["__qualname__"])
        return (_evolved, (named, settings)) if isinstance(named, Tool) else (_changed, (Tool, function, settings))

    def __repr__(self) -> str:
        return f"<Tool {self.name!r}>"


@overload
def tool(
    function: Callable[P, R],
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    max_result_chars: int | None = None,
    once: bool | None = None,
) -> Tool[P, R]: ...


@overload
def tool(
    function: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    max_result_chars: int | None = None,
    once: bool | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    max_result_chars: int | None = None,
    once: bool | None = None,
) -> Any:
    """Make a tool from a function, as a decorator with or without arguments, or as a call.

    Parameters take their types from their annotations, and their descriptions from the docstring (Google, NumPy or reST
    style) or from ``Annotated[str, "the city"]``, which wins.

    Args:
        function: a function, method, partial or callable object, async or not; or a tool, to change its settings.
        name: what the model calls it; the function's name unless given.
        description: what the model is told about it; the docstring unless given.
        timeout: how long a call may take, in seconds.
        approve: decides on each call before it runs; may be async.
        max_result_chars: how long a result may be, in characters, 100,000 unless given; a longer one is cut, with a
            note.
        once: whether it must not run twice for the same call; False unless given.

    Raises:
        InvalidRequest: if `function` is not callable, or for a name that providers refuse. Faults in a parameter are
            raised when the schema is first read, because a class may be defined after the function.

    Example:
        >>> @tool(timeout=5)
        ... def weather(city: str) -> str:
        ...     '''Tell the weather.
        ...
        ...     Args:
        ...         city: where.
        ...     '''
        ...     return f"Fine in {city}."
        >>> weather("Paris")
        'Fine in Paris.'
        >>> weather.input_schema["properties"]
        {'city': {'type': 'string', 'description': 'where.'}}
    """
    if function is None:
        return partial(
            tool,
            name=name,
            description=description,
            timeout=timeout,
            approve=approve,
            max_result_chars=max_result_chars,
            once=once,
        )
    if isinstance(function, Tool):
        return _with(function, name, description, timeout=timeout, approve=approve, most=max_result_chars, once=once)
    if not callable(function) and not isinstance(function, (staticmethod, classmethod)):
        msg = f"a tool is made of a function, not of {function!r}"
        raise InvalidRequest(msg, parameter="function")
    return Tool(
        function.__func__ if isinstance(function, staticmethod) else function,
        _name_of(function) if name is None else name,
        told=description,
        timeout=timeout,
        approve=approve,
        max_result_chars=MAX_RESULT_CHARS if max_result_chars is None else max_result_chars,
        once=False if once is None else once,
        static=isinstance(function, staticmethod),
        frame=frame_of(getattr(function, "__qualname__", ""), getattr(function, "__module__", None)),
    )


def _with(
    made: Tool[..., Any],
    name: str | None,
    description: str | None,
    *,
    timeout: float | None,
    approve: Approve | None,
    most: int | None,
    once: bool | None,
) -> Tool[..., Any]:
    """Return a tool with other settings; what is not given stays."""
    return evolve(
        made,
        name=made.name if name is None else name,
        told=made.description if description is None else description,
        timeout=made.timeout if timeout is None else timeout,
        approve=made.approve if approve is None else approve,
        max_result_chars=made.max_result_chars if most is None else most,
        once=made.once if once is None else once,
    )


def tool_of(value: object) -> Tool[..., Any] | ToolDefinition | Defined:
    """Return what stands for a tool in a call: a plain function becomes a tool.

    Raises:
        InvalidRequest: for what is not a tool, no definition and no function.

    Example:
        >>> def add(a: int, b: int) -> int:
        ...     return a + b
        >>> tool_of(add)
        <Tool 'add'>
    """
    if isinstance(value, (Tool, ToolDefinition)) or isinstance(getattr(value, "definition", None), ToolDefinition):
        return value  # type: ignore[return-value]  # the attribute has been looked at
    if isinstance(value, MethodType) and isinstance(value.__func__, Tool):  # a classmethod around a tool
        inner: Any = value.__func__
        bound: Tool[..., Any] = evolve(inner, function=MethodType(inner.function, value.__self__))
        return bound
    if callable(value) and not isinstance(value, type):
        return tool(value)
    kind = type(value).__name__
    msg = f"a tool is a function, a Tool, a ToolDefinition, or has one as its attribute `definition`, not {kind}"
    raise InvalidRequest(msg, parameter="tools")


def _name_of(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _check(made: Tool[..., Any]) -> None:
    """Raise InvalidRequest unless the settings of a tool are what they must be."""
    if not isinstance(made.name, str) or not _NAME.fullmatch(made.name):
        msg = f"a tool is called by 1 to 64 letters, digits, _ and -, which all providers take, not {made.name!r}"
        raise InvalidRequest(msg, parameter="name")
    if made._told is not None and not isinstance(made._told, str):  # noqa: SLF001 - of the class of this module
        msg = f"tool {made.name!r}: description is a str, not {made._told!r:.80}"  # noqa: SLF001
        raise InvalidRequest(msg, parameter="description")
    if not isinstance(made.once, bool):
        msg = f"tool {made.name!r}: once is True or False, not {made.once!r:.80}"
        raise InvalidRequest(msg, parameter="once")
    timeout = made.timeout
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and timeout > 0):
        msg = f"tool {made.name!r}: timeout is a number of seconds above 0, or None, not {timeout!r}"
        raise InvalidRequest(msg, parameter="timeout")
    most = made.max_result_chars
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        msg = f"tool {made.name!r}: max_result_chars is a number of characters above 0, not {most!r}"
        raise InvalidRequest(msg, parameter="max_result_chars")
    if not callable(made.function) and not isinstance(made.function, classmethod):
        msg = f"tool {made.name!r}: the handler is a function of the arguments, not {made.function!r:.80}"
        raise InvalidRequest(msg, parameter="handler")
    if made.approve is not None and not callable(made.approve):
        msg = f"tool {made.name!r}: approve is a function of the call, not {made.approve!r}"
        raise InvalidRequest(msg, parameter="approve")


def _named(function: Any) -> object:
    """Return what the module of a function has under the function's name."""
    found: object = inspect.getmodule(function)
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _changed(kind: type[Tool[..., Any]], function: Any, settings: Mapping[str, Any]) -> Tool[..., Any]:
    return kind(function, **settings)


def _method(holder: object, name: str, settings: Mapping[str, Any]) -> Tool[..., Any]:
    return evolve(getattr(holder, name), **settings)


def _evolved(made: Tool[..., Any], settings: Mapping[str, Any]) -> Tool[..., Any]:
    return evolve(made, **settings)


publish(globals(), "mellite", "Tool", "tool")
