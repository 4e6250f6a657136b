"""Turn cassettes and interactions into the JSON of their files. What was read is written unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from ...values.errors import InvalidCassette
from ..bodies import Body
from ..interactions import (
    Cassette,
    HttpInteraction,
    Interaction,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
)
from ..timeline import KEY

__all__ = [
    "NOT_JSON",
    "checked_document",
    "encode_cassette",
    "encode_interaction",
    "encode_metadata",
    "no_json",
    "pretty",
]

#: What mellite adds to an interaction, which is shallow.
_OWN = frozenset({KEY})

#: What encoding raises for something that is not JSON in UTF-8.
NOT_JSON = (TypeError, ValueError, OverflowError, RecursionError)

#: The version of the format that is written.
_VERSION = 1


def encode_cassette(cassette: Cassette) -> bytes:
    r"""Encode a cassette as its file: JSON, indented by two, with a newline at the end.

    Raises:
        InvalidCassette: if something in it is not JSON in UTF-8.

    Example:
        >>> encode_cassette(Cassette())
        b'{\n  "version": 1,\n  "interactions": []\n}\n'
    """
    document: dict[str, Any] = {"version": _VERSION}
    if cassette.metadata is not None:
        document["metadata"] = dict(cassette.metadata)
    document["interactions"] = [_interaction(one) for one in cassette.interactions]
    return pretty(_encode({**document, **cassette.extra}))


def encode_interaction(interaction: Interaction) -> bytes:
    """Encode an interaction as one line of JSON, after making sure that it can be read again.

    Raises:
        InvalidCassette: if something in it is not JSON in UTF-8, or not what the format wants there.
    """
    return _encode(checked_document(interaction))


def checked_document(interaction: Interaction) -> dict[str, Any]:
    """Return an interaction as msgspec encodes it, after making sure that it can be read again.

    Raises:
        InvalidCassette: as `encode_interaction` does, but for bodies that are a str.
    """
    document = _interaction(interaction)
    try:
        if isinstance(interaction, WebSocketInteraction):
            msgspec.json.decode(_encode(document), type=_WebSocket)
        elif not _is_plain(interaction):  # a body that is a str need not be read again: it takes as long as all else
            msgspec.json.decode(_encode(_without_texts(document)), type=_Http)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"this cannot be stored in a cassette, since it could not be read again: {error}"
        raise InvalidCassette(msg) from error
    return document


def _is_plain(one: HttpInteraction) -> bool:
    """Whether an interaction is as the format wants it, by the types of what it has, so that it can be read again."""
    request, response = one.request, one.response
    texts = [
        request.method,
        request.url,
        request.body.stored,
        response.body.stored,
        *request.headers,
        *request.headers.values(),
        *response.headers,
        *response.headers.values(),
    ]
    return (
        {*map(type, texts)} == {str}
        and type(response.status) is int
        and 100 <= response.status <= 999
        and not (request.extra or response.extra)
        and one.extra.keys() <= _OWN
        and one.transport == "http"
    )


def _without_texts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an interaction without the bodies that are a str: what was encoded as a JSON string is one."""
    bare = dict(document)
    for name in ("request", "response"):
        side = bare[name]
        if isinstance(side, dict) and isinstance(side.get("body"), str):
            bare[name] = {**side, "body": ""}
    return bare


class _Side(msgspec.Struct, kw_only=True):
    body: str
    headers: dict[str, str] = {}
    bodyEncoding: Literal["text", "base64"] = "text"  # noqa: N815


class _Request(_Side, kw_only=True):
    method: str
    url: str


class _Response(_Side, kw_only=True):
    status: Annotated[int, msgspec.Meta(ge=100, le=999)]


class _Http(msgspec.Struct):
    request: _Request
    response: _Response
    transport: Literal["http"] = "http"


class _Event(msgspec.Struct):
    direction: Literal["client", "server"]
    kind: Literal["text", "binary"]
    body: str
    bodyEncoding: Literal["text", "base64"] = "text"  # noqa: N815


class _Open(msgspec.Struct):
    url: str
    headers: dict[str, str]


class _Close(msgspec.Struct):
    code: int | None = None
    reason: str | None = None


class _Connection(msgspec.Struct):
    sequence: int | None = None
    url: str | None = None
    protocols: list[str] = []
    close: _Close | None = None


class _WebSocket(msgspec.Struct):
    events: list[_Event]
    transport: Literal["websocket"]
    open: _Open | None = None
    connection: _Connection | None = None


def encode_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Encode metadata as one line of JSON.

    Raises:
        InvalidCassette: if something in them is not JSON in UTF-8.
    """
    return _encode(dict(metadata))


def pretty(data: bytes) -> bytes:
    """Lay JSON out as in a cassette file. Texts and numbers stay as they are written."""
    return msgspec.json.format(data, indent=2) + b"\n"


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except NOT_JSON as error:
        raise no_json(error) from error


def no_json(error: Exception) -> InvalidCassette:
    """Return the error for what cannot be encoded."""
    return InvalidCassette(f"this cannot be stored in a cassette: {error}")


def _interaction(one: Interaction) -> dict[str, Any]:
    if isinstance(one, WebSocketInteraction):
        return _websocket(one)
    request, response = one.request, one.response
    document: dict[str, Any] = {} if one.transport is None else {"transport": one.transport}
    asked = document["request"] = {"method": request.method, "url": request.url, "headers": dict(request.headers)}
    _add_body(asked, request.body)
    asked.update(request.extra)
    answered = document["response"] = {"status": response.status, "headers": dict(response.headers)}
    _add_body(answered, response.body)
    answered.update(response.extra)
    document.update(one.extra)
    return document


def _websocket(one: WebSocketInteraction) -> dict[str, Any]:
    return {
        "transport": "websocket",
        **_given(
            open=None if one.open is None else _opened(one.open),
            connection=None if one.connection is None else _connection(one.connection),
        ),
        "events": [_event(event) for event in one.events],
        **one.extra,
    }


def _opened(opened: WebSocketOpen) -> dict[str, Any]:
    return {"url": opened.url, "headers": dict(opened.headers), **opened.extra}


def _connection(connection: WebSocketConnection) -> dict[str, Any]:
    return {
        **_given(sequence=connection.sequence, url=connection.url),
        "protocols": list(connection.protocols),
        **_given(close=None if connection.close is None else _close(connection.close)),
        **connection.extra,
    }


def _close(close: WebSocketClose) -> dict[str, Any]:
    return {**_given(code=close.code, reason=close.reason), **close.extra}


def _event(event: WebSocketEvent) -> dict[str, Any]:
    frame: dict[str, Any] = {"direction": event.direction, "kind": event.kind}
    _add_body(frame, event.body)
    return {**frame, **event.extra}


def _add_body(side: dict[str, Any], body: Body) -> None:
    # A body that was read and not changed is written as its token from the file, without being decoded.
    side["body"] = body.stored if isinstance(body.stored, str) else msgspec.Raw(body.stored)
    if body.encoding is not None:
        side["bodyEncoding"] = body.encoding


def _given(**values: object) -> Mapping[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
