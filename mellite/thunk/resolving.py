"""How thunks in a prompt become text: they settle first, all at once, and what they gave stands in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from attrs import evolve

from ..values.errors import MelliteError, RequestError
from ..values.filling import copier
from ..values.messages import Deferred, Message, Part, Text, WholeAnswer
from ..values.request import Request
from .call import CallInfo
from .settling import Settling, settle_until_failure

__all__ = ["resolved", "resolved_now", "thunks_in"]


def resolved_now(call: CallInfo) -> Request | None:
    """Return the request as a backend gets it, with the lineage in its metadata; None if the prompt holds a thunk."""
    request = call.request
    for message in request.messages:
        for part in message.content:
            if type(part) is not Text and isinstance(part, Deferred):
                return None
    if request.metadata.get("lineage") == call.lineage:  # a step of a run: the request is made for it
        return request
    return _copied(request, {"metadata": {**request.metadata, "lineage": call.lineage}})


async def resolved(call: CallInfo) -> Request:
    """Return the request as a backend gets it: thunks replaced by what they gave, the lineage in the metadata.

    Raises:
        RequestError: as soon as a thunk in the prompt has failed or was cancelled; that is its cause.
    """
    plain = resolved_now(call)
    if plain is not None:
        return plain
    request = call.request
    held = _held_by(request)
    waiting = list(held)
    for thunk in waiting:  # before any is begun
        _check(thunk, held, request)
    while waiting:
        last = _last_to_settle(waiting)
        await settle_until_failure(*last)
        for thunk in last:
            _check(thunk, held, request)
        # What those waited for has settled now: all the others, but for an answer that was settled when it was made.
        waiting = [thunk for thunk in waiting if not thunk.is_computed()]
    holding = {index for indexes in held.values() for index in indexes}
    messages: list[Message] = []
    for index, message in enumerate(request.messages):
        if index in holding:
            messages += _plain(message, index)
        else:
            messages.append(message)
    changes = {"messages": tuple(messages), "metadata": {**request.metadata, "lineage": call.lineage}}
    return _copied(request, changes)


_copied: Final = copier(Request)


def _held_by(request: Request) -> dict[Settling, list[int]]:
    """Return the thunks in a prompt, in order, each with the indexes of the messages that it stands in."""
    held: dict[Settling, list[int]] = {}
    for index, message in enumerate(request.messages):
        for part in message.content:
            if type(part) is not Text and isinstance(part, Deferred):
                held.setdefault(_thunk_of(part), []).append(index)
    return held


def _thunk_of(part: Deferred) -> Settling:
    return cast("Settling", part.deferred_on())


def thunks_in(request: Request) -> list[Settling]:
    """Return the thunks in a prompt, in order, each as often as it stands there."""
    return [
        _thunk_of(part)
        for message in request.messages
        for part in message.content
        if type(part) is not Text and isinstance(part, Deferred)
    ]


def _last_to_settle(thunks: Sequence[Settling]) -> dict[Settling, None]:
    """Return those that no later one waits for: of a conversation, whose turns wait for each other, the last."""
    last: dict[Settling, None] = {}
    before: set[Settling] = set()
    for thunk in reversed(thunks):
        if thunk not in before and thunk not in last:
            last[thunk] = None
            before.update(thunks_in(thunk.call.request))
    return dict.fromkeys(reversed(last))


def _check(thunk: Settling, held: Mapping[Settling, Sequence[int]], request: Request) -> None:
    """Raise the error of a thunk that has failed or was cancelled, and gives nothing to the prompt."""
    if thunk.state not in ("failed", "cancelled"):
        return
    for index in held[thunk]:
        message = request.messages[index]
        whole = WholeAnswer.in_place_of(message)
        if whole is not None:
            _messages_of(whole, index)  # a run that was stopped gives what it has said
            continue
        for part in message.content:
            if isinstance(part, Deferred) and _thunk_of(part) is thunk:
                _text_of(part, index)


def _plain(message: Message, index: int) -> tuple[Message, ...]:
    """Return what stands for a message of the prompt once the thunks in it have settled."""
    whole = WholeAnswer.in_place_of(message)
    if whole is not None:
        return _messages_of(whole, index)
    if not any(isinstance(part, Deferred) for part in message.content):
        return (message,)
    return (evolve(message, content=[_text_of(part, index) for part in message.content]),)


def _messages_of(whole: WholeAnswer, index: int) -> tuple[Message, ...]:
    try:
        return whole.deferred_messages()
    except MelliteError as error:
        raise _failed(error, index) from error


def _text_of(part: Part, index: int) -> Part:
    if not isinstance(part, Deferred):
        return part
    try:
        return Text(part.deferred_text())
    except MelliteError as error:
        raise _failed(error, index) from error


def _failed(error: MelliteError, index: int) -> RequestError:
    """Return the error of a call with a thunk in its prompt that failed."""
    # If that thunk failed for the same reason, its message is not repeated, or messages would grow with each level.
    depth = error.__dict__.get("depth", 0) + 1
    reason = error.__dict__.get("reason_below") or _bounded(str(error))
    below = "" if depth == 1 else f", because the innermost of {depth:,} thunks, one inside another, gave none"
    msg = f"a thunk in message {index} of the prompt gave no text{below}: {reason}"
    failed = RequestError(msg)
    failed.__dict__.update(depth=depth, reason_below=reason)  # read by the next level only; not part of the class
    return failed


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


#: How much of an error's text the error of the thunk around it repeats, in characters; its ``__cause__`` has all.
_LONGEST_REASON: Final = 1000
