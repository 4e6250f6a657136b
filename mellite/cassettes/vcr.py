"""Read cassettes of VCR.py, in YAML or JSON, as what mellite replays; and say what was left out of them."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from attrs import define, field, frozen

from ..errors import InvalidCassette, InvalidProviderOutput, OutputTooLarge
from ..wire.decoding import BodyDecoder
from .codecs import Body, decode_json
from .compression import compression_of, expand
from .files import MAX_BYTES, read_file
from .interactions import Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from .redaction import Redaction
from .safe_yaml import decode_yaml

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["ANSWER_HEADERS", "Imported", "import_vcr", "is_vcr", "read_vcr"]

#: Response headers that are kept beside those that every cassette keeps: protocols and error messages use them.
ANSWER_HEADERS: Final = frozenset(
    {
        "apim-request-id",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-amzn-errortype",
        "x-amzn-requestid",
        "x-request-id",
    }
)

#: What describes how a body was sent, and is no longer so once it lies in a file.
_FRAMING: Final = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})


@frozen
class Imported:
    """A cassette that came from another format.

    Args:
        cassette: what there is to replay.
        dropped: what the other file had beyond it, one sentence each, without values.
    """

    cassette: Cassette
    dropped: tuple[str, ...] = ()


def import_vcr(path: str | PathLike[str], *, limit: int = MAX_BYTES) -> Imported:
    """Read a cassette of VCR.py: ``.yaml``, ``.yml`` or ``.json``, also compressed.

    Args:
        path: the file.
        limit: the most bytes to read.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged, or no such cassette.
        MissingExtra: for YAML without PyYAML.

    Example:
        >>> import_vcr("tests/cassettes/none.yaml")
        Traceback (most recent call last):
        mellite.errors.CassetteMiss: there is no cassette 'tests/cassettes/none.yaml'
    """
    name = os.fspath(path)
    data = expand(read_file(name, limit=limit), compression_of(name), path=name, limit=limit)
    return read_vcr(data, path=name)


def read_vcr(data: bytes, *, path: str | None = None) -> Imported:
    """Read a cassette of VCR.py from the bytes of its file; see `import_vcr`.

    Bodies may be texts, ``!!binary``, base64, gzip, or parsed JSON (``parsed_body``). Of the headers those are kept
    that mellite compares or uses; the rest would not be the same in any other program.

    Example:
        >>> vcr = b'''
        ... version: 1
        ... interactions:
        ... - request: {method: GET, uri: 'https://example.com/', headers: {}, body: null}
        ...   response: {status: {code: 200, message: OK}, headers: {}, body: {string: Hello.}}
        ... '''
        >>> read_vcr(vcr).cassette.http[0].response.body.text
        'Hello.'
    """
    is_json = data.lstrip()[:1] == b"{"
    document = decode_json(data, path=path, lone_surrogates=True) if is_json else decode_yaml(data, path=path)
    return _Reader(path).imported(document)


def is_vcr(document: object) -> bool:
    """Whether decoded JSON looks like a cassette of VCR.py rather than one of mellite's.

    Example:
        >>> is_vcr({"interactions": [{"request": {"uri": "https://example.com/"}}]})
        True
    """
    interactions = cast("dict[str, object]", document).get("interactions") if isinstance(document, dict) else None
    first = cast("list[object]", interactions)[0] if isinstance(interactions, list) and interactions else None
    request = cast("dict[str, object]", first).get("request") if isinstance(first, dict) else None
    return isinstance(request, dict) and "uri" in request and "url" not in request


_SHOWN: Final[Mapping[type, str]] = {type(None): "nothing", dict: "an object", list: "a list"}


@define
class _Reader:
    """Makes values of the decoded file; what is not as it should be is an InvalidCassette that says where."""

    path: str | None
    redaction: Redaction = field(factory=Redaction)
    left: dict[str, set[str]] = field(factory=dict)

    def imported(self, document: object) -> Imported:
        fields = self.fields(document, "$")
        version = fields.pop("version", 1)
        if isinstance(version, bool) or version != 1:
            self.refuse("$.version", "the number 1, the only version of VCR.py's format", version)
        items = fields.pop("interactions", None)
        if not isinstance(items, list):
            self.refuse("$.interactions", "a list", items)
        self.leave("of the file", fields)
        found = [self.interaction(item, f"$.interactions[{number}]") for number, item in enumerate(items)]
        dropped = [f"{what}: {', '.join(sorted(names))}" for what, names in self.left.items()]
        return Imported(Cassette(tuple(found), path=self.path), tuple(dropped))

    def interaction(self, item: object, where: str) -> HttpInteraction:
        fields = self.fields(item, where)
        request = self.fields(fields.pop("request", None), f"{where}.request")
        response = self.fields(fields.pop("response", None), f"{where}.response")
        self.leave("of interactions", fields)
        return HttpInteraction(self.request(request, f"{where}.request"), self.response(response, f"{where}.response"))

    def request(self, fields: dict[str, Any], where: str) -> RecordedRequest:
        method = self.text(fields.pop("method", None), f"{where}.method")
        url = self.text(fields.pop("uri", fields.pop("url", None)), f"{where}.uri")
        headers = self.headers(fields.pop("headers", None), f"{where}.headers")
        body = self.body(fields, where, headers)
        kept = {name: value for name, value in headers.items() if name in self.redaction.request_headers}
        self.leave("request headers", headers.keys() - kept.keys() - _FRAMING)
        self.leave("of requests", fields)
        return RecordedRequest(method, url, headers=dict(sorted(kept.items())), body=Body.of(body))

    def response(self, fields: dict[str, Any], where: str) -> RecordedResponse:
        status = self.status(fields, where)
        headers = self.headers(fields.pop("headers", None), f"{where}.headers")
        body = self.body(fields, where, headers)
        wanted = self.redaction.response_headers | ANSWER_HEADERS
        kept = {name: value for name, value in headers.items() if name in wanted}
        if "content-encoding" in headers:  # it could not be undone
            kept["content-encoding"] = headers["content-encoding"]
        self.leave("response headers", headers.keys() - kept.keys() - _FRAMING)
        self.leave("of responses", fields)
        stored = Body.of(body)
        if "content-encoding" in kept and stored.encoding is None:
            stored = Body(base64.b64encode(body).decode(), encoding="base64")
        return RecordedResponse(status, headers=dict(sorted(kept.items())), body=stored)

    def status(self, fields: dict[str, Any], where: str) -> int:
        status = fields.pop("status", fields.pop("status_code", None))
        if isinstance(status, dict):
            named = cast("dict[str, object]", status)
            self.leave("of responses", {f"status.{name}" for name in named.keys() - {"code"}})
            status = named.get("code")
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 999:
            self.refuse(f"{where}.status", "an HTTP status", status)
        return status

    def headers(self, item: object, where: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in self.fields({} if item is None else item, where).items():
            values = cast("list[object]", value) if isinstance(value, list) else [value]
            texts = [self.text(one, f"{where}[{name!r:.80}]") for one in values]
            key = name.lower()
            headers[key] = ", ".join([headers[key], *texts] if key in headers else texts)
        return headers

    def body(self, fields: dict[str, Any], where: str, headers: dict[str, str]) -> bytes:
        """The bytes of a body; where their compression could be undone `headers` no longer has it."""
        if "parsed_body" in fields:
            fields.pop("body", None)
            parsed = self.json(fields.pop("parsed_body"), f"{where}.parsed_body")
            headers.pop("content-encoding", None)
            return parsed
        item = fields.pop("body", fields.pop("content", None))
        place = f"{where}.body"
        if isinstance(item, dict):
            inner = self.fields(item, place)
            item = self.decoded_base64(inner, place) if "base64_string" in inner else inner.pop("string", None)
            inner.pop("encoding", None)
            self.leave("of bodies", inner)
        if item is None:
            item = b""
        if isinstance(item, (list, tuple)):  # the frames of a request that was sent in pieces
            item = b"".join([self.bytes(one, place) for one in cast("list[object]", item)])
        return self.inflated(self.bytes(item, place), headers, place)

    def decoded_base64(self, fields: dict[str, Any], where: str) -> bytes:
        text = self.text(fields.pop("base64_string"), f"{where}.base64_string")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            self.refuse(f"{where}.base64_string", "base64", "something else")

    def inflated(self, body: bytes, headers: dict[str, str], where: str) -> bytes:
        """The body without its compression, if it has one that can be undone."""
        encoding = headers.get("content-encoding", "").strip().lower()
        if not body or encoding not in ("gzip", "x-gzip", "deflate"):
            return body
        if encoding != "deflate" and not body.startswith(b"\x1f\x8b"):
            headers.pop("content-encoding", None)  # whoever recorded it undid the compression, and kept the header
            return body
        decoder = BodyDecoder(encoding, limit=MAX_BYTES)
        try:
            whole = b"".join(decoder.feed(body))
            decoder.end()
        except (InvalidProviderOutput, OutputTooLarge) as error:
            self.refuse(where, f"{encoding} data", f"what is damaged: {error}")
        headers.pop("content-encoding", None)
        return whole

    def json(self, item: object, where: str) -> bytes:
        try:
            text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return text.encode("utf-8", "surrogatepass") if text.isascii() else _escaped(item, text)
        except (TypeError, ValueError, RecursionError):
            self.refuse(where, "what JSON can say", type(item).__name__)

    def bytes(self, item: object, where: str) -> bytes:
        if isinstance(item, bytes):
            return item
        return self.text(item, where).encode("utf-8", "surrogatepass")

    def text(self, item: object, where: str) -> str:
        if isinstance(item, bytes):
            return item.decode("latin-1")
        if not isinstance(item, str):
            self.refuse(where, "a text", item)
        return item

    def fields(self, item: object, where: str) -> dict[str, Any]:
        if not isinstance(item, dict):
            self.refuse(where, "an object", item)
        named = cast("dict[object, Any]", item)
        return {self.text(name, f"{where}, as a name"): value for name, value in named.items()}

    def leave(self, what: str, names: Mapping[str, Any] | set[str]) -> None:
        """Note what is left out."""
        if names:
            self.left.setdefault(what, set()).update(names)

    def refuse(self, where: str, wanted: str, found: object) -> NoReturn:
        name = "the cassette" if self.path is None else f"cassette {self.path!r}"
        shown = _SHOWN.get(type(found)) or (found if isinstance(found, str) else f"{found!r}")
        msg = f"{name} is no cassette of VCR.py: at {where} expected {wanted}, found {shown:.80}"
        raise InvalidCassette(msg, path=self.path)


def _escaped(item: object, text: str) -> bytes:
    """JSON in UTF-8; with escapes where half of a surrogate pair is in it, which UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(item, separators=(",", ":"), allow_nan=False).encode()
