"""Transports that ask a cassette, for the clients of httpx2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...values.errors import MissingExtra
from ...values.public_names import publish
from .httpx_family import AsyncPieces, Family, Pieces

try:
    import httpx2
except ModuleNotFoundError as error:
    msg = "the transports for httpx2 need it: pip install httpx2"
    raise MissingExtra(msg) from error

if TYPE_CHECKING:
    from ..opening import CassetteTransport

__all__ = ["AsyncHttpx2Transport", "Httpx2Transport", "swaps"]


class _Stream(Pieces, httpx2.SyncByteStream):
    pass


class _AsyncStream(AsyncPieces, httpx2.AsyncByteStream):
    pass


_FAMILY: Final = Family(name="httpx2", module=httpx2, stream=_Stream, async_stream=_AsyncStream)


class Httpx2Transport(httpx2.BaseTransport):
    """A transport for ``httpx2.Client`` that answers from a cassette, and records what its mode allows.

    What is recorded is sent over another transport, and handed on piece by piece as it arrives. Any number of threads
    may use one.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it. Say ``match="pool"`` there if requests run at the
            same time.
        inner: what sends the requests that are recorded; by default an ``httpx2.HTTPTransport``, closed with this.

    Raises:
        MissingExtra: if httpx2 is not installed.

    Example:
        >>> import httpx2
        >>> from mellite import cassettes
        >>> with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...     asked = cassette.unused[0].request
        ...     with httpx2.Client(transport=Httpx2Transport(cassette)) as client:
        ...         client.post(asked.url, headers=asked.headers, content=asked.body.text).status_code
        200
    """

    def __init__(self, cassette: CassetteTransport, inner: httpx2.BaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request, as every transport of httpx2 does.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        response: httpx2.Response = _FAMILY.blocking(self._cassette, request, self._send)
        return response

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        if self._inner is None:
            self._inner = httpx2.HTTPTransport()
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the inner transport. The cassette stays open."""
        if self._inner is not None:
            self._inner.close()


class AsyncHttpx2Transport(httpx2.AsyncBaseTransport):
    """A transport for ``httpx2.AsyncClient``, on asyncio and trio; otherwise as `Httpx2Transport`.

    Args:
        cassette: the cassette, as `mellite.cassettes.use` opens it.
        inner: what sends the requests that are recorded; by default an ``httpx2.AsyncHTTPTransport``, closed with this.

    Raises:
        MissingExtra: if httpx2 is not installed.

    Example:
        >>> import anyio, httpx2
        >>> from mellite import cassettes
        >>> async def main():
        ...     async with cassettes.use("mellite/demo_cassettes/chat.json", lenient=True) as cassette:
        ...         asked = cassette.unused[0].request
        ...         async with httpx2.AsyncClient(transport=AsyncHttpx2Transport(cassette)) as client:
        ...             return await client.post(asked.url, headers=asked.headers, content=asked.body.text)
        >>> anyio.run(main)
        <Response [200 OK]>
    """

    def __init__(self, cassette: CassetteTransport, inner: httpx2.AsyncBaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request, as every transport of httpx2 does.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
        """
        response: httpx2.Response = await _FAMILY.asynchronous(self._cassette, request, self._send)
        return response

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        if self._inner is None:
            self._inner = httpx2.AsyncHTTPTransport()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport. The cassette stays open."""
        if self._inner is not None:
            await self._inner.aclose()


swaps: Final = _FAMILY.swaps
"""What `mellite.cassettes.patch` puts in the place of the methods that send."""

publish(globals(), "mellite.cassettes.clients", "AsyncHttpx2Transport", "Httpx2Transport")
