"""One HTTP request, its answer as it arrives, and what no socket may see."""

from __future__ import annotations

import abc
import functools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import field, frozen

from ..values.empty import EMPTY
from ..values.errors import InvalidCredential, InvalidRequest

if TYPE_CHECKING:
    import ssl

__all__ = [
    "DEFAULT_HEADERS",
    "MAX_CONNECTIONS",
    "HttpRequest",
    "HttpResponse",
    "Transport",
    "check_request",
    "received_headers",
    "sent_headers",
    "shown_url",
    "tls_context",
]

#: How many connections a transport opens at most in one loop, unless told otherwise; further requests wait their turn.
MAX_CONNECTIONS: Final = 1000

#: Sent with every request that does not say otherwise. The encodings are those that `BodyDecoder` can undo.
DEFAULT_HEADERS: Final[Mapping[str, str]] = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "user-agent": "mellite",
}


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    if not headers:
        return EMPTY
    items: Iterable[tuple[object, object]] = headers.items()
    lowered: dict[str, str] = {}
    for name, value in items:
        if not (isinstance(name, str) and isinstance(value, str)):
            msg = f"header {name!r} must be a str with a str value, not {type(value).__name__}"
            raise InvalidRequest(msg, parameter="headers")
        lowered[name.lower()] = value
    return lowered


@frozen(repr=False)
class HttpRequest:
    """One HTTP request, ready to be sent. Its repr shows neither header values nor the query, which may hold keys.

    Args:
        method: ``POST``, ``GET`` and so on.
        url: absolute, ``http`` or ``https``, sent as it is: percent-encode what needs it.
        headers: by lower-case name (other names are lowered). Transports add host, content-length and those of
            accept, accept-encoding and user-agent that are missing.
        body: the bytes to send.
        context: notes for transports that record or match, such as ``lineage``; never sent.

    Attributes:
        checked: whether `check_request` has passed this very request; a changed copy has to be checked again.

    Raises:
        InvalidRequest: if a header is not a str.

    Example:
        >>> HttpRequest("POST", "https://example.com/v1?key=abc", headers={"X-Api-Key": "abc"}, body=b"{}")
        HttpRequest('POST', 'https://example.com/v1?...', headers=['x-api-key'], body=<2 bytes>)
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default=EMPTY, kw_only=True, converter=_lower)
    body: bytes = field(default=b"", kw_only=True)
    context: Mapping[str, Any] = field(default=EMPTY, kw_only=True)
    checked: bool = field(default=False, init=False, eq=False)

    def __repr__(self) -> str:
        return (
            f"HttpRequest({self.method!r}, {shown_url(self.url)!r}, headers={sorted(self.headers)}, "
            f"body=<{len(self.body)} bytes>)"
        )


class HttpResponse(abc.ABC):
    """An answer whose status and headers are there and whose body is still arriving.

    Close it in every case (`contextlib.aclosing` does); only a body read to its end leaves the connection usable.

    Attributes:
        status: the HTTP status, an int.
        headers: by lower-case name; repeated ones are joined with ``, ``.
    """

    __slots__ = ("__weakref__", "headers", "status")

    status: int
    headers: Mapping[str, str]

    @abc.abstractmethod
    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece of the body as it came over the wire (not decompressed); empty at the end of a whole body.

        One reader at a time. Cancelling it loses no byte on asyncio with aiohttp; elsewhere it ends the response.

        Args:
            timeout: how long to wait for it, in seconds.

        Raises:
            TimeoutError: if nothing came in time; the response can then only be closed.
            ConnectionLost: if the connection broke, or the body's framing is wrong or ends too soon.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it. May be called again."""


