"""What a hook is: a function, with when it is to be called; and the decorators that make one of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, final

from ...values.callables import is_async
from ...values.errors import InvalidRequest
from ...values.public_names import publish
from ...values.spelling import did_you_mean

__all__ = ["Hook", "HookKind", "Moment", "after", "around", "before", "checked_hooks", "on_error", "on_event"]

P = ParamSpec("P")
R = TypeVar("R")

#: What a hook can be called for.
HookKind: TypeAlias = Literal["generation", "chunk", "validation", "sampling", "tool", "run", "step"]

#: When a hook is called.
Moment: TypeAlias = Literal["before", "after", "around", "on_event", "on_error"]

_KINDS: Final = ("generation", "chunk", "validation", "sampling", "tool", "run", "step")

#: Where there is no such moment, why.
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {"around": ("generation", "tool"), "on_event": ("generation",)}

Mark: TypeAlias = tuple[Moment, HookKind]


@final
class Hook(Generic[P, R]):
    """A function that is called at certain moments while it is active; made by the decorators of this module.

    It can still be called like the function it was made from, and applied to a method.

    Args:
        marks: when it is called: pairs such as ``("before", "generation")``.
        function: the function to call.

    Attributes:
        marks: the same.
        function: the same.
        is_async: whether the function returns an awaitable.
        most_arguments: how many arguments the function takes; None for any number.

    Raises:
        InvalidRequest: if `function` is not callable.

    Example:
        >>> import mellite
        >>> @mellite.hooks.before("generation")
        ... def count(request):
        ...     counted.append(request.text)
        >>> counted = []
        >>> with mellite.hooks.use(count):
        ...     answer = mellite.backends.Echo().generate("Hello.").result()
        >>> counted, count
        (['Hello.'], before('generation')(count))
    """

    def __init__(self, marks: tuple[Mark, ...], function: Callable[P, R]) -> None:
        if isinstance(function, Hook):
            marks = (*marks, *[mark for mark in function.marks if mark not in marks])
            function = function.function
        if not callable(function):
            msg = f"{_shown(marks)} is written above a function, or called with one, not with {function!r:.80}"
            raise InvalidRequest(msg, parameter="function")
        functools.update_wrapper(self, function)
        self.marks: Final[tuple[Mark, ...]] = marks
        self.function: Final[Callable[P, R]] = function
        self.is_async: Final[bool] = is_async(function)
        self.most_arguments: Final[int | None] = _most_arguments(function)

    @property
    def name(self) -> str:
        """The hook's name for messages: the name and module of its function."""
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        module = getattr(function, "__module__", None) or getattr(type(function), "__module__", None)
        return f"{module}.{name}" if module and module != "builtins" else str(name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Hook[..., R]:
        bind = getattr(self.function, "__get__", None)
        if instance is None or bind is None:
            return self
        return Hook(self.marks, bind(instance, owner))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hook) and (self.marks, self.function) == (other.marks, other.function)

    def __hash__(self) -> int:
        return hash((self.marks, self.function))

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return f"{_shown(self.marks)}({str(name).rpartition('<locals>.')[2]})"

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", None)
        function: Any = self.function
        if isinstance(name, str) and inspect.isfunction(function):
            found: Any = inspect.getmodule(function)
            for part in name.split("."):
                found = None if part == "<locals>" else getattr(found, part, None)
            if found is self:  # written above a function: it is found where that was
                return name
        return Hook, (self.marks, function)


def _shown(marks: tuple[Mark, ...]) -> str:
    return "+".join(f"{moment}({kind!r})" for moment, kind in marks)


def _most_arguments(function: Callable[..., object]) -> int | None:
    """Return how many arguments a function takes without their names; None if it cannot be told, or for any number."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


def _marking(moment: Moment, kind: HookKind) -> Callable[[Callable[P, R]], Hook[P, R]]:
    allowed = _ONLY.get(moment, _KINDS)
    if kind not in allowed:
        if callable(kind):
            msg = f'hooks.{moment} takes a kind first: write @hooks.{moment}("generation") above the function'
        elif kind in _KINDS:
            msg = f"there is no {moment}({kind!r}): it is there for {' and '.join(allowed)}"
        else:
            hint = did_you_mean(str(kind), allowed, otherwise="the kinds are")
            msg = f"there is no kind {kind!r:.80} for hooks.{moment}; {hint}"
        raise InvalidRequest(msg, parameter="kind")

    def decorate(function: Callable[P, R]) -> Hook[P, R]:
        return Hook(((moment, kind),), function)

    return decorate


def before(kind: HookKind) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Make a hook from a function, to be called before something begins; it may change the request or call.

    ========== ========================== =========================================================
    kind       called with                may return
    ========== ========================== =========================================================
    generation the request                a `mellite.Request`, which is sent in its place
    tool       the call                   another `mellite.ToolCall`, or a `mellite.ToolResult`,
                                          with which the tool is not called
    run        the request of the run
    sampling   the strategy
    validation a thunk and requirements
    chunk      the chunk
    step       the step
    ========== ========================== =========================================================

    None changes nothing. A function may take fewer arguments, and may be async.

    Args:
        kind: the kind of event it is called before.

    Raises:
        InvalidRequest: for an unknown kind.

    Example:
        >>> import mellite
        >>> from attrs import evolve
        >>> @before("generation")
        ... def be_polite(request):
        ...     return evolve(request, messages=[mellite.Message.user(f"Please: {request.text}")])
        >>> with mellite.hooks.use(be_polite):
        ...     mellite.backends.Echo().generate("sing").result()
        'Please: sing'
    """
    return _marking("before", kind)


