"""Replay an HTTP cassette in the place of the network: requests in order, each compared with the recorded one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from anyio.lowlevel import checkpoint
from attrs import field, frozen

from ..errors import CassetteMismatch, CassetteMiss, ConfigurationError
from ..wire.http import HttpRequest, HttpResponse
from .http import load_cassette
from .interactions import Cassette, HttpInteraction
from .matching import Difference, differences, explained, same_json, snapshot
from .redaction import Redaction, environment_secrets
from .scripted import PieceResponse

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Cut", "ReplayTransport", "cut_body"]

#: How to cut a body into the pieces that are read: None for one, a number of bytes for each, the places at which to
#: cut, or a function from the body to its pieces.
Cut: TypeAlias = "int | Sequence[int] | Callable[[bytes], Iterable[bytes]] | None"

#: Statuses whose responses have no body, whatever the cassette says.
_EMPTY: Final = frozenset({204, 205, 304})

#: At most this many interactions are compared to find the nearest.
_COMPARED: Final = 500


def cut_body(body: bytes, cut: Cut) -> list[bytes]:
    """The pieces of a body; together they are the body.

    Raises:
        ConfigurationError: if they are not, or `cut` is no way to cut.

    Example:
        >>> cut_body(b"abcdef", 4), cut_body(b"abcdef", [1, 3])
        ([b'abcd', b'ef'], [b'a', b'bc', b'def'])
    """
    if callable(cut):
        pieces = list(cut(body))
        if b"".join(pieces) != body:
            name = getattr(cut, "__name__", repr(cut))
            msg = f"the function {name} loses or adds bytes: its pieces must add up to the body exactly"
            raise ConfigurationError(msg)
        return pieces
    if cut is None:
        return [body]
    if isinstance(cut, int):
        if cut < 1:
            msg = f"a body is cut into pieces of at least 1 byte, not of {cut}"
            raise ConfigurationError(msg)
        return [body[start : start + cut] for start in range(0, len(body), cut)]
    places = [0, *sorted([min(max(place, 0), len(body)) for place in cut]), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


@frozen
class _Recorded:
    """One interaction of a cassette, which can say in what a request differs from it."""

    interaction: HttpInteraction
    redaction: Redaction = field(kw_only=True)

    def differences(self, request: HttpRequest, secrets: Sequence[str] = ()) -> list[Difference]:
        recorded = self.interaction.request
        # What is the same as it stands need not be brought into the form in which it is compared.
        same_url = request.url == recorded.url
        same_body = same_json(request.body, recorded.body.data)
        expected = snapshot(
            recorded.method,
            "" if same_url else recorded.url,
            headers=recorded.headers,
            body="" if same_body else recorded.body.characters,
            redaction=self.redaction,
            also=recorded.headers,
        )
        received = snapshot(
            request.method,
            "" if same_url else request.url,
            headers=request.headers,
            body="" if same_body else request.body,
            redaction=self.redaction,
            also=recorded.headers,
        )
        return differences(expected, received, secrets=secrets)

    def __str__(self) -> str:
        """The request's method and URL, without what may be secret."""
        request = self.interaction.request
        return f"{request.method} {self.redaction.url(request.url)}"


