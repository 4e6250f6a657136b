"""A connector that asks a cassette, for sessions of aiohttp.

The connector sees a request before a connection is made, whatever middlewares the session and the request have. It
answers over a connection in memory, so that aiohttp itself parses, decompresses and times what comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from ...values.errors import MissingExtra
from ...values.public_names import publish
from ...wire.http import received_headers
from .asking import Answer, Live, ask, asked
from .catching import Catch, Swap
from .failures import ClientFailures, Kind

try:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
except ModuleNotFoundError as error:
    msg = "AiohttpConnector needs aiohttp: pip install 'mellite[aiohttp]'"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from aiohttp.client import ClientRequest, ClientTimeout

    from ..opening import CassetteTransport

__all__ = ["AiohttpConnector", "swaps"]

#: Headers that say how a body is framed, which is up to the connection in memory.
_FRAMING: Final = frozenset({"transfer-encoding", "content-length"})
#: What a session would add by itself; the request has it already.
_SKIPPED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
#: Statuses whose answers have no body; https://datatracker.ietf.org/doc/html/rfc9110#section-6.4.1.
_EMPTY: Final = frozenset({204, 205, 304})

_Connect = Callable[["ClientRequest", Any, "ClientTimeout"], Awaitable[Connection]]

_KINDS: Final[Mapping[type[Exception], Kind]] = {
    aiohttp.ConnectionTimeoutError: "connect",
    aiohttp.ClientConnectorError: "connect",
    aiohttp.ServerTimeoutError: "slow",
    TimeoutError: "slow",
    aiohttp.ServerDisconnectedError: "cut",
    aiohttp.ClientPayloadError: "cut",
    aiohttp.ClientOSError: "reset",
    ConnectionError: "reset",
}


def _kind(error: Exception) -> Kind | None:
    """Return that a body was reset, which aiohttp only says in the words of its error."""
    is_reset = isinstance(error, aiohttp.ClientPayloadError) and "ConnectionReset" in str(error)
    return "reset" if is_reset else None


def _failures(request: ClientRequest) -> ClientFailures:
    def made(kind: Callable[..., Exception], message: str) -> Exception:
        if issubclass(cast("type", kind), aiohttp.ClientConnectorError):
            return kind(request.connection_key, OSError(None, message))
        return kind(message)

    return ClientFailures(
        kinds=_KINDS,
        again={
            "connect": aiohttp.ClientConnectorError,
            "slow": aiohttp.SocketTimeoutError,
            "cut": aiohttp.ClientPayloadError,
            "broken": aiohttp.ClientPayloadError,
            "reset": aiohttp.ClientOSError,
        },
        modules=(aiohttp,),
        make=made,
        kind=_kind,
    )


async def _connected(
    cassette: CassetteTransport,
    connector: aiohttp.BaseConnector,
    live: aiohttp.BaseConnector,
    request: ClientRequest,
    timeout: ClientTimeout,
) -> Connection:
    """Ask the cassette, and return a connection in memory over which the answer comes.

    Args:
        cassette: what answers, or records.
        connector: the connector of the session.
        live: what connects to the server if the request is recorded.
        request: what is asked.
        timeout: the timeouts of the request.
    """
    body = await _body_of(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    question = asked("aiohttp", request.method, str(request.url), headers, body)
    answer = await ask(
        cassette, question, partial(_sent, live, request, body, timeout), _failures(request), timeout=timeout.sock_read
    )
    loop = asyncio.get_running_loop()
    handler = _Handler(loop)
    handler.connection_made(_Memory(loop, handler, answer, is_head=request.method == "HEAD"))
    return Connection(connector, request.connection_key, handler, loop)


async def _body_of(request: ClientRequest) -> bytes:
    body: Any = request.body
    return bytes(body) if isinstance(body, (bytes, bytearray)) else bytes(await body.as_bytes())


async def _sent(live: aiohttp.BaseConnector, request: ClientRequest, body: bytes, timeout: ClientTimeout) -> Live:
    """Send a request over a connector, as it is, and return what comes as it comes."""
    session = aiohttp.ClientSession(
        connector=live, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
    try:
        response = await session.request(
            request.method,
            request.url,
            headers=[(name, value) for name, value in request.headers.items() if name.lower() not in _FRAMING],
            skip_auto_headers=_SKIPPED,
            data=body or None,
            allow_redirects=False,
            ssl=request.ssl,
            server_hostname=request.server_hostname,
            proxy=request.proxy,
            proxy_auth=request.proxy_auth,
            proxy_headers=request.proxy_headers,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=timeout.connect, sock_connect=timeout.sock_connect, sock_read=timeout.sock_read
            ),
        )
    finally:
        session.detach()

    async def close() -> None:
        response.close()

    return Live(
        status=response.status,
        headers=received_headers(response.raw_headers),
        pieces=aiter(response.content.iter_any()),
        close=close,
        response=response,
    )


class _Handler(ResponseHandler):
    """The client's side of a connection in memory, which is never used again and keeps no time of its own."""

    @property
    def should_close(self) -> bool:
        return True

    def set_response_params(self, **params: Any) -> None:
        params["read_timeout"] = None
        super().set_response_params(**params)

    def hold(self) -> None:
        """Take no more until what has come is being read, unless that was all."""
        if self._payload is not None and not self._payload.is_eof():
            self.pause_reading()  # whoever reads resumes it

    def fail(self, error: BaseException) -> None:
        """Raise an error in the task that waits for the answer, or reads it."""
        self.set_exception(error)
        if self._payload is not None:
            self._payload.set_exception(error)


