"""The common part of the transports of httpx and httpx2, one library under two names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final, Protocol

from attrs import frozen

from ...wire.http import HttpRequest, received_headers
from ..opening import CassetteTransport
from .asking import Answer, Live, ask, asked
from .asking_blocking import BlockingAnswer, BlockingLive, ask_blocking
from .catching import Catch, Swap
from .failures import ClientFailures

__all__ = ["AsyncPieces", "Family", "Pieces", "Request", "Response"]

#: What a cassette gives back has been decompressed, and comes in pieces of its own.
_FRAMING: Final = frozenset({"transfer-encoding"})


class Request(Protocol):
    """The part of a request that is used here."""

    method: str
    extensions: Any

    @property
    def url(self) -> Any:
        """The URL."""
        ...

    @property
    def headers(self) -> Any:
        """The headers."""
        ...

    def read(self) -> bytes:
        """Read the body, and keep it."""
        ...

    async def aread(self) -> bytes:
        """Read the body, and keep it."""
        ...


class Response(Protocol):
    """The part of a response that is used here."""

    status_code: int
    stream: Any

    @property
    def headers(self) -> Any:
        """The headers."""
        ...


class Pieces:
    """The body of an answer for a client without await."""

    def __init__(self, answer: BlockingAnswer) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._answer.read():
            yield piece

    def close(self) -> None:
        """Close the answer."""
        self._answer.close()


class AsyncPieces:
    """The body of an answer for an async client."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> Answer:
        return self._answer

    async def aclose(self) -> None:
        """Close the answer."""
        await self._answer.aclose()


@frozen(kw_only=True)
class Family:
    """One of the two libraries.

    Args:
        name: of the library.
        module: the library.
        stream: makes the body of a response.
        async_stream: likewise, for async clients.
    """

    name: str
    module: ModuleType
    stream: Callable[[BlockingAnswer], Any]
    async_stream: Callable[[Answer], Any]

    def blocking(self, cassette: CassetteTransport, request: Any, send: Callable[[Any], Any]) -> Any:
        """Answer a request of a client without await, as its transport does."""

        def sent() -> BlockingLive:
            response: Response = send(request)
            stream = response.stream
            return BlockingLive(
                status=response.status_code,
                headers=_received(response),
                pieces=iter(stream),
                close=stream.close,
                response=response,
            )

        body = request.read()
        answer = ask_blocking(
            cassette, self._asked(request, body), sent, self._failures(request), timeout=_timeout(request)
        )
        return self._response(answer, self.stream(answer))

    async def asynchronous(
        self, cassette: CassetteTransport, request: Any, send: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Answer a request of an async client, as its transport does."""

        async def sent() -> Live:
            response: Response = await send(request)
            stream = response.stream
            return Live(
                status=response.status_code,
                headers=_received(response),
                pieces=aiter(stream),
                close=stream.aclose,
                response=response,
            )

        body = await request.aread()
        answer = await ask(
            cassette, self._asked(request, body), sent, self._failures(request), timeout=_timeout(request)
        )
        return self._response(answer, self.async_stream(answer))

    def swaps(self, catch: Catch) -> Iterator[Swap]:
        """Yield what to put in the place of the methods of this library's transports that send requests."""
        blocking = self.module.HTTPTransport.handle_request
        asynchronous = self.module.AsyncHTTPTransport.handle_async_request

        def handle_request(transport: Any, request: Any) -> Any:
            if not _is_caught(catch, request):
                return blocking(transport, request)
            return self.blocking(catch.cassette, request, partial(blocking, transport))

        async def handle_async_request(transport: Any, request: Any) -> Any:
            if not _is_caught(catch, request):
                return await asynchronous(transport, request)
            return await self.asynchronous(catch.cassette, request, partial(asynchronous, transport))

        yield Swap(owner=self.module.HTTPTransport, name="handle_request", function=handle_request)
        yield Swap(owner=self.module.AsyncHTTPTransport, name="handle_async_request", function=handle_async_request)

    def _asked(self, request: Request, body: bytes) -> HttpRequest:
        headers = received_headers(request.headers.raw)
        return asked(self.name, request.method, str(request.url), headers, body)

    def _response(self, answer: Answer | BlockingAnswer, stream: Any) -> Any:
        """Return the client's own response with another body, or a new one."""
        response = answer.response
        if response is None:
            headers = [(name, value) for name, value in answer.headers.items() if name not in _FRAMING]
            return self.module.Response(
                answer.status, headers=headers, stream=stream, extensions={"http_version": b"HTTP/1.1"}
            )
        response.stream = stream
        return response

    def _failures(self, request: Request) -> ClientFailures:
        module = self.module

        def made(kind: Callable[..., Exception], message: str) -> Exception:
            return kind(message) if kind is ConnectionError else kind(message, request=request)

        return ClientFailures(
            kinds={
                module.TimeoutException: "slow",
                module.ConnectError: "connect",
                module.ProxyError: "connect",
                module.RemoteProtocolError: "broken",
                module.NetworkError: "reset",
                ConnectionError: "reset",
            },
            again={
                "connect": module.ConnectError,
                "slow": module.ReadTimeout,
                "cut": module.RemoteProtocolError,
                "broken": module.RemoteProtocolError,
                "reset": module.ReadError,
            },
            modules=(module,),
            make=made,
        )


def _is_caught(catch: Catch, request: Request) -> bool:
    return "upgrade" not in request.headers and catch.takes(request.url.host)


def _received(response: Response) -> Mapping[str, str]:
    return received_headers(response.headers.raw)


def _timeout(request: Request) -> float | None:
    """Return how long the client waits for a piece, in seconds."""
    timeout = request.extensions.get("timeout")
    seconds = timeout.get("read") if isinstance(timeout, dict) else None
    return seconds if isinstance(seconds, (int, float)) else None
