"""Take secrets out of cassettes that were recorded with them: by the name of a field or header, and by look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from attrs import define, evolve, field, frozen

from ..values.errors import InvalidCassette
from ..values.provider_json import Json, JsonObject
from ..values.secrets.names import sounds_secret
from ..values.secrets.shapes import masked
from .bodies import Body
from .interactions import (
    Cassette,
    HttpInteraction,
    Interaction,
    RecordedRequest,
    RecordedResponse,
    WebSocketEvent,
    WebSocketInteraction,
)
from .secrets.bodies import redacted_body, resized
from .secrets.redaction import REDACTED, Redaction
from .secrets.scan import Finding, SecretScan
from .timeline import Timeline, packed

__all__ = ["Scrubbed", "scrub_cassette", "scrub_text", "scrub_value"]


@frozen
class Scrubbed:
    """A cassette without secrets, as far as that can be done.

    Args:
        cassette: the clean cassette.
        changed: the JSON paths of what was taken out.
        remaining: what still looks like a secret, but cannot be taken out without breaking what is around it.
    """

    cassette: Cassette
    changed: tuple[str, ...] = ()
    remaining: tuple[Finding, ...] = field(default=(), kw_only=True)


def scrub_cassette(
    cassette: Cassette, *, redaction: Redaction | None = None, scan: SecretScan | None = None
) -> Scrubbed:
    """Take the secrets out of a cassette. Idempotent.

    Headers whose names sound secret keep their names only. URLs and JSON fields lose what a recording would have left
    out. Whatever looks like a key, in any text, is replaced. The recorded sizes of pieces are adapted.

    Args:
        cassette: what to look at; it is not changed.
        redaction: what is taken out by its name.
        scan: what else counts as a secret.

    Raises:
        InvalidCassette: if a body is damaged.

    Example:
        >>> url = "https://example.com/?key=abc"
        >>> one = HttpInteraction(RecordedRequest("GET", url), RecordedResponse(200))
        >>> scrub_cassette(Cassette((one,))).changed
        ('$.interactions[0].request.url',)
    """
    scrubber = _Scrubber(redaction or Redaction(), scan or SecretScan())
    return scrubber.cassette(cassette)


def scrub_text(text: str, scan: SecretScan) -> str:
    """Replace everything in a text that looks like a key.

    Example:
        >>> scrub_text("Use sk-abcdefghijklmnopqrstuvwxyz.", SecretScan({}))
        'Use [REDACTED].'
    """
    return masked(text, scan.known, allowed=scan.allowed)


def scrub_value(value: Json, scan: SecretScan, redaction: Redaction | None = None) -> Json:
    """Return a copy of a JSON-ready value to be shown: secrets are taken out by the names of fields and by look.

    Example:
        >>> scrub_value({"password": "hunter2", "text": ["sk-abcdefghijklmnopqrstuvwxyz"]}, SecretScan({}))
        {'password': '[REDACTED]', 'text': ['[REDACTED]']}
    """
    redaction = redaction or Redaction()
    if isinstance(value, str):
        return scrub_text(redaction.text(value), scan)
    if isinstance(value, (list, tuple)):
        return [scrub_value(item, scan, redaction) for item in value]
    if not isinstance(value, dict):
        return value
    fields = cast("JsonObject", value)
    return {
        name: REDACTED if redaction.secret_field(name) and item is not None else scrub_value(item, scan, redaction)
        for name, item in fields.items()
    }


@define
class _Scrubber:
    redaction: Redaction
    scan: SecretScan
    changed: list[str] = field(factory=list)

    def cassette(self, cassette: Cassette) -> Scrubbed:
        metadata = None if cassette.metadata is None else self.json(cassette.metadata, "$.metadata")
        interactions = [
            self.interaction(one, f"$.interactions[{number}]") for number, one in enumerate(cassette.interactions)
        ]
        clean = evolve(
            cassette, metadata=metadata, interactions=tuple(interactions), extra=self.json(cassette.extra, "$")
        )
        return Scrubbed(clean, tuple(self.changed), remaining=self.scan.cassette(clean))

    def interaction(self, one: Interaction, where: str) -> Interaction:
        if isinstance(one, WebSocketInteraction):
            return self.websocket(one, where)
        response, extra = self.response(one, f"{where}.response")
        return evolve(
            one,
            request=self.request(one.request, f"{where}.request"),
            response=response,
            extra=self.json(extra, where),
        )

    def request(self, request: RecordedRequest, where: str) -> RecordedRequest:
        return evolve(
            request,
            url=self.url(request.url, f"{where}.url"),
            headers=self.headers(request.headers, f"{where}.headers"),
            body=self.body(request.body, f"{where}.body"),
            extra=self.json(request.extra, where),
        )

    def response(self, one: HttpInteraction, where: str) -> tuple[RecordedResponse, Mapping[str, Json]]:
        """Return the clean response, and the interaction's further keys with the sizes of the pieces adapted to it."""
        response = one.response
        body = self.body(response.body, f"{where}.body")
        timeline = Timeline.of(one.extra) if body is not response.body else None
        extra = one.extra
        if timeline is not None:
            pieces = timeline.pieces()
            sizes = resized(response.body.data, body.data, [size for size, _ in pieces])
            chunks = packed(zip(sizes, [at for _, at in pieces], strict=True), timeline.opened or 0)
            extra = {**extra, **evolve(timeline, chunks=chunks).to_extra()}
        headers = self.headers(response.headers, f"{where}.headers")
        return evolve(response, headers=headers, body=body, extra=self.json(response.extra, where)), extra

    def websocket(self, one: WebSocketInteraction, where: str) -> WebSocketInteraction:
        opened, connection = one.open, one.connection
        if opened is not None:
            headers = self.headers(opened.headers, f"{where}.open.headers")
            opened = evolve(opened, url=self.url(opened.url, f"{where}.open.url"), headers=headers)
        if connection is not None and connection.url is not None:
            connection = evolve(connection, url=self.url(connection.url, f"{where}.connection.url"))
        events = [self.event(event, f"{where}.events[{number}]") for number, event in enumerate(one.events)]
        return evolve(one, open=opened, connection=connection, events=tuple(events), extra=self.json(one.extra, where))

    def event(self, event: WebSocketEvent, where: str) -> WebSocketEvent:
        return evolve(event, body=self.body(event.body, f"{where}.body"))

    def url(self, url: str, where: str) -> str:
        return self.noted(url, scrub_text(self.redaction.url(url), self.scan), where)

    def headers(self, headers: Mapping[str, str], where: str) -> Mapping[str, str]:
        clean = {}
        for name, value in headers.items():
            secret = self.redaction.secret_header(name) or sounds_secret(name)
            cleaned = REDACTED if secret else scrub_text(value, self.scan)
            clean[name] = self.noted(value, cleaned, f"{where}.{name}")
        return clean or headers

    def body(self, body: Body, where: str) -> Body:
        """Return the clean body; the same object if there is nothing to take out, so that its form is kept."""
        if body.encoding == "base64":
            return body  # bytes may have lengths and checksums inside, so secrets in them are reported as remaining
        data = body.data
        clean = scrub_text(redacted_body(data, self.redaction).decode("utf-8", "surrogateescape"), self.scan)
        after = clean.encode("utf-8", "surrogateescape")
        if after == data:
            return body
        self.changed.append(where)
        return evolve(body, stored=clean, offset=None)

    def json(self, value: Mapping[str, Json], where: str) -> Mapping[str, Json]:
        """Return clean JSON; the same object if there is nothing to take out."""
        if not value:
            return value
        try:
            before = msgspec.json.encode(value)
            clean = scrub_text(
                msgspec.json.encode(self.redaction.json(msgspec.json.decode(before))).decode(), self.scan
            )
            if clean.encode() == before:
                return value
            self.changed.append(where)
            return cast("JsonObject", msgspec.json.decode(clean))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            msg = f"what stands at {where} of the cassette is not JSON: {error}"
            raise InvalidCassette(msg) from error

    def noted(self, before: str, after: str, where: str) -> str:
        """Return a cleaned text, and note its path if it has changed."""
        if before != after:
            self.changed.append(where)
        return after
