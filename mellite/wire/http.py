"""HTTP requests and responses, the `Transport` protocol, and the check that a request passes before it is sent."""

from __future__ import annotations

import abc
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, final

import msgspec
from attrs import field, frozen

from ..values.empty import EMPTY
from ..values.errors import InvalidCredential, InvalidRequest
from ..values.filling import setters_of
from ..values.options import Timeouts

__all__ = [
    "DEFAULT_HEADERS",
    "MAX_CONNECTIONS",
    "ArrivingResponse",
    "Head",
    "HttpRequest",
    "HttpResponse",
    "Sent",
    "Transport",
    "Written",
    "begin_of",
    "check_request",
    "checked_post",
    "received_headers",
    "sent_headers",
    "shown_url",
]

#: The default for the most connections of a transport in one event loop; further requests wait.
MAX_CONNECTIONS: Final = 1000

#: Headers of every request that does not set its own. `BodyDecoder` can undo these encodings.
DEFAULT_HEADERS: Final[Mapping[str, str]] = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "user-agent": "mellite",
}

_DEFAULT_TIMEOUTS: Final = Timeouts()


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    if not headers:
        return EMPTY
    items: Iterable[tuple[object, object]] = headers.items()
    lowered: dict[str, str] = {}
    for name, value in items:
        if (type(name) is not str or type(value) is not str) and not (isinstance(name, str) and isinstance(value, str)):
            msg = f"header {name!r} must be a str with a str value, not {type(value).__name__}"
            raise InvalidRequest(msg, parameter="headers")
        lowered[name.lower()] = value
    return lowered


@final
class Written:
    """The head of requests that differ in nothing but their bodies, in bytes, once a transport has written it.

    Neither its repr nor a pickle shows the headers, which may hold a key.

    Args:
        headers: the headers, by lower-case name.

    Attributes:
        head: the head up to the length of the body, which is its end.
    """

    __slots__ = ("head", "headers")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.head: bytes | None = None

    def __repr__(self) -> str:
        return "<a written head>"

    def __reduce__(self) -> str | tuple[type[Written], tuple[dict[str, str]]]:
        return Written, ({},)


@frozen(repr=False)
class HttpRequest:
    """One HTTP request, ready to be sent. The repr shows neither header values nor the query, which may hold keys.

    Args:
        method: ``POST``, ``GET`` and so on.
        url: an absolute ``http`` or ``https`` URL, percent-encoded where needed; sent unchanged.
        headers: the headers by name; names are turned into lower case. Transports add host and content-length, and
            accept, accept-encoding and user-agent where they are missing.
        body: the bytes to send.
        context: notes for transports, such as ``lineage`` for those that match requests, and the call's ``timeouts``;
            never sent.

    Attributes:
        checked: whether this request has passed `check_request`. A changed copy has not.
        written: what it shares with others that have the same URL and headers, if a route made them. A changed copy
            has none.

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
    written: Written | None = field(default=None, init=False, eq=False)

    @property
    def connect_timeout(self) -> float | None:
        """The timeout for making one connection, in seconds: `Timeouts.connect` of the call, or its default."""
        timeouts = self.context.get("timeouts")
        return (timeouts if isinstance(timeouts, Timeouts) else _DEFAULT_TIMEOUTS).connect

    def __repr__(self) -> str:
        return (
            f"HttpRequest({self.method!r}, {shown_url(self.url)!r}, headers={sorted(self.headers)}, "
            f"body=<{len(self.body)} bytes>)"
        )


_set_method, _set_url, _set_headers, _set_body, _set_context, _set_checked, _set_written = setters_of(HttpRequest)


def checked_post(url: str, written: Written, body: bytes, context: Mapping[str, object]) -> HttpRequest:
    """Return a request that needs no check, because one with the same URL and headers has passed it."""
    request: HttpRequest = HttpRequest.__new__(HttpRequest)
    _set_method(request, "POST")
    _set_url(request, url)
    _set_headers(request, {**written.headers})
    _set_body(request, body)
    _set_context(request, context)
    _set_checked(request, True)  # noqa: FBT003 - a setter takes its value by position
    _set_written(request, written)
    return request


class HttpResponse(abc.ABC):
    """A response with status and headers, whose body is still arriving.

    Use a response in the event loop that opened it. Close every response, as with `contextlib.aclosing`; the
    connection can be used again only if the body was read to its end.

    Attributes:
        status: the HTTP status, an int.
        headers: the headers by lower-case name; repeated headers are joined with ``, ``.
    """

    __slots__ = ("__weakref__", "headers", "status")

    status: int
    headers: Mapping[str, str]

    @abc.abstractmethod
    async def read(self, timeout: float | None = None) -> bytes:
        """Read the next piece of the body, still compressed; return ``b""`` at the end of a complete body.

        Only one task may read at a time. A cancelled read loses no byte with an `Http1Transport`; other transports may
        end the response.

        Args:
            timeout: how long to wait, in seconds.

        Raises:
            TimeoutError: if nothing arrived in time; the response can then only be closed.
            ConnectionLost: if the connection broke, or the body is framed wrongly or ends too soon.
        """

    def head(self) -> Head:
        """Return the status and the headers, to be kept for long."""
        return Head(self.status, self.headers, replayed=getattr(self, "replayed", None))

    def whole(self, most: int) -> bytes | None:  # noqa: ARG002 - for those that can tell
        """Return the rest of the body and end the response, if all of it is here and has at most *most* bytes.

        Return None otherwise; `read` then gives the body. For short answers, which arrive with their head.
        """
        return None

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Return the connection to its pool if the body was read to its end, else close the connection. Idempotent."""


