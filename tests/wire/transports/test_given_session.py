"""A session of aiohttp's that a program brings: used as it is, and left to its owner."""

from __future__ import annotations

from contextlib import aclosing

import aiohttp
import pytest

import mellite
from mellite.wire.transports.aiohttp import AiohttpTransport
from tests.wire.server import Server, answer
from tests.wire.transports.support import fetch


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_used_and_left(server: Server) -> None:
    """Requests go over the session, with its own headers beside ours, and it stays open."""
    script = server.script(answer(b'{"choices":[{"message":{"content":"Hello."},"finish_reason":"stop"}]}'))
    async with aiohttp.ClientSession(headers={"x-team": "search"}) as session:
        async with aclosing(AiohttpTransport(session)) as transport:
            assert b"Hello." in await fetch(transport, script)
        assert not session.closed
        transport = AiohttpTransport(session)
        backend = mellite.backend("openai-chat:m", api_key="x", base_url=script.url, transport=transport)
        assert await backend.generate("Hi.", stream=False) == "Hello."
    assert [request.header("x-team") for request in script.requests(2)] == ["search", "search"]
