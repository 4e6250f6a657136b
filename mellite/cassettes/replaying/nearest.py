"""Replay a cassette whose requests have changed: what is not recorded gets the answer of the call that is nearest."""

from __future__ import annotations

import os
from typing import Any, Final, Literal, TypeAlias

import anyio
import anyio.to_thread
from attrs import define, evolve, field

from ... import loops
from ...values.secrets.names import environment_secrets
from ...wire.http import HttpRequest, HttpResponse
from ..interactions import HttpInteraction, Interaction
from .answer import RecordedAnswer
from .matching import Difference
from .transport import ReplayTransport

__all__ = ["Kind", "NearestTransport", "Substitute"]

#: ``changed``: the request differs from a recorded one. ``moved``: it is one, but not the one whose turn it is.
#: ``added``: all that were recorded are used, and this is one more.
Kind: TypeAlias = Literal["changed", "moved", "added"]

#: How many interactions are compared at most to find the nearest.
_COMPARED: Final = 500

#: From so many interactions on, a thread looks for the nearest one, so that the event loop goes on meanwhile.
_MANY: Final = 32

#: What it weighs that a request goes to another place: such an answer is seldom of any use.
_OTHER_PLACE: Final = 5


@define(eq=False, kw_only=True)
class Substitute:
    """A request that is not recorded, and the recorded call that is nearest to it.

    Args:
        request: the request.
        kind: why nothing answers it.
        number: the place of the nearest interaction in the cassette, from 0 on.
        interaction: that interaction.
        differences: in what the request differs from it.
        place: where it is among those that are replayed.
    """

    request: HttpRequest = field(repr=False)
    kind: Kind
    number: int
    interaction: HttpInteraction = field(repr=False)
    differences: tuple[Difference, ...]
    place: int


class NearestTransport(ReplayTransport):
    """A `ReplayTransport` that can say for a request that nothing fits which recorded call is nearest to it.

    A recorded call that was given for a request that differs is given back to the one that it was recorded for, if that
    comes later: then the first was one more.

    Attributes:
        history: in the order in which requests came, the places of the interactions that fit, and what had to be found
            for those that nothing fits.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.history: list[int | Substitute] = []
        self._lent: dict[int, Substitute] = {}

    @property
    def substitutes(self) -> tuple[Substitute, ...]:
        """The requests that nothing fits, in their order."""
        self.settle()
        return tuple([one for one in self.history if isinstance(one, Substitute)])

    def settle(self) -> None:
        """Pair requests that were extra when they came with calls that have not been asked for since."""
        secrets = environment_secrets(os.environ)
        with self._lock:
            for one in [each for each in self.history if isinstance(each, Substitute) and each.kind == "added"]:
                free = [place for place in self._claims.own[:_COMPARED] if not self._used[place]]
                if not free:
                    return
                found = {place: self._recorded[place].differences(one.request, secrets) for place in free}
                place = min(free, key=lambda each: _weight(found[each]))
                recorded = self._recorded[place]
                one.kind, one.place, one.differences = "changed", place, tuple(found[place])
                one.number, one.interaction = recorded.number, recorded.interaction
                self._used[place] = 1
                self._count += 1

    @property
    def own(self) -> tuple[int, ...]:
        """The places of the interactions of this test."""
        return tuple(self._claims.own)

    def interaction(self, place: int) -> HttpInteraction:
        """Return the interaction at a place."""
        return self._recorded[place].interaction

    def is_of(self, substitute: Substitute, made: Interaction) -> bool:
        """Whether a recording is that of a request that nothing fitted."""
        if not isinstance(made, HttpInteraction):
            return False
        one = self._recorded[substitute.place]
        return evolve(one, interaction=made).fits(substitute.request)

    def _claimed(self, request: HttpRequest) -> int | None:
        index = super()._claimed(request)
        if index is not None:
            self.history.append(index)
        return index

    def _nearest(self, request: HttpRequest) -> int | Substitute | None:
        """Claim what is nearest to a request that nothing fits; None if nothing is recorded.

        Returns:
            A place if the request is what was recorded there, and another one had been given its answer.
        """
        asked = self._placed(request)[0]
        own = (self._claims.own or list(range(len(self._recorded))))[:_COMPARED]
        secrets = environment_secrets(os.environ)
        found = {place: self._recorded[place].differences(asked, secrets) for place in own}
        with self._lock:
            lent = next((place for place in own if place in self._lent and not found[place]), None)
            if lent is not None:
                self._lent.pop(lent).kind = "added"
                self.history.append(lent)
                return lent
            if not own:
                return None
            turn = next((one + 1 for one in map(_place, reversed(self.history)) if one in found), own[0])
            place = min(own, key=lambda one: (self._used[one], _weight(found[one]), abs(one - turn)))
            substitute = Substitute(
                request=asked,
                kind="added" if self._used[place] else "changed",
                number=self._recorded[place].number,
                interaction=self._recorded[place].interaction,
                differences=tuple(found[place]),
                place=place,
            )
            self._claim(substitute)
        return substitute

    def _claim(self, substitute: Substitute) -> None:
        """Take what a request is given from the others, under the lock."""
        place = substitute.place
        if substitute.kind == "changed":
            if self.match == "cursor" and not substitute.differences:
                substitute.kind = "moved"
            else:
                self._lent[place] = substitute
            self._claims.take(place)
            self._used[place] = 1
            self._count += 1
        self.history.append(substitute)

    async def nearest(self, request: HttpRequest) -> int | Substitute | None:
        """Return what `_nearest` does without blocking the event loop."""
        if len(self._recorded) < _MANY:
            return self._nearest(request)
        return await anyio.to_thread.run_sync(self._nearest, request, limiter=anyio.CapacityLimiter(1))

    def nearest_blocking(self, request: HttpRequest) -> int | Substitute | None:
        """Return what `nearest` does in code without await."""
        return self._nearest(request)

    async def answer_at(self, place: int, request: HttpRequest, timeout: float | None) -> HttpResponse:
        """Give the answer that is recorded at a place."""
        return self._at_once(place, request) or await self._in_time(place, request, timeout)

    def answer_at_blocking(self, place: int, request: HttpRequest, timeout: float | None) -> RecordedAnswer:
        """Give the answer that is recorded at a place, in code without await."""
        return self._at_once(place, request) or loops.run_blocking(self._in_time, place, request, timeout)


def _place(one: int | Substitute) -> int:
    return one.place if isinstance(one, Substitute) else one


def _weight(found: list[Difference]) -> int:
    return sum([_OTHER_PLACE if each.section in ("method", "url") else 1 for each in found])