@final
class Head(msgspec.Struct, gc=False):  # kept with every answer, and never part of a cycle
    """The status and headers of a response, without its connection and its loop.

    Args:
        status: the HTTP status.
        decoded: the headers by lower-case name; None if they are still to be decoded.
        raw: name and value of each header as they came, where they are.
        replayed: whether it comes from a cassette; None if it does not say.
    """

    status: int
    decoded: Mapping[str, str] | None
    raw: Sequence[tuple[bytes, bytes]] = ()
    replayed: bool | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name."""
        if self.decoded is None:
            self.decoded = received_headers(self.raw)
        return self.decoded

    def headers_about(self, what: bytes) -> Mapping[str, str]:
        """Return the headers, if one of their names holds a word, which is given in lower case; else none.

        Example:
            >>> Head(200, None, [(b"X-RateLimit-Limit", b"60")]).headers_about(b"ratelimit")
            {'x-ratelimit-limit': '60'}
        """
        if self.decoded is None:  # it is only if there is one, which most servers do not send
            return self.headers if what in b" ".join([name for name, _ in self.raw]).lower() else EMPTY
        return self.decoded if what.decode() in " ".join(self.decoded) else EMPTY


class ArrivingResponse(HttpResponse):
    """A response whose body can also be taken where it arrives, without a task that waits for it; see `Sent`.

    Attributes:
        is_encoded: whether the body has a ``content-encoding``.
        is_complete: whether the whole body is here, taken or not.
        is_coming: whether more of the body may come: it is not complete, and has not broken off.
        buffered: how many bytes wait to be taken, at most.
    """

    __slots__ = ()

    is_encoded: bool
    is_complete: bool
    is_coming: bool
    buffered: int

    @abc.abstractmethod
    def arrived(self) -> bytes:
        """Return what has come of the body since the last time; ``b""`` if that is nothing.

        If no more is coming then, the body has ended or broken off: `read` tells which, without waiting.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Do what `aclose` does."""

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:  # noqa: ARG002 - for those that can
        """Call back from now on, as after `Transport.begin`, in place of being read by a task.

        What has come by now is not told. Return None, with nothing done, where this response can only be read.

        Args:
            request: what this is the response to.
            notify: is called from the loop whenever more has come or will not come any more.
        """
        return None


class Sent(Protocol):
    """A request on its way, of which a transport calls back. Only for the thread of its loop."""

    @property
    def is_broken(self) -> bool:
        """Whether no answer will come: `opened` tells why."""
        ...

    @property
    def is_expired(self) -> bool:
        """Whether the deadline has passed, and nothing came."""
        ...

    def response(self) -> ArrivingResponse | None:
        """Return the response once its head is there; called until it is."""
        ...

    async def opened(self, timeout: float | None) -> HttpResponse:
        """Wait for the head as `Transport.open` does, from where the exchange stands now."""
        ...

    def watch(self, deadline: float | None) -> None:
        """Set the time, on the loop's clock, at which to call back although nothing came; None for never."""
        ...

    def pause(self) -> None:
        """Read no further from the network."""
        ...

    def resume(self) -> None:
        """Read on. What has come meanwhile is there to be taken; it is not told again."""
        ...

    def again(self) -> None:
        """Call back in the next turn of the loop."""
        ...

    def left(self) -> Sent:
        """Call back no more; return what a task waits with for the answer from here on."""
        ...

    def close(self, response: ArrivingResponse | None) -> None:
        """Call back no more; close the response, or the connection before there is one."""
        ...


