"""Fixtures of the transport tests: asyncio with both clients, and trio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.server import Server, serve
from tests.wire.transports.support import LOOPS, Make


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture(params=["http1-asyncio", "http1-trio", "aiohttp-asyncio", "httpx2-asyncio", "httpx2-trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop of a test; here it also says which transport is tested."""
    return str(request.param).rpartition("-")[2]


@pytest.fixture
def make(request: pytest.FixtureRequest, anyio_backend: str) -> Make:
    """Makes the transport under test."""
    return LOOPS[request.node.callspec.params["anyio_backend"]].make
