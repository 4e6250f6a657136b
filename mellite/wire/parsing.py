"""Turn the bytes of an answer into events, and decide what errors in the middle of a stream mean."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from ..values.errors import IncompleteStream, InvalidProviderOutput, MelliteError, OutputTooLarge, TransportError
from ..values.events import Event, Finish, RawChunk
from ..values.outputs.plan import OutputPlan
from ..values.outputs.tool_answers import AnswerOfTool
from ..values.request import Request
from ..values.usage import Usage
from .bounds import DEFAULT_BOUNDS, AnswerBounds, held, values_in
from .framing import Frame, Framing, SseDecoder
from .likeness import LARGEST, Likeness, is_delta, likeness_of
from .protocol import Flow, Flowing, Protocol, State
from .response import BodyReader

__all__ = ["Parser", "ToolParser", "each", "whole_events"]

#: Events that only keep the connection alive.
_PINGS: Final = frozenset({"ping", "keepalive"})
_NAME: Final = attrgetter("event")
_LARGE: Final = LARGEST  # bytes that may hold many events
_LONG: Final = 8 * LARGEST  # bytes that may hold so many that looking for what they have in common pays
_MANY: Final = 8  # events of the stream that are worth a look whether they are all more of the same
_TRIES: Final = 8  # attempts to find events alike that did not pay, before a stream is taken for one without
_MOST_LINES: Final = 10  # lines outside of events that are searched for an error one by one
_SENTENCE: Final = re.compile(rb"[A-Za-z]{2}\S*\s+\S*[A-Za-z]{2}")


class Parser:
    """The parser of one streamed answer: call `next` and `take` in turn until `over`.

    An error never overtakes the events before it: `take` returns these and keeps the error, and `next` raises it.

    Attributes:
        failure: the error that `next` will raise, because it lies behind the events that were returned.
        over: whether nothing more needs to be read.
        progressed: whether the answer went on in what was taken last; a ping only says that the server lives.
    """

    __slots__ = (
        "_alike",
        "_bounds",
        "_bytes",
        "_few",
        "_flow",
        "_flowing",
        "_framed",
        "_framing",
        "_halt",
        "_initial",
        "_keep_raw",
        "_likeness",
        "_pays_from",
        "_seen",
        "_sse",
        "_state",
        "_step",
        "_strayed",
        "_tries",
        "_values",
        "failure",
        "over",
        "progressed",
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
        self._flow = protocol.flow
        self._flowing = protocol.flowing
        self._tries = 0 if self._flowing is None or (bounds.max_event or LARGEST) < LARGEST else _TRIES
        self._seen: Likeness | None = None  # of the last event, to be confirmed by the next one
        self._likeness: Likeness | None = None  # of the last events, which were nothing but more of what flows
        self._pays_from = 0  # bytes of the stream
        self._alike: Likeness | None = None  # of events in a large piece, where only more of the text has come since
        self._halt = protocol.halt
        self._framing = framing
        self._sse = framing if type(framing) is SseDecoder else None
        self._bounds = bounds
        self._few = sys.maxsize if bounds.max_values is None else bounds.max_values  # n bytes hold at most n values
        self._bytes = 0  # of the stream so far
        self._values = 0  # an upper bound on the values that the state keeps; counted only once `_bytes` is large
        self._keep_raw = keep_raw
        self._framed = False  # an event of the stream has arrived
        self._strayed = 0  # bytes outside of events that have been searched for an error
        self.progressed = True
        self.failure: MelliteError | None = None
        self.over = False

    async def next(self, reader: BodyReader) -> bytes:
        """Read the next bytes; return none at the end, or when the connection breaks after a complete answer.

        Raises:
            MelliteError: the error that `take` has kept, or the one of reading.
        """
        if self.failure is not None:
            raise self.failure
        if self.progressed:
            reader.waiting = None
        try:
            return await reader.read()
        except TransportError:
            if self._state.complete:
                return b""
            raise

    def take(self, data: bytes) -> Sequence[Event]:
        """Return the events in *data*, or those of the end of the stream if it is empty.

        An error in the middle of *data* is kept for `next` to raise, so that the events before it are not lost.
        """
        size = len(data)
        taken = self._bytes = self._bytes + size
        likeness = self._likeness
        if likeness is not None and size < _LARGE:
            delta = likeness.more(data) if taken <= self._few else None
            if delta is not None:
                self.progressed = True
                return [RawChunk(data[likeness.at : likeness.to]), delta] if self._keep_raw else [delta]
            self._likeness = None
            self._tries -= taken < self._pays_from
        if not data:
            self.over = True
            return self._ended()
        events: list[Event] = []
        self.progressed = False
        try:
            if size >= _LARGE and self._flow is not None:
                self._take_large(self._flow, data, events)
            else:
                self._alike = None
                frames = self._cut(data)
                if not (self._tries and len(frames) == 1 and self._is_one_of_many(data, frames[0], events)):
                    self._take_each(frames, events)
            if not self.over:
                self.failure = self._framing.failure
        except MelliteError as error:
            self.failure = error
        except RecursionError:
            self.failure = _too_deep()
        if not self._state.complete and (self._framing.stray or self._strayed):
            self._look_beside()
        return events

    def _cut(self, data: bytes) -> Sequence[Frame]:
        """Cut bytes of the stream into its events.

        Raises:
            InvalidProviderOutput: if something may be missing. None of these events counts then: the gap may lie before
                any of them.
            OutputTooLarge: if an event is too large.
        """
        frames = self._framing.feed(data)
        if self._framing.damaged:
            msg = "the stream is damaged: a line of it is neither an event nor text, so something may be missing"
            raise InvalidProviderOutput(msg)
        return frames

    def _is_one_of_many(self, data: bytes, frame: Frame, events: list[Event]) -> bool:
        """Take an event that came alone if it is nothing but more of what flows; see whether the next ones are like it.

        Returns:
            Whether it was taken.
        """
        seen, self._seen = self._seen, None
        flowing = None if self._flowing is None else self._flowing(self._state)
        if flowing is None or self._flow is None or self._bytes > self._few or frame.event in _PINGS:
            return False
        if not self._flows(self._flow, (frame,), frame.event, events):
            self._tries -= 1
            return False
        delta = events[-1]
        if not is_delta(delta) or not flowing.pieces or flowing.pieces[-1] is not delta.text:  # another one grew
            return True
        if seen is not None and seen.is_confirmed_by(data, delta.text):
            seen.flows_into(flowing, delta)
            self._likeness = seen
            self._pays_from = self._bytes + _MANY * len(data)
        else:
            self._seen = likeness_of(data, frame.raw, delta.text)
            self._tries -= seen is not None and seen.text != delta.text
        return True

    def _take_each(self, frames: Sequence[Frame], events: list[Event]) -> None:
        """Take events of the stream one by one."""
        state, step, keep_raw = self._state, self._step, self._keep_raw
        for frame in frames:
            raw = frame.raw
            if not raw:
                continue
            self._framed = True
            if frame.event not in _PINGS:  # a ping says that the server lives, not that the answer goes on
                self.progressed = True
            if keep_raw:
                events.append(RawChunk(raw))
            if self._bytes > self._few:
                self._weigh(raw)
            events += step(state, raw, frame.event)
            if state.done:
                self.over = True
                break

    def _take_large(self, flow: Flow[State], data: bytes, events: list[Event]) -> None:
        """Take a large piece of the stream: all at once that is alike, and as much of the rest as flows."""
        at, size = 0, len(data)
        self._alike, self._likeness, self._seen = self._likeness or self._alike, None, None
        pays = self._sse is not None and size <= self._sse.limit and self._bytes <= self._few
        while pays and size - at >= _LONG and self._tries and not self.over:
            if self._alike is not None and self._sse is not None and self._sse.is_between_events:
                at = self._take_run(self._alike, data, at, events)
            else:
                flows = self._text() is not None
                at = self._take_some(flow, data, at, events)
                pays = self._alike is not None or (not flows and self._text() is not None)
                self._tries -= flows and not pays
        if at < size and not self.over:
            frames = self._cut(data[at:])
            if self._take_many(flow, frames, events) < len(frames):
                self._alike = None

    def _take_run(self, alike: Likeness, data: bytes, at: int, events: list[Event]) -> int:
        """Take the events that are alike, from *at* on; return where they end."""
        run = alike.run(data, at)
        end = at
        if run is not None:
            self._add(run.raws, run.deltas, events)
            end = run.end
        left = len(data) - end
        if left >= _LONG:
            self._alike = None
            self._tries -= end - at < left
        return end

    def _take_some(self, flow: Flow[State], data: bytes, at: int, events: list[Event]) -> int:
        """Take a few events, from *at* on, which show what the next ones will be like; return where they end."""
        alike = self._alike  # none is needed but for the rest of an event that was cut
        end = _end_of(data, at, 1 if alike is not None else _MANY if self._text() is not None else _MANY // 2)
        frames = self._cut(data[at:end])
        flowed = self._take_many(flow, frames, events)
        if alike is None or flowed < len(frames):
            self._alike = None if flowed < 2 else self._likeness_in(data[at:end], frames, events)
        return end

    def _likeness_in(self, data: bytes, frames: Sequence[Frame], events: Sequence[Event]) -> Likeness | None:
        """Return what the last two of some events have in common, if that is all but their text."""
        flowing = self._text()
        one, other = events[-3 if self._keep_raw else -2], events[-1]
        if flowing is None or not (is_delta(one) and is_delta(other)) or one.id != other.id:
            return None
        if not flowing.pieces or flowing.pieces[-1] is not other.text:  # another one grew
            return None
        begins = data.rfind(b"\n\n", 0, -2) + 2
        seen = likeness_of(data[data.rfind(b"\n\n", 0, begins - 2) + 2 : begins], frames[-2].raw, one.text)
        if seen is None or not seen.is_confirmed_by(data[begins:], other.text):
            return None
        seen.flows_into(flowing, other)
        return seen

    def _text(self) -> Flowing | None:
        """Return what flows, if its pieces are put one behind the other unseen; None if nothing does."""
        flowing = None if self._flowing is None else self._flowing(self._state)
        return None if flowing is None or flowing.add is not None else flowing

    def _take_many(self, flow: Flow[State], frames: Sequence[Frame], events: list[Event]) -> int:
        """Take events of the stream, as many at once as are nothing but more of what flows.

        Returns:
            How many of the last ones are nothing but that.
        """
        flowed = 0
        for name, group in groupby(frames, _NAME):
            alike = list(group)
            at = 0
            while at < len(alike) and not self.over:
                flowed = 0
                if self._bytes <= self._few and name not in _PINGS:
                    at += (flowed := self._flows(flow, alike[at:], name, events))
                if at < len(alike):
                    self._take_each(alike[at : at + _MANY], events)
                    at += _MANY
                    flowed = 0
            if self.over:
                break
        return flowed

    def _flows(self, flow: Flow[State], frames: Sequence[Frame], name: str, events: list[Event]) -> int:
        """Take the first ones of these events of the stream, as far as one thing flows; return how many."""
        raws = [frame.raw for frame in frames]
        deltas = flow(self._state, raws, name)
        count = len(deltas)
        if count:
            self._add(raws[:count], deltas, events)
        return count

    def _add(self, raws: Sequence[bytes], deltas: Sequence[Event], events: list[Event]) -> None:
        """Add deltas to the events, each behind its data if that is kept."""
        self._framed = self.progressed = True
        if self._keep_raw:
            both: list[Any] = [None] * (2 * len(deltas))
            both[::2] = map(RawChunk, raws)
            both[1::2] = deltas
            events += both
        else:
            events += deltas

    def _look_beside(self) -> None:
        """Look for an error message in the bytes that belong to no event."""
        stray = self._framing.stray
        if len(stray) != self._strayed:
            self._strayed = len(stray)
            if self.failure is None or isinstance(self.failure, InvalidProviderOutput):
                self.failure = self._told(stray) or self.failure

    def _weigh(self, raw: bytes) -> None:
        """Check an event of a long stream against the bound on values, before the event is decoded.

        Most decoded values are garbage by the next event, and counting what the state keeps is slow. So it is counted
        only when as many values have passed through the parser as it may keep.

        Raises:
            OutputTooLarge: if the event holds too many values, or the state keeps too many.
        """
        most = self._few
        self._values += values_in(raw, most)
        if self._values > most:
            if len(raw) > most:
                self._bounds.check(raw)
            kept = held(self._state, most)
            if kept > most:
                raise self._bounds.too_many()
            self._values = min(kept, most * 3 // 4)  # leave room, so that the next count is far off

    def _ended(self) -> Sequence[Event]:
        """Return the events that the end of the stream stands for.

        Raises:
            MelliteError: the error that the server sent in place of the rest of the answer, if there is one.
            IncompleteStream: if the answer had not finished.
        """
        try:
            return _readable(lambda: self._halt(self._state))
        except IncompleteStream as error:
            told = self._told(self._framing.stray, at_end=True)
            if told is None:
                raise
            told.usage = error.usage
        raise told

    def _told(self, stray: bytes, *, at_end: bool = False) -> MelliteError | None:
        """Return the error that the server sent outside of any event, if it did.

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
        """Return the error that *data* stands for, or None if it is not an error, or not yet whole."""
        try:
            self._step(self._initial(), data, name)  # a state of its own: a mere attempt must leave no trace
        except (InvalidProviderOutput, RecursionError):
            return None
        except MelliteError as error:
            return error
        return None

    def usage(self) -> Usage | None:
        """Return the usage that the answer would report if it ended now; None if unknown, or already reported."""
        if self.over:  # the events of the end have reported the usage
            return None
        if isinstance(self.failure, OutputTooLarge):  # the answer is too large already: do no more work on it
            known = [getattr(self._state, name, None) for name in ("counts", "usage")]
            return next((each for each in known if isinstance(each, Usage)), None)
        try:
            events = _readable(lambda: self._halt(self._state))
        except MelliteError as error:
            return error.usage
        return next((event.usage for event in events if isinstance(event, Finish)), None)


