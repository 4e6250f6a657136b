"""One answer, from sending its request to its last event, as a stream for the task that generates.

`mellite.wire.pushing` does the same without a task, where nothing unusual happens. What is unusual is left to
`Answering`, which goes on from where the answer stands, so that every error is raised here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Final, final

import msgspec

from ..values.errors import InvalidProviderOutput
from ..values.events import Event, ResponseStart
from ..values.outputs.plan import OutputPlan
from ..values.provider_json import JsonObject
from ..values.request import Request
from ..values.text_answer import Batch, Brief, TextAnswer
from .bounds import DEFAULT_BOUNDS, AnswerBounds
from .error_context import Informing
from .framing import SseDecoder
from .http import Head, HttpResponse, Transport, shown_url
from .opening import OK, Call, Opening, Place, Standing, Way, start_of
from .parsing import Parser, ToolParser, whole_events
from .refusals import refusal
from .response import BodyReader

__all__ = ["EVENTS", "Answering", "Whole", "parser_of", "text_of"]

_EXCERPT: Final = 200
_LIMITS: Final = b"ratelimit"  # in the names of all headers that tell of limits
EVENTS: Final = re.compile("event-?stream")  # content types of server-sent events and of AWS's event streams


class Answering:
    """The answer to one request: sent and read once, in one loop.

    The response is closed however reading ends: by the end of the answer, an error, `aclose` or cancellation.

    Args:
        way: the route.
        request: the request.
        transport: sends the request; one that is ``offline`` needs no keys and no settings.
        keep_raw: whether to give each stream event as it arrived, too, as a RawChunk.
        bounds: the largest answer to accept.
        place: the place to hold among the generations that may run at once, from sending to the end of the answer.
        standing: where it stands, if it was begun before.
        opening: sends it, if that was begun, or done, before.
    """

    __slots__ = ("_bounds", "_keep_raw", "_opening", "_place", "_standing", "_way")

    def __init__(
        self,
        way: Way,
        request: Request,
        transport: Transport,
        *,
        keep_raw: bool = True,
        bounds: AnswerBounds = DEFAULT_BOUNDS,
        place: Place | None = None,
        standing: Standing | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._way = way
        self._opening = opening or Opening(way, request, transport, bounds=bounds, place=place, standing=standing)
        self._keep_raw = keep_raw
        self._bounds = bounds
        self._place = place
        self._standing = standing

    async def pull(self) -> AsyncGenerator[Event, None]:
        """Send the request and yield the events of the answer, the last of which is the only Finish.

        Raises:
            MelliteError: of any kind, with provider, model, status and request id as far as they are known.
        """
        batches = self.batches(texts=False)
        try:
            async for batch in batches:
                for event in batch if type(batch) is not TextAnswer else batch.events():
                    yield event
        finally:
            await batches.aclose()

    async def batches(self, *, texts: bool = True) -> AsyncGenerator[Batch, None]:
        """Send the request and yield the events of the answer, those at once that come at once.

        Args:
            texts: whether an answer that is one text may be given as such, without events, but for the first.

        Raises:
            MelliteError: as `pull` does.
        """
        way = self._way
        answer: TextAnswer | None = None
        with self._opening.known as known:
            try:
                reader, call = await self._opening.opened()
                stands = self._standing
                try:
                    if stands is None or not stands.has_started:
                        yield [call.start(way, reader.response)]
                    parser = None if stands is None else _taken_up(stands, known)
                    if parser is None:
                        streams = await _is_stream(way, call, reader)
                        if streams is not call.streaming:
                            yield [ResponseStart(streaming=streams)]
                        if streams:
                            parser = parser_of(way, call, self._bounds, keep_raw=self._keep_raw)
                    if parser is not None:
                        known.usage = parser.usage
                        while not parser.over:
                            yield parser.take(await parser.next(reader))
                        await reader.drain()
                    else:
                        answer, batches = self._read_whole(call, reader.response, await reader.rest(), texts=texts)
                        for events in batches:
                            yield events
                except BaseException:
                    await reader.abandon()
                    raise
                await reader.response.aclose()
            finally:
                if self._place is not None:
                    self._place.give_back()
        if answer is not None:
            yield answer

    def _read_whole(
        self, call: Call, response: HttpResponse, body: bytes, *, texts: bool
    ) -> tuple[TextAnswer | None, Iterable[Sequence[Event]]]:
        """Return what an answer in one piece stands for: a text and no more, or events."""
        self._bounds.check(body)
        # Without the event that says that it did not stream as asked: that one has been given, and is in no text.
        answer = text_of(self._way, call, response, body) if texts and not call.streaming else None
        return answer, () if answer is not None else _in_batches(whole_events(self._way.protocol, body, call.output))


def parser_of(way: Way, call: Call, bounds: AnswerBounds, *, keep_raw: bool) -> Parser:
    """Make the parser of a stream, with the largest event that the bounds allow."""
    framing = way.framing()
    if isinstance(framing, SseDecoder) and bounds.max_event != DEFAULT_BOUNDS.max_event:
        framing.limit = sys.maxsize if bounds.max_event is None else bounds.max_event
    if call.output is not None and call.output.tool is not None:
        return ToolParser(call.output.tool, way.protocol, framing, call.request, bounds, keep_raw=keep_raw)
    return Parser(way.protocol, framing, call.request, bounds, keep_raw=keep_raw)


def _taken_up(stands: Standing, known: Informing) -> Parser | None:
    """Return the parser of a stream that was begun; raise what has to be raised."""
    if stands.parser is not None:
        known.usage = stands.parser.usage
    if stands.failure is not None:
        raise stands.failure
    return stands.parser


async def _is_stream(way: Way, call: Call, reader: BodyReader) -> bool:
    """Tell from the first bytes whether the body is a stream of events or one JSON value.

    A body that begins like JSON is JSON: some servers send the wrong content type.

    Raises:
        MelliteError: the error that an HTTP error status or a web page stands for.
    """
    response = reader.response
    if response.status not in OK:
        raise await refusal(reader, way.protocol, url=call.http.url, path=way.endpoint.path, provider=way.provider)
    head = (await reader.peek()).lstrip(b"\xef\xbb\xbf \t\r\n")
    first = head[:1]
    if first == b"<":
        text = " ".join(head[:_EXCERPT].decode("utf-8", "replace").split())
        url = shown_url(call.http.url)
        msg = f"HTTP {response.status} from {url} is a web page, not an answer; is the base URL right? {text!r}"
        raise InvalidProviderOutput(msg)
    if call.streaming:
        return first not in (b"{", b"[")
    return first not in (b"{", b"[") and EVENTS.search(response.headers.get("content-type", "")) is not None


def text_of(way: Way, call: Call, response: HttpResponse, body: bytes) -> TextAnswer | None:
    """Return a whole answer that is one text and no more; None for any other."""
    text = way.protocol.plain(body)
    if text is None:
        return None
    return TextAnswer(text, Whole.of(way, call, response, body))


def _in_batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Give the events before an error, if there is one, before it is raised."""
    if isinstance(events, list):
        yield events
        return
    for event in events:
        yield [event]


