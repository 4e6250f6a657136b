"""Read the cassettes of other recorders, VCR.py and cassetter, and list what of them mellite leaves out."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from attrs import define, field, frozen

from ...values.errors import InvalidCassette
from ...values.public_names import publish
from ..bodies import Body, decode_json
from ..compression import compression_of, expand
from ..interactions import Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from ..secrets.redaction import Redaction
from .cassetter import as_json, decode_toml, from_cassetter, is_cassetter
from .disk import MAX_BYTES, read_file
from .inflating import FRAMING, inflated
from .yaml import decode_yaml

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["ANSWER_HEADERS", "Imported", "import_vcr", "is_foreign", "is_vcr", "read_vcr"]

#: Further response headers that are kept, because protocols and error messages use them.
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

_SHOWN: Final[Mapping[type, str]] = {type(None): "nothing", dict: "an object", list: "a list"}


@frozen
class Imported:
    """A cassette that was read from another format.

    Args:
        cassette: the cassette to replay.
        dropped: what was left out of it, one sentence each, without values.
    """

    cassette: Cassette
    dropped: tuple[str, ...] = ()


def import_vcr(path: str | PathLike[str], *, limit: int = MAX_BYTES) -> Imported:
    """Read a cassette of VCR.py or cassetter: ``.yaml``, ``.yml``, ``.toml`` or ``.json``, also compressed.

    Args:
        path: the file.
        limit: the most bytes to read.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged, or not such a cassette.
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

    Bodies may be texts, ``!!binary``, base64, compressed, or parsed JSON (``parsed_body``, and what VCR.py keeps of
    aiohttp's ``json=``). Any other body is refused. Of the headers, those that mellite compares or uses are kept; the
    others would differ in every program.

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
    document = decode_document(data, path=path)
    reader = _Reader(path)
    return reader.imported(from_cassetter(document, reader.refuse) if is_cassetter(document) else document)


def decode_document(data: bytes, *, path: str | None = None) -> Any:
    """Decode the bytes of a file: TOML if its name says so, else JSON if it begins like an object, else YAML.

    Raises:
        InvalidCassette: if it is none of them.
        MissingExtra: for YAML without PyYAML.

    Example:
        >>> decode_document(b"interactions: []")
        {'interactions': []}
    """
    if path is not None and _plain(path).endswith(".toml"):
        return decode_toml(data, path=path)
    if data.lstrip()[:1] == b"{":
        return decode_json(data, path=path, lone_surrogates=True)
    return decode_yaml(data, path=path)


def is_foreign(path: str) -> bool:
    """Whether a file is another recorder's by its name: in YAML or TOML, perhaps compressed.

    Example:
        >>> is_foreign("a.yaml.gz"), is_foreign("a.json")
        (True, False)
    """
    return _plain(path).endswith((".yaml", ".yml", ".toml"))


def _plain(path: str) -> str:
    """Return a file's name without the ending of its compression."""
    return os.path.splitext(path)[0] if compression_of(path) else path


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


@define
class _Reader:
    """Makes values of the decoded file. A value that is not as expected is an InvalidCassette that names its place."""

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
        body = self.body(fields, where, headers, asked=True)
        kept = {name: value for name, value in headers.items() if name in self.redaction.request_headers}
        self.leave("request headers", headers.keys() - kept.keys() - FRAMING)
        self.leave("of requests", fields)
        return RecordedRequest(method, url, headers=dict(sorted(kept.items())), body=Body.of(body))

    def response(self, fields: dict[str, Any], where: str) -> RecordedResponse:
        status = self.status(fields, where)
        headers = self.headers(fields.pop("headers", None), f"{where}.headers")
        body = self.body(fields, where, headers)
        wanted = self.redaction.response_headers | ANSWER_HEADERS
        kept = {name: value for name, value in headers.items() if name in wanted}
        if "content-encoding" in headers:  # the body could not be decompressed
            kept["content-encoding"] = headers["content-encoding"]
        self.leave("response headers", headers.keys() - kept.keys() - FRAMING)
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

    def body(self, fields: dict[str, Any], where: str, headers: dict[str, str], *, asked: bool = False) -> bytes:
        """Return the bytes of a body. If they were decompressed, the encoding is removed from `headers`."""
        if "parsed_body" in fields:
            fields.pop("body", None)
            parsed = self.json(fields.pop("parsed_body"), f"{where}.parsed_body")
            headers.pop("content-encoding", None)
            return parsed
        item = fields.pop("body", fields.pop("content", None))
        stored = self.stored(item, f"{where}.body", headers, asked=asked)
        return inflated(stored, headers, f"{where}.body", self.refuse)

    def stored(self, item: object, where: str, headers: dict[str, str], *, asked: bool) -> bytes:
        """Return the bytes that a body stands for."""
        if isinstance(item, dict):
            inner = self.fields(item, where)
            if inner.keys() <= {"string", "encoding"}:
                item = inner.get("string")
            elif inner.keys() <= {"base64_string", "encoding"}:
                return self.decoded_base64(inner["base64_string"], where)
            elif asked:
                return self.parsed(inner, where, headers)
            else:
                unknown = ", ".join(sorted(inner.keys() - {"string", "base64_string", "encoding"}))
                self.refuse(where, "the field 'string' or 'base64_string'", unknown or "both")
        if item is None:
            return b""
        if isinstance(item, (list, tuple)):
            items = cast("list[object]", item)
            if asked and not all(isinstance(one, (str, bytes)) for one in items):
                return self.parsed(items, where, headers)
            return b"".join([self.bytes(one, where) for one in items])  # the request was sent in pieces
        if asked and isinstance(item, (bool, int, float)):
            return self.parsed(item, where, headers)
        return self.bytes(item, where)

    def parsed(self, value: Any, where: str, headers: dict[str, str]) -> bytes:
        """Encode what VCR.py keeps of aiohttp's ``json=``: the value, not what was sent. Refuse a form of ``data=``."""
        if headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            self.refuse(where, "a form as it was sent", value)
        return self.json(value, where)

    def decoded_base64(self, item: object, where: str) -> bytes:
        text = self.text(item, f"{where}.base64_string")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            self.refuse(f"{where}.base64_string", "base64", "something else")

    def json(self, item: object, where: str) -> bytes:
        return as_json(item, where, self.refuse).encode("utf-8", "surrogatepass")

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
        """Note names that are left out."""
        if names:
            self.left.setdefault(what, set()).update(names)

    def refuse(self, where: str, wanted: str, found: object) -> NoReturn:
        name = "the cassette" if self.path is None else f"cassette {self.path!r}"
        shown = _SHOWN.get(type(found)) or (found if isinstance(found, str) else f"{found!r}")
        msg = f"{name} is not a cassette of VCR.py: at {where} expected {wanted}, found {shown:.80}"
        raise InvalidCassette(msg, path=self.path)


publish(globals(), "mellite.cassettes", "Imported", "import_vcr")