class ToolParser(Parser):
    """The parser of a streamed answer that is the arguments of a tool.

    Args:
        tool: the name of the tool.
    """

    __slots__ = ("_answer",)

    def __init__(self, tool: str, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._answer = AnswerOfTool(tool)

    def take(self, data: bytes) -> Sequence[Event]:
        """Return the events in *data*, with a call of the tool as the text."""
        return self._answer.take(super().take(data))


def each(parse: Callable[[bytes], Iterable[Event]], body: bytes) -> Iterable[Event]:
    """Give the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if the answer is nested too deeply.
        MelliteError: what *parse* raises, after the events before the error.
    """
    try:
        events = parse(body)
    except RecursionError:
        raise _too_deep() from None
    return events if type(events) is list else _as_read(events)


def whole_events(protocol: Protocol[Any], body: bytes, output: OutputPlan | None) -> Iterable[Event]:
    """Give the events of an answer that came in one piece, as `each` does.

    Args:
        protocol: the format of the answer.
        body: the answer.
        output: how it is held to the type that was asked for; a call of the tool for the answer becomes the text.

    Raises:
        MelliteError: as `each` does.
    """
    events = each(protocol.unary, body)
    return events if output is None or output.tool is None else _answered(events, output.tool)


def _answered(events: Iterable[Event], tool: str) -> Iterator[Event]:
    answer = AnswerOfTool(tool)
    for event in events:
        yield from answer.take((event,))


def _as_read(events: Iterable[Event]) -> Iterator[Event]:
    try:
        yield from events
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


def _end_of(data: bytes, at: int, count: int) -> int:
    """Return where the first *count* events from *at* on end, or all of them if there are not so many."""
    while count:
        at = data.find(b"\n", at) + 1
        if not at:
            return len(data)
        count -= data.startswith(b"\n", at)
    return at + 1
