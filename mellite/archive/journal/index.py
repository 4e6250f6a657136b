"""The index of a journal's file: where its calls, their outcomes and the texts that they share stand."""

from __future__ import annotations

import mmap
import os
from functools import lru_cache
from typing import Any, Final, final

import msgspec

from ...values.errors import InvalidJournal
from ...values.provider_json import Json, JsonObject
from .json_values import read_raw
from .lines import Callee, Line, State, damaged, lines_in, read_line

__all__ = ["RECORDS", "Call", "Index", "Place"]

#: The file of a journal's directory that holds its lines.
RECORDS: Final = "records"

#: Where the JSON of a line begins, and how long it is.
Place = tuple[int, int]


@final
class Call:
    """One call of a journal.

    Attributes:
        number: from 1, in the order in which calls are driven.
        of: what is called.
        key: the digest of what is asked.
        nth: the how-manieth with this key.
        name: of the model, tool or function.
        once: whether it must not run twice.
        run: the name of the run that it is a step of, or empty.
        step: which step, from 1.
        driven: when it was driven last, in microseconds since 1970.
        settled: when it settled; 0 if it has not.
        state: what came of it.
        retryable: whether asking again may help.
        asked: where it is told what is asked.
        answered: where it is told what came of it; None if nothing is known.
        fresh: what came of it, where this process has written it.
    """

    __slots__ = (
        "answered",
        "asked",
        "driven",
        "fresh",
        "key",
        "name",
        "nth",
        "number",
        "of",
        "once",
        "retryable",
        "run",
        "settled",
        "state",
        "step",
    )

    def __init__(self, line: Line, place: Place) -> None:
        self.number = line.call
        self.of: Callee = line.of
        self.key = line.key
        self.nth = line.nth
        self.name = line.name
        self.once = line.once
        self.run = line.run
        self.step = line.step
        self.driven = line.at
        self.settled = 0
        self.state: State = "done"
        self.retryable = False
        self.asked = place
        self.answered: Place | None = None
        self.fresh: Line | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it is known what came of it."""
        return self.settled > 0

    def settle(self, line: Line, place: Place) -> None:
        """Note what came of it."""
        self.settled = line.at
        self.state = line.state
        self.retryable = line.retryable
        self.answered = place

    def reopen(self, at: int) -> None:
        """Note that it is driven again."""
        self.driven = at
        self.settled = 0
        self.answered = self.fresh = None

    def __repr__(self) -> str:
        return f"<Call {self.number} of a {self.of} {self.name!r}, {self.state if self.is_settled else 'unsettled'}>"


@final
class Index:
    """All that is known of a journal's file.

    Args:
        directory: the journal.
        descriptor: the open file.

    Raises:
        InvalidJournal: if it is damaged.
    """

    def __init__(self, directory: str, descriptor: int) -> None:
        self._descriptor = descriptor
        self.path = os.path.join(directory, RECORDS)
        self.calls: dict[int, Call] = {}
        self.by_key: dict[tuple[str, int], Call] = {}
        self.kept: dict[str, Place] = {}
        self.runs: dict[str, Place] = {}
        self.values: dict[tuple[str, str, int], Place] = {}
        self.inherited: dict[tuple[str, int], Place] = {}
        self.checked: dict[int, list[Place]] = {}
        self.sampled: list[Place] = []
        self.latest = 0
        self.last_driven = 0
        self.size = os.fstat(descriptor).st_size
        self.find = lru_cache(maxsize=1024)(self._find)
        if self.size:
            with mmap.mmap(descriptor, self.size, access=mmap.ACCESS_READ) as data:
                for begin, length, line in lines_in(data, self.path):
                    self.note(line, (begin, length))

    def note(self, line: Line, place: Place) -> Call | None:
        """Take note of a line; return the call that it is about, if any."""
        self.latest = max(self.latest, line.at)
        match line.kind:
            case "begun":
                return self._begun(line, place)
            case "settled" | "again":
                call = self.calls.get(line.call)
                if call is None:
                    msg = f"the journal {self.path!r} tells what came of call {line.call}, which never began"
                    raise InvalidJournal(msg, path=self.path, offset=place[0])
                if line.kind == "again":
                    self.forget(call)
                else:
                    call.settle(line, place)
                return call
            case "kept":
                self.kept[line.key] = place
            case "run":
                self.runs[line.key] = place
            case "value":
                self.values[line.name or "", line.key, line.nth] = place
            case "inherited":
                self.inherited[line.key, line.nth] = place
            case "checked":
                self.checked.setdefault(line.call, []).append(place)
            case "sampled":
                self.sampled.append(place)
        return None

    def _begun(self, line: Line, place: Place) -> Call:
        self.last_driven = max(self.last_driven, line.at)
        call = self.calls.get(line.call)
        if call is not None:
            call.reopen(line.at)
            call.asked = place
            return call
        call = self.calls[line.call] = self.by_key[line.key, line.nth] = Call(line, place)
        return call

    def forget(self, call: Call) -> None:
        """Have a call that must run once be as if it had never begun."""
        self.by_key.pop((call.key, call.nth), None)
        call.once = False

    @property
    def next_number(self) -> int:
        """The number of the next call."""
        return max(self.calls, default=0) + 1

    def line(self, place: Place) -> Line:
        """Read a line again.

        Raises:
            InvalidJournal: if it is not there any more: something else has changed the file.
        """
        begin, length = place
        if self._descriptor >= 0 and hasattr(os, "pread"):  # Windows has none
            data = os.pread(self._descriptor, length, begin)
        else:
            with open(self.path, "rb") as file:
                file.seek(begin)
                data = file.read(length)
        try:
            return read_line(data)
        except msgspec.DecodeError as error:
            msg = f"the journal {self.path!r} was changed by something else: the record at byte {begin} is gone"
            raise InvalidJournal(msg, path=self.path, offset=begin) from error

    def closed(self) -> None:
        """Note that the file has been closed: from then on it is opened for each look into it."""
        self._descriptor = -1

    def body(self, place: Place | None) -> Any:
        """Return the JSON that a line holds; None for none."""
        return None if place is None else read_raw(self.line(place).body)

    def told(self, place: Place | None) -> JsonObject:
        """Return the JSON object that a line holds; an empty one for none.

        Raises:
            InvalidJournal: if it holds something else.
        """
        found = self.body(place)
        if place is None or found is None:
            return {}
        if not isinstance(found, dict):
            raise damaged(self.path, place[0], f"it should hold an object, not {type(found).__name__}")
        return found

    def _find(self, name: str) -> Json:
        """Return what is kept under a hash; None if it is not."""
        return self.body(self.kept.get(name))

    def request(self, call: Call) -> JsonObject:
        """Return what a call asks: ``who``, ``frame``, ``messages``, ``lineage``.

        Raises:
            InvalidJournal: if it is nothing of the kind.
        """
        whole = dict(self.told(call.asked))
        try:
            if "frame" in whole:
                whole["frame"] = self.find(whole["frame"])
            if "messages" in whole:
                whole["messages"] = [self.find(name) for name in whole["messages"]]
        except TypeError as error:  # something that is not a hash, or not a list of them
            raise self._not_a_request(call) from error
        if not all(isinstance(each, dict) for each in (whole.get("frame", {}), *whole.get("messages", ()))):
            raise self._not_a_request(call)
        return whole

    def _not_a_request(self, call: Call) -> InvalidJournal:
        offset = 0 if call.asked is None else call.asked[0]
        return damaged(self.path, offset, f"it does not tell what call {call.number} asked")
