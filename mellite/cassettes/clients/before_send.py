"""Have the clients of botocore, boto3's as well, ask a cassette."""

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
    from botocore import exceptions  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse  # type: ignore[import-untyped]
    from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    msg = "this needs botocore: pip install 'mellite[bedrock]'"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from ..opening import CassetteTransport

__all__ = ["botocore", "swaps"]

_KINDS: Final[Mapping[type[Exception], Kind]] = {
    exceptions.ConnectTimeoutError: "connect",
    exceptions.EndpointConnectionError: "connect",
    exceptions.ProxyConnectionError: "connect",
    exceptions.SSLError: "connect",
    exceptions.ReadTimeoutError: "slow",
    exceptions.ConnectionClosedError: "cut",
    exceptions.HTTPClientError: "reset",
}


def _kind(error: Exception) -> Kind | None:
    return "reset" if isinstance(error, exceptions.ConnectionClosedError) and "reset" in str(error.kwargs) else None


def _failures(url: str) -> ClientFailures:
    def made(kind: Callable[..., Exception], message: str) -> Exception:
        return kind(endpoint_url=url, proxy_url="", error=message)

    return ClientFailures(
        kinds=_KINDS,
        again={
            "connect": exceptions.EndpointConnectionError,
            "slow": exceptions.ReadTimeoutError,
            "cut": exceptions.ConnectionClosedError,
            "broken": exceptions.HTTPClientError,
            "reset": exceptions.ConnectionClosedError,
        },
        modules=(exceptions,),
        make=made,
        kind=_kind,
        text=lambda error: str(type(error).__doc__ or "the connection failed").partition("\n")[0],
    )


def botocore(session: Any, cassette: CassetteTransport) -> None:
    """Have the clients of a session of botocore or boto3 ask a cassette from now on, by its event ``before-send``.

    What is recorded is sent over a connection with botocore's default settings, and handed on piece by piece as it
    arrives. Clients that the session has made before are not changed.

    Args:
        session: a ``botocore.session.Session`` or a ``boto3.Session``.
        cassette: the cassette, as `mellite.cassettes.use` opens it. Say ``match="pool"`` there if requests run at the
            same time.

    Raises:
        MissingExtra: if botocore is not installed.

    Example:
        >>> import botocore.session
        >>> from mellite import cassettes
        >>> from mellite.cassettes.clients import botocore as caught
        >>> with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...     caught(botocore.session.Session(), cassette)
    """
    inner = URLLib3Session()
    events = session.events if hasattr(session, "events") else session.get_component("event_emitter")

    def before_send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return _answered(cassette, inner.send, request)

    events.register("before-send", before_send)


def _answered(
    cassette: CassetteTransport, send: Callable[[AWSPreparedRequest], AWSResponse], request: AWSPreparedRequest
) -> AWSResponse:
    """Answer a request as botocore's own session does."""
    body = _read_body(request)

    def sent() -> BlockingLive:
        response = send(request)
        raw = response.raw
        # An answer that is not a stream has been read by botocore already.
        pieces = pieces_of(raw) if request.stream_output else iter([response.content])
        headers = {name.lower(): value for name, value in raw.headers.items()}
        return BlockingLive(
            status=response.status_code, headers=headers, pieces=pieces, close=raw.close, response=response
        )

    headers = {name: _string(value) for name, value in request.headers.items()}
    question = asked("botocore", request.method, request.url, headers, body)
    answer = ask_blocking(cassette, question, sent, _failures(request.url), reading=READING)
    live = None if answer.response is None else answer.response.raw
    raw = StreamedBody(answer, decode=False, live=live, method=request.method)
    response = AWSResponse(request.url, answer.status, raw.headers, raw)
    if not request.stream_output:
        _ = response.content  # as botocore's own session does, where errors are those of sending
    return response


def _read_body(request: AWSPreparedRequest) -> bytes:
    """Return the body, and leave it to be sent."""
    body = request.body
    if hasattr(body, "read"):
        data = body.read()
        request.reset_stream()
        return bytes(data)
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _string(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def swaps(catch: Catch) -> Iterator[Swap]:
    """Yield what to put in the place of the method of botocore's HTTP session that sends requests."""
    original = URLLib3Session.send

    def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        if not catch.takes(urlsplit(request.url).hostname or ""):
            return original(session, request)
        return _answered(catch.cassette, partial(original, session), request)

    yield Swap(owner=URLLib3Session, name="send", function=send)


publish(globals(), "mellite.cassettes.clients", "botocore")
