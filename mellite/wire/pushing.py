"""Push the events of an answer on where its bytes arrive, without a task that waits for them.

What is usual is done here: a request over a kept connection, a success, a stream of events or a whole JSON value. For
everything else a task goes on from where the answer stands; see `mellite.wire.answering`. The loop calls `Pushing` back
from one thread, and no code of a user runs in that.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Final, final

from ..values.errors import MelliteError
from ..values.events import Event
from ..values.request import Request
from ..values.telling import log
from ..values.text_answer import Batch
from .answering import EVENTS, Answering, Whole, parser_of, text_of
from .bounds import AnswerBounds
from .deadlines import Deadlines
from .http import ArrivingResponse, Sent, Transport
from .opening import OK, Call, Opening, Place, Standing, Way
from .parsing import Parser
from .response import DRAIN_SECONDS, PIECE
from .sent_requests import tell_of, tell_of_wait
from .sink import Sink

__all__ = ["Pushing"]

_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_JSON: Final = (b"{", b"[")


@final
class Pushing:
    """The answer to one request, pushed; for the thread of its loop.

    Args:
        way: the route.
        request: the request.
        transport: sends the request, and can do so without waiting; see `Transport`.
        sink: takes the events.
        keep_raw: whether to give each stream event as it arrived, too, as a RawChunk.
        bounds: the largest answer to accept.
        place: the place to hold among the generations that may run at once; taken already.

    Attributes:
        is_sent: whether the request is on its way, or will be as soon as its place is free. If not, `send` sends it.
    """

    __slots__ = (
        "_bounds",
        "_call",
        "_deadlines",
        "_has_more_than_blanks",
        "_has_started",
        "_held",
        "_is_paused",
        "_is_whole",
        "_keep_raw",
        "_most",
        "_opening",
        "_parser",
        "_place",
        "_request",
        "_response",
        "_sent",
        "_sink",
        "_step",
        "_taken",
        "_transport",
        "_waits",
        "_way",
    )

    def __init__(
        self,
        way: Way,
        request: Request,
        transport: Transport,
        sink: Sink,
        *,
        keep_raw: bool,
        bounds: AnswerBounds,
        place: Place | None,
    ) -> None:
        self._way = way
        self._request = request
        self._transport = transport
        self._sink: Sink | None = sink
        self._keep_raw = keep_raw
        self._bounds = bounds
        self._most = sys.maxsize if bounds.max_bytes is None else bounds.max_bytes  # bytes of a stream
        self._place = place
        self._opening: Opening | None = None
        self._call: Call | None = None
        self._deadlines = Deadlines(sink.generation.loop.clock)
        self._sent: Sent | None = None
        self._response: ArrivingResponse | None = None
        self._parser: Parser | None = None
        self._waits = False  # for its place
        self._has_started = False
        self._has_more_than_blanks = False  # in an answer in one piece
        self._is_paused = False
        self._held = b""
        self._is_whole = False
        self._taken = 0
        self._step: Callable[[Pushing], None] = Pushing._on_head  # not bound: that would be a cycle

    @property
    def is_sent(self) -> bool:
        """Whether the request is on its way, or waits for its place."""
        return self._waits or self._sent is not None

    # --- from the sink ---------------------------------------------------------------------------

    def begin(self, begin: Callable[..., Sent | None], *, offline: bool) -> None:
        """Send the request, if that needs no waiting.

        Args:
            begin: the transport's; see `Transport`.
            offline: whether the transport needs no keys and no settings.
        """
        try:
            call = self._call = self._way.compiled(self._request, offline=offline)
            sent = begin(call.http, self._arrived)
        except Exception:  # the task comes across it again, and tells
            return
        if sent is not None:
            self._sent = sent
            sent.watch(self._deadlines.begin(call.timeouts))
            if log.is_detailed and not offline:
                tell_of(call.http)

    def begin_later(self, begin: Callable[..., Sent | None], place: Place) -> None:
        """Send the request as soon as its place is free, without a task that waits for that."""
        sink = self._sink
        if sink is not None:
            self._waits = True
            if log.is_detailed:
                tell_of_wait(self._way.provider)
            place.take_later(sink.generation, sink.generation.loop, partial(self._begin_now, begin))

    def _begin_now(self, begin: Callable[..., Sent | None]) -> None:
        """Send the request, now that it has its place; leave it to a task if that needs waiting, or fails."""
        self._waits = False
        sink = self._sink
        if sink is None:  # it was stopped in the same moment
            self.abort()
            return
        try:
            if self._way.auth.is_ready():
                self.begin(begin, offline=False)
            if self._sent is None:
                self._leave()
        except Exception as error:  # not past here: another generation may have called this, as it ended
            self._leave(error)
        except BaseException as error:
            self.abort()
            sink.break_off(error)
            raise

    async def send(self) -> None:
        """Send the request in a task, and push what follows the head of a stream; anything else is for `rest`."""
        opening = self._opening = Opening(
            self._way, self._request, self._transport, bounds=self._bounds, place=self._place, call=self._call
        )
        opened = await opening.tried()
        sent = None if opened is None else opened.response.begin(opened.call.http, self._arrived)
        if opened is not None and sent is not None:
            self._opening, self._call = None, opened.call
            self._response, self._sent, self._step = opened.response, sent, Pushing._on_first
            self._deadlines.begin(opened.call.timeouts, opened.since)
            sent.again()  # not now: the task of the generation ends first

    def resume(self) -> None:
        """Read on, after `Sink.push` said that no more was wanted."""
        sent = self._sent
        if self._is_paused and sent is not None:
            self._is_paused = False
            self._deadlines.progressed = now = self._deadlines.now()
            if self._watch(now):
                sent.resume()
                self._arrived()

    def hand_over(self, sink: Sink) -> None:
        """Push to another sink from now on."""
        if self._sink is not None:
            self._sink = sink

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return the rest of the events for a task, which closes what is open; nothing is pushed any more."""
        # Not called while the request waits for its place: nothing has been pushed then, and so not too much.
        return self._rest(None)

    def abort(self) -> None:
        """Close the connection, unless it has given its whole answer, and give the place back."""
        sent, response = self._sent, self._response
        self._let_go()
        if sent is not None:
            sent.close(response)
        if self._place is not None:
            self._place.give_back(between_tasks=True)

    def _let_go(self) -> None:
        """Take no further part, and leave no cycle behind."""
        self._sink = self._sent = self._response = self._parser = None

    def _rest(self, failure: Exception | None) -> AsyncGenerator[Batch, None]:
        sent, response, parser = self._sent, self._response, self._parser
        self._let_go()
        if sent is not None:
            sent.resume()
            sent = sent.left()
        if parser is not None:
            parser.progressed = False  # the wait for the next event goes on
        call = self._call
        standing = None
        if call is not None:
            standing = Standing(
                call=call,
                sent=sent,
                response=response,
                parser=parser,
                has_started=self._has_started,
                held=self._held,
                is_whole=self._is_whole,
                taken=self._taken,
                began=self._deadlines.began or None,
                progressed=self._deadlines.progressed,
                failure=failure,
            )
        return Answering(
            self._way,
            self._request,
            self._transport,
            keep_raw=self._keep_raw,
            bounds=self._bounds,
            place=self._place,
            standing=standing,
            opening=self._opening,
        ).batches()

    # --- from the loop ---------------------------------------------------------------------------

    def _arrived(self) -> None:
        """Take what has come: more of the answer, its end, or the deadline."""
        sink = self._sink
        if sink is None or self._is_paused:
            if sink is not None and sink.generation.loop.is_ending():  # nobody will want more
                self._leave()
            return
        try:
            self._step(self)
        except Exception as error:
            self._leave(error)
        except BaseException as error:
            sink = self._sink
            self.abort()
            if sink is None or not sink.break_off(error):
                raise

    def _leave(self, failure: Exception | None = None) -> None:
        """Leave what follows to a task."""
        sink = self._sink
        if sink is not None:
            sink.go_on(self._rest(failure))

    def _on_head(self) -> None:
        sent = self._sent
        if sent is None:
            return
        response = sent.response()
        if response is None:
            if sent.is_broken or sent.is_expired:
                self._leave()
            return
        self._response = response
        if response.status not in OK or response.is_encoded:
            self._deadlines.progressed = self._deadlines.now()
            self._leave()
            return
        call = self._call
        self._step = Pushing._on_first if call is not None and call.streaming else Pushing._on_whole
        self._step(self)

    def _on_whole(self) -> None:
        """Wait for an answer in one piece, and push its events."""
        sent, response, call = self._sent, self._response, self._call
        if sent is None or response is None or call is None:
            return
        most = self._bounds.max_bytes
        most = (PIECE if most is None or most > PIECE else most) - len(self._held)
        body = response.whole(most)
        if body is None:
            if self._deadlines.is_past(sent) or not response.is_coming or response.buffered > most:
                self._leave()
            elif EVENTS.search(response.headers.get("content-type", "")):
                self._leave()  # a stream all the same: not every piece of it is progress
            else:
                self._wait_for_whole(response)
            return
        self._held = body = self._held + body
        self._is_whole = True
        if body.lstrip(_BLANK)[:1] not in _JSON:
            self._leave()
            return
        try:
            self._bounds.check(body)
            answer = text_of(self._way, call, response, body)
            events = Whole.of(self._way, call, response, body).events() if answer is None else []
        except MelliteError:  # told by the task, which reads the body again
            self._leave()
            return
        if answer is None:
            begun, self._has_started = self._has_started, True
            self._finish(events[begun:])
            return
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.end_with_text(answer)

    def _wait_for_whole(self, response: ArrivingResponse) -> None:
        """Wait for more of an answer in one piece: every piece is progress, once there is more than blanks."""
        now = self._deadlines.now()
        if not self._has_more_than_blanks:
            self._held += response.arrived()
            self._has_more_than_blanks = bool(self._held.lstrip(_BLANK))
        if self._has_more_than_blanks:
            self._deadlines.progressed = now
        self._begin_alone(now)

    def _on_first(self) -> None:
        """Wait for the first bytes of a stream."""
        sent, call = self._sent, self._call
        data = self._take()
        if sent is None or call is None or self._sink is None:
            return
        now = self._deadlines.now()
        if not data:
            self._begin_alone(now)
            return
        self._deadlines.progressed = now
        sent.watch(self._deadlines.next_event())
        first = data.lstrip(_BLANK)[:1]
        if not first or first == b"<" or first in _JSON:
            self._held = data + self._held
            self._taken -= len(data)
            self._leave()
            return
        self._parser = parser_of(self._way, call, self._bounds, keep_raw=self._keep_raw)
        self._step = Pushing._on_more
        events = self._start()
        self._has_started = True
        self._parse(self._parser, data, events)

    def _start(self) -> list[Event]:
        """Return the event of the start, if it has not been pushed."""
        response, call = self._response, self._call
        if self._has_started or response is None or call is None:
            return []
        return [call.start(self._way, response)]

    def _begin_alone(self, now: float) -> None:
        """Push the event of the start where nothing of the body has come with the head, and wait on."""
        events, sink = self._start(), self._sink
        self._has_started = True
        if events:
            self._deadlines.progressed = now
        if events and sink is not None and not sink.push(events):
            self._pause()
        else:
            self._watch(now)

    def _on_more(self) -> None:
        parser, response = self._parser, self._response
        if parser is None or response is None:
            return
        data = b"" if self._held else response.arrived()
        size = len(data)
        taken = self._taken + size
        if 0 < size <= PIECE and taken <= self._most:  # as `_take`, for what is usual
            self._taken = taken
            self._parse(parser, data)
        elif rest := self._take(data):
            self._parse(parser, rest)

    def _take(self, data: bytes = b"") -> bytes | None:
        """Take bytes off the body; nothing where there are none yet, or a task has to tell why.

        Args:
            data: what has been taken of it, and is still to be looked at.
        """
        sent, response = self._sent, self._response
        if sent is None or response is None:
            return None
        held = self._held
        data = data or held or response.arrived()
        if not data:
            if not response.is_coming:
                self._at_end(self._parser, response)
            elif self._deadlines.is_past(sent):
                self._leave()
            return None
        if len(data) > PIECE:  # the loop gets its turn in between
            data, self._held = data[:PIECE], data[PIECE:]
            sent.pause()
            sent.again()
        elif held:  # the last of several pieces
            self._held = b""
            sent.resume()
            sent.watch(self._deadlines.next_event())
        self._taken += len(data)
        if self._taken > self._most:
            self._leave(self._bounds.too_long())
            return None
        return data

    def _at_end(self, parser: Parser | None, response: ArrivingResponse) -> None:
        """End a stream that ends with its body, as those of some protocols do."""
        if parser is None or not response.is_complete or parser.failure is not None:
            self._leave()
            return
        try:
            events = parser.take(b"")
        except MelliteError:  # told by the task
            parser.over = False
            self._leave()
            return
        self._finish(events)

    def _parse(self, parser: Parser, data: bytes, events: Sequence[Event] = ()) -> None:
        """Push what a piece of a stream stands for."""
        response, sink, sent = self._response, self._sink, self._sent
        if response is None or sink is None or sent is None:
            return
        taken = parser.take(data)
        events = [*events, *taken] if events else taken
        wanted = not events or sink.push(events)
        deadlines = self._deadlines
        if parser.progressed:
            deadlines.progressed = deadlines.now()
        if parser.over:
            self._drain(sent)
        elif parser.failure is not None:
            self._leave()
        elif not wanted:
            self._pause()
        elif not (self._held or response.is_coming or response.buffered):
            self._at_end(parser, response)  # the same piece had the end: nothing calls back for it
        elif deadlines.ends is not None or not parser.progressed:  # what comes without a break must not outrun its time
            self._watch(deadlines.now())

    def _pause(self) -> None:
        """Read no further, until the sink wants more."""
        self._is_paused = True
        if self._sent is not None:
            self._sent.pause()
            self._sent.watch(None)

    def _drain(self, sent: Sent) -> None:
        """Read what follows the answer, if it arrives at once, so that the connection can be used again."""
        self._step = Pushing._on_rest
        self._held = b""
        self._taken = 0
        sent.watch(self._deadlines.now() + DRAIN_SECONDS)
        sent.resume()
        self._on_rest()

    def _on_rest(self) -> None:
        response, sent = self._response, self._sent
        if response is None or sent is None:
            return
        self._taken += len(response.arrived())
        if not response.is_coming or sent.is_expired or self._taken > PIECE:
            self._finish()

    def _finish(self, events: Sequence[Event] = ()) -> None:
        """End after the last events: give back the connection and the place."""
        if events and self._sink is not None:
            self._sink.push(events)
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.end()

    def _watch(self, now: float) -> bool:
        """Have it told when the next event has taken too long, or the whole answer has.

        Returns:
            Whether that is still to come; else, a task goes on.
        """
        if self._sent is None or self._deadlines.watch(self._sent, now):
            return True
        self._leave()
        return False
