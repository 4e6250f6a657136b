"""The call that a thunk stands for: its request, backend and lineage; and how thunks in a prompt become text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from attrs import evolve, field, frozen

from ..values.errors import MelliteError, RequestError
from ..values.filling import copier
from ..values.messages import Deferred, Message, Part, Text, WholeAnswer
from ..values.public_names import publish
from ..values.request import Request
from ..values.telling_fields import fields_that_say_something

if TYPE_CHECKING:
    from ..values.events import Event

__all__ = ["CallInfo", "Streams", "resolved", "resolved_now", "share_type", "thunks_in"]


@runtime_checkable
class Streams(Protocol):
    """The interface of a backend: one method that returns an async iterator of events."""

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Yield the events of the answer to a request, as they arrive."""
        ...


@frozen
class CallInfo:
    """The call that a thunk stands for; kept when the thunk is copied.

    Args:
        request: what is asked.
        backend: who is asked; shared by all copies.
        lineage: which copy of which copy this is; () for an original, (0, 2) for the third copy of the first copy.
    """

    request: Request
    backend: Streams
    lineage: tuple[int, ...] = field(default=(), kw_only=True)

    __rich_repr__ = fields_that_say_something

    @property
    def asked(self) -> Streams:
        """The backend that is asked in the end: for a run, that of its steps."""
        asked: Streams = getattr(self.backend, "asked_for_steps", self.backend)
        return asked

    def on(self, backend: Streams) -> CallInfo:
        """Return the same call of another backend; of a run, the run whose steps ask that one."""
        moved = getattr(self.backend, "with_steps_on", None)
        return evolve(self, backend=backend if moved is None else moved(backend))

    @property
    def action(self) -> Message | None:
        """The message that asks: the last one."""
        return self.request.messages[-1] if self.request.messages else None

    @property
    def context(self) -> tuple[Message, ...]:
        """The messages before the one that asks."""
        return self.request.messages[:-1]

    @property
    def model_options(self) -> Mapping[str, Any]:
        """The options that were given, by name."""
        return self.request.options.given()


class Settling(Protocol):
    """A thunk, as far as a request with thunks in its prompt looks at them."""

    @property
    def call(self) -> CallInfo:
        """The call that the thunk stands for."""
        ...

    def is_computed(self) -> bool:
        """Return whether the thunk has settled."""
        ...


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


async def resolved(call: CallInfo, settle_all: Callable[..., Awaitable[object]]) -> Request:
    """Return the request as a backend gets it: thunks replaced by what they gave, the lineage in the metadata.

    Args:
        settle_all: settles any number of thunks at once, and raises for none of them. Passed in, because the module
            of the thunk imports this one.

    Raises:
        RequestError: if a thunk in the prompt failed or was cancelled; that is its cause.
    """
    plain = resolved_now(call)
    if plain is not None:
        return plain
    request = call.request
    held = _held_by(request)
    waiting = list(held)
    while waiting:
        last = cast("Collection[Settling]", _last_to_settle(waiting))
        await settle_all(*last)
        for index in sorted({index for thunk in last for index in held[thunk]}):
            _plain(request.messages[index], index)  # raises if one failed
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
                held.setdefault(cast("Settling", part.deferred_on()), []).append(index)
    return held


def thunks_in(request: Request) -> list[Settling]:
    """Return the thunks in a prompt, in order, each as often as it stands there."""
    return [
        cast("Settling", part.deferred_on())
        for message in request.messages
        for part in message.content
        if type(part) is not Text and isinstance(part, Deferred)
    ]


def share_type(request: Request, memo: dict[int, object]) -> None:
    """Have deep copies of *request* share its output type: what annotates a type, as `msgspec.Meta`, may not be copied.

    A `Json` is data, and copied.
    """
    from ..values.outputs.by_schema import Json

    if not isinstance(request.output, Json):
        memo[id(request.output)] = request.output


def _last_to_settle(thunks: Sequence[Settling]) -> dict[Settling, None]:
    """Return those that no later one waits for: of a conversation, whose turns wait for each other, the last."""
    last: dict[Settling, None] = {}
    before: set[Settling] = set()
    for thunk in reversed(thunks):
        if thunk not in before and thunk not in last:
            last[thunk] = None
            before.update(thunks_in(thunk.call.request))
    return dict.fromkeys(reversed(last))


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

publish(globals(), "mellite", "CallInfo")
