"""Check an output against requirements: a thunk, a text, or recorded events, without generating anything again."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import anyio

from ...loops.turns import Turns
from ...thunk.call import CallInfo
from ...thunk.outcome import conclude
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import InvalidRequest
from ...values.events import Event, Finish, TextDelta
from ...values.request import Request
from .requirement import Requirement, custom
from .verdict import ValidationResult

if TYPE_CHECKING:
    from ...values.messages import Message

__all__ = ["Subject", "as_requirements", "check", "let_go", "verdicts"]

#: What can be checked: a thunk, a text, or the events of an answer.
Subject: TypeAlias = "AnyThunk | str | Iterable[Event] | AsyncIterable[Event]"

_EVENTS = get_args(Event)


async def check(
    subject: Subject,
    requirements: Iterable[Requirement | Callable[..., Any]],
    *,
    context: Sequence[Message] | None = None,
) -> list[ValidationResult]:
    """Check one output: the verdicts, in the order of the requirements. Async checks run at the same time.

    Args:
        subject: a thunk, which is generated if it is not yet; a text; or the events of an answer, as recorded.
        requirements: a list of `Requirement`; a function is one, named after it.
        context: what the checks that want it get; by default the messages before the one that the thunk answers.

    Raises:
        InvalidRequest: for what is no requirement, or no output.

    Example:
        >>> import anyio
        >>> from mellite.requirements import contains, length
        >>> short, long = anyio.run(check, "a short text", [length(max=20), contains("long")])
        >>> short.passed, long.passed
        (True, False)
    """
    checks = as_requirements(requirements)
    thunk = await _settled(subject)
    found = await verdicts(checks, thunk, thunk._call.context if context is None else context)
    return [verdict for verdict in found if verdict is not None]


def as_requirements(requirements: Iterable[Requirement | Callable[..., Any]] | None) -> tuple[Requirement, ...]:
    """Requirements as callers write them: a function becomes a requirement named after it.

    Raises:
        InvalidRequest: for anything else; a str is no requirement, because nothing could check it.
    """
    if requirements is None:
        return ()
    if isinstance(requirements, (str, Requirement)) or not isinstance(requirements, Iterable):
        msg = f"requirements are a list, as in requirements=[mellite.Requirement(...)], not {requirements!r}"
        raise InvalidRequest(msg, parameter="requirements")
    return tuple([_as_requirement(each) for each in requirements])


def _as_requirement(each: object) -> Requirement:
    if isinstance(each, Requirement):
        return each
    if isinstance(each, str):
        msg = (
            f"{each!r} is words, which nothing checks: write mellite.Requirement({each!r}, check), "
            "or mellite.requirements.judge(backend, ...) to have a model judge it"
        )
        raise InvalidRequest(msg, parameter="requirements")
    if callable(each):
        return custom(each)
    msg = f"a requirement is a mellite.Requirement or a function of a thunk, not {type(each).__name__}: {each!r}"
    raise InvalidRequest(msg, parameter="requirements")


async def verdicts(
    requirements: Sequence[Requirement],
    thunk: AnyThunk,
    context: Sequence[Message] = (),
    *,
    until_failure: bool = False,
) -> list[ValidationResult | None]:
    """The verdicts on a settled thunk, in order; async checks begin in that order and run at the same time.

    Args:
        until_failure: whether one failure decides: then async checks do not begin when a sync one has failed, and
            end when one of them fails. Their verdicts are None.
    """
    found: list[ValidationResult | None] = [None] * len(requirements)
    waiting: list[tuple[int, Awaitable[Any]]] = []
    for index, requirement in enumerate(requirements):
        given = requirement.begin(thunk, context)
        if isinstance(given, ValidationResult):
            found[index] = given
        else:
            waiting.append((index, given))
    failed = any(verdict is not None and not verdict.passed for verdict in found)
    try:
        if not (until_failure and failed):
            await _finished(requirements, waiting, found, until_failure=until_failure)
    finally:
        for index, given in waiting:
            if found[index] is None:
                let_go(given)
    return found


async def _finished(
    requirements: Sequence[Requirement],
    waiting: Sequence[tuple[int, Awaitable[Any]]],
    found: list[ValidationResult | None],
    *,
    until_failure: bool,
) -> None:
    """Wait for the async checks, and put their verdicts in their places."""
    if len(waiting) == 1:
        index, given = waiting[0]
        found[index] = await requirements[index].finish(given)
    elif waiting:
        turns = Turns()
        async with anyio.create_task_group() as group:

            async def finish(index: int, given: Awaitable[Any], turn: int) -> None:
                await turns.wait(turn)
                verdict = found[index] = await requirements[index].finish(given)
                if until_failure and not verdict.passed:
                    group.cancel_scope.cancel()

            for index, given in waiting:
                group.start_soon(finish, index, given, turns.take())


def let_go(given: Awaitable[Any]) -> None:
    """Let go of an async check whose verdict nobody needs: a coroutine that never ran would complain."""
    for name in ("close", "cancel"):
        end = getattr(given, name, None)
        if callable(end):
            end()
            return


async def _settled(subject: Subject) -> AnyThunk:
    """What is to be checked as a settled thunk."""
    if isinstance(subject, ModelOutputThunk):
        return await subject.settle()
    if isinstance(subject, str):
        return _of_events([TextDelta(subject), Finish("stop")])
    if isinstance(subject, AsyncIterable):
        return _of_events([event async for event in subject])
    if isinstance(subject, Iterable) and not isinstance(subject, (bytes, bytearray)):
        return _of_events(list(subject))
    msg = f"check takes a thunk, a str or the events of an answer, not {type(subject).__name__}"
    raise InvalidRequest(msg, parameter="subject")


class _Recorded:
    """A backend that gives events that there are already."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    async def stream(self, request: Request) -> AsyncIterator[Event]:  # noqa: ARG002 - the answer is there already
        for event in self.events:
            yield event


def _of_events(events: list[Event]) -> AnyThunk:
    for event in events:
        if not isinstance(event, _EVENTS):
            msg = f"check takes the events of an answer (mellite.events), not {type(event).__name__}: {event!r}"
            raise InvalidRequest(msg, parameter="subject")
    request = Request(())
    thunk: AnyThunk = ModelOutputThunk(CallInfo(request, _Recorded(events)))
    thunk._outcome = conclude(events, request=request, backend="the recorded answer")
    return thunk
