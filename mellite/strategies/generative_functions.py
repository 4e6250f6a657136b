"""Functions whose body is a model: the docstring is the prompt, the return annotation the output type."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import itertools
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import FrameType, FunctionType
from typing import Any, Concatenate, Final, Generic, NoReturn, ParamSpec, TypeVar, Unpack, cast, overload

from attrs import evolve, field, frozen

from ..backends.asking import generate
from ..thunk.call import Streams
from ..thunk.thunk import ModelOutputThunk
from ..values.empty import EMPTY
from ..values.errors import InvalidRequest
from ..values.messages import Content, Deferred, Media, Message
from ..values.options import GenerateOptions
from ..values.plain_data import plain_data
from ..values.public_names import publish
from ..values.request import Request
from ..values.shapes.scopes import NoShape, Scope, frame_of
from ..values.type_names import a_type_name

__all__ = ["Generative", "generative"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


@overload
def generative(function: Callable[P, R]) -> Generative[P, R]: ...


@overload
def generative(function: classmethod[Any, P, R]) -> Generative[P, R]: ...


def generative(function: Callable[P, R] | classmethod[Any, P, R]) -> Generative[P, R]:
    """Make a function whose body is a model: its docstring is the prompt, its return annotation the output type.

    Call it with the backend first, by position, then its own arguments; the call returns a thunk. The model reads the
    docstring, and each argument with its name, as JSON if it has a JSON form; text in them is never treated as a
    template. Images, documents and thunks may be arguments.

    Args:
        function: a function with a docstring and no body: ``...``, ``pass`` or nothing after the docstring. It may be a
            method; ``@classmethod`` and ``@staticmethod`` may stand below ``@generative`` or above it.

    Raises:
        InvalidRequest: if it has a body or no docstring, is async, or is not a function; and when it is first called,
            if the return annotation cannot be resolved.

    Example:
        >>> from typing import Literal
        >>> from mellite.backends import Constant
        >>> @generative
        ... def mood(text: str) -> Literal["good", "bad"]:
        ...     '''Say in which mood the author of the text is.'''
        >>> backend = Constant('"good"')
        >>> thunk = mood(backend, "What a day!")
        >>> thunk.result()
        'good'
        >>> print(thunk.call.request.text)
        Say in which mood the author of the text is.
        <BLANKLINE>
        text: "What a day!"
    """
    _check(function.__func__ if isinstance(function, (classmethod, staticmethod)) else function)
    return Generative(cast("Callable[P, R]", function), frame=frame_of(function.__qualname__))


class _Signature:
    """The call signature of a generative function, with the backend first; its class has none of this."""

    def __get__(self, instance: Generative[..., Any] | None, owner: type) -> inspect.Signature:
        if instance is None:
            raise AttributeError
        own = inspect.signature(instance.function)
        name = "backend" if "backend" not in own.parameters else "_backend"
        first = inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation="Streams | str")
        returned = f"ModelOutputThunk[{inspect.formatannotation(own.return_annotation)}]"
        return own.replace(parameters=[first, *own.parameters.values()], return_annotation=returned)


@frozen(slots=False, repr=False, eq=False)
class Generative(Generic[P, R]):
    """A function whose body is a model; made by `generative`. It pickles by its qualified name.

    Args:
        function: the function with the docstring and the annotations.
        options: the options of every call.
    """

    function: Callable[P, R]
    options: Mapping[str, Any] = field(default=EMPTY, kw_only=True)
    _is_method: bool = field(default=False, kw_only=True, alias="is_method")
    _frame: FrameType | None = field(default=None, kw_only=True, alias="frame")

    def __attrs_post_init__(self) -> None:
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            vars(self)[name] = getattr(self.function, name)

    def __call__(self, backend: Streams | str, /, *args: P.args, **kwargs: P.kwargs) -> ModelOutputThunk[R]:
        """Make a thunk of a call; nothing is sent until it is awaited.

        Args:
            backend: who is asked, as `mellite.generate` takes it.
            *args: the arguments of the function.
            **kwargs: the arguments of the function.

        Raises:
            TypeError: if the arguments do not fit the function.
            InvalidRequest: if the first one is not a backend, or the return annotation cannot be resolved.
        """
        name = getattr(self.function, "__name__", "")
        first: Any = backend
        if isinstance(first, type) and args and getattr(getattr(first, name, None), "__func__", None) is self:
            # From Python 3.13 on, a @classmethod above this calls it with the class.
            of_class: Callable[..., ModelOutputThunk[R]] = cast("Any", self).__get__(first)
            return of_class(*args, **kwargs)
        if not isinstance(backend, str) and not callable(getattr(backend, "stream", None)):
            msg = f"{name}() takes the backend first, as in {name}(backend, ...), and not {backend!r:.80}"
            raise InvalidRequest(msg, parameter="backend")
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = list(bound.arguments.items())[self._is_method :]
        message = Message("user", _content(inspect.getdoc(self.function) or "", arguments))
        return generate(backend, message, output=self._output, **self.options)

    def with_options(self, **options: Unpack[GenerateOptions]) -> Generative[P, R]:
        """Return the same function with further options for each call, overriding those it has.

        Raises:
            InvalidRequest, UnknownOption: as ``backend.generate`` does.

        Example:
            >>> @generative
            ... def translate(text: str) -> str:
            ...     '''Translate the text into French.'''
            >>> translate.with_options(temperature=0)("fake:echo", "Hello.").call.model_options
            {'temperature': 0}
        """
        if "output" in options:
            msg = f"the output type of {vars(self)['__name__']}() is its return annotation, and no option"
            raise InvalidRequest(msg, parameter="output")
        Request.of("", **options)  # checks them
        return evolve(self, options={**self.options, **options})

    @functools.cached_property
    def _output(self) -> Any:
        """The output type; the annotation is resolved when it is first asked for."""
        function = inspect.unwrap(getattr(self.function, "__func__", self.function))
        annotation = function.__annotations__.get("return", str)
        if isinstance(annotation, str):
            name = self.function.__name__
            around = {} if self._frame is None else self._frame.f_locals
            scope = Scope.of(function, around, where=f"the return annotation of {name}()")
            try:
                annotation = scope.evaluate(annotation)
            except NoShape as error:
                raise InvalidRequest(str(error), parameter="output") from error
        object.__setattr__(self, "_frame", None)  # with it go the local variables of the function around
        return annotation

    __signature__ = _Signature()

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Generative[P, R]: ...

    @overload
    def __get__(self: Generative[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Generative[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        function: Any = self.function
        is_wrapped = isinstance(function, (classmethod, staticmethod))
        if not is_wrapped and (instance is None or not isinstance(function, FunctionType)):
            return self
        return evolve(self, function=function.__get__(instance, owner), is_method=False)

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "_is_method", True)

    def __copy__(self) -> Generative[P, R]:
        return self

    def __deepcopy__(self, memo: object) -> Generative[P, R]:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        instance = getattr(self.function, "__self__", None)
        if instance is not None:
            return _bound, (instance, self.function.__name__, dict(self.options))
        named = _named(self.function.__module__, self.function.__qualname__)
        if isinstance(named, Generative) and named is not self and named.function is self.function:
            return _by_name, (self.function.__module__, self.function.__qualname__, dict(self.options))
        return str(vars(self)["__qualname__"])  # pickle looks whether it is found by that name

    def __repr__(self) -> str:
        return f"<generative function {vars(self)['__qualname__']}>"


def _named(module: str, qualname: str) -> object:
    """Return what is found by a qualified name."""
    found: object = import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _with(named: Generative[..., Any], options: Mapping[str, Any]) -> Generative[..., Any]:
    return evolve(named, options=options)


def _by_name(module: str, qualname: str, options: Mapping[str, Any]) -> Generative[..., Any]:
    return _with(cast("Generative[..., Any]", _named(module, qualname)), options)


def _bound(instance: object, name: str, options: Mapping[str, Any]) -> Generative[..., Any]:
    return _with(getattr(instance, name), options)


# What is refused


def _check(function: object) -> None:
    """Raise InvalidRequest unless this is a function with a docstring and nothing else."""
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        _refuse(f"a generative function is made of a function written with def, not of {function!r:.80}")
    name = function.__name__
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        _refuse(f"{name}() must not be async: write `def`; a call gives a thunk, which is awaited")
    if _does_something(function):
        _refuse(f"{name}() has a body, which nobody would run: write nothing after the docstring, or `...`")
    if not (function.__doc__ or "").strip():
        _refuse(f"{name}() has no docstring, and that is the prompt (python -OO removes docstrings)")


def _refuse(msg: str) -> NoReturn:
    raise InvalidRequest(msg, parameter="function")


#: Instructions that come with any function.
_IDLE: Final = frozenset({"CACHE", "COPY_FREE_VARS", "EXTENDED_ARG", "NOP", "RESUME"})
_EMPTY: Final = (
    [("LOAD_CONST", None), ("RETURN_VALUE", None)],
    [("RETURN_CONST", None)],  # Python 3.12 and 3.13
)


def _does_something(function: FunctionType) -> bool:
    done = [(each.opname, each.argval) for each in dis.get_instructions(function) if each.opname not in _IDLE]
    if done not in _EMPTY:
        return True
    # A bare return and a lone constant leave nothing in the bytecode; there need not be a source to look at.
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    if not isinstance(node, ast.FunctionDef) or node.name != function.__name__:
        return False
    return not all(_is_nothing(statement) for statement in node.body[ast.get_docstring(node) is not None :])


def _is_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value is ...
    return isinstance(statement, ast.Pass)


# The prompt


def _content(instructions: str, arguments: list[tuple[str, Any]]) -> tuple[Content, ...]:
    """Return the parts of the message: what to do, and each argument with its name."""
    parts: list[Content] = [instructions if not arguments else f"{instructions}\n"]
    for name, value in arguments:
        try:
            shown = _shown(value)
        except (InvalidRequest, RecursionError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else error
            msg = f"the argument {name!r} cannot be shown to a model: {why}"
            raise InvalidRequest(msg, parameter=name) from None
        parts += [f"\n{name}: ", *shown]
    return tuple(_joined(parts))


def _shown(value: Any) -> list[Content]:
    """Return an argument as parts of a message: as data, or as it is where it is something to look at."""
    if isinstance(value, Deferred):
        thunk = value.deferred_on()
        is_json = isinstance(thunk, ModelOutputThunk) and thunk.call.request.output is not str
        return [value if is_json else _Quoted(value)]
    if isinstance(value, Media):
        return [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, (Media, Deferred)) for item in value):
        return [part for item in value for part in _shown(item)]
    if (held := _not_data(value)) is not None:
        msg = (
            f"{a_type_name(type(held))} stands in {a_type_name(type(value))}, where only data can be shown; "
            f"give it as an argument of its own, or in a list of nothing else"
        )
        raise InvalidRequest(msg)
    try:
        return [json.dumps(plain_data(value, other=_dumped), ensure_ascii=False)]
    except (TypeError, ValueError, RecursionError):
        return [repr(value)]


def _not_data(value: Any) -> Media | Deferred | None:
    """Return a medium or an answer inside an argument: as data it would be shown without what it is given for."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (Media, Deferred)):
            return each
        if id(each) not in seen:
            seen.add(id(each))
            waiting += _held_by(each)
    return None


def _held_by(value: Any) -> Iterable[Any]:
    """Return what stands in a container or in the fields of an object that is shown as data."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    kind = type(value)
    names = [each.name for each in getattr(kind, "__attrs_attrs__", ())]
    for listing in ("__dataclass_fields__", "__struct_fields__", "__pydantic_fields__"):
        names += getattr(kind, listing, ())
    return [getattr(value, name, None) for name in names]


def _dumped(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # of pydantic
    if not callable(dump):
        msg = f"{type(value).__name__} has no JSON form"
        raise TypeError(msg)
    return dump(mode="json")


@frozen
class _Quoted(Deferred):
    """The text of a thunk as JSON, in which no line can pass for another argument."""

    of: Deferred

    def deferred_on(self) -> Deferred:
        return self.of.deferred_on()

    def deferred_text(self) -> str:
        return json.dumps(self.of.deferred_text(), ensure_ascii=False)


def _joined(parts: list[Content]) -> Iterator[Content]:
    """Join texts that stand side by side."""
    for is_text, group in itertools.groupby(parts, lambda part: isinstance(part, str)):
        beside = list(group)
        yield from ["".join(cast("list[str]", beside))] if is_text else beside


publish(globals(), "mellite", "Generative", "generative")
