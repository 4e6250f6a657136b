"""Load HTTP cassettes: one JSON file per scenario, as http-recorder writes it, checked and indexed.

``{"version": 1, "metadata": {...}, "interactions": [...]}``. Bodies are most of a cassette. One pass of msgspec finds
where each begins and ends. The rest of the file, without them, is small and is read strictly. A body is decoded when it
is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import msgspec
from attrs import define, frozen

from ...values.empty import EMPTY
from ...values.errors import CassetteMiss, InvalidCassette
from ...values.paths import path_of
from ...values.public_names import publish
from ...values.secrets.shapes import REDACTED, looks_secret
from ..bodies import Body, decode_json, malformed
from ..compression import compression_of, expand
from ..interactions import (
    Cassette,
    HttpInteraction,
    Interaction,
    RecordedRequest,
    RecordedResponse,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
)
from .disk import MAX_BYTES, read_file
from .journal_lines import JOURNAL, REWRITE, Stored
from .vcr import is_foreign, is_vcr, read_vcr

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["VERSION", "load_cassette", "load_file", "read_cassette", "read_stored"]

#: The version of the format that is read.
VERSION: Final = 1


def load_cassette(path: str | PathLike[str], *, limit: int = MAX_BYTES) -> Cassette:
    """Read a cassette file. It may be compressed (``.json.gz``, ``.json.lz4``), or VCR.py's or cassetter's.

    Args:
        path: the file.
        limit: the most bytes to read.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged, is not a cassette, or has another version. The error names the file, and the
            byte if the JSON is malformed. Malformed base64 is only reported when its body is read.
        MissingExtra: for YAML without PyYAML, or LZ4 without lz4.

    Example:
        >>> load_cassette("cassettes/http/none.json")
        Traceback (most recent call last):
        mellite.errors.CassetteMiss: there is no cassette 'cassettes/http/none.json'
    """
    name = path if isinstance(path, str) else path_of(path)
    if os.path.lexists(name + JOURNAL) or os.path.lexists(name + REWRITE):
        return read_stored(Stored.read(name, limit=limit), path=name)
    return load_file(name, limit=limit)


def load_file(name: str, *, limit: int = MAX_BYTES) -> Cassette:
    """Read a cassette file as `load_cassette` does, but not the journals beside it."""
    data = expand(read_file(name, limit=limit), compression_of(name), path=name, limit=limit)
    if is_foreign(name):
        return read_vcr(data, path=name).cassette
    try:
        return read_cassette(data, path=name)
    except InvalidCassette:
        if b'"uri"' in data and is_vcr(decode_json(data, path=name, lone_surrogates=True)):
            return read_vcr(data, path=name).cassette
        raise


def read_stored(stored: Stored, *, path: str) -> Cassette:
    """Read a cassette together with what its journals hold, after checking each for damage.

    Raises:
        CassetteMiss: if there is no file and nothing in a journal.
        InvalidCassette: as `read_cassette`.
    """
    cassette = None if stored.cassette is None else read_cassette(stored.cassette, path=path)
    folded = stored.folded()
    if folded is not None:
        return read_cassette(folded, path=path)
    if cassette is None:
        msg = f"there is no cassette {path!r}"
        raise CassetteMiss(msg, path=path)
    return cassette


def read_cassette(data: bytes, *, path: str | None = None) -> Cassette:
    """Read a cassette from the bytes of its file; see `load_cassette`.

    Example:
        >>> read_cassette(b'{"version": 1, "interactions": []}')
        Cassette(interactions=(), metadata=None, path=None, extra={})
    """
    skeleton, cuts = _cut_bodies(data, path)
    if cuts:
        reader = _Reader(path, cuts)
        try:
            cassette = reader.cassette(decode_json(skeleton, path=path))
            if reader.used == len(cuts):
                return cassette
        except InvalidCassette:
            pass  # read the whole file strictly, so that the error names the right byte
    return _Reader(path).cassette(decode_json(data, path=path))


# --- finding the bodies -----------------------------------------------------------------------------


class _Bodied(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"")  # for "Raw | None" msgspec would build the value


class _Bodies(msgspec.Struct):
    request: _Bodied | None = None
    response: _Bodied | None = None
    events: list[_Bodied] = []


class _File(msgspec.Struct):
    interactions: list[_Bodies] = []


@frozen
class _Cut:
    """A body that was cut out: the number that replaces it, its JSON token, and the byte at which it began."""

    number: int
    token: memoryview
    offset: int


_BODY_KEY: Final = re.compile(rb'"body"[ \t\r\n]*:[ \t\r\n]*')
_HEAD: Final = 64  # bytes of a body by which its place is found


def _cut_bodies(data: bytes, path: str | None) -> tuple[bytes, dict[str, _Cut]]:
    """Return the file with a number in the place of each body, and the bodies by their JSON paths.

    A file of an unusual shape is returned without cuts. The reader notices a wrong cut: its number is not where it
    should be.

    Raises:
        InvalidCassette: if the file is not JSON in UTF-8.
    """
    try:
        interactions = msgspec.json.decode(data, type=_File).interactions
        if not data.isascii():
            data.decode()
    except msgspec.ValidationError:
        return data, {}
    except (ValueError, RecursionError) as error:
        raise malformed(data, error, path=path) from error
    view = memoryview(data)
    cuts: dict[str, _Cut] = {}
    pieces: list[bytes] = []
    position = 0
    for number, bodies in enumerate(interactions):
        start = position
        tokens = _tokens(f"$.interactions[{number}]", bodies)
        while tokens:
            found = _BODY_KEY.search(data, start)
            if found is None:
                return data, {}
            start = found.end()
            for place in range(-1, -1 - min(3, len(tokens)), -1):  # keys may stand in another order
                where, token, head = tokens[place]
                if data.startswith(head, start):
                    del tokens[place]
                    pieces += (data[position:start], b"%d" % len(cuts))
                    position = start + len(token)
                    cuts[where] = _Cut(len(cuts), view[start:position], start)
                    start = position
                    break
    return b"".join([*pieces, data[position:]]), cuts


def _tokens(where: str, bodies: _Bodies) -> list[tuple[str, memoryview, bytes]]:
    """Return the bodies of an interaction that are texts: the JSON path of each, its token, and how that begins.

    The first one is the last of the list, so that taking it away costs nothing.
    """
    places: list[tuple[str, _Bodied | None]] = []
    places += [(f"{where}.events[{number}].body", event) for number, event in enumerate(bodies.events)][::-1]
    places += [(f"{where}.response.body", bodies.response), (f"{where}.request.body", bodies.request)]
    tokens = [(place, memoryview(one.body)) for place, one in places if one is not None]
    heads = [(place, token, bytes(token[:_HEAD])) for place, token in tokens]
    return [each for each in heads if each[2].startswith(b'"')]


# --- reading the rest -------------------------------------------------------------------------------

_SHOWN: Final[Mapping[type, str]] = {type(None): "nothing", dict: "an object", list: "a list"}


@define
class _Reader:
    """Makes values of decoded JSON. A value that is not as expected is an InvalidCassette that names its place."""

    path: str | None
    cuts: Mapping[str, _Cut] = EMPTY
    used: int = 0

    def cassette(self, document: object) -> Cassette:
        fields = self.fields(document, "$")
        version = fields.pop("version", None)
        if isinstance(version, bool) or version != VERSION:
            self.refuse("$.version", f"the number {VERSION}, the only version that is read", version)
        metadata = fields.pop("metadata", None)
        interactions = self.items(fields.pop("interactions", None), "$.interactions")
        return Cassette(
            tuple([self.interaction(item, number) for number, item in enumerate(interactions)]),
            metadata=None if metadata is None else self.fields(metadata, "$.metadata"),
            path=self.path,
            extra=fields or EMPTY,
        )

    def interaction(self, item: object, number: int) -> Interaction:
        where = f"$.interactions[{number}]"
        fields = self.fields(item, where)
        transport = fields.pop("transport", None)
        if transport == "websocket":
            return self.websocket(fields, where)
        if transport not in (None, "http"):
            self.refuse(f"{where}.transport", "'http' or 'websocket'", transport)
        return HttpInteraction(
            self.request(fields.pop("request", None), f"{where}.request"),
            self.response(fields.pop("response", None), f"{where}.response"),
            transport=transport,
            extra=fields or EMPTY,
        )

    def request(self, item: object, where: str) -> RecordedRequest:
        fields = self.fields(item, where)
        return RecordedRequest(
            self.text(fields.pop("method", None), f"{where}.method"),
            self.text(fields.pop("url", None), f"{where}.url"),
            headers=self.headers(fields.pop("headers", {}), f"{where}.headers"),
            body=self.body(fields, where),
            extra=fields or EMPTY,
        )

    def response(self, item: object, where: str) -> RecordedResponse:
        fields = self.fields(item, where)
        status = self.integer(fields.pop("status", None), f"{where}.status")
        if not 100 <= status <= 999:
            self.refuse(f"{where}.status", "an HTTP status", status)
        return RecordedResponse(
            status,
            headers=self.headers(fields.pop("headers", {}), f"{where}.headers"),
            body=self.body(fields, where),
            extra=fields or EMPTY,
        )

    def websocket(self, fields: dict[str, Any], where: str) -> WebSocketInteraction:
        opened, connection = fields.pop("open", None), fields.pop("connection", None)
        events = self.items(fields.pop("events", None), f"{where}.events")
        return WebSocketInteraction(
            tuple([self.event(item, f"{where}.events[{number}]") for number, item in enumerate(events)]),
            open=None if opened is None else self.opened(opened, f"{where}.open"),
            connection=None if connection is None else self.connection(connection, f"{where}.connection"),
            extra=fields or EMPTY,
        )

    def opened(self, item: object, where: str) -> WebSocketOpen:
        fields = self.fields(item, where)
        return WebSocketOpen(
            self.text(fields.pop("url", None), f"{where}.url"),
            headers=self.headers(fields.pop("headers", {}), f"{where}.headers"),
            extra=fields or EMPTY,
        )

    def connection(self, item: object, where: str) -> WebSocketConnection:
        fields = self.fields(item, where)
        sequence, url, close = [fields.pop(name, None) for name in ("sequence", "url", "close")]
        protocols = self.items(fields.pop("protocols", []), f"{where}.protocols")
        return WebSocketConnection(
            None if sequence is None else self.integer(sequence, f"{where}.sequence"),
            None if url is None else self.text(url, f"{where}.url"),
            protocols=tuple([self.text(protocol, f"{where}.protocols") for protocol in protocols]),
            close=None if close is None else self.close(close, f"{where}.close"),
            extra=fields or EMPTY,
        )

    def close(self, item: object, where: str) -> WebSocketClose:
        fields = self.fields(item, where)
        code, reason = fields.pop("code", None), fields.pop("reason", None)
        return WebSocketClose(
            None if code is None else self.integer(code, f"{where}.code"),
            None if reason is None else self.text(reason, f"{where}.reason"),
            extra=fields or EMPTY,
        )

    def event(self, item: object, where: str) -> WebSocketEvent:
        fields = self.fields(item, where)
        direction, kind = fields.pop("direction", None), fields.pop("kind", None)
        if direction not in ("client", "server"):
            self.refuse(f"{where}.direction", "'client' or 'server'", direction)
        if kind not in ("text", "binary"):
            self.refuse(f"{where}.kind", "'text' or 'binary'", kind)
        return WebSocketEvent(direction, kind, body=self.body(fields, where), extra=fields or EMPTY)

    def body(self, fields: dict[str, Any], where: str) -> Body:
        value, encoding = fields.pop("body", ""), fields.pop("bodyEncoding", None)
        where = f"{where}.body"
        if encoding not in (None, "text", "base64"):
            self.refuse(f"{where}Encoding", "'text' or 'base64'", encoding)
        cut = self.cuts.get(where)
        if cut is not None and value == cut.number and type(value) is int:
            self.used += 1
            return Body(cut.token, encoding=encoding, path=self.path, where=where, offset=cut.offset)
        return Body(self.text(value, where), encoding=encoding, path=self.path, where=where)

    def headers(self, item: object, where: str) -> Mapping[str, str]:
        fields = self.fields(item, where)
        return {name: self.text(value, f"{where}[{name!r}]") for name, value in fields.items()} or EMPTY

    def fields(self, item: object, where: str) -> dict[str, Any]:
        if not isinstance(item, dict):
            self.refuse(where, "an object", item)
        return cast("dict[str, Any]", item)

    def items(self, item: object, where: str) -> list[object]:
        if not isinstance(item, list):
            self.refuse(where, "a list", item)
        return cast("list[object]", item)

    def text(self, item: object, where: str) -> str:
        if not isinstance(item, str):
            self.refuse(where, "a text", item)
        return item

    def integer(self, item: object, where: str) -> int:
        if isinstance(item, bool) or not isinstance(item, int):
            self.refuse(where, "a whole number", item)
        return item

    def refuse(self, where: str, wanted: str, found: object) -> NoReturn:
        name = "the cassette" if self.path is None else f"cassette {self.path!r}"
        shown = _SHOWN.get(type(found)) or (REDACTED if looks_secret(str(found)) else f"{found!r:.80}")
        msg = f"{name} is damaged: at {where} expected {wanted}, found {shown}"
        raise InvalidCassette(msg, path=self.path)


publish(globals(), "mellite.cassettes", "load_cassette", "read_cassette")
