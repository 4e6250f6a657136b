"""Activate hooks: `use` for a block, `install` for the process; and show them what observers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, final

from ...thunk.lateness import Lateness, Later
from ...thunk.observing import Activity, Interceptor, Observer, install as install_watchers, using
from ...values.public_names import publish
from .hook import Hook, after, around, before, checked_hooks, on_error, on_event
from .hook_calls import AnyHook, HookSet
from .hook_tools import tool_hooks
from .hooked import Plan, hooked_by

if TYPE_CHECKING:
    from ...thunk.observing import Kind, Opener
    from ...values.events import Event
    from ...values.request import Request

__all__ = ["Hook", "after", "around", "before", "install", "on_error", "on_event", "use"]

#: The kinds that are observed, and not stood around.
_OBSERVED: Final = ("chunk", "validation", "sampling", "step")


def use(*hooks: AnyHook, errors: Literal["log", "raise"] = "log") -> AbstractContextManager[None]:
    """Return a context that activates hooks: for thunks first driven in it, and in tasks started in it.

    Generations made by a hook itself are not shown to the hooks activated with it.

    Args:
        *hooks: made by `before` and the like; the first one is the outermost.
        errors: what a failing hook does: "log" logs a warning that names it, and the call continues; "raise" fails the
            thunk with `mellite.errors.HookFailed`, whose cause is what the hook raised.

    Raises:
        InvalidRequest: for anything that is not a hook.

    Example:
        >>> import mellite
        >>> seen = []
        >>> note = mellite.hooks.after("generation")(lambda thunk: seen.append(thunk.value))
        >>> with mellite.hooks.use(note):
        ...     answer = mellite.backends.Echo().generate("Hello.").result()
        >>> seen
        ['Hello.']
    """
    return using(*_watchers(HookSet(checked_hooks(hooks, errors), errors)))


def install(*hooks: AnyHook, errors: Literal["log", "raise"] = "log") -> Callable[[], None]:
    """Activate hooks in the whole process, and return a function that removes them.

    Hooks of a block, activated by `use`, come first.

    Args:
        *hooks: as for `use`.
        errors: as for `use`.

    Raises:
        InvalidRequest: for anything that is not a hook.

    Example:
        >>> import mellite
        >>> seen = []
        >>> note = mellite.hooks.before("generation")(lambda request: seen.append(request.text))
        >>> remove = mellite.hooks.install(note)
        >>> answer = mellite.backends.Echo().generate("Hello.").result()
        >>> remove()
        >>> seen
        ['Hello.']
    """
    return install_watchers(*_watchers(HookSet(checked_hooks(hooks, errors), errors)))


def _watchers(hooks: HookSet) -> tuple[Observer | Interceptor, ...]:
    kinds = {kind for hook in hooks.hooks for _, kind in hook.marks}
    looking = (_Looking(hooks),) if kinds.intersection(_OBSERVED) else ()
    return (_Standing(hooks), *tool_hooks(hooks), *looking)


@final
class _Standing(Interceptor):
    """Hooks around generations and runs."""

    def __init__(self, hooks: HookSet) -> None:
        self._hooks = hooks
        self._generation = Plan(hooks, "generation")
        self._run = Plan(hooks, "run")

    def wrap(self, kind: Kind, backend: Any) -> Any:
        """Return the backend with the hooks around it."""
        plan = self._generation if kind == "generation" else self._run
        return backend if plan.is_empty or not self._hooks.are_called_here() else hooked_by(plan, backend)

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Return the events of a generation in front of which more stands, with the hooks around them."""
        if self._generation.is_empty or not self._hooks.are_called_here():
            return proceed(generation)
        return hooked_by(self._generation, _Opened(generation, proceed)).stream(generation.request)


@final
class _Opened:
    """What others in between open, as a backend."""

    def __init__(self, generation: Any, proceed: Opener) -> None:
        self._generation = generation
        self._proceed = proceed

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Open the events."""
        self._generation.request = request
        return self._proceed(self._generation)

    def describe(self) -> str:
        """Return what to call the backend in messages."""
        backend = self._generation.call.backend
        describe = getattr(backend, "describe", None)
        return str(describe()) if callable(describe) else type(backend).__name__


@final
class _Looking(Observer):
    """Hooks of samplings, checks, chunks and steps."""

    def __init__(self, hooks: HookSet) -> None:
        self._hooks = hooks

    def started(self, activity: Activity) -> None:
        """Call the hooks in front of a sampling or a step."""
        if activity.kind in ("sampling", "step"):
            self._tell(activity, ("before", activity.kind), activity.subject)

    def settled(self, activity: Activity) -> None:
        """Call the hooks behind a sampling or a step."""
        kind = activity.kind
        if kind not in ("sampling", "step"):
            return
        if isinstance(activity.error, Exception):
            self._tell(activity, ("on_error", kind), activity.error, activity.subject)
        if activity.result is not None:
            both = (activity.result, activity.subject)
            self._tell(activity, ("after", kind), *(both if kind == "sampling" else reversed(both)))

    def cut(self, activity: Activity, chunk: str) -> None:
        """Call the hooks in front of the checks of a chunk."""
        self._tell(activity, ("before", "chunk"), chunk)

    def chunk(self, activity: Activity, chunk: str, verdicts: Sequence[object]) -> None:
        """Call the hooks behind a chunk that was handed on, or that failed."""
        for error in _errors_of(verdicts):
            self._tell(activity, ("on_error", "chunk"), error, chunk)
        self._tell(activity, ("after", "chunk"), chunk, verdicts)

    def validating(self, thunk: object, requirements: Sequence[object]) -> Later | None:
        """Call the hooks in front of the checks of a thunk."""
        return self._told([(hook, (thunk, requirements)) for hook in self._hooks.of("before", "validation")])

    def validated(self, activity: Activity | None, thunk: object, verdicts: Sequence[object]) -> Later | None:
        """Call the hooks behind the checks of a thunk."""
        del activity
        on_error, hooks = self._hooks.of("on_error", "validation"), self._hooks.of("after", "validation")
        failed = [(hook, (error, thunk)) for error in _errors_of(verdicts) for hook in on_error]
        return self._told([*failed, *[(hook, (thunk, verdicts)) for hook in hooks]])

    def _tell(self, activity: Activity, mark: tuple[Any, Any], *args: object) -> None:
        hooks = self._hooks.of(*mark)
        if not hooks:
            return
        late = activity.late = activity.late or Lateness()
        later = self._told([(hook, args) for hook in hooks], at_once=not late.is_late)
        if later is not None:
            late.add(later)

    def _told(self, calls: list[tuple[AnyHook, tuple[object, ...]]], *, at_once: bool = True) -> Later | None:
        """Call hooks; return what calls those that have to be awaited, or raises what one raised."""
        if not (calls and self._hooks.are_called_here()):
            return None
        rest: list[tuple[AnyHook, tuple[object, ...]]] = []
        for hook, args in calls:
            if rest or not at_once or hook.is_async or self._hooks.is_raising:
                rest.append((hook, args))
            else:
                self._hooks.call_now(hook, *args)
        return partial(self._rest, rest) if rest else None

    async def _rest(self, calls: list[tuple[AnyHook, tuple[object, ...]]]) -> None:
        for hook, args in calls:
            await self._hooks.call(hook, *args)


def _errors_of(verdicts: Sequence[object]) -> list[Exception]:
    errors = [getattr(verdict, "error", None) for verdict in verdicts]
    return [error for error in errors if error is not None]


publish(globals(), "mellite.hooks", "install", "use")
