"""Try again what failed and may succeed, before anything of the answer was passed on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeAlias, cast

from ...values.errors import InvalidRequest
from ...values.public_names import publish
from ...values.request import Request
from ...values.text_answer import Batch
from .clocks import SYSTEM, Clock, checked_clock
from .retrying import Rule, Series
from .wrapper import Unsent, Wrapper

__all__ = ["Retry", "RetryOn"]

#: Which foreign exceptions to try again after: classes of them, or a function that tells.
RetryOn: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


class Retry(Wrapper):
    """A backend that asks another one again after a failure that may pass.

    It retries errors that are ``retryable``: HTTP 408, 409, 429, 500, 502, 503, 504 and 529, whatever the server calls
    retryable (``x-should-retry``), connections that fail or break, answers that do not begin in time; never an
    exhausted quota. And only before text, thinking, tool input or a tool call was passed on: anything a failed attempt
    sent before that is dropped.

    The wait is what the server asks for, or else random: up to 0.5 s, 1 s, 2 s and so on to 8 s. If it would exceed
    `max_wait` or ``Timeouts(total=)``, which includes all attempts and waits, the error is raised at once. Replayed
    cassettes never wait.

    It replaces the backend's own ``mellite.backend(..., retries=2)``. The number of requests is in
    ``thunk.generation.attempts``; the errors of the attempts before the last, each with its usage, are in
    ``thunk.generation.failures``.

    Args:
        backend: the backend to ask.
        attempts: the most attempts, the first one included.
        budget: the most retries, as a share of the last minute's calls, plus ten; None for no bound.
        on: foreign exceptions of your own backend to retry as well: classes, or a predicate.
        max_wait: the longest wait before another attempt, in seconds.
        clock: has ``now()``, ``wall()`` and ``async sleep(seconds)``; the system clock by default.

    Raises:
        InvalidRequest: for an argument that makes no sense.
        ConfigurationError: if `backend` is not a backend.

    Example:
        >>> from mellite.backends import Scripted
        >>> from mellite.errors import ProviderInternal
        >>> thunk = Retry(Scripted([ProviderInternal("overloaded", retry_after=0), "Hello!"])).generate("Hello.")
        >>> thunk.result(), thunk.generation.attempts, thunk.generation.failures
        ('Hello!', 2, (ProviderInternal('overloaded'),))
    """

    def __init__(
        self,
        backend: Any,
        *,
        attempts: int = 3,
        budget: float | None = 0.2,
        on: RetryOn | None = None,
        max_wait: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(backend)
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            msg = f"'attempts' must be a whole number of at least 1, the first attempt included, not {attempts!r}"
            raise InvalidRequest(msg, parameter="attempts")
        if budget is not None:
            _check_number("budget", budget, "a part of the calls such as 0.2, or None for no bound")
        _check_number("max_wait", max_wait, "a number of seconds from 0 on")
        self._on = on
        self._rule = Rule(
            attempts=attempts, budget=budget, on=_tells(on), max_wait=max_wait, clock=checked_clock(clock)
        )

    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the events of the first attempt that sends content, or of the last one."""
        del once  # that is for a rule that the backend has by itself
        return Series(self._rule, self._backend, request, began=self._rule.note_call()).batches()

    def begin_pushing(self, request: Request, pump: Any, *, once: bool = False) -> Any:
        """Send at once, if the inner backend can, and push its events."""
        del once  # that is for a rule that the backend has by itself
        if not self._can_push():
            return None
        if hasattr(type(self._backend), "begin_pushing"):
            return self._rule.begin(self._backend, request, pump)
        series = Series(self._rule, self._backend, request, began=self._rule.note_call(), reader=pump)
        return Unsent(series.batches())

    def _arguments(self) -> Mapping[str, object]:
        rule = self._rule
        given = {"attempts": rule.attempts, "budget": rule.budget, "on": self._on, "max_wait": rule.max_wait}
        return given if rule.clock is SYSTEM else {**given, "clock": rule.clock}


def _check_number(name: str, value: object, wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        msg = f"{name!r} must be {wanted}, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


def _tells(on: Any) -> Callable[[Exception], bool] | None:
    """Return what tells whether to try again after an exception.

    Raises:
        InvalidRequest: for what can tell nothing.
    """
    if on is None:
        return None
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        return lambda error: isinstance(error, kinds)
    if isinstance(on, (type, tuple)) or not callable(on):
        msg = f"'on' must be a class of exceptions, a tuple of them or a function of one, not {on!r}"
        raise InvalidRequest(msg, parameter="on")
    return cast("Callable[[Exception], bool]", on)


publish(globals(), "mellite", "Retry")
