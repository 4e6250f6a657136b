"""Have urllib3 ask a cassette, where a program uses it by itself and not below requests or botocore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...values.errors import MissingExtra
from .asking import asked
from .asking_blocking import BlockingLive, ask_blocking
from .catching import Catch, Swap
from .failures import ClientFailures, Kind
from .urllib3_body import READING, StreamedBody, pieces_of

try:
    from urllib3 import HTTPConnectionPool, Retry, exceptions
except ModuleNotFoundError as error:
    msg = "this needs urllib3: pip install urllib3"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from ..opening import CassetteTransport

__all__ = ["swaps"]

_KINDS: Final[Mapping[type[Exception], Kind]] = {
    exceptions.MaxRetryError: "connect",
    exceptions.NewConnectionError: "connect",
    exceptions.ConnectTimeoutError: "connect",
    exceptions.ProxyError: "connect",
    exceptions.SSLError: "connect",
    exceptions.TimeoutError: "slow",
    exceptions.ProtocolError: "cut",
}

_AGAIN: Final[Mapping[Kind, type[Exception]]] = {
    "connect": exceptions.NewConnectionError,
    "slow": exceptions.ReadTimeoutError,
    "cut": exceptions.ProtocolError,
    "broken": exceptions.ProtocolError,
    "reset": exceptions.ProtocolError,
}

#: What an error says, without the URL, which urllib3 tells, too.
_WORDS: Final[Mapping[Kind, str]] = {
    "connect": "Failed to establish a new connection",
    "slow": "Read timed out.",
    "cut": "Connection aborted.",
    "broken": "Connection broken",
    "reset": "Connection reset by peer",
}


def _kind(error: Exception) -> Kind | None:
    """Return what an error says where its class does not tell; None if it does."""
    if isinstance(error, exceptions.MaxRetryError) and isinstance(error.reason, Exception):
        return _means(error.reason)
    return "reset" if isinstance(error, exceptions.ProtocolError) and "Reset" in repr(error) else None


def _means(error: Exception) -> Kind:
    known = _kind(error)
    if known is not None:
        return known
    for each, kind in _KINDS.items():
        if isinstance(error, each):
            return kind
    return "broken"


def _text(error: Exception) -> str:
    words = _WORDS[_means(error)]
    reason = error.reason if isinstance(error, exceptions.MaxRetryError) else None
    return words if reason is None else f"{type(reason).__name__}: {words}"


def _failures(pool: HTTPConnectionPool, url: str) -> ClientFailures:
    def made(kind: Any, message: str) -> Any:
        if kind is exceptions.MaxRetryError:
            name, _, words = message.partition(": ")
            reason = getattr(exceptions, name, None)
            known = isinstance(reason, type) and issubclass(reason, tuple(_KINDS))
            return kind(pool, url, made(reason if known else exceptions.ProtocolError, words))
        more: Mapping[type[Exception], tuple[Any, ...]] = {
            exceptions.ReadTimeoutError: (pool, url, message),
            exceptions.NewConnectionError: (pool, message),
            exceptions.NameResolutionError: (pool.host, pool, message),
            exceptions.ProxyError: (message, OSError(message)),
        }
        return kind(*more.get(kind, (message,)))

    return ClientFailures(kinds=_KINDS, again=_AGAIN, modules=(exceptions,), make=made, kind=_kind, text=_text)


_NAMES: Final = ("body", "headers", "retries", "redirect", "assert_same_host", "timeout", "pool_timeout")


def _answered(
    cassette: CassetteTransport,
    pool: HTTPConnectionPool,
    send: Callable[..., Any],
    where: tuple[str, str],
    arguments: dict[str, Any],
) -> StreamedBody:
    """Answer a request as a pool of connections does. Redirects and retries that are its own are one request."""
    method, url = where
    decode, preload = arguments.pop("decode_content", True), arguments.pop("preload_content", True)
    body = arguments["body"] = _read_body(arguments.get("body"))
    if body is not None:
        arguments["chunked"] = False

    def sent() -> BlockingLive:
        live = send(method, url, decode_content=False, preload_content=preload, **arguments)

        def close() -> None:
            live.close()
            live.release_conn()

        headers = {name.lower(): value for name, value in live.headers.items()}
        pieces = iter([live.data]) if preload else pieces_of(live)
        return BlockingLive(status=live.status, headers=headers, pieces=pieces, close=close, response=live)

    given = pool.headers if arguments.get("headers") is None else arguments["headers"]
    headers = {name: _string(value) for name, value in given.items()}
    question = asked("urllib3", method, _whole_url(pool, url), headers, body or b"")
    failures = _failures(pool, url)
    answer = ask_blocking(cassette, question, sent, failures, reading=READING, timeout=_timeout(pool, arguments))
    live = answer.response
    response = StreamedBody(answer, decode=decode, live=live, method=method, url=url)
    response.retries = _retries(pool, arguments) if live is None else live.retries
    if preload:
        response.read(cache_content=True)
    return response


def _read_body(body: Any) -> bytes | None:
    """Read a body that can be read only once, so that it can be compared and sent."""
    if hasattr(body, "read"):
        body = body.read()
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    return body.encode() if isinstance(body, str) else b"".join(map(_bytes, body))


def _bytes(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else bytes(part)


def _string(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _whole_url(pool: HTTPConnectionPool, url: str) -> str:
    if not url.startswith("/"):
        return url
    host = f"[{pool.host}]" if ":" in pool.host and not pool.host.startswith("[") else pool.host
    is_usual = pool.port in (None, {"http": 80, "https": 443}.get(pool.scheme or ""))
    return f"{pool.scheme}://{host}{'' if is_usual else f':{pool.port}'}{url}"


def _timeout(pool: HTTPConnectionPool, arguments: Mapping[str, Any]) -> float | None:
    """Return how long the client waits for a piece, in seconds."""
    timeout = arguments.get("timeout", pool.timeout)
    seconds = getattr(timeout, "read_timeout", timeout)
    return seconds if isinstance(seconds, (int, float)) else None


def _retries(pool: HTTPConnectionPool, arguments: Mapping[str, Any]) -> Retry:
    retries = arguments.get("retries")
    if isinstance(retries, Retry):
        return retries
    return Retry.from_int(retries, redirect=arguments.get("redirect", True), default=pool.retries)


def swaps(catch: Catch) -> Iterator[Swap]:
    """Yield what to put in the place of the method of pools of connections that sends requests."""
    original = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        host = pool.host if url.startswith("/") else urlsplit(url).hostname
        if not catch.takes(host or ""):
            return original(pool, method, url, *args, **kwargs)
        arguments = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
        return _answered(catch.cassette, pool, partial(original, pool), (method, url), arguments)

    yield Swap(owner=HTTPConnectionPool, name="urlopen", function=urlopen)
