"""Enter calls into a journal whose answers another process fetches, hours later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast, final

from ...cassettes.recording.turnstile import Turnstile
from ...thunk.observing import Interceptor, Opener
from ...values.events import Event
from ...values.message_json import message_of
from ...values.messages import Message
from ...values.provider_json import Json
from ...values.request import Request
from .book import Book
from .index import Call
from .json_values import as_raw
from .keys import Asked
from .lines import Line, State
from .living import Taking
from .records import Record

__all__ = ["EnteredLater", "begin_call", "begun_line", "recorded_events", "request_of"]


def begun_line(
    book: Book, number: int, asked: Asked, nth: int, *, lineage: tuple[int, ...], run: str, step: int
) -> Line:
    """Return the line that tells that a call begins.

    Args:
        book: the journal.
        number: the number of the call.
        asked: what is asked.
        nth: the how-manieth such call.
        lineage: which copy of which thunk it is.
        run: the name of the run that it is a step of.
        step: which step.
    """
    packing = book.packing
    body: dict[str, Json] = {"who": asked.who, "frame": packing.kept(asked.frame)}
    body["messages"] = [packing.kept(message) for message in asked.messages]
    body["lineage"] = list(lineage)
    if asked.tags:
        body["tags"] = list(asked.tags)
    name = cast("str | None", asked.frame.get("model") or asked.who.get("model") or asked.who.get("name"))
    return Line("begun", number, key=asked.key, nth=nth, name=name, run=run, step=step, body=as_raw(body))


def begin_call(book: Book, asked: Asked, nth: int, lineage: tuple[int, ...]) -> Call:
    """Enter that a call begins, outside of any run, unless it is there; return it.

    Raises:
        JournalError: if it cannot be written.
    """
    known = book.index.by_key.get((asked.key, nth))
    if known is not None:
        return known
    return book.begin(begun_line(book, book.next_number(), asked, nth, lineage=lineage, run="", step=0))


@final
class EnteredLater(Interceptor):
    """Has what comes of a generation entered as what came of a call that was begun before.

    Args:
        book: the journal.
        call: the call.
    """

    def __init__(self, book: Book, call: Call) -> None:
        self._book = book
        self._call = call

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Return the events of a generation, and write down what comes of it."""
        taking = Taking(
            generation, self._book.packing, self._end, synced=None, turnstile=Turnstile(), grown=_nobody_looks
        )
        return taking.stream(proceed)

    def _end(self, state: State, body: dict[str, Json], *, retryable: bool = False) -> None:
        self._book.settle(self._call, body, state, retryable=retryable)


def _nobody_looks(events: Sequence[Event]) -> bool:  # noqa: ARG001 - all of it is here
    return False


def request_of(record: Record, metadata: Mapping[str, Any]) -> Request:
    """Return what a call has asked, as far as a journal keeps it: messages, instructions and model.

    Args:
        record: the call.
        metadata: the caller's notes.
    """
    told = record.request
    frame = told.get("frame")
    frame = frame if isinstance(frame, dict) else {}
    system = frame.get("system")
    texts = message_of({"role": "system", "content": system}).content if system else ()
    model = frame.get("model")
    messages: tuple[Message, ...] = tuple([message_of(each) for each in record.messages])
    return Request(
        messages,
        model if isinstance(model, str) else None,
        system=cast("Any", texts),
        metadata=metadata,
    )


async def recorded_events(record: Record) -> AsyncIterator[Event]:
    """Yield the events that a journal has of a call, and end as it ended.

    Raises:
        MelliteError: what it failed with.
    """
    for event in record.events:
        yield event
    if record.error is not None:
        raise record.error
