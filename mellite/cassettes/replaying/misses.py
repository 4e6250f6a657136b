"""Say why a request has no recorded answer: which one is nearest, in what it differs, which are used already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from ...values.errors import CassetteMismatch, CassetteMiss
from ...values.secrets.names import environment_secrets
from ...values.secrets.shapes import masked
from ...wire.http import HttpRequest
from ..interactions import Cassette
from ..secrets.redaction import Redaction
from .claims import Match, Recorded
from .matching import explained

__all__ = ["Refusal"]

#: How many interactions are compared at most to find the nearest.
_COMPARED: Final = 500

_OTHERWISE: Final = "match='pool' says that the order does not count, as where calls run at the same time"


@frozen(kw_only=True)
class Refusal:
    """The facts about a request without an answer. Interactions are numbered from 0 on, as everywhere.

    Args:
        cassette: the cassette that was asked.
        recorded: the interactions that could have answered.
        used: for each, not 0 if it was handed out already.
        redaction: what is not shown.
        match: how answers are found.
        turn: the place of the interaction whose turn it is, for ``cursor``.
        part: the test whose interactions these are, if it shares the cassette with other tests.
    """

    cassette: Cassette
    recorded: Sequence[Recorded]
    used: Sequence[int]
    redaction: Redaction
    match: Match
    turn: int
    part: str | None = None

    def error(self, request: HttpRequest) -> CassetteMiss | CassetteMismatch:
        """Return the error to raise for a request."""
        if self.match != "cursor":
            return self._nothing_fits(request)
        if self.turn < len(self.recorded):
            return self._another(request)
        total = len(self.recorded)
        used = f"all {total} interactions were used" if total > 1 else "its only interaction was used"
        used = used if total else "it holds no interactions"
        msg = f"{self._name}: {used}, and this request is one more: {self._shown(request)}{self._nearest(request)}"
        return CassetteMiss(msg, path=self.cassette.path)

    def _another(self, request: HttpRequest) -> CassetteMismatch:
        found = self.recorded[self.turn].differences(request, environment_secrets(os.environ))
        msg = (
            f"{self._name}: request {self.recorded[self.turn].number} is not the one that was recorded:\n"
            f"{explained(found)}{self._nearest(request, self.turn)}"
        )
        return CassetteMismatch(msg, path=self.cassette.path)

    def _nothing_fits(self, request: HttpRequest) -> CassetteMiss:
        total = len(self.recorded)
        same = [place for place, one in enumerate(self.recorded[:_COMPARED]) if not one.differences(request)]
        if not same:
            why = f"none of its {total} interaction{'' if total == 1 else 's'} fits {self._shown(request)}"
            return CassetteMiss(f"{self._name}: {why}{self._nearest(request)}", path=self.cassette.path)
        used = sum(1 for place in same if self.used[place])
        times = "once" if len(same) == 1 else f"{len(same)} times"
        why = f"{self._shown(request)} was recorded {times}, and {'all' if used == len(same) else used} of it used"
        if self.match == "keyed":
            lineages = sorted({self.recorded[place].lineage or () for place in same})
            copies = ", ".join([str(list(lineage)) for lineage in lineages[:8]])
            more = ", ..." if len(lineages) > 8 else ""
            asks = list(request.context.get("lineage") or ())
            why = f"{why}: it was asked by the copies {copies}{more}, and now by the copy {asks}"
        msg = f"{self._name}: {why}; record what is missing with the mode 'new_episodes'"
        return CassetteMiss(msg, path=self.cassette.path)

    def _nearest(self, request: HttpRequest, turn: int | None = None) -> str:
        """Return a line about the interaction that fits best, unless that is the one whose turn it is."""
        compared = [(len(one.differences(request)), place) for place, one in enumerate(self.recorded[:_COMPARED])]
        if not compared:
            return ""
        fewest, place = min(compared, key=lambda entry: (entry[0], abs(entry[1] - (turn or 0))))
        state = ", which was used already" if self.used[place] else ""
        number = self.recorded[place].number
        if not fewest:
            return (
                f"\nit is the request of interaction {number}{state}: requests must come in the recorded order, "
                f"unless {_OTHERWISE}"
            )
        if place == turn:
            return ""
        found = self.recorded[place].differences(request, environment_secrets(os.environ))
        return f"\nthe nearest is interaction {number}{state}, {self.recorded[place]}:\n{explained(found)}"

    @property
    def _name(self) -> str:
        of = "" if self.part is None else f" (the part of {self.part!r})"
        return f"cassette {self.cassette.name!r}{of}"

    def _shown(self, request: HttpRequest) -> str:
        return f"{request.method} {masked(self.redaction.url(request.url), environment_secrets(os.environ))}"
