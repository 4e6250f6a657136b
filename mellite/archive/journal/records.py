"""Read a journal: its calls with what was asked and what came, for those who show, compare and export them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from attrs import field, frozen

from ...values.errors import InvalidJournal, MelliteError
from ...values.events import Event
from ...values.fold import Folded, fold
from ...values.paths import path_of
from ...values.provider_json import Json, JsonObject
from ...values.public_names import publish
from ...values.usage import Usage
from .contents import error_of, unpacked
from .file import read_head
from .index import RECORDS, Call, Index
from .json_values import program_value

__all__ = ["Interrupted", "Record", "Records", "interrupted_in", "read_journal", "records_of"]


@frozen
class Interrupted:
    """A call that must run once, had begun, and whose outcome is unknown.

    Args:
        call_id: its number in the journal, for `Journal.resolve`.
        tool: the name of the tool or function.
        arguments: what it was called with, without what looks like a key.
    """

    call_id: int
    tool: str
    arguments: Any = field(default=None, kw_only=True)


@frozen(eq=False, repr=False)
class Record:
    """One call of a journal. Large parts are read from its file on access."""

    _call: Call = field(alias="call")
    _index: Index = field(alias="index")

    @property
    def number(self) -> int:
        """Its number, from 1, in the order in which calls are driven."""
        return self._call.number

    @property
    def kind(self) -> str:
        """The kind of the call: ``call`` for a model, ``tool`` or ``function``."""
        return self._call.of

    @property
    def name(self) -> str:
        """The name of the model, tool or function."""
        return self._call.name or ""

    @property
    def key(self) -> str:
        """The digest of what was asked, the same for equal calls."""
        return self._call.key

    @property
    def nth(self) -> int:
        """The how-manieth call with this key, from 0."""
        return self._call.nth

    @property
    def run(self) -> str:
        """The name of the run that it is a step or a tool of; empty outside a run."""
        return self._call.run

    @property
    def step(self) -> int:
        """Which step of the run, from 1; 0 outside a run."""
        return self._call.step

    @property
    def once(self) -> bool:
        """Whether it must not run twice."""
        return self._call.once

    @property
    def state(self) -> str:
        """``done``, ``failed`` or ``cancelled``; ``unsettled`` where its process died before it was over."""
        return self._call.state if self._call.is_settled else "unsettled"

    @property
    def retryable(self) -> bool:
        """Whether it failed in a way that may pass."""
        return self._call.retryable

    @property
    def started_at(self) -> datetime:
        """The start of the call, in UTC."""
        return datetime.fromtimestamp(self._call.driven / 1_000_000, UTC)

    @property
    def seconds(self) -> float | None:
        """The duration of the call, in seconds; None if it has not ended."""
        return (self._call.settled - self._call.driven) / 1_000_000 if self._call.is_settled else None

    @property
    def who(self) -> JsonObject:
        """The backend that was asked: provider, protocol, model and URL, or its class."""
        return cast("JsonObject", self._asked.get("who") or {})

    @property
    def lineage(self) -> tuple[int, ...]:
        """Which copy of which thunk it was."""
        return tuple(cast("Sequence[int]", self._asked.get("lineage") or ()))

    @property
    def tags(self) -> tuple[str, ...]:
        """The words that the program gave it in the metadata of its request."""
        return tuple(cast("Sequence[str]", self._asked.get("tags") or ()))

    @property
    def _asked(self) -> Mapping[str, Json]:
        return self._index.told(self._call.asked)

    @property
    def request(self) -> JsonObject:
        """The request as JSON without keys: ``who``, ``lineage``, ``messages``, and ``frame``, the rest."""
        return self._index.request(self._call)

    @property
    def messages(self) -> tuple[JsonObject, ...]:
        """The messages of the request, as JSON."""
        return tuple(cast("Sequence[JsonObject]", self.request.get("messages") or ()))

    @property
    def arguments(self) -> Json:
        """The arguments of a tool or function, without what looks like a key."""
        return self._asked.get("arguments")

    @property
    def answer(self) -> JsonObject:
        """The outcome as it is kept: ``events`` with their ``times``, ``result`` or ``value``, and ``error``."""
        return self._index.told(self._call.answered)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of the answer."""
        return tuple(unpacked(cast("Sequence[Json]", self.answer.get("events") or ()), self._index.find))

    @property
    def times(self) -> tuple[float, ...]:
        """The arrival of each event, in seconds after the start of the call."""
        return tuple([each / 1_000_000 for each in cast("Sequence[int]", self.answer.get("times") or ())])

    @property
    def folded(self) -> Folded:
        """The events, taken together: text, thinking, tool calls, usage."""
        return fold(self.events)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.folded.text

    @property
    def usage(self) -> Usage | None:
        """The tokens used, if they were reported."""
        return self.folded.usage

    @property
    def result(self) -> Json:
        """The result of a tool or function, as JSON."""
        answer = self.answer
        if "value" in answer:
            return program_value(answer["value"])
        return answer.get("given", cast("JsonObject", answer.get("result") or {}).get("result"))

    @property
    def error(self) -> MelliteError | None:
        """The error that it failed with."""
        told = self.answer.get("error")
        return None if told is None else error_of(told)

    @property
    def checks(self) -> tuple[tuple[Json, ...], ...]:
        """The verdicts of each check on it, as JSON."""
        return tuple([tuple(self._index.body(place)) for place in self._index.checked.get(self.number, ())])

    @property
    def checked_at(self) -> tuple[float, ...]:
        """The end of each check, in seconds after the start of the call."""
        places = self._index.checked.get(self.number, ())
        return tuple([(self._index.line(place).at - self._call.driven) / 1_000_000 for place in places])

    def __repr__(self) -> str:
        return f"<Record {self.number}: {self.kind} {self.name!r}, {self.state}>"


