"""An MCP server that is reached by a URL, over streamable HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from ...values.secrets.names import is_secret_header, sounds_secret
from ...values.secrets.shapes import looks_secret, masked
from ...wire.http import shown_url
from .package import client_of, imported

if TYPE_CHECKING:
    import mcp

__all__ = ["Address"]

#: How long an answer that comes as an event may be, in bytes. mcp allows a megabyte, which a picture has soon.
_LARGEST_EVENT: Final = 100_000_000

_SHORTEST: Final = 4  # characters; anything shorter would be masked in every other word


@final
@frozen
class Address:
    """A server with a URL.

    Args:
        url: where it is.
        headers: sent with every request.
        timeout: seconds to connect.
    """

    url: str = field(repr=shown_url)
    headers: Mapping[str, str] = field(kw_only=True, repr=False)
    timeout: float = field(kw_only=True)

    @property
    def label(self) -> str:
        """The URL, without what may be secret in it."""
        return repr(shown_url(self.url))

    def masked(self, text: str) -> str:
        """Return a text without the secrets among the headers, and without what the query of the URL says."""
        known = [value for _, value in parse_qsl(urlsplit(self.url).query)]
        for name, value in self.headers.items():
            if is_secret_header(name) or sounds_secret(name) or looks_secret(value):
                known += [value, *value.split()[1:]]  # "Bearer ..." as a whole, and without its first word
        return masked(text, [value for value in known if len(value) >= _SHORTEST])

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[mcp.Client]:
        """Connect, in the protocol of 2026 where the server knows it: a call that is given up ends its request there.

        A server that does not know it refuses one request more, and is asked as ever.
        """
        imported()
        async with client_of(self._streams(), "auto") as client:
            yield client

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[Any]:
        from mcp.client.streamable_http import streamable_http_client

        from ...wire.transports.mcp_client import mcp_client

        http = mcp_client(self.url, self.headers, self.timeout)
        client = streamable_http_client(self.url, http_client=http, max_sse_event_size=_LARGEST_EVENT)
        async with http, client as streams:
            yield streams

    async def last_words(self) -> str:
        """Return nothing: it has no stderr."""
        return ""
