"""Conditions that stop a run before the model has answered: steps, tokens, dollars, seconds, or your own."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, cast, final

from attrs import frozen

from ...values.backend_streams import name_of
from ...values.errors import InvalidRequest, MelliteError
from ...values.public_names import publish
from ...values.secrets.shapes import masked
from ...values.told_errors import error_text
from ...values.whole_numbers import check_count
from ..sampling.budget import check_seconds, dollars
from .progress import Progress, StopReason

if TYPE_CHECKING:
    from ...thunk.thunk import AnyThunk
    from .step import RunStep

__all__ = ["Condition", "StopReason", "StopWhen", "called", "repeats", "seconds", "steps", "tokens", "usd"]

#: A condition of your own: a function of the run, async or not, that says whether to stop.
OfRun: TypeAlias = Callable[[Any], bool | Awaitable[bool]]


class Condition(ABC):
    """A condition to stop a run; made by the functions of `mellite.stop`, and combined with ``|`` and ``&``.

    Conditions are checked when the tools of a step have run. They combine with functions of the run, too.

    Example:
        >>> from mellite import stop
        >>> stop.steps(5) | stop.tokens(20_000) & (lambda run: not run.partial)
        stop.steps(5) | stop.tokens(20000) & <lambda>
    """

    __slots__ = ()

    @abstractmethod
    async def reason(self, progress: Progress) -> StopReason | None:
        """Return the reason to stop; None to continue."""

    def check(self, tools: frozenset[str]) -> None:  # noqa: ARG002 - some conditions look at them
        """Raise InvalidRequest if a run with these tools cannot meet the condition; most have nothing to check."""
        return

    def __or__(self, other: StopWhen) -> Condition:
        return _Any((self, condition_of(other))) if _is_condition(other) else NotImplemented

    def __ror__(self, other: StopWhen) -> Condition:
        return _Any((condition_of(other), self)) if _is_condition(other) else NotImplemented

    def __and__(self, other: StopWhen) -> Condition:
        return _All((self, condition_of(other))) if _is_condition(other) else NotImplemented

    def __rand__(self, other: StopWhen) -> Condition:
        return _All((condition_of(other), self)) if _is_condition(other) else NotImplemented


#: The values that ``stop_when`` takes.
StopWhen: TypeAlias = Condition | OfRun


def _is_condition(value: object) -> bool:
    return isinstance(value, Condition) or callable(value)


def condition_of(value: object) -> Condition:
    """Return the condition that a caller gave.

    Raises:
        InvalidRequest: if it is neither a condition nor a function of the run.
    """
    if isinstance(value, Condition):
        return value
    if callable(value) and not isinstance(value, type) and value not in (steps, tokens, usd, seconds, called, repeats):
        return _Function(cast("OfRun", value))
    msg = (
        "stop_when is a condition of mellite.stop, such as stop.steps(10), or a function of the run, or several of "
        f"them with | and &, not {value!r}"
    )
    raise InvalidRequest(msg, parameter="stop_when")


@final
@frozen(repr=False)
class _Any(Condition):
    """Stop when one of several conditions is met, for the reason of the first that is."""

    parts: tuple[Condition, ...]

    async def reason(self, progress: Progress) -> StopReason | None:
        for part in self.parts:
            found = await part.reason(progress)
            if found is not None:
                return found
        return None

    def check(self, tools: frozenset[str]) -> None:
        for part in self.parts:
            part.check(tools)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))


@final
@frozen(repr=False)
class _All(Condition):
    """Stop when all of several conditions are met, for the reason of the first."""

    parts: tuple[Condition, ...]

    async def reason(self, progress: Progress) -> StopReason | None:
        first: StopReason | None = None
        for part in self.parts:
            found = await part.reason(progress)
            if found is None:
                return None
            first = first or found
        return first

    def check(self, tools: frozenset[str]) -> None:
        for part in self.parts:
            part.check(tools)

    def __repr__(self) -> str:
        return " & ".join([f"({part!r})" if isinstance(part, _Any) else repr(part) for part in self.parts])


@final
@frozen(repr=False)
class _Function(Condition):
    """Stop when a function of the run says so."""

    function: OfRun

    async def reason(self, progress: Progress) -> StopReason | None:
        try:
            found = self.function(progress.run)
            if inspect.isawaitable(found):
                found = await found
        except MelliteError:
            raise
        except Exception as error:
            msg = f"stop condition {self!r} raised {type(error).__name__}: {masked(error_text(error))}"
            raise InvalidRequest(msg, parameter="stop_when") from error
        return "condition" if found else None

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


@frozen(repr=False)
class _Limit(Condition):
    """Stop when something has reached a limit."""

    limit: Any

    def __repr__(self) -> str:
        shown = f"'{self.limit}'" if isinstance(self.limit, Decimal) else repr(self.limit)
        return f"stop.{type(self).__name__.lower().lstrip('_')}({shown})"


@final
class _Steps(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        return "steps" if progress.count >= self.limit else None


@final
class _Tokens(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        used = 0
        for thunk in progress.thunks:
            usage = thunk.usage
            if usage is None or usage.total_tokens is None:
                raise _unknown(thunk, "did not say how many tokens it used", self)
            used += usage.total_tokens
        return "tokens" if used >= self.limit else None


@final
class _Usd(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        for thunk in progress.thunks:
            usage = thunk.usage
            if thunk.cost_usd is None and not (usage is not None and usage.is_zero):
                raise _unknown(thunk, "has no known price", self)
        cost = progress.cost_usd
        return "usd" if cost is not None and cost >= self.limit else None


@final
class _Seconds(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        return "seconds" if progress.seconds >= self.limit else None


@final
class _Called(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        last = progress.steps[-1]
        return "called" if any(call.name == self.limit for call in last.calls) else None

    def check(self, tools: frozenset[str]) -> None:
        if tools and self.limit not in tools:
            from ...values.spelling import did_you_mean

            msg = f"stop.called({self.limit!r}): the run has no such tool; {did_you_mean(self.limit, sorted(tools))}"
            raise InvalidRequest(msg, parameter="stop_when")


@final
class _Repeats(_Limit):
    __slots__ = ()

    async def reason(self, progress: Progress) -> StopReason | None:
        count = self.limit
        if progress.count < count:
            return None
        last = progress.steps[-count:]
        first = _asked(last[0])
        return "repeats" if first and all(_asked(step) == first for step in last[1:]) else None


def _asked(step: RunStep) -> list[tuple[Any, ...]]:
    """Return what a step asked for and got, without the ids."""
    results = [(None if result is None else result.result) for result in step.results]
    return [
        (call.name, call.arguments, call.raw_arguments if call.arguments is None else None, result)
        for call, result in zip(step.calls, results, strict=True)
    ]


def _unknown(thunk: AnyThunk, what: str, condition: _Limit) -> InvalidRequest:
    about = thunk.generation
    model = about.response_model or about.model
    msg = (
        f"model {model!r} of {about.provider or name_of(thunk.call.backend)} {what}, so {condition!r} cannot be kept; "
        "leave it out, or make it known"
    )
    return InvalidRequest(msg, parameter="stop_when", model=model, provider=about.provider, usage=about.usage)


def steps(n: int) -> Condition:
    """Stop after `n` steps; steps that a fork kept count.

    Example:
        >>> steps(1)
        stop.steps(1)
    """
    check_count("n", n)
    return _Steps(n)


def tokens(n: int) -> Condition:
    """Stop once the steps have used `n` tokens together, prompts included."""
    check_count("n", n)
    return _Tokens(n)


def usd(x: Decimal | float | str) -> Condition:
    """Stop once the steps have cost `x` US dollars together; a float counts as it prints.

    Without a known price the run fails after its first step, when it is known which model answered.

    Example:
        >>> usd(0.5)
        stop.usd('0.5')
    """
    return _Usd(dollars(x, "x"))


def seconds(s: float) -> Condition:
    """Stop once the run has taken `s` seconds. A step in progress is not interrupted."""
    check_seconds("s", s)
    return _Seconds(s)


def called(name: str) -> Condition:
    """Stop once the tool `name` has been called, and has run."""
    if not isinstance(name, str):
        msg = f"'name' must be the name of a tool, not {name!r}"
        raise InvalidRequest(msg, parameter="name")
    return _Called(name)


def repeats(n: int) -> Condition:
    """Stop when the last `n` steps (at least 2) made the same calls and got the same results."""
    check_count("n", n, least=2)
    return _Repeats(n)


publish(globals(), "mellite.stop")
