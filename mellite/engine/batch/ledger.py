"""Which batches were made for a journal: a file of notes beside it, the files that were sent, and what came back.

Below the directory ``batches`` of the journal, ``notes`` is added to and never changed: a part was planned, uploaded,
made into a batch, has ended, was settled. So a client that dies between any two steps finds where it was.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final, final

import msgspec
from attrs import asdict, define, field, frozen

from ...values.errors import InvalidJournal, InvalidProviderOutput, JournalError
from .lines import Result, result_of
from .places import BatchPlace

__all__ = ["BatchCall", "Ledger", "Part"]

_FOLDER: Final = "batches"
_NOTES: Final = "notes"
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


@frozen(kw_only=True)
class BatchCall:
    """A call of a batch, as the ledger knows it.

    Args:
        id: its ``custom_id``.
        key: the key of the call in the journal.
        nth: the how-manieth call with this key.
        metadata: the caller's notes.
    """

    id: str
    key: str
    nth: int = 0
    metadata: Mapping[str, Any] = field(factory=dict)


@define(kw_only=True)
class Part:
    """A file of requests, and the batch that was made of it.

    Attributes:
        name: what it is called.
        place: where it goes.
        requests: how many requests it has.
        bytes: how large it is.
        file: the provider's id of the file; None before it is uploaded.
        id: the provider's id of the batch; None before it is made.
        is_begun: whether somebody has begun to make the batch.
        ended: how it ended; None while it has not.
        results: the URLs of its results.
        message: why it failed.
        is_fetched: whether its results are here.
        is_settled: whether all its calls have settled.
    """

    name: str
    place: BatchPlace
    requests: int
    bytes: int
    file: str | None = None
    id: str | None = None
    is_begun: bool = False
    ended: str | None = None
    results: tuple[str, ...] = ()
    message: str | None = None
    is_fetched: bool = False
    is_settled: bool = False


@final
class Ledger:
    """The record of a journal's batches. For one process at a time.

    Args:
        journal: the directory of the journal.

    Attributes:
        parts: all parts, by their names.
        ids: the ``custom_id`` of each call -> the name of its part.
        taken: those whose results somebody has got.

    Raises:
        InvalidJournal: if the notes cannot be read.
    """

    def __init__(self, journal: str) -> None:
        self.directory = os.path.join(journal, _FOLDER)
        self.parts: dict[str, Part] = {}
        self.ids: dict[str, str] = {}
        self.taken: set[str] = set()
        self._counts: dict[str, int] = {}
        self._notes: IO[bytes] | None = None
        if os.path.exists(self._path(_NOTES)):
            self._read()

    @property
    def exists(self) -> bool:
        """Whether there is a batch."""
        return bool(self.parts)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _read(self) -> None:
        with open(self._path(_NOTES), "rb") as file:
            lines = file.read().split(b"\n")
        for number, line in enumerate(lines[:-1], 1):  # the last one is empty, or was being written
            try:
                self._take_note(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                msg = f"{self._path(_NOTES)!r}, line {number}: this is not a note of a batch: {error!r}"
                raise InvalidJournal(msg, path=self.directory) from error

    def _take_note(self, note: dict[str, Any]) -> None:
        kind = note.pop("note")
        note.pop("at", None)
        if kind == "taken":
            self.taken.add(note["id"])
            return
        name = note.pop("part")
        if kind == "planned":
            self.parts[name] = Part(name=name, place=BatchPlace(**note.pop("place")), **note)
            for call in self.calls(self.parts[name]):
                self.ids[call.id] = name
                self._counts[call.key] = max(self._counts.get(call.key, 0), call.nth + 1)
            return
        for field_name, value in note.items():
            setattr(self.parts[name], field_name, tuple(value) if isinstance(value, list) else value)

    def _write(self, note: Mapping[str, Any], *, sync: bool = True) -> None:
        try:
            if self._notes is None:
                os.makedirs(self.directory, mode=0o700, exist_ok=True)
                self._notes = open(self._path(_NOTES), "ab+")  # noqa: SIM115 - closed by `close`
                if self._notes.tell():
                    self._notes.seek(-1, os.SEEK_END)
                    if self._notes.read(1) != b"\n":  # its process died while it wrote this
                        self._notes.truncate(self._ended_before())
            self._notes.write(_encode({**note, "at": datetime.now(UTC).isoformat()}) + b"\n")
            self._notes.flush()
            if sync:
                os.fsync(self._notes.fileno())
        except OSError as error:
            msg = f"cannot write {self._path(_NOTES)!r}: {error.strerror or error}"
            raise JournalError(msg, path=self.directory) from error

    def _ended_before(self) -> int:
        with open(self._path(_NOTES), "rb") as file:
            return file.read().rfind(b"\n") + 1

    def plan(self, name: str, place: BatchPlace, lines: bytes, calls: list[BatchCall]) -> Part:
        """Keep a file of requests that is to become a batch, and what its calls are.

        Raises:
            JournalError: if it cannot be written.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self._store(f"{name}.jsonl", lines)
        self._store(f"{name}.calls", b"".join([_encode(asdict(call)) + b"\n" for call in calls]))
        self._write(
            {"note": "planned", "part": name, "place": asdict(place), "requests": len(calls), "bytes": len(lines)}
        )
        part = self.parts[name] = Part(name=name, place=place, requests=len(calls), bytes=len(lines))
        for call in calls:
            self.ids[call.id] = name
            self._counts[call.key] = max(self._counts.get(call.key, 0), call.nth + 1)
        return part

    def _store(self, name: str, data: bytes) -> None:
        try:
            with open(self._path(name), "wb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"cannot write {self._path(name)!r}: {error.strerror or error}"
            raise JournalError(msg, path=self.directory) from error

    def new_name(self) -> str:
        """Return a name that no part has, here or elsewhere."""
        return f"{len(self.parts) + 1:04}-{os.urandom(4).hex()}"

    def next_nth(self, key: str) -> int:
        """Return the how-manieth call with a key the next one is."""
        return self._counts.get(key, 0)

    def note(self, part: Part, **facts: Any) -> None:
        """Take note of something about a part: the names and values of its attributes.

        Raises:
            JournalError: if it cannot be written.
        """
        self._write({"note": "known", "part": part.name, **facts})
        for name, value in facts.items():
            setattr(part, name, value)

    def take(self, id: str) -> None:
        """Note that the result of a call was handed out.

        Raises:
            JournalError: if it cannot be written.
        """
        if id not in self.taken:
            self.taken.add(id)
            self._write({"note": "taken", "id": id}, sync=False)

    # What is in the files of a part

    def lines(self, part: Part) -> bytes:
        """Return the requests of a part, as they are sent.

        Raises:
            JournalError: if they are gone.
        """
        try:
            with open(self._path(f"{part.name}.jsonl"), "rb") as file:
                return file.read()
        except OSError as error:
            msg = f"the requests of a batch are gone: {error.strerror or error}"
            raise JournalError(msg, path=self.directory) from error

    def calls(self, part: Part) -> Iterator[BatchCall]:
        """Give the calls of a part, as they stand in its file.

        Raises:
            JournalError: if they are gone.
        """
        try:
            with open(self._path(f"{part.name}.calls"), "rb") as file:
                for line in file:
                    yield BatchCall(**json.loads(line))
        except OSError as error:
            msg = f"what the calls of a batch are is gone: {error.strerror or error}"
            raise JournalError(msg, path=self.directory) from error

    def open_results(self, part: Part, index: int) -> IO[bytes]:
        """Open the file of results number *index*, after the whole lines that it has.

        Raises:
            JournalError: if that fails.
        """
        path = self._path(f"{part.name}.results-{index}")
        try:
            file = open(path, "ab+", opener=_private)  # noqa: SIM115 - the caller closes it
            file.seek(0, io.SEEK_END)
        except OSError as error:
            msg = f"cannot write {path!r}: {error.strerror or error}"
            raise JournalError(msg, path=self.directory) from error
        return file

    def results(self, part: Part) -> Iterator[Result]:
        """Give the results of a part that are here, of each call one; a line that is none costs its call only."""
        seen: set[str] = set()
        for index in range(len(part.results)):
            with self.open_results(part, index) as file:
                file.seek(0)
                for line in file:
                    result = _read(part, line)
                    if result is None or result.custom_id in seen:
                        continue
                    if self.ids.get(result.custom_id) == part.name:
                        seen.add(result.custom_id)
                        yield result

    def close(self) -> None:
        """Close the notes."""
        if self._notes is not None:
            self._notes.close()
            self._notes = None


def _read(part: Part, line: bytes) -> Result | None:
    """Read a line of results; None if it is none, so that its call is one that the results lack."""
    try:
        return result_of(part.place.format, line)
    except InvalidProviderOutput:
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
