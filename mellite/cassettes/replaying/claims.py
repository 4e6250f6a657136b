"""Which recorded interaction answers a request: the next one, the first that fits, or the one of this very copy.

Each interaction is handed out once. A lookup costs the same in a cassette of one interaction as in one of thousands.
Nothing here locks: `ReplayTransport` calls `claim` under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal, Protocol, TypeAlias, cast

from attrs import define, field

from ...wire.http import HttpRequest
from ..interactions import HttpInteraction
from ..secrets.redaction import Redaction
from ..timeline import KEY, Timeline
from .canonical import same_json, snapshot
from .comparison import Comparison, Key
from .matching import Difference, differences

__all__ = ["CLAIMS", "Claims", "Match", "Part", "Recorded", "fitting", "part_of"]

#: How requests find their answers; see `mellite.cassettes.ReplayTransport`.
Match: TypeAlias = Literal["cursor", "pool", "keyed"]


def part_of(interaction: HttpInteraction) -> str | None:
    """Return the name of the test to which an interaction of a shared cassette belongs; None if it does not say."""
    own = interaction.extra.get(KEY)
    part = cast("dict[str, object]", own).get("test") if isinstance(own, dict) else None
    return part if isinstance(part, str) else None


@define(eq=False)
class Recorded:
    """One interaction of a cassette, to be compared with requests."""

    interaction: HttpInteraction
    redaction: Redaction = field(kw_only=True)
    comparison: Comparison = field(kw_only=True)
    """Shared by all interactions of the cassette."""
    path: str | None = field(default=None, kw_only=True)
    number: int = field(default=0, kw_only=True)
    """The place among all interactions of the cassette, from 0 on, including those over WebSockets."""

    @cached_property
    def timeline(self) -> Timeline | None:
        """The recorded times and end, if the cassette has them.

        Raises:
            InvalidCassette: if they cannot be read.
        """
        return Timeline.of(self.interaction.extra, path=self.path)

    @property
    def lineage(self) -> tuple[int, ...] | None:
        """The lineage of the copy of a thunk that asked; None if the cassette does not say."""
        timeline = self.timeline
        return None if timeline is None else timeline.lineage

    def differences(self, request: HttpRequest, secrets: Sequence[str] = ()) -> list[Difference]:
        """Compare a request with the recorded one."""
        recorded = self.interaction.request
        # Canonical forms are costly, so what is equal as it stands is left out on both sides.
        same_url = request.url == recorded.url
        same_body = same_json(request.body, recorded.body.data)
        expected = snapshot(
            recorded.method,
            "" if same_url else recorded.url,
            headers=recorded.headers,
            body="" if same_body else recorded.body.characters,
            redaction=self.redaction,
            also=recorded.headers,
            lenient=self.comparison.lenient,
        )
        received = snapshot(
            request.method,
            "" if same_url else request.url,
            headers=request.headers,
            body="" if same_body else request.body,
            redaction=self.redaction,
            also=recorded.headers,
            lenient=self.comparison.lenient,
        )
        return differences(expected, received, secrets=secrets)

    @property
    def part(self) -> str | None:
        """The name of the test that asked, if several share the cassette; None if the cassette does not say."""
        return part_of(self.interaction)

    def fits(self, request: HttpRequest) -> bool:
        """Return whether a request is the recorded one, as fast as can be; `differences` finds none then."""
        same = self.comparison.same(self.interaction.request, request)
        return not self.differences(request) if same is None else same

    def __str__(self) -> str:
        """The request's method and URL, without what may be secret."""
        request = self.interaction.request
        return f"{request.method} {self.redaction.url(request.url)}"


class Claims(Protocol):
    """Finds the interaction that answers a request, and hands it out once."""

    def claim(self, request: HttpRequest) -> int | None:
        """Claim an interaction that fits and return its index; None if there is none left."""
        ...

    def take(self, index: int) -> None:
        """Hand an interaction out that does not fit, so that no other request gets it."""
        ...


