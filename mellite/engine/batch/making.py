"""Make batches of parts, look how far they are, and fetch what came of them."""

from __future__ import annotations

from functools import partial
from typing import final

from ...backends.live import LiveBackend
from ...values.errors import BatchFailed, MelliteError
from .ledger import Ledger, Part
from .lines import Result
from .places import backend_of
from .sending import Sender
from .services import Draft, Look, Service, service_of

__all__ = ["Desk", "error_in"]


@final
class Desk:
    """Works on the batches of a ledger.

    Args:
        ledger: keeps what happens.
        backend: asks the services; by default one with the key in the environment.
    """

    def __init__(self, ledger: Ledger, backend: LiveBackend | None = None) -> None:
        self.ledger = ledger
        self._backend = backend
        self._backends: dict[tuple[str, str, str], LiveBackend] = {}
        self._own: dict[str, LiveBackend] = {}

    def asks_with(self, part: Part, backend: LiveBackend) -> None:
        """Have the service of a part asked with the key of a backend."""
        self._own[part.name] = backend

    def backend(self, part: Part) -> LiveBackend:
        """Return what asks the service of a part.

        Raises:
            UnknownProvider: if its provider is not known here.
        """
        given = self._own.get(part.name) or self._backend
        if given is not None:
            return given
        place = part.place
        key = (place.provider, place.url, place.model)
        if key not in self._backends:
            self._backends[key] = backend_of(place)
        return self._backends[key]

    def _service(self, part: Part) -> Service:
        place = part.place
        sender = Sender(self.backend(part), place.model.removeprefix("models/") or None)
        return service_of(place.format, sender, url=place.url, base=place.base, path=place.path, model=place.model)

    async def make(self, part: Part) -> None:
        """Make a batch of a part that is none yet; go on where this was broken off before.

        Raises:
            MelliteError: as the service answers.
        """
        if part.id is not None:
            return
        service = self._service(part)

        def noted(file: str) -> None:
            self.ledger.note(part, file=file)

        lines = partial(self.ledger.lines, part)
        draft = Draft(name=part.name, lines=lines, headers=part.place.headers, file=part.file, noted=noted)
        id = await service.find(draft) if part.is_begun else None
        if id is None:
            self.ledger.note(part, is_begun=True)
            id = await service.create(draft)
        self.ledger.note(part, id=id)

    async def look(self, part: Part) -> Look:
        """Return how far a batch is.

        Raises:
            MelliteError: as the service answers.
        """
        if part.id is None:
            return Look("running")
        look = await self._service(part).look(part.id)
        if look.state != "running" and part.ended is None:
            self.ledger.note(part, results=tuple(look.results), message=look.message)
            self.ledger.note(part, ended=look.state)
        return look

    async def fetch(self, part: Part) -> None:
        """Bring the results of a batch that has ended here; what a broken download has brought stays.

        Raises:
            MelliteError: as the service answers.
        """
        if part.is_fetched:
            return
        sender = Sender(self.backend(part), part.place.model.removeprefix("models/") or None)
        for index, url in enumerate(part.results):
            with self.ledger.open_results(part, index) as file:
                await sender.download(url, file)
        self.ledger.note(part, is_fetched=True)

    async def cancel(self, part: Part) -> None:
        """Have a batch cancelled; what has been answered by then can still be fetched.

        Raises:
            MelliteError: as the service answers.
        """
        if part.id is not None and part.ended is None:
            await self._service(part).cancel(part.id)

    async def aclose(self) -> None:
        """Close the connections of the backends that were made here."""
        for backend in self._backends.values():
            await backend.aclose()


def error_in(part: Part, result: Result | None) -> MelliteError | None:
    """Return the error of a call that its batch has no answer for; None if it has one.

    Args:
        part: the batch.
        result: what came of the call, if the batch says anything of it.
    """
    if result is not None and result.ending == "answered":
        return None
    ending = part.ended if result is None else result.ending
    said = part.message if result is None else result.message
    told = f": {said}" if said else ""
    if ending == "expired":
        msg = f"batch {part.id} ended before it had come to this call{told}; ask again"
        return BatchFailed(msg, batch_id=part.id, code="expired", retryable=True)
    if ending == "cancelled":
        msg = f"batch {part.id} was cancelled before it had come to this call{told}; ask again"
        return BatchFailed(msg, batch_id=part.id, code="cancelled", retryable=True)
    if ending == "failed":
        msg = f"batch {part.id} failed{told or ', and its service does not say why'}"
        return BatchFailed(msg, batch_id=part.id, code="failed")
    msg = f"batch {part.id} has ended, and its results have no line for this call{told}; ask again"
    return BatchFailed(msg, batch_id=part.id, code="missing", retryable=True)
