"""The parameters of a function as a JSON object, and how a call is made of one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from ..errors import InvalidRequest
from ..provider_json import Json, JsonObject
from ..telling import log
from .annotations import Reader
from .classes import FieldSpec
from .docstrings import read_docstring
from .objects import NO_DEFAULT, Fields, Member
from .scopes import NoShape, Scope
from .shape import Shape

__all__ = ["Parameters"]


@frozen
class Parameters:
    """The parameters of a function.

    Args:
        shape: the object that a model writes.
        positional: those that can only be given by position, with the default of each.
    """

    shape: Shape
    positional: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, function: Callable[..., Any], name: str, known: Mapping[str, Any]) -> Parameters:
        """Read the parameters of a function, method or partial.

        Args:
            function: the function to call.
            name: what messages call it.
            known: names that its annotations may use beside those of its module.

        Raises:
            InvalidRequest: if a parameter has no JSON form, or an annotation cannot be resolved; and for ``*args`` and
                ``**kwargs``.
        """
        asked = _asked(function, name)
        inner = _plain(function)
        _, descriptions = read_docstring(inner.__doc__, asked)
        scope = Scope.of(inner, known)
        reader = Reader()
        try:
            members = [
                reader.member(_spec(each), scope.at(f"parameter {each.name!r}"), descriptions.get(each.name, ""))
                for each in asked.values()
            ]
            reader.finish()
        except (NoShape, RecursionError) as error:
            msg = f"tool {name!r}: {error}"
            raise InvalidRequest(msg, parameter="tools") from error
        _tell_of_silence(inner, name, [each for each in members if not each.is_described] if descriptions else [])
        positional = tuple([(each.name, each.default) for each in asked.values() if each.kind is each.POSITIONAL_ONLY])
        return cls(Shape(Fields(name, named=False, members=tuple(members))), positional)

    @staticmethod
    def described(function: Callable[..., Any], name: str) -> str:
        """Return the docstring of a function without what it says of single parameters."""
        return read_docstring(_plain(function).__doc__, _asked(function, name))[0]

    def schema(self) -> JsonObject:
        """Return the JSON Schema of the arguments."""
        return self.shape.schema()

    def bind(self, arguments: Json) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments for what a model wrote.

        Raises:
            Mismatch: if it does not fit.
        """
        done = self.shape.convert(arguments)
        if not self.positional:
            return (), done
        last = max([index for index, (name, _) in enumerate(self.positional) if name in done], default=-1)
        # One that is left out before another one must be given, or the other would take its place.
        return tuple([done.pop(name, default) for name, default in self.positional[: last + 1]]), done


def _asked(function: Callable[..., Any], name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters that a model is asked for; those that a partial has given are not."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        msg = f"tool {name!r} has no signature to read: wrap it in a function of your own"
        raise InvalidRequest(msg, parameter="tools") from error
    for each in parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            stars = "*" if each.kind is each.VAR_POSITIONAL else "**"
            msg = f"tool {name!r}: a model cannot be asked for {stars}{each.name}; give each parameter a name"
            raise InvalidRequest(msg, parameter="tools")
    given = function.keywords if isinstance(function, functools.partial) else {}
    return {key: each for key, each in parameters.items() if key not in given}


def _tell_of_silence(function: Any, name: str, silent: list[Member]) -> None:
    """Log which parameters a docstring leaves out, where it describes others: they are probably misspelled there."""
    if silent:
        code = getattr(function, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        names = ", ".join([each.name for each in silent])
        said = "tool %r%s: its docstring describes other parameters, and not %s"
        log.warning("tool.docstring", said, name, place, names, tool=name)


def _spec(parameter: inspect.Parameter) -> FieldSpec:
    empty = parameter.empty
    return FieldSpec(
        parameter.name,
        Any if parameter.annotation is empty else parameter.annotation,
        written=parameter.name,
        argument=parameter.name,
        required=parameter.default is empty,
        default=NO_DEFAULT if parameter.default is empty else parameter.default,
    )


def _plain(function: Any) -> Any:
    """Return the function in which the annotations stand."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif not inspect.isroutine(function) and not isinstance(function, type) and callable(function):
            function = type(function).__call__
        else:
            return function
