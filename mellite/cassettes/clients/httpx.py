"""Transports that ask a cassette, for the clients of httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...values.errors import MissingExtra
from ...values.public_names import publish
from .httpx_family import AsyncPieces, Family, Pieces

try:
    import httpx
except ModuleNotFoundError as error:
    msg = "the transports for httpx need it: pip install httpx"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from ..opening import CassetteTransport

__all__ = ["AsyncHttpxTransport", "HttpxTransport", "swaps"]


class _Stream(Pieces, httpx.SyncByteStream):
    pass


class _AsyncStream(AsyncPieces, httpx.AsyncByteStream):
    pass


_FAMILY: Final = Family(name="httpx", module=httpx, stream=_Stream, async_stream=_AsyncStream)


class HttpxTransport(httpx.BaseTransport):
    """A transport for ``httpx.Client`` that answers from a cassette, and records what its mode allows.

    What is recorded is sent over another transport, and handed on piece by piece as it arrives. Any number of threads
    may use one.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it. Say ``match="pool"`` there if requests run at the
            same time.
        inner: what sends the requests that are recorded; by default an ``httpx.HTTPTransport``, closed with this.

    Raises:
        MissingExtra: if httpx is not installed.

    Example:
        >>> import httpx
        >>> from mellite import cassettes
        >>> with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...     asked = cassette.unused[0].request
        ...     with httpx.Client(transport=HttpxTransport(cassette)) as client:
        ...         client.post(asked.url, headers=asked.headers, content=asked.body.text).status_code
        200
    """

    def __init__(self, cassette: CassetteTransport, inner: httpx.BaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, as every transport of httpx does.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        response: httpx.Response = _FAMILY.blocking(self._cassette, request, self._send)
        return response

    def _send(self, request: httpx.Request) -> httpx.Response:
        if self._inner is None:
            self._inner = httpx.HTTPTransport()
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the inner transport. The cassette stays open."""
        if self._inner is not None:
            self._inner.close()


class AsyncHttpxTransport(httpx.AsyncBaseTransport):
    """A transport for ``httpx.AsyncClient``, on asyncio and trio; otherwise as `HttpxTransport`.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it.
        inner: what sends the requests that are recorded; by default an ``httpx.AsyncHTTPTransport``, closed with this.

    Raises:
        MissingExtra: if httpx is not installed.

    Example:
        >>> import anyio, httpx
        >>> from mellite import cassettes
        >>> async def main():
        ...     async with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...         asked = cassette.unused[0].request
        ...         async with httpx.AsyncClient(transport=AsyncHttpxTransport(cassette)) as client:
        ...             return await client.post(asked.url, headers=asked.headers, content=asked.body.text)
        >>> anyio.run(main)
        <Response [200 OK]>
    """

    def __init__(self, cassette: CassetteTransport, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, as every transport of httpx does.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        response: httpx.Response = await _FAMILY.asynchronous(self._cassette, request, self._send)
        return response

    async def _send(self, request: httpx.Request) -> httpx.Response:
        if self._inner is None:
            self._inner = httpx.AsyncHTTPTransport()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport. The cassette stays open."""
        if self._inner is not None:
            await self._inner.aclose()


swaps: Final = _FAMILY.swaps
"""What `mellite.cassettes.patch` puts in the place of the methods that send."""

publish(globals(), "mellite.cassettes.clients", "AsyncHttpxTransport", "HttpxTransport")
