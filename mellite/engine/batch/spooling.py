"""Gather calls into files, one kind of batch beside the other, each as large as its service takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ...backends.live import LiveBackend
from ...wire.http import HttpRequest
from .ledger import BatchCall, Part
from .limits import limits_of
from .lines import request_line
from .making import Desk
from .places import BatchPlace, place_of
from .splitting import Filling

__all__ = ["Spool"]


@final
class _Open:
    """A file that has room."""

    def __init__(self, place: BatchPlace, backend: LiveBackend) -> None:
        self.place = place
        self.backend = backend
        self.filling = Filling(limits_of(place.provider))
        self.lines: list[bytes] = []
        self.calls: list[BatchCall] = []


@final
class Spool:
    """Files that are being filled; at most one of each kind is in memory.

    Args:
        desk: keeps those that are full, and is told who asks for them.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open: dict[tuple[Any, ...], _Open] = {}

    def add(self, call: BatchCall, backend: LiveBackend, http: HttpRequest, model: str | None) -> Part | None:
        """Take a call; return a part that is full, if there is one now.

        Args:
            call: what it is called.
            backend: its backend.
            http: the request as it would be sent.
            model: the model that it names.

        Raises:
            PayloadTooLarge: if it fits in no batch.
            JournalError: if a part cannot be written.
        """
        place = place_of(backend.route, http, model)
        line = request_line(place.format, call.id, url=place.path, body=http.body)
        # Calls with different keys, or headers, are of different batches; a job of Mistral's or Google's has one model.
        kind = (place, _as_key(http.headers))
        full: Part | None = None
        found = self._open.get(kind)
        if found is None:
            found = self._open[kind] = _Open(place, backend)
        if not found.filling.takes(len(line)):
            full = self._close(found)
            found = self._open[kind] = _Open(place, backend)
            found.filling.takes(len(line))
        found.lines.append(line)
        found.calls.append(call)
        return full

    def _close(self, full: _Open) -> Part:
        lines = b"\n".join(full.lines) + b"\n"
        ledger = self._desk.ledger
        part = ledger.plan(ledger.new_name(), full.place, lines, full.calls)
        self._desk.asks_with(part, full.backend)
        return part

    def rest(self) -> list[Part]:
        """Return all parts that were not full, and begin anew.

        Raises:
            JournalError: if one cannot be written.
        """
        parts = [self._close(each) for each in self._open.values()]
        self._open.clear()
        return parts


def _as_key(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(headers.items()))
