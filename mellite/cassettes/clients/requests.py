"""An adapter that asks a cassette, for sessions of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...values.errors import MissingExtra
from ...values.public_names import publish
from .asking import asked
from .asking_blocking import BlockingLive, ask_blocking
from .catching import Catch, Swap
from .failures import ClientFailures, Kind
from .urllib3_body import READING, StreamedBody, pieces_of

try:
    import requests
    from requests.adapters import HTTPAdapter
except ModuleNotFoundError as error:
    msg = "RequestsAdapter needs requests: pip install requests"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from ..opening import CassetteTransport

__all__ = ["RequestsAdapter", "swaps"]

_KINDS: Final[Mapping[type[Exception], Kind]] = {
    requests.exceptions.ConnectTimeout: "connect",
    requests.exceptions.Timeout: "slow",
    requests.exceptions.SSLError: "connect",
    requests.exceptions.ProxyError: "connect",
    requests.exceptions.ChunkedEncodingError: "cut",
    requests.exceptions.ConnectionError: "broken",
}


def _text(error: Exception) -> str:
    """Return how a connection failed, without the URL, which requests tells, too."""
    causes = str(error)
    if "Connection aborted" in causes:
        return "Connection aborted: reset" if "reset" in causes else "Connection aborted: disconnected"
    return "Failed to establish a connection"


def _kind(error: Exception) -> Kind | None:
    if type(error) is requests.exceptions.ConnectionError and "Connection aborted" in str(error):
        return "reset" if "reset" in str(error) else "cut"
    if type(error) is requests.exceptions.ConnectionError:
        return "connect"
    return None


_SENDING: Final = ClientFailures(
    kinds=_KINDS,
    again={
        "connect": requests.exceptions.ConnectionError,
        "slow": requests.exceptions.ReadTimeout,
        "cut": requests.exceptions.ConnectionError,
        "broken": requests.exceptions.ConnectionError,
        "reset": requests.exceptions.ConnectionError,
    },
    modules=(requests.exceptions,),
    kind=_kind,
    text=_text,
)


def _answered(
    cassette: CassetteTransport,
    adapter: HTTPAdapter,
    send: Callable[..., requests.Response],
    request: requests.PreparedRequest,
    arguments: Mapping[str, Any],
) -> requests.Response:
    """Answer a request as an adapter does."""
    _read_body(request)

    def sent() -> BlockingLive:
        response = send(request, **arguments)
        raw = response.raw

        def close() -> None:
            raw.close()
            raw.release_conn()

        headers = {name.lower(): value for name, value in raw.headers.items()}
        return BlockingLive(
            status=response.status_code, headers=headers, pieces=pieces_of(raw), close=close, response=response
        )

    headers = {name: _string(value) for name, value in request.headers.items()}
    question = asked("requests", request.method or "GET", request.url or "", headers, _bytes(request.body))
    answer = ask_blocking(
        cassette, question, sent, _SENDING, reading=READING, timeout=_timeout(arguments.get("timeout"))
    )
    response: requests.Response | None = answer.response
    raw = StreamedBody(answer, decode=False, live=None if response is None else response.raw, method=request.method)
    if response is None:
        return adapter.build_response(request, raw)
    response.raw = raw
    return response


def _read_body(request: requests.PreparedRequest) -> None:
    """Read a body that can be read only once, so that it can be compared and sent."""
    body: Any = request.body
    if body is None or isinstance(body, (str, bytes, bytearray)):
        return
    data = body.read() if hasattr(body, "read") else b"".join(body)
    request.body = _bytes(data)
    request.headers.pop("Transfer-Encoding", None)
    request.prepare_content_length(request.body)


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _string(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _timeout(timeout: Any) -> float | None:
    """Return how long the client waits for a piece, in seconds."""
    seconds = timeout[1] if isinstance(timeout, tuple) else getattr(timeout, "read_timeout", timeout)
    return seconds if isinstance(seconds, (int, float)) else None


class RequestsAdapter(HTTPAdapter):
    """An adapter for a session of requests that answers from a cassette, and records what its mode allows.

    What is recorded is sent over another adapter, and handed on piece by piece as it arrives.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it. Say ``match="pool"`` there if requests run at the
            same time.
        inner: what sends the requests that are recorded; by default an adapter as sessions have one.

    Raises:
        MissingExtra: if requests is not installed.

    Example:
        >>> import requests
        >>> from mellite import cassettes
        >>> with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...     asked = cassette.unused[0].request
        ...     with requests.Session() as session:
        ...         session.mount("https://", RequestsAdapter(cassette))
        ...         session.post(asked.url, data=asked.body.text, headers=asked.headers).status_code
        200
    """

    def __init__(self, cassette: CassetteTransport, inner: HTTPAdapter | None = None) -> None:
        super().__init__()
        self._cassette = cassette
        self._inner = inner

    def send(  # noqa: PLR0917 - as every adapter has it
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Answer a request, as every adapter does.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        send = super().send if self._inner is None else self._inner.send
        arguments = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        return _answered(self._cassette, self, send, request, arguments)

    def close(self) -> None:
        """Close the inner adapter. The cassette stays open."""
        super().close()
        if self._inner is not None:
            self._inner.close()


_NAMES: Final = ("stream", "timeout", "verify", "cert", "proxies")


def swaps(catch: Catch) -> Iterator[Swap]:
    """Yield what to put in the place of the method of adapters that sends requests."""
    original = HTTPAdapter.send

    def send(adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if not catch.takes(urlsplit(request.url or "").hostname or ""):
            return original(adapter, request, *args, **kwargs)
        arguments = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
        return _answered(catch.cassette, adapter, partial(original, adapter), request, arguments)

    yield Swap(owner=HTTPAdapter, name="send", function=send)


publish(globals(), "mellite.cassettes.clients", "RequestsAdapter")