class _Memory(asyncio.Transport):
    """The server's side: takes no notice of the request, which is known, and gives the answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handler: _Handler, answer: Answer, *, is_head: bool) -> None:
        super().__init__()
        self._loop = loop
        self._handler = handler
        self._answer = answer
        self._is_empty = is_head or answer.status in _EMPTY
        self._task: asyncio.Task[None] | None = None
        self._going = asyncio.Event()
        self._going.set()
        self._closing = False

    def write(self, data: object) -> None:  # noqa: ARG002
        """Begin to answer: the request comes."""
        if self._task is None and not self._closing:
            self._task = self._loop.create_task(self._play())

    def writelines(self, list_of_data: object) -> None:
        self.write(list_of_data)

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._going.is_set()

    def pause_reading(self) -> None:
        self._going.clear()

    def resume_reading(self) -> None:
        self._going.set()

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        """Go away: an answer that is under way is closed."""
        if self._closing:
            return
        self._closing = True
        if self._task is None:
            self._task = self._loop.create_task(self._left())
        else:
            self._task.cancel()
        self._loop.call_soon(self._handler.connection_lost, None)

    abort = close

    async def _left(self) -> None:
        await self._answer.aclose()

    async def _play(self) -> None:
        """Hand on the answer, as its pieces come."""
        handler, answer = self._handler, self._answer
        head, is_chunked = self._head()
        failure: Exception | None = None
        try:
            handler.data_received(head)
            try:
                async for piece in answer:
                    if not self._is_empty:
                        await self._hand_on(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            except Exception as error:
                failure = error
            await self._going.wait()
            if failure is not None:
                handler.fail(failure)
            elif is_chunked:
                handler.data_received(b"0\r\n\r\n")
        finally:
            await answer.aclose()

    async def _hand_on(self, piece: bytes) -> None:
        """Give a piece once the one before has been read: what is unread joins it, and is lost when an error comes."""
        await self._going.wait()
        self._handler.data_received(piece)
        self._handler.hold()

    def _head(self) -> tuple[bytes, bool]:
        """Return status line and headers, and whether the body comes in chunks."""
        answer = self._answer
        response: aiohttp.ClientResponse | None = answer.response
        if response is None:
            raw = [
                (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers.items()
            ]
            reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
        else:
            raw = list(response.raw_headers)
            reason = response.reason or ""
        has_length = self._is_empty or any(name.lower() == b"content-length" for name, _ in raw)
        lines = [b"HTTP/1.1 %d %b" % (answer.status, reason.encode("latin-1", "replace"))]
        lines += [b"%b: %b" % (name, value) for name, value in raw if name.lower() != b"transfer-encoding"]
        if not has_length:
            lines.append(b"Transfer-Encoding: chunked")
        return b"\r\n".join([*lines, b"", b""]), not has_length


class AiohttpConnector(aiohttp.BaseConnector):
    """A connector for a session of aiohttp that answers from a cassette, and records what its mode allows.

    What is recorded is sent over another connector, and handed on piece by piece as it arrives. WebSockets go past the
    cassette.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it. Say ``match="pool"`` there if requests run at the
            same time.
        inner: what connects to servers; by default an ``aiohttp.TCPConnector``. It is closed with this one.

    Raises:
        MissingExtra: if aiohttp is not installed.

    Example:
        >>> import asyncio, aiohttp
        >>> from mellite import cassettes
        >>> async def main():
        ...     async with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...         asked = cassette.unused[0].request
        ...         async with aiohttp.ClientSession(connector=AiohttpConnector(cassette)) as session:
        ...             async with session.post(asked.url, data=asked.body.text, headers=asked.headers) as response:
        ...                 return response.status
        >>> asyncio.run(main())
        200
    """

    def __init__(self, cassette: CassetteTransport, inner: aiohttp.BaseConnector | None = None) -> None:
        super().__init__()
        self._cassette = cassette
        self._inner = aiohttp.TCPConnector() if inner is None else inner

    async def connect(self, req: ClientRequest, traces: Any, timeout: ClientTimeout) -> Connection:
        """Connect to the server that a request is for, or to the cassette; sessions call it.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        if "upgrade" in req.headers:
            return await self._inner.connect(req, traces, timeout)
        return await _connected(self._cassette, self, self._inner, req, timeout)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close the inner connector. The cassette stays open."""
        await super().close(abort_ssl=abort_ssl)
        await self._inner.close(abort_ssl=abort_ssl)


def swaps(catch: Catch) -> Iterator[Swap]:
    """Yield what to put in the place of the method by which a session gets its connections."""
    original: Any = aiohttp.BaseConnector.connect

    async def connect(
        connector: aiohttp.BaseConnector, req: ClientRequest, traces: Any, timeout: ClientTimeout
    ) -> Connection:
        if "upgrade" in req.headers or not catch.takes(req.url.host or ""):
            return cast("Connection", await original(connector, req, traces, timeout))
        return await _connected(catch.cassette, connector, connector, req, timeout)

    yield Swap(owner=aiohttp.BaseConnector, name="connect", function=connect)


publish(globals(), "mellite.cassettes.clients", "AiohttpConnector")
