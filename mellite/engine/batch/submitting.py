"""submit(), status() and cancel(): batches of calls, which outlive the program that made them."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Literal, TypeAlias, final

from attrs import field, frozen

from ...archive.journal.book import Book
from ...archive.journal.entering import begin_call
from ...archive.journal.file import JournalFile
from ...archive.journal.keys import asked_of
from ...backends.live import LiveBackend
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import BatchFailed, InvalidRequest, MelliteError
from ...values.paths import path_of
from ...values.public_names import publish
from .ledger import BatchCall, Ledger, Part
from .lines import custom_id_of
from .making import Desk
from .places import checked_backend, request_in_batch
from .spooling import Spool

__all__ = ["BatchStatus", "Items", "cancel", "each_of", "ledger_of", "status", "submit"]

#: What is asked in batches.
Items: TypeAlias = Iterable[AnyThunk] | AsyncIterable[AnyThunk]

#: How far a batch is. What is "waiting" was not sent, because the program ended before; `submit` sends it.
State: TypeAlias = Literal["waiting", "running", "completed", "expired", "cancelled", "failed"]


@frozen
class BatchStatus:
    """The progress of a batch.

    Args:
        batch_id: the provider's id of the batch; None if it has none yet.
        provider: the provider's name.
        model: the model.
        state: ``waiting``, ``running``, ``completed``, ``expired``, ``cancelled`` or ``failed``.
        requests: how many requests it has.
        succeeded: how many were answered, as far as the service says.
        failed: how many were not.
        is_fetched: whether its answers are in the journal.
        message: the service's reason for a failure.

    Example:
        >>> BatchStatus("batch_1", provider="openai", model="gpt-5-mini", state="running", requests=2)
        BatchStatus(batch_id='batch_1', provider='openai', model='gpt-5-mini', state='running', requests=2, \
succeeded=0, failed=0, is_fetched=False, message=None)
    """

    batch_id: str | None
    provider: str = field(kw_only=True)
    model: str = field(kw_only=True)
    state: State = field(kw_only=True)
    requests: int = field(kw_only=True)
    succeeded: int = field(default=0, kw_only=True)
    failed: int = field(default=0, kw_only=True)
    is_fetched: bool = field(default=False, kw_only=True)
    message: str | None = field(default=None, kw_only=True)


async def submit(items: Items, *, journal: str | os.PathLike[str]) -> list[BatchStatus]:
    """Submit calls as batches, and return once the providers have accepted them; answers come within hours.

    The calls are kept in the journal, so that another program can fetch the answers: with `fetch`, or a map with
    ``on="batch"`` and the same journal. Calls already in it, or in a batch submitted before, are skipped, so a stopped
    program can simply be restarted. Calls beyond a provider's limit for one batch go into further ones.

    Args:
        items: thunks of one or several providers; settled ones are skipped.
        journal: the directory of the journal.

    Returns:
        The batches that were made, and the earlier ones that are not finished.

    Raises:
        InvalidRequest: for a run, a prompt with a thunk that has not settled, or a provider without a batch service;
            nothing is sent then.
        CannotTravel: for a backend that does not ask a provider.
        MelliteError: if the service reports an error. Batches made until then are kept.
    """
    path = path_of(journal, parameter="journal", what="the journal's directory")
    file = JournalFile(path)
    ledger = Ledger(path)
    desk = Desk(ledger)
    try:
        writing = _Writing(desk, Book(file))
        async with aclosing(each_of(items)) as thunks:
            async for thunk in thunks:
                writing.add(thunk, checked_backend(thunk))
        parts = writing.rest()
        for part in ledger.parts.values():
            await desk.make(part)
    except BaseException:
        file.discard_if_unused()
        raise
    finally:
        await desk.aclose()
        ledger.close()
        file.close()
    return [_status(part) for part in ledger.parts.values() if part in parts or part.ended is None]


@final
class _Writing:
    """Calls on their way into files; nothing is sent."""

    def __init__(self, desk: Desk, book: Book) -> None:
        self._ledger = desk.ledger
        self._book = book
        self._spool = Spool(desk)
        self._counts: dict[str, int] = {}
        self._parts: list[Part] = []

    def add(self, thunk: AnyThunk, backend: LiveBackend) -> None:
        """Put a call into a file, and into the journal, unless they have it."""
        if thunk.is_computed():
            return
        call = thunk.call
        asked = asked_of(backend, call.request, call.lineage)
        nth = self._counts.get(asked.key, 0)
        self._counts[asked.key] = nth + 1
        known = self._book.index.by_key.get((asked.key, nth))
        if known is not None and known.is_settled and (known.state == "done" or not known.retryable):
            return
        again = 0
        id = custom_id_of(asked.key, nth)
        while id in self._ledger.taken:  # it came to nothing before: asked again, it is another request
            again += 1
            id = custom_id_of(asked.key, nth, again)
        if id in self._ledger.ids:
            return
        http = backend.route.compiled(request_in_batch(call.request)).http
        begin_call(self._book, asked, nth, call.lineage)
        metadata = {name: value for name, value in call.request.metadata.items() if name != "lineage"}
        about = BatchCall(id=id, key=asked.key, nth=nth, metadata=metadata)
        full = self._spool.add(about, backend, http, call.request.model)
        self._parts += [] if full is None else [full]

    def rest(self) -> list[Part]:
        """Return all files, once no more calls come."""
        return [*self._parts, *self._spool.rest()]


async def each_of(items: Items) -> AsyncGenerator[AnyThunk, None]:
    """Give the thunks of an iterable of any kind.

    Raises:
        InvalidRequest: for what is not a thunk.
    """
    number = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield _checked(item, number)
            number += 1
        return
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        msg = f"'items' must be an iterable or async iterable of thunks, not {type(items).__name__}"
        raise InvalidRequest(msg, parameter="items")
    for item in items:
        yield _checked(item, number)
        number += 1


def _checked(item: object, number: int) -> AnyThunk:
    if not isinstance(item, ModelOutputThunk):
        msg = f"a batch is of thunks, not of {type(item).__name__} (item {number})"
        raise InvalidRequest(msg, parameter="items")
    return item


def ledger_of(journal: str | os.PathLike[str]) -> Ledger:
    """Return what is known of the batches of a journal.

    Raises:
        InvalidRequest: if there are none.
    """
    path = path_of(journal, parameter="journal", what="the journal's directory")
    ledger = Ledger(path)
    if not ledger.exists:
        gone = "" if os.path.isdir(path) else ", which is not there"
        msg = f"no batch was submitted for the journal {path!r}{gone}; name the one of `submit`"
        raise InvalidRequest(msg, parameter="journal")
    return ledger


async def status(journal: str | os.PathLike[str], *, backend: LiveBackend | None = None) -> list[BatchStatus]:
    """Ask the providers for the progress of a journal's batches.

    Args:
        journal: the directory of the journal.
        backend: a backend to ask with, for keys that are not in the environment.

    Raises:
        InvalidRequest: if no batch was submitted for this journal.
        MelliteError: if a service reports an error.
    """
    ledger = ledger_of(journal)
    desk = Desk(ledger, backend)
    found: list[BatchStatus] = []
    try:
        for part in ledger.parts.values():
            look = await desk.look(part) if part.id is not None and not part.is_settled else None
            found.append(_status(part) if look is None else _status(part, succeeded=look.succeeded, failed=look.failed))
    finally:
        await desk.aclose()
        ledger.close()
    return found


async def cancel(journal: str | os.PathLike[str], *, backend: LiveBackend | None = None) -> list[BatchStatus]:
    """Cancel the unfinished batches of a journal; answers given by then can still be fetched.

    Args:
        journal: the directory of the journal.
        backend: a backend to ask with, for keys that are not in the environment.

    Raises:
        InvalidRequest: if no batch was submitted for this journal.
        BatchFailed: if one could not be cancelled, after trying all others.
    """
    ledger = ledger_of(journal)
    desk = Desk(ledger, backend)
    failed: list[tuple[Part, MelliteError]] = []
    try:
        for part in ledger.parts.values():
            try:
                await desk.cancel(part)
            except MelliteError as error:
                failed.append((part, error))
    finally:
        await desk.aclose()
        ledger.close()
    if failed:
        part, why = failed[0]
        msg = f"batch {part.id} could not be cancelled: {why}"
        raise BatchFailed(msg, batch_id=part.id) from why
    return [_status(part) for part in ledger.parts.values()]


def _status(part: Part, *, succeeded: int = 0, failed: int = 0) -> BatchStatus:
    state = part.ended if part.ended is not None else "waiting" if part.id is None else "running"
    return BatchStatus(
        part.id,
        provider=part.place.provider,
        model=part.place.model.removeprefix("models/"),
        state=state,  # type: ignore[arg-type]
        requests=part.requests,
        succeeded=succeeded,
        failed=failed,
        is_fetched=part.is_settled,
        message=part.message,
    )


publish(globals(), "mellite.engine.batch", "BatchStatus", "cancel", "status", "submit")