def records_of(index: Index) -> tuple[Record, ...]:
    """Return the calls of a journal, as they are numbered."""
    return tuple([Record(index.calls[number], index) for number in sorted(index.calls)])


def interrupted_in(index: Index) -> tuple[Interrupted, ...]:
    """Return the calls that must run once, had begun, and whose outcome is unknown."""
    found = [call for call in index.calls.values() if call.once and not call.is_settled]
    return tuple(
        [Interrupted(call.number, call.name or "", arguments=index.told(call.asked).get("arguments")) for call in found]
    )


@frozen(kw_only=True, repr=False)
class Records:
    """A journal that is read, and not opened: others may write it meanwhile.

    Args:
        path: its directory.
        head: what it says of itself.
        index: what is known of its file.
    """

    path: str
    head: JsonObject
    index: Index

    @property
    def calls(self) -> tuple[Record, ...]:
        """All calls, as they are numbered."""
        return records_of(self.index)

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """The calls that must run once, had begun, and whose outcome is unknown."""
        return interrupted_in(self.index)

    @property
    def samplings(self) -> tuple[JsonObject, ...]:
        """The choices of strategies among samples: ``strategy``, ``winner``, ``samples`` with their votes."""
        return tuple([self.index.body(place) for place in self.index.sampled])

    @property
    def runs(self) -> Mapping[str, JsonObject]:
        """The runs by their names: ``parent``, the run in whose tool it ran, ``who``."""
        return {name: self.index.body(place) for name, place in self.index.runs.items()}


def read_journal(path: str | os.PathLike[str]) -> Records:
    """Read a journal, also while another process writes it.

    Raises:
        InvalidJournal: if it is none, or damaged.
    """
    directory = path_of(path, what="a journal's directory")
    head = read_head(directory)
    try:
        descriptor = os.open(os.path.join(directory, RECORDS), os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        msg = f"the journal {directory!r} cannot be read: {error.strerror}"
        raise InvalidJournal(msg, path=directory) from error
    try:
        index = Index(directory, descriptor)
        index.closed()
    finally:
        os.close(descriptor)
    return Records(path=directory, head=head, index=index)


publish(globals(), "mellite", "Interrupted", "Record")