@final
class Whole(msgspec.Struct, eq=False):
    """An answer in one piece, with all that its events are made of, for a thunk that may be kept for long.

    It holds neither the bytes of the request, nor its key, nor a connection or a loop.

    Args:
        way: the way that the request went.
        model: the model that was asked.
        asked: the body of the request.
        repairs: what was mended in it.
        streaming: whether a stream was asked for.
        output: how the answer is to be read, where it is not a text.
        head: the head of the answer.
        body: its body.
    """

    way: Way
    model: str | None
    asked: JsonObject
    repairs: tuple[str, ...] | None
    streaming: bool
    output: OutputPlan | None
    head: Head
    body: bytes

    @classmethod
    def of(cls, way: Way, call: Call, response: HttpResponse, body: bytes) -> Whole:
        """Return the answer to a call."""
        model, repairs, streaming = call.request.model, call.repairs, call.streaming
        return cls(way, model, call.body, repairs, streaming, call.output, response.head(), body)

    def events(self) -> list[Event]:
        """Return the events of the answer.

        Raises:
            MelliteError: what reading it raises.
        """
        way = self.way
        start = start_of(
            way,
            self.head,
            model=self.model,
            body=self.asked,
            repairs=self.repairs,
            streaming=self.streaming,
            output=self.output,
        )
        return [start, *whole_events(way.protocol, self.body, self.output)]

    def brief(self) -> Brief:
        """Return what the events of an answer of text would tell to limits."""
        return self.head.headers_about(_LIMITS), 1, self.way.protocol.plain_spent(self.body)
