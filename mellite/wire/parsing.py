"""Bytes of an answer in, events out; and what to make of trouble on the way."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from ..values.errors import IncompleteStream, InvalidProviderOutput, MelliteError, OutputTooLarge, TransportError
from ..values.events import Event, Finish, RawChunk
from ..values.request import Request
from ..values.usage import Usage
from .bounds import DEFAULT_BOUNDS, AnswerBounds, held, values_in
from .framing import Framing
from .protocol import Protocol, State
from .response import BodyReader

__all__ = ["Parser", "each"]

#: Events that only keep the connection alive.
_PINGS: Final = frozenset({"ping", "keepalive"})
_MOST_LINES: Final = 10  # that are no part of an event and are looked at one by one
_SENTENCE: Final = re.compile(rb"[A-Za-z]{2}\S*\s+\S*[A-Za-z]{2}")


class Parser:
    """Bytes in, events out; and what to make of trouble on the way.

    Attributes:
        over: nothing more needs to be read.
    """

    __slots__ = (
        "_bounds",
        "_bytes",
        "_failure",
        "_few",
        "_framed",
        "_framing",
        "_halt",
        "_initial",
        "_keep_raw",
        "_progress",
        "_state",
        "_step",
        "_strayed",
        "_values",
        "over",
    )

    def __init__(
        self,
        protocol: Protocol[State],
        framing: Framing,
        request: Request,
        bounds: AnswerBounds = DEFAULT_BOUNDS,
        *,
        keep_raw: bool = True,
    ) -> None:
        self._initial = partial(protocol.initial, request)
        self._state: State = self._initial()
        self._step = protocol.step
        self._halt = protocol.halt
        self._framing = framing
        self._bounds = bounds
        self._few = sys.maxsize if bounds.max_values is None else bounds.max_values  # bytes have no more values
        self._bytes = 0  # of events
        self._values = 0  # that the state may keep of them; counted once there may be too many
        self._keep_raw = keep_raw
        self._framed = False  # an event of the stream has come
        self._strayed = 0  # bytes of what is none that were looked at
        self._progress = True
        self._failure: MelliteError | None = None
        self.over = False

    async def next(self, reader: BodyReader) -> bytes:
        """The next bytes; empty at the end, and where the connection breaks after all that matters has come."""
        if self._failure is not None:
            raise self._failure
        if self._progress:
            reader.waiting = None
        try:
            return await reader.read()
        except TransportError:
            if self._state.complete:
                return b""
            raise

    def take(self, data: bytes) -> Sequence[Event]:
        """The events in some bytes; what goes wrong after the first is raised by `next`, so that none is lost."""
        if not data:
            self.over = True
            return self._ended()
        events: list[Event] = []
        self._progress = False
        try:
            frames = self._framing.feed(data)
            if self._framing.damaged:  # nothing of these bytes is given, as nobody knows where the gap is
                msg = "the stream is damaged: a line of it is neither an event nor text, so something may be missing"
                raise InvalidProviderOutput(msg)
            for frame in frames:
                raw = frame.raw
                if not raw:
                    continue
                self._framed = True
                if frame.event not in _PINGS:  # which say that the server lives, not that the answer goes on
                    self._progress = True
                if self._keep_raw:
                    events.append(RawChunk(raw))
                self._bytes += len(raw)
                if self._bytes > self._few:
                    self._weigh(raw)
                events += self._step(self._state, raw, frame.event)
                if self._state.done:
                    self.over = True
                    break
            else:
                self._failure = self._framing.failure
        except MelliteError as error:
            self._failure = error
        except RecursionError:
            self._failure = _too_deep()
        if not self._state.complete:
            self._look_beside()
        return events

    def _look_beside(self) -> None:
        """Look for an error in what came and is no event."""
        stray = self._framing.stray
        if len(stray) != self._strayed:
            self._strayed = len(stray)
            if self._failure is None or isinstance(self._failure, InvalidProviderOutput):
                self._failure = self._told(stray) or self._failure

    def _weigh(self, raw: bytes) -> None:
        """Look at an event of a long stream before it is decoded.

        Most of what is decoded of a stream is gone with the next event. So what the parser really keeps is counted only
        where as many values have gone through it as it may keep.

        Raises:
            OutputTooLarge: if there are too many values in it, or kept of all that came before.
        """
        most = self._few
        self._values += values_in(raw, most)
        if self._values > most:
            if len(raw) > most:
                self._bounds.check(raw)
            kept = held(self._state, most)
            if kept > most:
                raise self._bounds.too_many()
            self._values = min(kept, most * 3 // 4)  # so that this is done seldom, however much is kept

    def _ended(self) -> Sequence[Event]:
        """What the end of the bytes stands for."""
        try:
            return _readable(lambda: self._halt(self._state))
        except IncompleteStream as error:
            told = self._told(self._framing.stray, at_end=True)
            if told is None:
                raise
            told.usage = error.usage
        raise told

    def _told(self, stray: bytes, *, at_end: bool = False) -> MelliteError | None:
        """Return the error that a server sent without the form of an event, if it did.

        llama.cpp sent ``error: {...}``, lemonade a line of JSON without ``data:``; gateways answer in plain words.
        """
        whole = stray.strip()
        for line in (whole, *whole.split(b"\n")[:_MOST_LINES]):
            name = "error" if line.startswith(b"error:") else "message"
            text = line.removeprefix(b"error:").strip()
            if not text.startswith(b"{"):
                if name == "message" and not (at_end and not self._framed and _SENTENCE.search(text)):
                    continue
                error = self._failure_of(json.dumps(text.decode("utf-8", "replace")).encode(), "error")
            else:
                error = self._failure_of(text, name)
            if error is not None:
                return error
        return None

    def _failure_of(self, data: bytes, name: str) -> MelliteError | None:
        """Return the error that some data stands for; None if it says nothing of what is wrong, or not yet."""
        try:
            self._step(self._initial(), data, name)  # a fresh state: what is no error must leave no trace
        except (InvalidProviderOutput, RecursionError):
            return None
        except MelliteError as error:
            return error
        return None

    def usage(self) -> Usage | None:
        """What has been used by now, as far as the provider said: what the answer would say if it ended here."""
        if self.over:  # it has ended, and told what it knows
            return None
        if isinstance(self._failure, OutputTooLarge):  # no more work on it than is needed
            known = [getattr(self._state, name, None) for name in ("counts", "usage")]
            return next((each for each in known if isinstance(each, Usage)), None)
        try:
            events = _readable(lambda: self._halt(self._state))
        except MelliteError as error:
            return error.usage
        return next((event.usage for event in events if isinstance(event, Finish)), None)


def each(parse: Callable[[bytes], Iterable[Event]], body: bytes) -> Iterator[Event]:
    """The events of an answer in one piece.

    Raises:
        InvalidProviderOutput: if it is nested too deeply; and whatever `parse` raises, behind the events before it.
    """
    try:
        yield from parse(body)
    except RecursionError:
        raise _too_deep() from None


def _readable(parse: Callable[[], Sequence[Event]]) -> Sequence[Event]:
    try:
        return parse()
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> InvalidProviderOutput:
    msg = "the answer is nested too deeply to be read"
    return InvalidProviderOutput(msg)
