"""Read HAR files, which browsers and proxies export: requests and answers with their bodies, and WebSockets.

A format of many dialects: http://www.softwareishard.com/blog/har-12-spec/. Bodies are texts that were decompressed
already, or base64. Browsers keep no body of an answer that a page read as a stream, nor of a large request.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from ...cassettes.bodies import Body
from ...cassettes.files.inflating import FRAMING
from ...cassettes.files.vcr import Imported
from ...cassettes.interactions import WebSocketConnection, WebSocketEvent, WebSocketInteraction, WebSocketOpen
from ...values.provider_json import Json, JsonObject
from .exchanges import Answered, Asked, Exchanges
from .source import Places, Source

__all__ = ["read", "recognizes"]

_FORM: Final = "application/x-www-form-urlencoded"

#: What a page is made of, by the beginning of its MIME type: no API answers with that.
_PAGE: Final = (
    "image/",
    "font/",
    "text/css",
    "text/javascript",
    "application/javascript",
    "video/",
    "application/wasm",
)

#: Statuses whose answers have no body.
_EMPTY: Final = (204, 205, 304)
_SENDS_A_BODY: Final = ("POST", "PUT", "PATCH")


def recognizes(source: Source) -> bool:
    """Whether a file is a HAR file: a log with entries."""
    document = source.shape
    log = document.get("log") if isinstance(document, dict) else None
    return isinstance(log, dict) and "entries" in log


def read(source: Source) -> Imported:
    """Read a HAR file. Entries whose bodies the browser did not keep are left out, and named.

    Raises:
        InvalidCassette: if it is damaged or another format, or there is no call in it.
    """
    places = Places(source.path, "HAR file")
    log = places.fields(places.fields(source.document, "$").get("log"), "$.log")
    entries = places.items(log.get("entries"), "$.log.entries")
    found = Exchanges(places)
    for number, item in _in_order(entries, places):
        where = f"$.log.entries[{number}]"
        entry = places.fields(item, where)
        asked = places.fields(entry.get("request"), f"{where}.request")
        answered = places.fields(entry.get("response"), f"{where}.response")
        if entry.get("_webSocketMessages") is not None:
            _socket(entry, asked, where, found)
            continue
        why = _why_not(asked, answered, where, places)
        if why is not None:
            found.skip(f"entry {number}", why)
            continue
        at = f"{where}.request"
        request = Asked(
            places.text(asked.get("method"), f"{at}.method"),
            places.text(asked.get("url"), f"{at}.url"),
            headers=_typed(_headers(asked, at, places), asked),
            body=_sent(asked, at, places),
        )
        at = f"{where}.response"
        status = places.number(answered.get("status"), f"{at}.status")
        headers, body = _headers(answered, at, places), _content(answered, at, places)
        found.exchange(request, Answered(status, headers=headers, body=body), where)
    found.leave("of entries", {"cookies", "times"})
    return found.imported()


def _in_order(entries: list[Json], places: Places) -> list[tuple[int, Json]]:
    """Return the entries with their numbers, in the order in which they began, where all say when."""
    began: list[datetime] = []
    for number, entry in enumerate(entries):
        said = places.fields(entry, f"$.log.entries[{number}]").get("startedDateTime")
        try:
            began.append(datetime.fromisoformat(said if isinstance(said, str) else ""))
        except ValueError:
            return list(enumerate(entries))
    if len({one.tzinfo is None for one in began}) > 1:
        return list(enumerate(entries))
    return sorted(enumerate(entries), key=lambda one: began[one[0]])


def _why_not(asked: JsonObject, answered: JsonObject, where: str, places: Places) -> str | None:
    """Return why an entry is left out; None if it is not."""
    method, status = asked.get("method"), answered.get("status")
    content = places.fields(answered.get("content"), f"{where}.response.content", optional=True)
    kind = str(content.get("mimeType") or "")
    if status in (0, None, -1):
        return "it got no answer"
    if method == "OPTIONS":
        return "it only asks what a page may ask"
    if kind.startswith(_PAGE):
        return "a part of a page"
    if method in _SENDS_A_BODY and not asked.get("postData"):
        return "the body of its request was not kept"
    is_empty = not content.get("text") and status not in _EMPTY and method != "HEAD"
    if is_empty and (content.get("size") or kind.startswith("text/event-stream") or method in _SENDS_A_BODY):
        return "the body of its answer was not kept, as of every stream that a page reads"
    return None


def _headers(side: JsonObject, where: str, places: Places) -> dict[str, str]:
    """Return the headers by lower-case name, without those that say how a body was sent."""
    headers: dict[str, str] = {}
    for item in places.items(side.get("headers"), f"{where}.headers", optional=True):
        header = places.fields(item, f"{where}.headers")
        name = places.text(header.get("name"), f"{where}.headers").lower()
        value = places.text(header.get("value", ""), f"{where}.headers")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {name: value for name, value in headers.items() if name not in FRAMING and not name.startswith(":")}


def _typed(headers: dict[str, str], asked: JsonObject) -> dict[str, str]:
    """Return the headers of a request, with the type that its body is said to have if none of them tells."""
    sent = asked.get("postData")
    kind = sent.get("mimeType") if isinstance(sent, dict) else None
    return headers if "content-type" in headers or not kind else {**headers, "content-type": str(kind)}


def _sent(asked: JsonObject, where: str, places: Places) -> bytes:
    """Return the body of a request: its text, or the form that its parameters are."""
    where = f"{where}.postData"
    sent = places.fields(asked.get("postData"), where, optional=True)
    if sent.get("encoding") == "base64":
        return places.base64(sent.get("text"), f"{where}.text")
    if sent.get("text") is not None:
        return places.data(sent["text"], f"{where}.text")
    parameters = places.items(sent.get("params"), f"{where}.params", optional=True)
    if not parameters:
        return b""
    if not str(sent.get("mimeType")).startswith(_FORM):
        places.refuse(f"{where}.text", "the body that was sent", "only what was in it")
    pairs = [places.fields(one, f"{where}.params") for one in parameters]
    return urlencode([(str(one.get("name")), str(one.get("value") or "")) for one in pairs]).encode()


def _content(answered: JsonObject, where: str, places: Places) -> bytes:
    where = f"{where}.content"
    content = places.fields(answered.get("content"), where, optional=True)
    text = content.get("text")
    if text is None:
        return b""
    encoding = content.get("encoding")
    if encoding == "base64":
        return places.base64(text, f"{where}.text")
    if encoding:
        places.refuse(f"{where}.encoding", "'base64' or nothing", encoding)
    return places.data(text, f"{where}.text")


# --- WebSockets -----------------------------------------------------------------------------------


def _socket(entry: JsonObject, asked: JsonObject, where: str, found: Exchanges) -> None:
    """Add what went over a WebSocket, as Chrome, Playwright and mitmproxy note it."""
    places = found.places
    url = places.text(asked.get("url"), f"{where}.request.url")
    url = f"ws{url[4:]}" if url.startswith("http") else url
    events: list[WebSocketEvent] = []
    for number, item in enumerate(places.items(entry["_webSocketMessages"], f"{where}._webSocketMessages")):
        place = f"{where}._webSocketMessages[{number}]"
        message = places.fields(item, place)
        side, opcode = message.get("type"), message.get("opcode")
        if side not in ("send", "receive"):
            places.refuse(f"{place}.type", "'send' or 'receive'", side)
        if opcode not in (1, 2):
            found.skip(place, "a frame that is neither text nor bytes")
            continue
        data = places.text(message.get("data"), f"{place}.data")
        if opcode == 2:
            data = base64.b64encode(places.base64(data, f"{place}.data")).decode()
        events.append(
            WebSocketEvent(
                "client" if side == "send" else "server",
                "text" if opcode == 1 else "binary",
                body=Body(data) if opcode == 1 else Body(data, encoding="base64"),
            )
        )
    size = sum([len(event.body.characters) for event in events])
    opened = WebSocketOpen(url)
    found.add(
        WebSocketInteraction(tuple(events), open=opened, connection=WebSocketConnection(len(found.interactions), url)),
        size,
    )
