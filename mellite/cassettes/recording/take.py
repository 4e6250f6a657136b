"""One interaction while it is being recorded, and what of it goes into the cassette."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol

from attrs import field, frozen

from ...values.errors import ConnectionLost, MelliteError
from ...values.options import Timeouts
from ...wire.content_encoding import BodyDecoder
from ...wire.error_context import safe_headers
from ...wire.http import HttpRequest
from ..bodies import Body
from ..interactions import HttpInteraction, RecordedRequest, RecordedResponse
from ..secrets.bodies import may_have_fields, redacted_body, resized
from ..secrets.redaction import Redaction
from ..secrets.scan import credentials
from ..timeline import Clock, End, Fault, Stopwatch, Timeline, packed

__all__ = ["NO_ANSWER", "Asked", "Take"]

#: The status where no answer came. Other readers of the file expect a number, and this one is not a success.
NO_ANSWER: Final = 599

#: A timeout counts as run out up to so many seconds early: the event loop's clock and this one may differ by that.
_CLOSE: Final = 0.005

#: Media types whose bodies are stored in base64, even if they happen to be UTF-8.
_BINARY: Final = ("application/vnd.amazon.eventstream", "application/octet-stream", "audio/", "image/", "video/")

#: Headers that are wrong once the body is stored without its compression.
_OF_THE_COMPRESSED: Final = ("content-encoding", "content-length")


@frozen(kw_only=True)
class Asked:
    """The part of a request that the cassette keeps beside the body, and the credentials that must not be in it.

    The calls of one backend have all this in common, so that it is made anew only for a request that differs.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    kept: RecordedRequest
    credentials: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, request: HttpRequest, redaction: Redaction, last: Asked | None = None) -> Asked:
        """Return what is kept of a request: *last*, if that was for one like it."""
        method, url, headers = request.method, request.url, request.headers
        if last is not None and last.url == url and last.headers == headers and last.method == method:
            return last
        shown = redaction.headers(headers, redaction.request_headers)
        kept = RecordedRequest(method.upper(), redaction.url(url), headers=shown)
        secrets = credentials(headers, url, redaction=redaction)
        return cls(method=method, url=url, headers=headers, kept=kept, credentials=secrets)


class _Opened(Protocol):
    """Status and headers, by lower-case name, as they have arrived."""

    status: int
    headers: Mapping[str, str]


