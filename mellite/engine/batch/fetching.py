"""fetch(): what came of the batches of a journal, as settled thunks, which the journal then has."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Final, final

import anyio
from attrs import evolve

from ...archive.journal.book import Book
from ...archive.journal.entering import EnteredLater, recorded_events, request_of
from ...archive.journal.file import JournalFile
from ...archive.journal.records import Record
from ...backends.live import LiveBackend
from ...thunk import observing
from ...thunk.backend import Backend
from ...thunk.call import CallInfo
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import MelliteError
from ...values.events import Event
from ...values.paths import path_of
from ...values.public_names import publish
from ...values.request import Request
from ...wire.http import HttpRequest
from .answers import answer_events
from .ledger import BatchCall, Part
from .lines import Result
from .making import Desk, error_in
from .submitting import ledger_of

__all__ = ["fetch"]

#: How often to look, in seconds: at first, and at most; and how much less often each time.
_SOON: Final = 2.0
_SELDOM: Final = 60.0
_SLOWER: Final = 1.5


async def fetch(
    journal: str | os.PathLike[str], *, wait: bool = False, backend: LiveBackend | None = None
) -> list[AnyThunk]:
    """Fetch the results of the finished batches of a journal, and return them as settled thunks.

    Each answer is matched to its call by its id, whatever the order, and parsed like a live one. It is then in the
    journal: a map or program with the same journal gets it without asking. A failed call becomes a failed thunk, with
    the provider's error, or with `BatchFailed` if its batch expired, was cancelled, or lost it.

    Args:
        journal: the directory of the journal.
        wait: wait until all batches have ended, looking less and less often.
        backend: a backend to ask with, for keys that are not in the environment.

    Returns:
        The thunks in the order in which they were submitted, including those fetched before.

    Raises:
        InvalidRequest: if no batch was submitted for this journal.
        JournalInUse: if the journal is open elsewhere.
        MelliteError: if a service reports an error; what arrived of a broken download is in the journal.
    """
    path = path_of(journal, parameter="journal", what="the journal's directory")
    ledger = ledger_of(path)
    desk = Desk(ledger, backend)
    file = JournalFile(path)
    book = Book(file)
    try:
        await _end_all(desk, wait=wait)
        thunks: list[AnyThunk] = []
        failure: MelliteError | None = None
        for part in ledger.parts.values():
            if part.ended is None:
                continue
            try:
                await desk.fetch(part)
            except MelliteError as error:  # the lines that are here count
                failure = failure or error
            thunks += await _Settling(part, desk, book).settled()
    finally:
        await desk.aclose()
        ledger.close()
        file.close()
    if failure is not None:
        raise failure
    return thunks


async def _end_all(desk: Desk, *, wait: bool) -> None:
    """Look at all batches; if wanted, until all have ended."""
    interval = _SOON
    while True:
        asked: list[float] = []
        for part in desk.ledger.parts.values():
            if part.ended is None and part.id is not None:
                look = await desk.look(part)
                if look.state == "running":
                    asked.append(interval if look.wait is None else look.wait)
        if not (wait and asked):
            return
        await anyio.sleep(min(asked))
        interval = min(_SELDOM, interval * _SLOWER)


@final
class _Settling:
    """The calls of a part, on their way into the journal."""

    def __init__(self, part: Part, desk: Desk, book: Book) -> None:
        self._part = part
        self._ledger = desk.ledger
        self._backend = desk.backend(part)
        self._book = book

    async def settled(self) -> list[AnyThunk]:
        """Return the calls, settled; enter those into the journal that it does not have."""
        part, ledger = self._part, self._ledger
        calls = {call.id: call for call in ledger.calls(part)}
        found: dict[str, AnyThunk] = {}
        for result in ledger.results(part) if not part.is_settled else ():
            thunk = await self._entered(calls[result.custom_id], result)
            if thunk is not None:
                found[result.custom_id] = thunk
        thunks: list[AnyThunk] = []
        for id, call in calls.items():
            thunk = found.get(id)
            if thunk is None and part.is_fetched and not part.is_settled:
                thunk = await self._entered(call, None)
            if thunk is None:
                thunk = await self._known(call)
            if thunk is not None:
                thunks.append(thunk)
        if part.is_fetched and not part.is_settled:
            ledger.note(part, is_settled=True)
        return thunks

    async def _entered(self, call: BatchCall, result: Result | None) -> AnyThunk | None:
        """Settle a call, and have the journal keep what came of it; None if it has that, or nothing of the call."""
        known = self._book.index.by_key.get((call.key, call.nth))
        if known is None or call.id in self._ledger.taken or (known.is_settled and known.state == "done"):
            return None
        record = Record(known, self._book.index)
        request = request_of(record, call.metadata)
        answer = _Answering(self._backend, self._part, result)
        thunk: AnyThunk = ModelOutputThunk(CallInfo(request, answer, lineage=record.lineage))
        with observing.using(EnteredLater(self._book, known)):
            await thunk.settle()
        if thunk.state != "done":
            self._ledger.take(call.id)  # asked again, it is another call
        return thunk

    async def _known(self, call: BatchCall) -> AnyThunk | None:
        """Return a call as the journal has it settled; None if it has not."""
        known = self._book.index.by_key.get((call.key, call.nth))
        if known is None or not known.is_settled:
            return None
        record = Record(known, self._book.index)
        request = request_of(record, call.metadata)
        thunk: AnyThunk = ModelOutputThunk(CallInfo(request, _Kept(self._backend, record), lineage=record.lineage))
        return await thunk.settle()


@final
class _Answering(Backend):
    """A backend whose answer is the result of a batch."""

    def __init__(self, backend: LiveBackend, part: Part, result: Result | None) -> None:
        self._backend = backend
        self._part = part
        self._result = result

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of the result."""
        model = request.model or self._part.place.model.removeprefix("models/")
        events = answer_events(self._backend.route, evolve(request, model=model), self._resolve)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def _resolve(self, http: HttpRequest) -> Result:  # noqa: ARG002 - it was sent before
        error = error_in(self._part, self._result)
        if error is not None:
            raise error
        if self._result is None:
            msg = "a call of a batch has neither a result nor an error"
            raise RuntimeError(msg)
        return self._result

    def describe(self) -> str:
        """Return provider and model."""
        return self._backend.describe()


@final
class _Kept(Backend):
    """A backend whose answer is what a journal has."""

    def __init__(self, backend: LiveBackend, record: Record) -> None:
        self._backend = backend
        self._record = record

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:  # noqa: ARG002
        """Yield the events that were kept."""
        async for event in recorded_events(self._record):
            yield event

    def describe(self) -> str:
        """Return provider and model."""
        return self._backend.describe()


publish(globals(), "mellite.engine.batch", "fetch")