class Transport(Protocol):
    """Anything that can send an HTTP request.

    A transport may also have ``async def aclose(self)``, which closes its connections, and an attribute ``offline``,
    which is True if nothing is ever sent: then no key, project, account or region is needed.

    One that can answer without a task may have ``def begin(self, request, notify) -> Sent | None``: it sends the
    request at once, and calls ``notify()`` from the loop, never from inside ``begin``, whenever more of the answer has
    come or will not come any more. It gives None, and has done nothing, where anything has to be waited for; ``open``
    is called then. It raises what ``open`` raises for a request that cannot be sent.
    """

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send the request and wait for status and headers. Redirects are returned, never followed.

        Args:
            request: the request.
            timeout: how long connecting, sending and waiting for the headers may take together, in seconds.

        Raises:
            InvalidRequest: if the request cannot be sent as it is; no socket was opened.
            InvalidCredential: likewise, because of a header that holds a credential.
            TimeoutError: if the headers did not arrive in time.
            ConnectError: if no connection could be made, or not within `HttpRequest.connect_timeout`.
            ConnectionLost: if the connection broke before the headers arrived.
            InvalidProviderOutput: if the response is not HTTP.
        """
        ...


def begin_of(transport: Transport) -> Callable[[HttpRequest, Callable[[], None]], Sent | None] | None:
    """Return the ``begin`` of a transport; None if it has none, or an ``open`` that it does not know of.

    That is so where a subclass or a test replaces ``open``, or a transport passes on to another what it does not have.
    """
    if "open" in getattr(transport, "__dict__", EMPTY) or not _can_begin(type(transport)):
        return None
    begin: Callable[[HttpRequest, Callable[[], None]], Sent | None] = transport.begin  # type: ignore[attr-defined]
    return begin


@functools.lru_cache(maxsize=64)
def _can_begin(kind: type) -> bool:
    """Tell whether the class that has the last word on ``open`` has it on ``begin``, too."""
    for one in kind.__mro__:
        if "begin" in one.__dict__:
            return True
        if "open" in one.__dict__:
            return False
    return False


_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_SECRET_NAME: Final = re.compile(r"auth|key|token|secret|cookie|credential|password|signature")
#: Headers that could give a request a second meaning (RFC 9112, section 11.2), or make the server wait for ever.
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
    """Refuse a request that must not reach a socket. Transports that use the network call this first.

    A request that has passed is not checked again; see `HttpRequest.checked`.

    Raises:
        InvalidRequest: for a bad method, URL, header or body, named in ``parameter``.
        InvalidCredential: for a bad value in a header that holds a credential. The value is never shown.
    """
    if request.checked:
        return
    # This frame, which raises, holds only the request, whose repr is safe: tracebacks may show local variables.
    error = _fault(request)
    if error is not None:
        raise error
    object.__setattr__(request, "checked", True)  # a note about the request, which stays frozen


def _fault(request: HttpRequest) -> InvalidRequest | InvalidCredential | None:
    if not _is_token(request.method):
        return InvalidRequest(f"{request.method!r} is not an HTTP method", parameter="method")
    if not _is_url(request.url):
        return _bad_url(request.url)
    headers = request.headers
    for name, value in headers.items():
        if not _VALUE.fullmatch(value) or not _is_token(name) or name in _FORBIDDEN:
            return _bad_header(name, value)
    length = headers["content-length"] if "content-length" in headers else None  # noqa: SIM401 - one call less
    if length is not None and length != str(len(request.body)):
        msg = f"header 'content-length' says {length!r}, but the body has {len(request.body)} bytes; leave it out"
        return InvalidRequest(msg, parameter="headers")
    return None


# A backend asks for the same URL with the same names of headers again and again.


@functools.lru_cache(maxsize=256)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


@functools.lru_cache(maxsize=64)
def _is_url(url: str) -> bool:
    match = _URL.fullmatch(url)
    if match is None or int(match[1] or 1) not in range(1, 65536):
        return False
    return not match[2] or _DOTS.search(match[2]) is None


def shown_url(url: str) -> str:
    """Return a URL for messages, without query, fragment, user and password, which may be secret."""
    if not ("@" in url or "?" in url or "#" in url):
        return url
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
        said = f"header {name!r} cannot be sent; leave it out"
        msg = said if name in _FORBIDDEN else f"{name!r} is not a header name"
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
    """Return the headers to send, without those that depend on the connection."""
    return {**DEFAULT_HEADERS, **request.headers}


def received_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Decode received headers: by lower-case name, repeated headers joined with a comma."""
    pairs = [(str(name, "latin-1").lower(), str(value, "latin-1")) for name, value in raw]
    headers = dict(pairs)
    if len(headers) < len(pairs):
        for name in headers:
            headers[name] = ", ".join([value for key, value in pairs if key == name])
    return headers
