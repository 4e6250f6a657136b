"""The HTTP client that an MCP connection goes through: what fails is an answer, so that it costs one request only.

The mcp package loses the whole connection where a request fails below HTTP: the exception ends a task that all
requests share. And it tells neither the status nor the words of an error answer that is not JSON-RPC. So both are
turned into JSON-RPC errors here, which arrive at the request that they belong to.

httpx2 comes with the mcp package, and is imported at the first connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast, final

from ..tls import tls_context
from .http1.origins import FROM_ENVIRONMENT, proxy_of, split

if TYPE_CHECKING:
    import httpx2

__all__ = ["NO_ANSWER", "mcp_client"]

#: What stands for the status where no answer came.
NO_ANSWER: Final = 0

#: How much of an error answer is told, in characters.
_LONGEST_EXCERPT: Final = 500

_SERVER_ERROR: Final = -32603  # JSON-RPC's "internal error"


def mcp_client(url: str, headers: Mapping[str, str], timeout: float) -> httpx2.AsyncClient:
    """Make the client for one connection; the caller closes it. A proxy is asked where the environment names one.

    Args:
        url: where the connection leads.
        headers: sent with every request.
        timeout: seconds to connect, and to send a piece of a request. Answers may take any time: calls have their own
            limits.

    Raises:
        ConfigurationError: if the URL of the proxy cannot be used.
    """
    import httpx2

    inner = httpx2.AsyncHTTPTransport(verify=tls_context(), proxy=_proxy_to(url))
    return httpx2.AsyncClient(
        transport=cast("httpx2.AsyncBaseTransport", _Answering(inner)),
        headers=dict(headers),
        timeout=httpx2.Timeout(timeout, read=None),
        trust_env=False,
    )


def _proxy_to(url: str) -> httpx2.Proxy | None:
    import httpx2

    found = proxy_of(split(url)[0], FROM_ENVIRONMENT)
    if found is None:
        return None
    host = f"[{found.host}]" if ":" in found.host else found.host
    headers = {} if found.authorization is None else {"proxy-authorization": found.authorization}
    return httpx2.Proxy(f"{found.scheme}://{host}:{found.port}", headers=headers)


@final
class _Answering:
    """A transport of httpx2's that raises nothing where a POST or DELETE fails."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport) -> None:
        self._inner = inner

    async def __aenter__(self) -> _Answering:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._inner.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer to a POST has a body that has been read, or is a stream of events."""
        import httpx2

        try:
            response = await self._inner.handle_async_request(request)
            streams = response.headers.get("content-type", "").lower().startswith("text/event-stream")
            if request.method == "POST" and not (streams and response.is_success):
                response.request = request
                await response.aread()
        except httpx2.TransportError as error:
            if request.method == "DELETE":  # ends the session, which a server that is gone has none of
                return httpx2.Response(204, request=request)
            return _refusal(request, 503, NO_ANSWER, _words(error))
        if request.method != "POST" or not response.is_error or _is_rpc(response.content):
            return response
        return _refusal(request, response.status_code, response.status_code, _told(response), response)


def _words(error: Exception) -> str:
    """Return what a failure below HTTP says; httpx2 leaves many without words."""
    return str(error) or type(error).__name__


def _told(response: httpx2.Response) -> str:
    try:
        phrase = f" {HTTPStatus(response.status_code).phrase}"
    except ValueError:
        phrase = ""
    text = " ".join(response.text.split())
    excerpt = text if len(text) <= _LONGEST_EXCERPT else f"{text[:_LONGEST_EXCERPT]}..."
    return f"HTTP {response.status_code}{phrase}" + (f": {excerpt}" if excerpt else "")


def _is_rpc(body: bytes) -> bool:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and answer.get("jsonrpc") == "2.0" and isinstance(answer.get("error"), dict)


def _refusal(
    request: httpx2.Request, status: int, seen: int, text: str, response: httpx2.Response | None = None
) -> httpx2.Response:
    """Return an answer of `status` that says `text` in the words of JSON-RPC, which the mcp package hands on."""
    import httpx2

    data: dict[str, object] = {"status": seen}
    if response is not None and (wait := response.headers.get("retry-after")):
        data["retry_after"] = wait
    error = {"code": _SERVER_ERROR, "message": text, "data": data}
    return httpx2.Response(status, json={"jsonrpc": "2.0", "id": None, "error": error}, request=request)