class Cursor:
    """Interactions claimed in the recorded order. A request that does not fit the next one uses nothing up."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self._recorded = recorded
        self._next = 0

    def claim(self, request: HttpRequest) -> int | None:
        """Claim the next interaction, if it fits."""
        index = self._next
        if index >= len(self._recorded) or not self._recorded[index].fits(request):
            return None
        self._next = index + 1
        return index

    def take(self, index: int) -> None:
        """Go on after an interaction, unless that was passed already."""
        self._next = max(self._next, index + 1)


class Pool:
    """Interactions claimed in any order. Of equal ones the first unused one is next.

    Args:
        recorded: the interactions.
        again: whether to begin with the first of equal ones again, when all were claimed.
    """

    def __init__(self, recorded: Sequence[Recorded], *, again: bool = False) -> None:
        self._recorded = recorded
        self._again = again
        self._waiting: dict[Hashable, deque[int]] = {}  # unused interactions by what is compared, headers apart
        for index, one in enumerate(recorded):
            request = one.interaction.request
            body = request.body.data
            one.comparison.learn(body)
            key = self._key(one.comparison.key(request.method, request.url, body), one.lineage)
            self._waiting.setdefault(key, deque()).append(index)

    def claim(self, request: HttpRequest) -> int | None:
        """Claim the first unused interaction that fits."""
        if not self._recorded:
            return None
        key = self._recorded[0].comparison.key(request.method, request.url, request.body)
        for each in self._keys(key, request.context.get("lineage")):
            waiting = self._waiting.get(each)
            found = None if waiting is None else self._first(waiting, request)
            if found is not None:
                return found
        return None

    def take(self, index: int) -> None:
        """Take an interaction from those that wait."""
        for waiting in self._waiting.values():
            if index in waiting:
                waiting.remove(index)
                return

    def _first(self, waiting: deque[int], request: HttpRequest) -> int | None:
        for index in waiting:
            one = self._recorded[index]
            if one.comparison.same_headers(one.interaction.request, request):
                waiting.remove(index)
                if self._again:
                    waiting.append(index)
                return index
        return None

    def _key(self, key: Key, lineage: tuple[int, ...] | None) -> Hashable:  # noqa: ARG002
        """Return the key under which an interaction is kept."""
        return key

    def _keys(self, key: Key, lineage: tuple[int, ...] | None) -> Iterable[Hashable]:  # noqa: ARG002
        """Return the keys under which a request looks for interactions, in turn."""
        return (key,)


class Keyed(Pool):
    """As `Pool`, but of equal requests each copy of a thunk gets what was recorded for that very copy.

    Interactions that do not say which copy asked, such as those that other tools recorded, fit every copy.
    """

    def _key(self, key: Key, lineage: tuple[int, ...] | None) -> Hashable:
        return key, lineage

    def _keys(self, key: Key, lineage: tuple[int, ...] | None) -> Iterable[Hashable]:
        own = (key, None if lineage is None else tuple(lineage))
        return (own,) if lineage is None else (own, (key, None))


CLAIMS: Final[dict[str, Callable[[Sequence[Recorded]], Claims]]] = {"cursor": Cursor, "pool": Pool, "keyed": Keyed}


class Part:
    """The interactions of one test in a cassette that several tests share, and after them those of the other tests.

    If no interaction names a test, all of them are this test's. If all of them name other tests, each may be used in
    any order, and none has to be.

    Args:
        recorded: all interactions.
        name: the test; None if it has the cassette for itself.
        match: how its own interactions are found; None for the way that fits how they were recorded.
        again: whether a ``pool`` answers the same request again and again.

    Attributes:
        own: the places of the test's own interactions.
        match: how they are found.
    """

    def __init__(
        self, recorded: Sequence[Recorded], name: str | None, match: Match | None, *, again: bool = False
    ) -> None:
        parts = [None if name is None else one.part for one in recorded]
        shared = any(part is not None for part in parts)
        self.own = [place for place, part in enumerate(parts) if not shared or part == name]
        others = [place for place, part in enumerate(parts) if shared and part != name]
        own = [recorded[place] for place in self.own]
        self.match: Match = match or ("pool" if shared and not own else fitting(own))
        self._claims = [
            (Pool(own, again=True) if again and self.match == "pool" else CLAIMS[self.match](own), self.own),
            (Pool([recorded[place] for place in others]), others),
        ]

    def claim(self, request: HttpRequest) -> int | None:
        """Claim an interaction of this test, or else of another one, and return its place; None if none fits."""
        for claims, places in self._claims:
            found = claims.claim(request)
            if found is not None:
                return places[found]
        return None

    def take(self, place: int) -> None:
        """Hand an interaction out that does not fit."""
        for claims, places in self._claims:
            if place in places:
                claims.take(places.index(place))


def fitting(recorded: Sequence[Recorded]) -> Match:
    """Return ``pool`` if some requests ran at the same time when they were recorded, else ``cursor``.

    Raises:
        InvalidCassette: if the recorded times cannot be read.
    """
    timelines = [one.timeline for one in recorded]
    spans = sorted([(one.started, one.started + one.ended) for one in timelines if one is not None])
    overlap = any(following[0] < one[1] for one, following in pairwise(spans))
    return "pool" if overlap else "cursor"