class ReplayTransport:
    """A transport that answers from a cassette and never opens a socket.

    The first request must be the first that was recorded, the second the second, and so on; concurrent ones count in
    the order in which they arrive. Method, URL, body (as JSON where it is JSON) and the headers that the cassette keeps
    must agree, secrets apart. A request that does not agree is refused and uses nothing up. Interactions over
    WebSockets are passed over. It may be used from several loops and threads. A copy or a pickle of it starts again at
    the first interaction.

    Args:
        cassette: the cassette, or the path of its file, which is read now.
        cut: how to cut the bodies into pieces, for tests of chunk boundaries; in one piece by default.
        redaction: what is not compared because no cassette may hold it.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged.

    Example:
        >>> import anyio
        >>> from mellite.cassettes import HttpInteraction, RecordedRequest, RecordedResponse
        >>> from mellite.cassettes.codecs import Body
        >>> pair = HttpInteraction(
        ...     RecordedRequest("GET", "https://example.com/"), RecordedResponse(200, body=Body("Hello."))
        ... )
        >>> transport = ReplayTransport(Cassette((pair,)), cut=4)
        >>> async def replayed():
        ...     response = await transport.open(HttpRequest("GET", "https://example.com/"))
        ...     return response.status, await response.read(), await response.read(), await response.read()
        >>> anyio.run(replayed), transport.unused
        ((200, b'Hell', b'o.', b''), ())
    """

    def __init__(
        self, cassette: Cassette | str | PathLike[str], *, cut: Cut = None, redaction: Redaction | None = None
    ) -> None:
        self.cassette = cassette if isinstance(cassette, Cassette) else load_cassette(cassette)
        self._redaction = redaction or Redaction()
        self._recorded = [_Recorded(one, redaction=self._redaction) for one in self.cassette.http]
        self._cut = cut
        self._lock = threading.Lock()
        self._used = 0

    @property
    def used(self) -> int:
        """How many interactions have been replayed."""
        return self._used

    @property
    def unused(self) -> tuple[HttpInteraction, ...]:
        """The interactions that no request has come for yet."""
        return self.cassette.http[self._used :]

    def check_used(self) -> None:
        """Make sure that every interaction was replayed; for the end of a test.

        Raises:
            CassetteMismatch: if some were not.
        """
        total = len(self._recorded)
        if self._used < total:
            msg = (
                f"cassette {self.cassette.name!r}: {self._used} of {total} interactions were used; the next is "
                f"{self._recorded[self._used]}; record it anew if the program asks less now"
            )
            raise CassetteMismatch(msg, path=self.cassette.path)

    def __reduce__(self) -> tuple[Callable[..., ReplayTransport], tuple[Cassette]]:
        return partial(ReplayTransport, cut=self._cut, redaction=self._redaction), (self.cassette,)

    def __repr__(self) -> str:
        return f"ReplayTransport({self.cassette.name!r}, {self._used} of {len(self._recorded)} used)"

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:  # noqa: ARG002
        """Answer with the next interaction; see `Transport.open`.

        Raises:
            CassetteMiss: if all have been used.
            CassetteMismatch: if the request is not the recorded one; it says in what they differ.
            InvalidCassette: if the recorded body turns out to be damaged.
        """
        with self._lock:
            recorded = self._claim(request)
        await checkpoint()
        return self._response(recorded.interaction, request)

    def _claim(self, request: HttpRequest) -> _Recorded:
        index = self._used
        if index >= len(self._recorded):
            raise self._miss(request)
        recorded = self._recorded[index]
        if recorded.differences(request):
            raise self._mismatch(request, index)
        self._used = index + 1
        return recorded

    def _miss(self, request: HttpRequest) -> CassetteMiss:
        total = len(self._recorded)
        msg = (
            f"cassette {self.cassette.name!r}: interaction {total + 1} of {total} not recorded; this request came "
            f"after the last: {self._shown(request)}{self._nearest(request)}"
        )
        return CassetteMiss(msg, path=self.cassette.path)

    def _mismatch(self, request: HttpRequest, index: int) -> CassetteMismatch:
        found = self._recorded[index].differences(request, environment_secrets(os.environ))
        msg = (
            f"cassette {self.cassette.name!r}: request {index + 1} is not the one that was recorded:\n"
            f"{explained(found)}{self._nearest(request, index)}"
        )
        return CassetteMismatch(msg, path=self.cassette.path)

    def _nearest(self, request: HttpRequest, index: int | None = None) -> str:
        """A line about the interaction that fits best, unless that is the one whose turn it is."""
        compared = [(len(one.differences(request)), place) for place, one in enumerate(self._recorded[:_COMPARED])]
        if not compared:
            return ""
        fewest, place = min(compared, key=lambda entry: (entry[0], abs(entry[1] - (index or 0))))
        state = ", which was used already" if place < self._used else ""
        if not fewest:
            return f"\nit is the request of interaction {place + 1}{state}: requests must come in the recorded order"
        if place == index:
            return ""
        found = self._recorded[place].differences(request, environment_secrets(os.environ))
        return f"\nthe nearest is interaction {place + 1}{state}, {self._recorded[place]}:\n{explained(found)}"

    def _shown(self, request: HttpRequest) -> str:
        return f"{request.method} {self._redaction.url(request.url)}"

    def _response(self, interaction: HttpInteraction, request: HttpRequest) -> HttpResponse:
        response = interaction.response
        headers = dict(response.headers)
        if response.body.encoding != "base64":
            # Whoever stored it as text had undone the compression; what these say is no longer so.
            headers = {
                name: value
                for name, value in headers.items()
                if name.lower() not in ("content-encoding", "content-length")
            }
        empty = response.status in _EMPTY or request.method.upper() == "HEAD"
        pieces = [] if empty else cut_body(response.body.data, self._cut)
        return PieceResponse(response.status, headers, pieces, replayed=True)
