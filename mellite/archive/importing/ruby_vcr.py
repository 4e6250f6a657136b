"""Read the cassettes of Ruby's VCR, in YAML or JSON."""

from __future__ import annotations

import codecs
from typing import Final, TypedDict

from ...cassettes.files.vcr import Imported
from ...values.provider_json import JsonObject
from .exchanges import Answered, Asked, Exchanges
from .source import Places, Source

__all__ = ["read", "recognizes"]

_KNOWN: Final = frozenset({"recorded_at", "request", "response"})


class _Message(TypedDict):
    headers: dict[str, str]
    body: bytes


def recognizes(source: Source) -> bool:
    """Whether a file is a cassette of Ruby's VCR."""
    document = source.shape
    return isinstance(document, dict) and "http_interactions" in document


def read(source: Source) -> Imported:
    """Read a cassette of Ruby's VCR.

    Raises:
        InvalidCassette: if it is damaged or another format, or has Ruby's own objects in it, as VCR 1 wrote them.
        MissingExtra: without PyYAML.
    """
    places = Places(source.path, "cassette of Ruby's VCR")
    document = places.fields(source.document, "$")
    found = Exchanges(places)
    found.leave("of the file", document.keys() - {"http_interactions", "recorded_with"})
    for number, item in enumerate(places.items(document.get("http_interactions"), "$.http_interactions")):
        where = f"$.http_interactions[{number}]"
        fields = places.fields(item, where)
        asked = places.fields(fields.get("request"), f"{where}.request")
        answered = places.fields(fields.get("response"), f"{where}.response")
        status = places.fields(answered.get("status"), f"{where}.response.status")
        found.leave("of interactions", fields.keys() - _KNOWN | fields.keys() & {"recorded_at"})
        request = Asked(
            places.text(asked.get("method"), f"{where}.request.method"),
            places.text(asked.get("uri"), f"{where}.request.uri"),
            **_message(asked, f"{where}.request", places),
        )
        code = places.number(status.get("code"), f"{where}.response.status.code")
        found.exchange(request, Answered(code, **_message(answered, f"{where}.response", places)), where)
        found.leave("of requests", asked.keys() - {"method", "uri", "headers", "body"})
        rest = answered.keys() - {"status", "headers", "body"}
        found.leave("of responses", {name for name in rest if answered[name] is not None})
    return found.imported(may_be_empty=True)


def _message(fields: JsonObject, where: str, places: Places) -> _Message:
    named = places.fields(fields.get("headers"), f"{where}.headers", optional=True)
    headers: dict[str, str] = {}
    for name, value in named.items():
        values = value if isinstance(value, list) else [value]
        headers[name.lower()] = ", ".join([places.text(one, f"{where}.headers") for one in values])
    return {"headers": headers, "body": _body(fields.get("body"), f"{where}.body", places)}


def _body(value: object, where: str, places: Places) -> bytes:
    """Return the bytes of a body: a text and its encoding, or base64."""
    if value is None:
        return b""
    if isinstance(value, (str, bytes)):  # as VCR 2.0 wrote it
        return places.data(value, where)
    fields = places.fields(value, where)
    unknown = fields.keys() - {"encoding", "string", "base64_string"}
    if unknown:
        places.refuse(where, "the field 'string' or 'base64_string'", ", ".join(sorted(unknown)))
    if "base64_string" in fields:
        return places.base64(fields["base64_string"], f"{where}.base64_string")
    text = fields.get("string")
    if isinstance(text, bytes) or text is None:
        return text or b""
    encoding = places.text(fields.get("encoding") or "UTF-8", f"{where}.encoding")
    if encoding in ("UTF-8", "ASCII-8BIT", "US-ASCII"):
        return places.data(text, f"{where}.string")
    try:  # what is in the file is UTF-8, whatever was sent
        return places.text(text, f"{where}.string").encode(codecs.lookup(encoding).name)
    except (LookupError, UnicodeEncodeError):
        places.refuse(where, "a text in an encoding that is known", encoding)
