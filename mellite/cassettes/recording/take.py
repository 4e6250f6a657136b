"""One interaction while it is being recorded, and what of it goes into the cassette."""

from __future__ import annotations

import base64
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from ...values.errors import ConnectionLost, MelliteError
from ...values.request import Timeouts
from ...wire.content_encoding import BodyDecoder
from ...wire.error_context import safe_headers
from ...wire.http import HttpRequest, HttpResponse
from ..bodies import Body, decoded
from ..interactions import HttpInteraction, RecordedRequest, RecordedResponse
from ..secrets.redaction import Redaction
from ..secrets.scan import credentials
from ..timeline import Clock, End, Fault, Stopwatch, Timeline, packed

__all__ = ["NO_ANSWER", "Take", "resized"]

#: The status that stands where no answer came: other readers of the file want a number, and this one means an error.
NO_ANSWER: Final = 599

#: Two clocks of one machine agree within so many seconds.
_CLOSE: Final = 0.005

#: Media types whose bodies are bytes, even if they happen to be UTF-8.
_BINARY: Final = ("application/vnd.amazon.eventstream", "application/octet-stream", "audio/", "image/", "video/")


class Take:
    """One interaction that is being recorded.

    Args:
        request: what is sent.
        clock: tells the time.
        asked: when the caller asked, which the clocks of the call count from; now unless given.
    """

    __slots__ = (
        "_asked",
        "_clock",
        "_ended",
        "_fault",
        "_headers",
        "_opened",
        "_pieces",
        "_request",
        "_status",
        "end",
        "started",
    )

    def __init__(self, request: HttpRequest, clock: Stopwatch, *, asked: int | None = None) -> None:
        self._request = request
        self._clock = clock
        self._status = NO_ANSWER
        self._headers: Mapping[str, str] = {}
        self._opened: int | None = None
        self._pieces: list[tuple[bytes, int]] = []
        self._fault: Fault | None = None
        self._ended = 0
        self.end: End | None = None
        self.started = clock.now()
        self._asked = self.started if asked is None else asked

    def __str__(self) -> str:
        return f"the answer to {self._request!r}"

    @property
    def size(self) -> int:
        """How many bytes were sent and have come."""
        return len(self._request.body) + sum([len(piece) for piece, _ in self._pieces])

    def opens(self, response: HttpResponse) -> None:
        """Status and headers are there."""
        self._opened = self._clock.now() - self.started
        self._status = response.status
        self._headers = response.headers

    def gets(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append((piece, self._clock.now() - self.started))

    def ends(self) -> bool:
        """The whole body has come. Whether that is news, as with `stops` and `breaks`."""
        return self._over("complete")

    def stops(self) -> bool:
        """Its reader went away."""
        return self._over("interrupted")

    def breaks(self, error: Exception) -> bool:
        """It failed."""
        if self.end is None:
            clock, seconds = self._clock_that_ran_out() if isinstance(error, TimeoutError) else (None, None)
            ending = error.ending if isinstance(error, ConnectionLost) else None
            self._fault = Fault(type(error).__name__, str(error), ending=ending, clock=clock, seconds=seconds)
        return self._over("broken")

    def _clock_that_ran_out(self) -> tuple[Clock | None, float | None]:
        """Which clock of the call it was, and its seconds; None if the request does not say what they were."""
        timeouts = self._request.context.get("timeouts")
        if not isinstance(timeouts, Timeouts):
            return None, None
        passed = (self._clock.now() - self._asked) / 1_000_000
        first: Clock = "first_byte" if self._opened is None else "idle"
        clocks: dict[Clock, float | None] = {"total": timeouts.total, first: getattr(timeouts, first)}
        # None of them if the answer was over, and only the end of the connection was not waited for.
        for clock, most in clocks.items():
            if most is not None and passed >= most - _CLOSE:
                return clock, most
        return None, None

    def _over(self, end: End) -> bool:
        if self.end is not None:
            return False
        self.end = end
        self._ended = self._clock.now() - self.started
        return True

    def credentials(self, redaction: Redaction) -> tuple[str, ...]:
        """What the request proves with who sends it, and what must not be in the cassette, wherever it comes from."""
        return credentials(self._request.headers, self._request.url, redaction=redaction)

    def interaction(self, redaction: Redaction) -> HttpInteraction:
        """What goes into the cassette. It may take a while for a large body."""
        response, sizes = self._response(redaction)
        times = [at for _, at in self._pieces]
        lineage = self._request.context.get("lineage")
        timeline = Timeline(
            started=self.started,
            opened=self._opened,
            chunks=packed(zip(sizes, times, strict=True), self._opened or 0),
            ended=self._ended,
            end=self.end or "interrupted",
            fault=self._fault,
            lineage=None if lineage is None else tuple(lineage),
        )
        return HttpInteraction(_recorded_request(self._request, redaction), response, extra=timeline.to_extra())

    def _response(self, redaction: Redaction) -> tuple[RecordedResponse, list[int]]:
        pieces = [piece for piece, _ in self._pieces]
        headers = {**safe_headers(self._headers), **redaction.headers(self._headers, redaction.response_headers)}
        if "location" in self._headers:  # the error that a redirect stands for names it
            headers["location"] = redaction.url(self._headers["location"])
        plain = _decompressed(pieces, headers.get("content-encoding"), whole=self.end == "complete")
        if plain is None:  # not what its header says: it is kept as it came, so that it fails in the same way again
            data = b"".join(pieces)
            return RecordedResponse(self._status, headers=headers, body=_base64(data)), [len(piece) for piece in pieces]
        if plain is not pieces:
            headers = {name: value for name, value in headers.items() if name not in _OF_THE_COMPRESSED}
        body, sizes = _recorded_body(plain, headers.get("content-type", ""), redaction)
        return RecordedResponse(self._status, headers=headers, body=body), sizes


_OF_THE_COMPRESSED: Final = ("content-encoding", "content-length")


def _recorded_request(request: HttpRequest, redaction: Redaction) -> RecordedRequest:
    return RecordedRequest(
        request.method.upper(),
        redaction.url(request.url),
        headers=redaction.headers(request.headers, redaction.request_headers),
        body=Body.of(_redacted(request.body, redaction)),
    )


def _decompressed(pieces: list[bytes], encoding: str | None, *, whole: bool) -> list[bytes] | None:
    """The pieces without compression, as many as there were; None if they are not compressed as the header says."""
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
    """The body as it is stored, and how many bytes of that each piece has."""
    data = b"".join(pieces)
    sizes = [len(piece) for piece in pieces]
    if media_type.lower().strip().startswith(_BINARY):
        return _base64(data), sizes
    redacted = _redacted(data, redaction)
    return Body.of(redacted), sizes if redacted is data else resized(data, redacted, sizes)


def _base64(data: bytes) -> Body:
    return Body(base64.b64encode(data).decode(), encoding="base64")


# In names only letters and digits count, small ones as capitals; quotes stay, to cut at.
_SMALL: Final = bytes(range(256)).lower()
_NO_NAME: Final = bytes([byte for byte in range(256) if byte != ord('"') and not bytes([byte]).isalnum()])
# Escaped letters and digits; and the sign of Kelvin, which is a k in small letters.
_ROUNDABOUT: Final = re.compile(rb"\\u00[2-7]|\\u212[aA]|\xe2\x84\xaa")


@lru_cache(maxsize=8)
def _as_bytes(fields: frozenset[str]) -> frozenset[bytes]:
    return frozenset([name.encode() for name in fields])


def _may_name(data: bytes, fields: frozenset[str]) -> bool:
    """Whether a body has one of these fields; may be True where it only has such a text, or names fields strangely."""
    if not _as_bytes(fields).isdisjoint(data.translate(_SMALL, _NO_NAME).split(b'"')):
        return True
    return (b"\\" in data or b"\xe2" in data) and _ROUNDABOUT.search(data) is not None


def _redacted(data: bytes, redaction: Redaction) -> bytes:
    """A body without the values of secret JSON fields, also in the events of a stream; itself if there are none."""
    if not _may_name(data, redaction.json_fields):
        return data
    if not data.lstrip().startswith((b"{", b"[")):
        lines = data.split(b"\n")
        clean = [_redacted_line(line, redaction) if line.startswith(b"data:") else line for line in lines]
        return data if clean == lines else b"\n".join(clean)
    return _redacted_json(data, redaction)


def _redacted_line(line: bytes, redaction: Redaction) -> bytes:
    """A line of a stream of events that begins with ``data:``."""
    payload = line[5:].strip()
    clean = _redacted_json(payload, redaction)
    return line if clean is payload else line.replace(payload, clean)


def _redacted_json(data: bytes, redaction: Redaction) -> bytes:
    is_json, value = decoded(data.decode("utf-8", "surrogateescape"))
    if not is_json:
        return data
    try:
        before = msgspec.json.encode(value)
        after = msgspec.json.encode(redaction.json(value))
    except (ValueError, RecursionError):  # half of a surrogate pair, or too deep
        return data
    return data if before == after else after


def resized(before: bytes, after: bytes, sizes: Sequence[int]) -> list[int]:
    r"""The sizes of the pieces of a body when something in its lines was replaced.

    A cut between two lines stays there. One within a line that was changed stays as near as that line allows.

    Example:
        >>> resized(b"data: secret\n\ndata: b\n", b"data: x\n\ndata: b\n", [14, 4, 4])
        [9, 4, 4]
    """
    old, new = before.split(b"\n"), after.split(b"\n")
    if len(old) != len(new):
        ends = [min(end, len(after)) for end in accumulate(sizes)]
        ends[-1:] = [len(after)] if ends else []
    else:
        starts = list(accumulate([len(line) + 1 for line in old], initial=0))
        moved = list(accumulate([len(line) + 1 for line in new], initial=0))
        ends = []
        for end in accumulate(sizes):
            line = max(0, bisect_left(starts, end) - 1)  # the line of the last byte before the cut
            rest = end - starts[line]
            whole = rest >= len(old[line])  # the cut is behind the line, or behind the break after it
            ends.append(moved[line] + (len(new[line]) + rest - len(old[line]) if whole else min(rest, len(new[line]))))
    return [end - start for start, end in pairwise([0, *ends])]
