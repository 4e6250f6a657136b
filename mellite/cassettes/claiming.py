"""Which recorded interaction answers a request: the next one, the first that fits, or the one of this very copy.

Each hands out every interaction once. The ways to look up are of the same cost for one interaction as for thousands.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Final, Literal, Protocol, TypeAlias

from attrs import define, field

from ..wire.http import HttpRequest
from .interactions import HttpInteraction
from .matching import Difference, canonical_body, canonical_url, differences, same_json, snapshot
from .redaction import Redaction
from .timing import Timeline

__all__ = ["CLAIMS", "Claims", "Match", "Recorded"]

#: How requests find their answers; see `CLAIMS`.
Match: TypeAlias = Literal["cursor", "pool", "keyed"]


@define(eq=False)
class Recorded:
    """One interaction of a cassette, which can say in what a request differs from it."""

    interaction: HttpInteraction
    redaction: Redaction = field(kw_only=True)
    path: str | None = field(default=None, kw_only=True)

    @cached_property
    def timeline(self) -> Timeline | None:
        """How it went, if the cassette says so.

        Raises:
            InvalidCassette: if it says so in a way that cannot be read.
        """
        return Timeline.of(self.interaction.extra, path=self.path)

    @property
    def lineage(self) -> tuple[int, ...] | None:
        """Which copy of a thunk asked; None if nobody said."""
        timeline = self.timeline
        return None if timeline is None else timeline.lineage

    def differences(self, request: HttpRequest, secrets: Sequence[str] = ()) -> list[Difference]:
        """In what a request differs from the recorded one."""
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

    def has_headers_of(self, request: HttpRequest) -> bool:
        """Whether the headers that the cassette keeps are those of a request."""
        recorded = self.interaction.request.headers
        kept = self.redaction.request_headers.union([name.lower() for name in recorded])
        return self.redaction.headers(recorded, kept) == self.redaction.headers(request.headers, kept)

    def __str__(self) -> str:
        """The request's method and URL, without what may be secret."""
        request = self.interaction.request
        return f"{request.method} {self.redaction.url(request.url)}"


class Claims(Protocol):
    """Finds the interaction that answers a request, and hands it out once."""

    def claim(self, request: HttpRequest) -> int | None:
        """The index of the interaction; None if there is none left that fits."""
        ...


class Cursor:
    """The first request gets the first interaction, the second the second; one that does not fit uses nothing up."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self._recorded = recorded
        self._next = 0

    def claim(self, request: HttpRequest) -> int | None:
        """The next interaction, if it fits."""
        index = self._next
        if index >= len(self._recorded) or self._recorded[index].differences(request):
            return None
        self._next = index + 1
        return index


class Pool:
    """A request gets the first interaction that fits and is not used; of equal ones in the order of the recording."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self._recorded = recorded
        self._waiting: dict[Hashable, deque[int]] = {}  # unused interactions by what is compared, headers apart
        for index, one in enumerate(recorded):
            request = one.interaction.request
            digest = _digest(request.method, request.url, request.body.data, one.redaction)
            self._waiting.setdefault(self._key(digest, one.lineage), deque()).append(index)

    def claim(self, request: HttpRequest) -> int | None:
        """The first interaction that fits."""
        if not self._recorded:
            return None
        digest = _digest(request.method, request.url, request.body, self._recorded[0].redaction)
        for key in self._keys(digest, request.context.get("lineage")):
            waiting = self._waiting.get(key)
            found = None if waiting is None else self._first(waiting, request)
            if found is not None:
                return found
        return None

    def _first(self, waiting: deque[int], request: HttpRequest) -> int | None:
        for index in waiting:
            if self._recorded[index].has_headers_of(request):
                waiting.remove(index)
                return index
        return None

    def _key(self, digest: bytes, lineage: tuple[int, ...] | None) -> Hashable:  # noqa: ARG002
        """What an interaction is found by."""
        return digest

    def _keys(self, digest: bytes, lineage: tuple[int, ...] | None) -> Iterable[Hashable]:  # noqa: ARG002
        return (digest,)


class Keyed(Pool):
    """As `Pool`, but of equal requests each copy of a thunk gets what was recorded for that very copy.

    Interactions that do not say which copy asked, such as those that other tools recorded, fit every copy.
    """

    def _key(self, digest: bytes, lineage: tuple[int, ...] | None) -> Hashable:
        return digest, lineage

    def _keys(self, digest: bytes, lineage: tuple[int, ...] | None) -> Iterable[Hashable]:
        own = (digest, None if lineage is None else tuple(lineage))
        return (own,) if lineage is None else (own, (digest, None))


CLAIMS: Final[dict[str, Callable[[Sequence[Recorded]], Claims]]] = {"cursor": Cursor, "pool": Pool, "keyed": Keyed}


def _digest(method: str, url: str, body: bytes, redaction: Redaction) -> bytes:
    """What is compared of a request but for its headers, as a short text."""
    content = canonical_body(body, redaction)
    head = f"{method.upper()}\n{canonical_url(redaction.url(url))}\n".encode(errors="surrogateescape")
    return hashlib.blake2b(head + content, digest_size=20).digest()
