"""Whether a request is a recorded one, without comparing again what is the same in every request of a backend."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from ...wire.http import HttpRequest
from ..interactions import RecordedRequest
from ..secrets.redaction import Redaction
from .canonical import canonical_body, compared_headers, compared_url, same_json

__all__ = ["Comparison", "Key"]

#: What two requests have in common that differ in nothing but their headers: method and URL, and a hash of the body.
Key: TypeAlias = tuple[str, bytes]

_Pair: TypeAlias = tuple[Mapping[str, str], Mapping[str, str]]

_SIZE: Final = 20


class Comparison:
    """Compares requests with recorded ones, and remembers the last target and headers, which seldom change.

    `ReplayTransport` calls it under its lock.

    Args:
        redaction: what is not compared.
        lenient: whether what differs between equal runs of other people's clients is not compared, either.
    """

    __slots__ = ("_bodies", "_headers", "_redaction", "_same_headers", "_same_target", "_target", "_targets", "lenient")

    def __init__(self, redaction: Redaction, *, lenient: bool = False) -> None:
        self._redaction = redaction
        self.lenient = lenient
        self._headers: _Pair = {}, {}
        self._same_headers = True
        self._targets = "", "", "", ""
        self._same_target = True
        self._target = "", "", ""
        self._bodies: dict[bytes, bytes] = {}  # by the hash of a body as it was sent, that of its canonical form

    def same(self, recorded: RecordedRequest, request: HttpRequest) -> bool | None:
        """Return whether a request is the recorded one; None if that takes a look at every field of the body."""
        targets = recorded.method, recorded.url, request.method, request.url
        if targets != self._targets:
            one, other = targets[:2], targets[2:]
            self._same_target = one == other or self._targeted(*one) == self._targeted(*other)
            self._targets = targets
        if not self._same_target or not self.same_headers(recorded, request):
            return False
        return same_json(recorded.body.data, request.body) or None

    def same_headers(self, recorded: RecordedRequest, request: HttpRequest) -> bool:
        """Return whether a request has the headers that the cassette keeps."""
        pair = recorded.headers, request.headers
        if pair != self._headers:
            one, other = [
                compared_headers(side, recorded=pair[0], redaction=self._redaction, lenient=self.lenient)
                for side in pair
            ]
            self._same_headers = one == other
            self._headers = pair
        return self._same_headers

    def key(self, method: str, url: str, body: bytes) -> Key:
        """Return the same key for all requests that are the same, apart from their headers."""
        method_, url_, target = self._target
        if method != method_ or url != url_:
            target = self._targeted(method, url)
            self._target = method, url, target
        content = self._bodies.get(_hash(body))
        return target, self._content(body) if content is None else content

    def learn(self, body: bytes) -> None:
        """Make `key` fast for this body of a recorded request, and for the same JSON as backends write it."""
        content = self._content(body)
        self._bodies[_hash(body)] = content
        try:
            self._bodies[_hash(msgspec.json.encode(msgspec.json.decode(body)))] = content
        except (ValueError, RecursionError):
            return  # not JSON, which no backend of mellite sends

    def _content(self, body: bytes) -> bytes:
        return _hash(canonical_body(body, self._redaction, lenient=self.lenient))

    def _targeted(self, method: str, url: str) -> str:
        return f"{method.upper()} {compared_url(url, self._redaction, lenient=self.lenient)}"


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_SIZE).digest()