def after(kind: HookKind) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Make a hook from a function, to be called when something has ended.

    ========== ================================ ===================================================
    kind       called with                      may return
    ========== ================================ ===================================================
    generation a settled copy of the thunk
    tool       the call and its result          another `mellite.ToolResult`, for the model to read
    run        a settled copy of the run
    sampling   the result and the strategy
    validation a thunk and the verdicts
    chunk      the chunk and the verdicts
    step       the step and its payload
    ========== ================================ ===================================================

    A thunk has ended when it is done, has failed or was cancelled; a tool call, a sampling and a step, when there is a
    result.

    Args:
        kind: the kind of event it is called after.

    Raises:
        InvalidRequest: for an unknown kind.

    Example:
        >>> import mellite
        >>> seen = []
        >>> note = after("generation")(lambda thunk: seen.append((thunk.state, thunk.value)))
        >>> with mellite.hooks.use(note):
        ...     answer = mellite.backends.Echo().generate("Hello.").result()
        >>> seen
        [('done', 'Hello.')]
    """
    return _marking("after", kind)


def around(kind: Literal["generation", "tool"]) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Make a hook from a function that wraps a call: it answers itself, or proceeds.

    For a generation it is an async generator of events: ``proceed(request)`` yields the backend's. For a tool it is an
    async function that returns a `mellite.ToolResult`: ``await proceed(call)`` runs the call.

    Args:
        kind: what it wraps: a generation or a tool.

    Raises:
        InvalidRequest: for another kind.

    Example:
        >>> import mellite
        >>> from mellite.events import Finish, TextDelta
        >>> @around("generation")
        ... async def refuse(request, proceed):
        ...     if "secret" in request.text:
        ...         yield TextDelta("I must not say.")
        ...         yield Finish("content-filter")
        ...         return
        ...     async for event in proceed(request):
        ...         yield event
        >>> with mellite.hooks.use(refuse):
        ...     mellite.backends.Echo().generate("the secret").result()
        'I must not say.'
    """
    return _marking("around", kind)


def on_event(kind: Literal["generation"]) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Make a hook from a function, to be called with each event of a generation, and the request, before others see it.

    Args:
        kind: a generation.

    Raises:
        InvalidRequest: for another kind.

    Example:
        >>> import mellite
        >>> seen = []
        >>> with mellite.hooks.use(on_event("generation")(lambda event: seen.append(type(event).__name__))):
        ...     answer = mellite.backends.Constant("Hello.").generate("Greet me.").result()
        >>> seen
        ['ResponseStart', 'TextDelta', 'Finish']
    """
    return _marking("on_event", kind)


def on_error(kind: HookKind) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Make a hook from a function, to be called with the error when something fails, and with what failed.

    What failed is the settled copy of the thunk or run, the tool call, the strategy or the step; for checks that
    raised, the thunk or the chunk. It is called before `after` hooks, and not for a cancellation.

    Args:
        kind: what must fail for it to be called.

    Raises:
        InvalidRequest: for an unknown kind.

    Example:
        >>> import mellite
        >>> import anyio
        >>> seen = []
        >>> with mellite.hooks.use(on_error("generation")(lambda error, thunk: seen.append((error, thunk.state)))):
        ...     answer = mellite.backends.Failing(mellite.errors.RateLimited("slow down")).generate("Hello.")
        ...     settled = anyio.run(answer.settle)
        >>> seen
        [(RateLimited('slow down'), 'failed')]
    """
    return _marking("on_error", kind)


def checked_hooks(hooks: tuple[object, ...], errors: object) -> tuple[Hook[..., Any], ...]:
    """Return hooks.

    Raises:
        InvalidRequest: for what is none, or no hooks at all; for `errors` that are neither "log" nor "raise".
    """
    if errors not in ("log", "raise"):
        msg = f'\'errors\' is "log" or "raise": what to do with the errors of hooks, not {errors!r:.80}'
        raise InvalidRequest(msg, parameter="errors")
    for hook in hooks:
        if not isinstance(hook, Hook):
            hint = ' write @mellite.hooks.before("generation") above it, or another of mellite.hooks'
            hint = f":{hint}" if callable(hook) else ": hooks are made by mellite.hooks.before and the like"
            msg = f"{getattr(hook, '__qualname__', None) or repr(hook):.80} is not a hook{hint}"
            raise InvalidRequest(msg, parameter="hooks")
    return tuple(hook for hook in hooks if isinstance(hook, Hook))


publish(globals(), "mellite.hooks", "Hook", "after", "around", "before", "on_error", "on_event")
