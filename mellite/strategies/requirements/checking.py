"""Check an output against requirements: a thunk, a text or recorded events. Nothing is generated twice."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, get_args

import anyio

from ...loops.turns import Turns
from ...thunk import observing
from ...thunk.call import CallInfo
from ...thunk.lateness import Later
from ...thunk.outcome import conclude
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import InvalidRequest
from ...values.events import Event, Finish, TextDelta
from ...values.request import Request
from .requirement import Check, Requirement, custom, let_go
from .verdict import ValidationResult

if TYPE_CHECKING:
    from ...values.messages import Message

__all__ = ["Subject", "Verdicts", "as_requirements", "begin", "check", "verdicts"]

#: An output to check: a thunk, a text, or the events of an answer.
Subject: TypeAlias = "AnyThunk | str | Iterable[Event] | AsyncIterable[Event]"

#: The verdicts of requirements, in their order; None for a check that was stopped or not started.
Verdicts: TypeAlias = "list[ValidationResult | None]"

_EVENTS = get_args(Event)


async def check(
    subject: Subject,
    requirements: Iterable[Requirement | Check],
    *,
    context: Sequence[Message] | None = None,
) -> list[ValidationResult]:
    """Check one output and return the verdicts, in the order of the requirements. Async checks run concurrently.

    Args:
        subject: a thunk, which is generated first if it is not settled; a text; or the recorded events of an answer.
        requirements: each a `Requirement`, or a function of a thunk, which becomes a requirement named after it.
        context: the messages for checks that take a context; by default those before the one that the thunk answers.

    Raises:
        InvalidRequest: if `subject` is not an output, or an element of `requirements` is not a requirement.

    Example:
        >>> import anyio
        >>> from mellite.requirements import contains, length
        >>> short, long = anyio.run(check, "a short text", [length(max=20), contains("long")])
        >>> short.passed, long.passed
        (True, False)
    """
    checks = as_requirements(requirements)
    thunk = await _settled(subject)
    found = await verdicts(checks, thunk, thunk.call.context if context is None else context)
    return [verdict for verdict in found if verdict is not None]


def as_requirements(requirements: Iterable[Requirement | Check] | None) -> tuple[Requirement, ...]:
    """Return a caller's requirements as `Requirement` objects; a function becomes one named after it.

    Raises:
        InvalidRequest: for anything else. A str is not a requirement: there is nothing to check it with.
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
) -> Verdicts:
    """Return the verdicts on a settled thunk, in the order of the requirements; see `begin`."""
    found = begin(requirements, thunk, context, until_failure=until_failure)
    return found if isinstance(found, list) else await found


def begin(
    requirements: Sequence[Requirement],
    thunk: AnyThunk,
    context: Sequence[Message] = (),
    *,
    until_failure: bool = False,
) -> Verdicts | Awaitable[Verdicts]:
    """Return the verdicts on a settled thunk, in the order of the requirements, at once if all checks are sync.

    Sync checks run first. Then the async checks start, in order, and run concurrently.

    Args:
        until_failure: stop at the first failure. If a sync check fails, no async check starts; if an async check
            fails, the others are cancelled. The verdict of a check that was stopped or not started is None.
    """
    force = observing.in_force() if requirements else None
    if force is None:
        return _begun(requirements, thunk, context, until_failure=until_failure)
    first = force.validating(thunk, requirements)
    if first:
        checks = partial(_begun, requirements, thunk, context, until_failure=until_failure)
        return _looked_at(force, first, checks, thunk)
    found = _begun(requirements, thunk, context, until_failure=until_failure)
    if not isinstance(found, list):
        return _looked_at(force, (), lambda: found, thunk)
    last = force.validated(thunk, found)
    return _after(last, found) if last else found


async def _looked_at(
    force: observing.InForce,
    first: Sequence[Later],
    checks: Callable[[], Verdicts | Awaitable[Verdicts]],
    thunk: AnyThunk,
) -> Verdicts:
    """Tell those who look on, who may have something to be awaited before the checks and after them."""
    for each in first:
        await each()
    found = checks()
    verdicts = found if isinstance(found, list) else await found
    return await _after(force.validated(thunk, verdicts), verdicts)


async def _after(last: Sequence[Later], found: Verdicts) -> Verdicts:
    for each in last:
        await each()
    return found


def _begun(
    requirements: Sequence[Requirement],
    thunk: AnyThunk,
    context: Sequence[Message],
    *,
    until_failure: bool,
) -> Verdicts | Awaitable[Verdicts]:
    found: Verdicts = []
    waiting: list[tuple[int, Awaitable[object]]] = []
    for requirement in requirements:
        given = requirement.begin(thunk, context)
        if isinstance(given, ValidationResult):
            found.append(given)
        else:
            waiting.append((len(found), given))
            found.append(None)
    if waiting and until_failure and any(verdict is not None and not verdict.passed for verdict in found):
        for _, given in waiting:
            let_go(given)
        waiting.clear()
    return _awaited(requirements, waiting, found, until_failure=until_failure) if waiting else found


async def _awaited(
    requirements: Sequence[Requirement],
    waiting: Sequence[tuple[int, Awaitable[object]]],
    found: Verdicts,
    *,
    until_failure: bool,
) -> Verdicts:
    try:
        await _finished(requirements, waiting, found, until_failure=until_failure)
    finally:
        for index, given in waiting:
            if found[index] is None:
                let_go(given)
    return found


async def _finished(
    requirements: Sequence[Requirement],
    waiting: Sequence[tuple[int, Awaitable[object]]],
    found: Verdicts,
    *,
    until_failure: bool,
) -> None:
    """Wait for the async checks and write their verdicts into `found`, each at its index."""
    if len(waiting) == 1:
        index, given = waiting[0]
        found[index] = await requirements[index].finish(given)
    elif waiting:
        turns = Turns()
        async with anyio.create_task_group() as group:

            async def finish(index: int, given: Awaitable[object], turn: int) -> None:
                await turns.wait(turn)
                verdict = found[index] = await requirements[index].finish(given)
                if until_failure and not verdict.passed:
                    group.cancel_scope.cancel()

            for index, given in waiting:
                group.start_soon(finish, index, given, turns.take())


async def _settled(subject: Subject) -> AnyThunk:
    """Return what is to be checked as a settled thunk."""
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
    """A backend that replays events which are already there."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    async def stream(self, request: Request) -> AsyncIterator[Event]:  # noqa: ARG002 - the answer does not depend on it
        for event in self.events:
            yield event


def _of_events(events: list[Event]) -> AnyThunk:
    for event in events:
        if not isinstance(event, _EVENTS):
            msg = f"check takes the events of an answer (mellite.events), not {type(event).__name__}: {event!r}"
            raise InvalidRequest(msg, parameter="subject")
    request = Request(())
    outcome = conclude(events, request=request, backend="the recorded answer")
    return ModelOutputThunk(CallInfo(request, _Recorded(events)), outcome=outcome)
