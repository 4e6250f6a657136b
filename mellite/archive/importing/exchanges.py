"""Collect HTTP requests and answers that another tool has recorded, and what of them is left out."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Final

from attrs import define, field, frozen

from ...cassettes.bodies import Body
from ...cassettes.files.disk import MAX_BYTES
from ...cassettes.files.inflating import FRAMING, inflated
from ...cassettes.files.vcr import ANSWER_HEADERS, Imported
from ...cassettes.interactions import Cassette, HttpInteraction, Interaction, RecordedRequest, RecordedResponse
from ...cassettes.secrets.redaction import Redaction
from ...values.errors import InvalidCassette
from .source import Places

__all__ = ["Answered", "Asked", "Exchanges"]

_REDACTION: Final = Redaction()

#: How many places of one kind are named in a sentence.
_NAMED: Final = 5


@frozen
class Asked:
    """A request as another tool stored it: headers by lower-case name, and the body, which may be compressed."""

    method: str
    url: str
    headers: Mapping[str, str] = field(kw_only=True)
    body: bytes = field(kw_only=True)


@frozen
class Answered:
    """An answer as another tool stored it: likewise."""

    status: int
    headers: Mapping[str, str] = field(kw_only=True)
    body: bytes = field(kw_only=True)


@define
class Exchanges:
    """The interactions of one file, made one by one, and what was left out of them.

    Args:
        places: names the file in errors.
        limit: the most bytes of all bodies together.
    """

    places: Places
    limit: int = MAX_BYTES
    interactions: list[Interaction] = field(factory=list, init=False)
    _left: dict[str, set[str]] = field(factory=dict, init=False)
    _skipped: dict[str, list[str]] = field(factory=dict, init=False)
    _said: dict[str, None] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    def add(self, interaction: Interaction, size: int = 0) -> None:
        """Add an interaction, whose bodies have so many bytes.

        Raises:
            InvalidCassette: if all bodies together are too large.
        """
        self._size += size
        if self._size > self.limit:
            msg = f"the bodies in {self.places.path!r} come to more than {self.limit:,} bytes, which are not read"
            raise InvalidCassette(msg, path=self.places.path)
        self.interactions.append(interaction)

    def exchange(self, asked: Asked, answered: Answered, where: str) -> None:
        """Add a request and its answer; compressed bodies are decompressed.

        Raises:
            InvalidCassette: if a body is damaged, or the status is none.
        """
        if not 100 <= answered.status <= 999:
            self.places.refuse(f"{where}.response", "an HTTP status", answered.status)
        headers, body = self._plain(asked.headers, asked.body, f"{where}.request")
        size = len(body)
        kept = self._kept("request headers", headers, _REDACTION.request_headers)
        request = RecordedRequest(asked.method.upper(), asked.url, headers=kept, body=Body.of(body))
        headers, body = self._plain(answered.headers, answered.body, f"{where}.response")
        kept = self._kept("response headers", headers, _REDACTION.response_headers | ANSWER_HEADERS)
        stored = Body.of(body)
        if "content-encoding" in headers:  # the package that could decompress it is not installed
            kept["content-encoding"] = headers["content-encoding"]
            stored = Body(base64.b64encode(body).decode(), encoding="base64")
        response = RecordedResponse(answered.status, headers=kept, body=stored)
        self.add(HttpInteraction(request, response), size + len(body))

    def _plain(self, headers: Mapping[str, str], body: bytes, where: str) -> tuple[dict[str, str], bytes]:
        known = dict(headers)
        whole = inflated(body, known, f"{where}.body", self.places.refuse)
        return known, whole

    def _kept(self, what: str, headers: Mapping[str, str], wanted: Collection[str]) -> dict[str, str]:
        kept = {name: value for name, value in sorted(headers.items()) if name in wanted}
        self.leave(what, headers.keys() - kept.keys() - FRAMING)
        return kept

    def leave(self, what: str, names: Collection[str]) -> None:
        """Note names of fields or headers that are left out."""
        if names:
            self._left.setdefault(what, set()).update(names)

    def skip(self, where: str, why: str) -> None:
        """Note something that is left out as a whole, and why."""
        self._skipped.setdefault(why, []).append(where)

    def say(self, sentence: str) -> None:
        """Note something about all calls, once."""
        self._said[sentence] = None

    def imported(self, *, may_be_empty: bool = False) -> Imported:
        """Return the cassette, and what is not in it.

        Args:
            may_be_empty: whether a file without calls is a recording of nothing, as of a test that asked nothing.

        Raises:
            InvalidCassette: if nothing could be made of the file.
        """
        skipped = [_sentence(why, places) for why, places in self._skipped.items()]
        if not self.interactions and not may_be_empty:
            reasons = "; ".join(skipped) or "it has none"
            msg = f"there is no call in {self.places.path!r} that could be replayed: {reasons}"
            raise InvalidCassette(msg, path=self.places.path)
        dropped = [*skipped, *self._said]
        dropped += [f"{what}: {', '.join(sorted(names))}" for what, names in self._left.items()]
        return Imported(Cassette(tuple(self.interactions), path=self.places.path), tuple(dropped))


def _sentence(why: str, places: list[str]) -> str:
    named = ", ".join(places[:_NAMED])
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"{named}{more}: {why}"