class Transport(Protocol):
    """Anything that can send a request.

    It may also have ``async def aclose(self)``, which ends what it keeps open; and an attribute ``offline``, True where
    nothing is ever sent, so that a missing key, project, account or region does not matter.
    """

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request and wait for status and headers. Redirects are answers like any other: not followed.

        Args:
            request: what to send.
            timeout: how long to wait for the headers, in seconds, connecting included.

        Raises:
            InvalidRequest: if it cannot be sent as it is; no socket was opened.
            InvalidCredential: likewise, because of a header that holds a credential.
            TimeoutError: if the headers did not come in time.
            ConnectError: if no connection could be made.
            ConnectionLost: if it broke before the headers were there.
            InvalidProviderOutput: if what came is not HTTP.
        """
        ...


_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_SECRET_NAME: Final = re.compile(r"auth|key|token|secret|cookie|credential|password|signature")
#: Headers by which a request could be made to mean two things, or to wait for what never comes.
_FORBIDDEN: Final = frozenset({"expect", "trailer", "transfer-encoding", "upgrade"})
_URL: Final = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_-]{1,63})*\.?)"  # scheme, host
    r"(?::(\d{1,5}))?"  # port
    r"(/(?:[a-z0-9\-._~!$&'()*+,;=:@/]|%[0-9a-f]{2})*)?"
    r"(?:\?(?:[a-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-f]{2})*)?",
    re.ASCII | re.IGNORECASE,
)
_DOTS: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


def check_request(request: HttpRequest) -> None:
    """Refuse what must not reach a socket. Transports that use the network call it first.

    Raises:
        InvalidRequest: for a bad method, URL, header or body, named in ``parameter``.
        InvalidCredential: for a bad value in a header that holds a credential. The value is never shown.
    """
    if request.checked:
        return
    # The frame that raises holds nothing but the request, whose repr is safe: tracebacks may show local variables.
    error = _fault(request)
    if error is not None:
        raise error
    object.__setattr__(request, "checked", True)  # a note about the request, which stays frozen


def _fault(request: HttpRequest) -> InvalidRequest | InvalidCredential | None:
    if not _TOKEN.fullmatch(request.method):
        return InvalidRequest(f"{request.method!r} is no HTTP method", parameter="method")
    match = _URL.fullmatch(request.url)
    if match is None or int(match[1] or 1) not in range(1, 65536) or (match[2] and _DOTS.search(match[2])):
        return _bad_url(request.url)
    for name, value in request.headers.items():
        if not _VALUE.fullmatch(value) or not _TOKEN.fullmatch(name) or name in _FORBIDDEN:
            return _bad_header(name, value)
    length = request.headers.get("content-length")
    if length is not None and length != str(len(request.body)):
        msg = f"header 'content-length' says {length!r}, but the body has {len(request.body)} bytes; leave it out"
        return InvalidRequest(msg, parameter="headers")
    return None


def shown_url(url: str) -> str:
    """A URL that may be shown: without query, fragment, user and password, which may be secret."""
    shown = re.sub(r"//[^/?#]*@", "//...@", url)
    return re.sub(r"([?#]).*", r"\1...", shown, flags=re.DOTALL)


def _bad_url(url: str) -> InvalidRequest:
    shown = shown_url(url)
    if not re.match(r"https?://", url, re.IGNORECASE):
        why = "it must begin with http:// or https://"
    elif "//...@" in shown:
        why = "a user or password in it would not be sent; put it in a header"
    elif "#" in url:
        why = "the part after '#' would not be sent; percent-encode the '#' as %23"
    elif _DOTS.search(shown):
        why = "a path with '.' or '..' as a step may lead elsewhere"
    elif not url.isascii() or re.search(r"[\0- \x7f\"<>\\^`{|}]|%(?![0-9a-fA-F]{2})", url):
        why = "it holds a character that must be percent-encoded (in a host name: written in punycode)"
    else:
        why = "its host or port is missing or malformed"
    return InvalidRequest(f"the URL {shown!r} cannot be used: {why}", parameter="url")


def _bad_header(name: str, value: str) -> InvalidRequest | InvalidCredential:
    if name in _FORBIDDEN or not _TOKEN.fullmatch(name):
        msg = f"header {name!r} cannot be sent; leave it out" if name in _FORBIDDEN else f"{name!r} is no header name"
        return InvalidRequest(msg, parameter="headers")
    if value != value.strip():
        why = "begins or ends with white space"
    elif not value.isascii():
        why = "holds a character that is not ASCII"
    else:
        why = "holds a line break or another control character"
    if _SECRET_NAME.search(name):
        return InvalidCredential(f"the value of header {name!r} {why}; was the key copied whole, and nothing more?")
    return InvalidRequest(f"the value of header {name!r} {why}; change or encode it", parameter="headers")


def sent_headers(request: HttpRequest) -> dict[str, str]:
    """The headers to send, without those that depend on the connection."""
    return {**DEFAULT_HEADERS, **request.headers}


def received_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as they came, by lower-case name; repeated ones joined with a comma."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The TLS settings of this process: the system's certificates, made once because it takes milliseconds."""
    import ssl

    return ssl.create_default_context()