class Take:
    """One interaction that is being recorded.

    Only the reader of the answer changes a take, so there is no lock. Once `end` is set nothing changes any more, and
    any thread may read it.

    Args:
        request: what is sent.
        clock: tells the time.
        asked: when the caller asked, in the clock's microseconds, from which the timeouts count; now by default.
        started: when the request is sent; now by default.

    Attributes:
        request: what is sent.
        size: the bytes of both bodies so far.
        started: when the request was sent, in the clock's microseconds.
        end: how the take ended; None until it has.
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_ended",
        "_fault",
        "_headers",
        "_opened",
        "_pieces",
        "_status",
        "_times",
        "end",
        "request",
        "size",
        "started",
    )

    def __init__(
        self, request: HttpRequest, clock: Stopwatch, *, asked: int | None = None, started: int | None = None
    ) -> None:
        self.request = request
        self.size = len(request.body)
        self._clock = clock
        self._status = NO_ANSWER
        self._headers: Mapping[str, str] = {}
        self._opened: int | None = None
        self._pieces: list[bytes] = []
        self._times: list[int] = []
        self._fault: Fault | None = None
        self._ended = 0
        self.end: End | None = None
        self.started = clock.now() if started is None else started
        self._asked = self.started if asked is None else asked

    def __str__(self) -> str:
        return f"the answer to {self.request!r}"

    def opens(self, response: _Opened) -> None:
        """Note that status and headers have arrived."""
        self._opened = self._clock.now() - self.started
        self._status = response.status
        self._headers = response.headers

    def gets(self, piece: bytes) -> None:
        """Note that a piece of the body has arrived."""
        self.size += len(piece)
        self._pieces.append(piece)
        self._times.append(self._clock.now() - self.started)

    def ends(self) -> bool:
        """Mark complete; return False if already ended."""
        return self._over("complete")

    def stops(self) -> bool:
        """Mark interrupted: the reader went away. Return False if already ended."""
        return self._over("interrupted")

    def breaks(self, error: Exception) -> bool:
        """Mark broken by an error; return False if already ended."""
        if self.end is None:
            clock, seconds = self._clock_that_ran_out() if isinstance(error, TimeoutError) else (None, None)
            ending = error.ending if isinstance(error, ConnectionLost) else None
            self._fault = Fault(type(error).__name__, str(error), ending=ending, clock=clock, seconds=seconds)
        return self._over("broken")

    def _clock_that_ran_out(self) -> tuple[Clock | None, float | None]:
        """Return which timeout of the call ran out, and its seconds; None if the request does not tell."""
        timeouts = self.request.context.get("timeouts")
        if not isinstance(timeouts, Timeouts):
            return None, None
        passed = (self._clock.now() - self._asked) / 1_000_000
        first: Clock = "first_byte" if self._opened is None else "idle"
        clocks: dict[Clock, float | None] = {"total": timeouts.total, first: getattr(timeouts, first)}
        for clock, most in clocks.items():
            if most is not None and passed >= most - _CLOSE:
                return clock, most
        # The answer was whole, and only the end of the connection did not come in time.
        return None, None

    def _over(self, end: End) -> bool:
        if self.end is not None:
            return False
        self.end = end
        self._ended = self._clock.now() - self.started
        return True

    def interaction(self, redaction: Redaction, asked: Asked | None = None) -> HttpInteraction:
        """Return what goes into the cassette, redacted. Slow for a large body: call it in a thread.

        Args:
            redaction: what is kept.
            asked: what is kept of the request beside its body, if that is known.
        """
        kept = (asked or Asked.of(self.request, redaction)).kept
        sent = Body.of(redacted_body(self.request.body, redaction))
        request = RecordedRequest(kept.method, kept.url, headers=kept.headers, body=sent)
        response, sizes = self._response(redaction)
        lineage = self.request.context.get("lineage")
        timeline = Timeline(
            started=self.started,
            opened=self._opened,
            chunks=packed(zip(sizes, self._times, strict=True), self._opened or 0),
            ended=self._ended,
            end=self.end or "interrupted",
            fault=self._fault,
            lineage=None if lineage is None else tuple(lineage),
        )
        return HttpInteraction(request, response, extra=timeline.to_extra())

    def _response(self, redaction: Redaction) -> tuple[RecordedResponse, list[int]]:
        """Return the response as it is stored, and how many of its body's bytes each piece has."""
        pieces = self._pieces
        headers = {**safe_headers(self._headers), **redaction.headers(self._headers, redaction.response_headers)}
        if "location" in self._headers:  # a redirect is an error, which names where it leads
            headers["location"] = redaction.url(self._headers["location"])
        if self.end == "complete" and not any(pieces):  # to HEAD, or 304: the headers tell of a body that did not come
            return RecordedResponse(self._status, headers=headers), []
        encoding = headers.get("content-encoding")
        plain = pieces if encoding is None else _decompressed(pieces, encoding, whole=self.end == "complete")
        if plain is None:  # stored as it came, so that decompressing fails on replay, too
            data = b"".join(pieces)
            return RecordedResponse(self._status, headers=headers, body=_base64(data)), [len(piece) for piece in pieces]
        if plain is not pieces:
            headers = {name: value for name, value in headers.items() if name not in _OF_THE_COMPRESSED}
        body, sizes = _recorded_body(plain, headers.get("content-type", ""), redaction)
        return RecordedResponse(self._status, headers=headers, body=body), sizes


def _decompressed(pieces: list[bytes], encoding: str, *, whole: bool) -> list[bytes] | None:
    """Decompress pieces one by one; return None if they are not compressed as the header says."""
    try:
        decoder = BodyDecoder(encoding)
        if decoder.identity:
            return pieces
        plain = [b"".join(decoder.feed(piece)) for piece in pieces]
        if whole:
            decoder.end()
    except MelliteError:
        return None
    return plain


def _recorded_body(pieces: list[bytes], media_type: str, redaction: Redaction) -> tuple[Body, list[int]]:
    """Return the body as it is stored, and how many of its bytes each piece has."""
    data = b"".join(pieces)
    sizes = [*map(len, pieces)]
    if _is_binary(media_type):
        return _base64(data), sizes
    body = Body.of(data)
    if not may_have_fields(body, redaction):
        return body, sizes
    redacted = redacted_body(data, redaction)
    return (body, sizes) if redacted is data else (Body.of(redacted), resized(data, redacted, sizes))


@lru_cache(maxsize=64)
def _is_binary(media_type: str) -> bool:
    return media_type.lower().strip().startswith(_BINARY)


def _base64(data: bytes) -> Body:
    return Body(base64.b64encode(data).decode(), encoding="base64")
