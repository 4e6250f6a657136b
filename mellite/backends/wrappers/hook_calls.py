"""Call hooks: those active together, what they may return, and what happens to their errors."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeVar, final

from ... import loops
from ...values.errors import HookFailed
from ...values.telling import log
from ...values.told_errors import error_line
from ...values.type_names import a_type_name
from .hook import Hook, HookKind, Moment

__all__ = ["ENDS", "AnyHook", "HookMistake", "HookSet", "coroutine_error", "inside"]

AnyHook = Hook[..., Any]

T = TypeVar("T")

#: What ends the program.
ENDS: Final = (KeyboardInterrupt, SystemExit)

#: The hooks whose code this is: what they generate themselves is none of their business.
inside: Final[ContextVar[frozenset[HookSet]]] = ContextVar("mellite_inside_hooks", default=frozenset())


@final
class HookSet:
    """Hooks that were put in force together.

    Args:
        hooks: the hooks, in the order in which they are called.
        errors: what to do with what they raise: "log" or "raise".

    Attributes:
        hooks: the same.
        errors: the same.
        is_raising: whether errors are raised.
        alone: what `inside` is while one of them runs, and no other.
    """

    __slots__ = ("_known", "alone", "errors", "hooks", "is_raising")

    def __init__(self, hooks: tuple[AnyHook, ...], errors: str) -> None:
        self.hooks = hooks
        self.errors = errors
        self.is_raising = errors == "raise"
        self.alone = frozenset([self])
        self._known: dict[tuple[Moment, HookKind], tuple[AnyHook, ...]] = {}

    def of(self, moment: Moment, *kinds: HookKind) -> tuple[AnyHook, ...]:
        """Return the hooks for a moment of any of these kinds."""
        if len(kinds) == 1 and (known := self._known.get((moment, kinds[0]))) is not None:
            return known
        found = tuple([hook for hook in self.hooks for kind in kinds if (moment, kind) in hook.marks])
        if len(kinds) == 1:
            self._known[moment, kinds[0]] = found
        return found

    def are_called_here(self) -> bool:
        """Whether this is not code of these hooks."""
        return self not in inside.get()

    # Calling

    def call_now(self, hook: AnyHook, *args: object) -> Any:
        """Call a hook that is not async; return what it returns, and None if it failed and that was logged.

        Raises:
            HookFailed: if it failed, and errors are raised.
        """
        around = inside.get()
        inside.set(around | self.alone if around else self.alone)
        try:
            given = hook.function(*args[: hook.most_arguments])
        except ENDS:
            raise
        except BaseException as error:  # a plain function is not what a cancellation reaches
            self.failed(hook, error)
            return None
        finally:
            inside.set(around)
        if given is not None and inspect.iscoroutine(given):
            self.failed(hook, coroutine_error(given))
            return None
        return given

    async def call(self, hook: AnyHook, *args: object) -> Any:
        """Call any hook; return what it returns, and None if it failed and that was logged.

        Raises:
            HookFailed: if it failed, and errors are raised.
        """
        if not hook.is_async:
            return self.call_now(hook, *args)
        try:
            return await self.awaited(hook, *args)
        except BaseException as error:
            if not self.is_failure(error):
                raise
            self.failed(hook, error)
            return None

    async def awaited(self, hook: AnyHook, *args: object) -> Any:
        """Call an async hook, and return what it returns; what it raises is raised."""
        around = inside.get()
        inside.set(around | self.alone if around else self.alone)
        try:
            return await hook.function(*args[: hook.most_arguments])
        finally:
            inside.set(around)

    @staticmethod
    def is_failure(error: BaseException) -> bool:
        """Tell whether what came out of an async hook is its failure: no cancellation, and no end of the program."""
        if isinstance(error, Exception):
            return True
        if isinstance(error, (*ENDS, GeneratorExit, BaseExceptionGroup)):
            return False
        return not loops.is_own_cancellation()

    async def each(self, hooks: Iterable[AnyHook], *args: object) -> None:
        """Call hooks that observe, all of them.

        Raises:
            HookFailed: the first one, if errors are raised.
        """
        failure: HookFailed | None = None
        for hook in hooks:
            try:
                await self.call(hook, *args)
            except HookFailed as error:
                failure = failure or error
        self._raise(failure)

    def each_now(self, hooks: Iterable[AnyHook], *args: object) -> None:
        """Call hooks that observe and are not async, all of them.

        Raises:
            HookFailed: the first one, if errors are raised.
        """
        failure: HookFailed | None = None
        for hook in hooks:
            try:
                self.call_now(hook, *args)
            except HookFailed as error:
                failure = failure or error
        self._raise(failure)

    @staticmethod
    def _raise(failure: HookFailed | None) -> None:
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # see "Cycles" in `mellite.thunk`

    def taken(self, hook: AnyHook, given: object, kinds: tuple[type[T], ...]) -> T | None:
        """Return what a hook gave; None for None, and for what it must not give, if that was logged.

        Raises:
            HookFailed: if it must not give that, and errors are raised.
        """
        if given is None or isinstance(given, kinds):
            return given
        allowed = ", a ".join(kind.__name__ for kind in kinds)
        self.failed(hook, HookMistake(f"it returned {a_type_name(type(given))}, and not None or a {allowed}"))
        return None

    # Failing

    def failed(self, hook: AnyHook, error: BaseException) -> None:
        """Log what a hook raised.

        Raises:
            HookFailed: instead, if errors are raised.
        """
        if self.is_raising:
            raise self.failure(hook, error)
        self.log(hook, error)

    @staticmethod
    def failure(hook: AnyHook, error: BaseException) -> HookFailed:
        """Return the error for what a hook raised."""
        msg = f"the hook {hook.name} failed: {error_line(error)}"
        failure = HookFailed(msg, hook=hook.name)
        failure.__cause__ = error
        return failure

    @staticmethod
    def log(hook: AnyHook, error: BaseException) -> None:
        """Log what a hook raised."""
        reason = error_line(error) if isinstance(error, HookMistake) else type(error).__name__
        said = "the hook %s failed, and the call goes on without it: %s"
        log.mistake("hook.failed", said, hook.name, reason, raised=error, hook=hook.name, error=type(error).__name__)


class HookMistake(TypeError):
    """A hook gave what it must not give; the words are ours."""


def coroutine_error(coroutine: Coroutine[Any, Any, Any]) -> HookMistake:
    """Close a coroutine that a plain function returned, and return the error for that."""
    coroutine.close()
    return HookMistake("it returned a coroutine: write the function itself with async def")
