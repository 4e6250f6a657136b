"""Read the cassettes of Go's go-vcr: versions 1 to 4 of the package, which are versions 1 and 2 of its format."""

from __future__ import annotations

from typing import Final, TypedDict

from ...cassettes.files.vcr import Imported
from ...values.provider_json import Json, JsonObject
from .exchanges import Answered, Asked, Exchanges
from .source import Places, Source

__all__ = ["read", "recognizes"]

_VERSIONS: Final = (1, 2)

#: What version 2 of the format says again of what is in the headers, the URL or the body.
_AGAIN: Final = frozenset(
    {
        "content_length",
        "form",
        "host",
        "id",
        "proto",
        "proto_major",
        "proto_minor",
        "remote_addr",
        "request_uri",
        "status",
        "transfer_encoding",
        "uncompressed",
    }
)


class _Message(TypedDict):
    headers: dict[str, str]
    body: bytes


def recognizes(source: Source) -> bool:
    """Whether a file is a cassette of go-vcr: each answer of its has a ``code`` beside a ``status`` in words.

    Without an answer, the version 2 tells it from a cassette of VCR.py.
    """
    document = source.shape
    items = document.get("interactions") if isinstance(document, dict) else None
    if isinstance(document, dict) and items == []:
        return document.get("version") == max(_VERSIONS)
    first = items[0] if isinstance(items, list) and items else None
    response = first.get("response") if isinstance(first, dict) else None
    return isinstance(response, dict) and "code" in response and isinstance(response.get("status"), str)


def read(source: Source) -> Imported:
    """Read a cassette of go-vcr.

    Raises:
        InvalidCassette: if it is damaged or another format.
        MissingExtra: without PyYAML.
    """
    places = Places(source.path, "cassette of go-vcr")
    document = places.fields(source.document, "$")
    if document.get("version") not in _VERSIONS:
        places.refuse("$.version", "the number 1 or 2", document.get("version"))
    found = Exchanges(places)
    for number, item in enumerate(places.items(document.get("interactions"), "$.interactions")):
        where = f"$.interactions[{number}]"
        fields = places.fields(item, where)
        asked = dict(places.fields(fields.get("request"), f"{where}.request"))
        answered = dict(places.fields(fields.get("response"), f"{where}.response"))
        found.leave("of interactions", fields.keys() - {"request", "response", *_AGAIN})
        request = Asked(
            places.text(asked.pop("method", None), f"{where}.request.method"),
            places.text(asked.pop("url", None), f"{where}.request.url"),
            **_message(asked, f"{where}.request", places),
        )
        code = places.number(answered.pop("code", None), f"{where}.response.code")
        found.exchange(request, Answered(code, **_message(answered, f"{where}.response", places)), where)
        for what, rest in (("of requests", asked), ("of responses", answered)):
            found.leave(what, {name for name in rest.keys() - _AGAIN if rest[name]})
    return found.imported(may_be_empty=True)


def _message(fields: JsonObject, where: str, places: Places) -> _Message:
    """Take headers and body out of a request or an answer."""
    body: Json = fields.pop("body", None)
    named = places.fields(fields.pop("headers", None), f"{where}.headers", optional=True)
    headers = {
        name.lower(): ", ".join(
            [places.text(one, f"{where}.headers") for one in places.items(values, f"{where}.headers")]
        )
        for name, values in named.items()
    }
    return {"headers": headers, "body": b"" if body is None else places.data(body, f"{where}.body")}
