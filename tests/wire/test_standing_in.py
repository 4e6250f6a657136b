"""What stands in for the default transports of all backends of a process: when, for whom, and until when."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite.cassettes import ScriptedTransport, load_cassette, use
from mellite.errors import ConfigurationError
from mellite.wire.transports.default import in_place_of, standing_in
from tests.providers.test_responses_websocket import delta, last
from tests.wire.answers import STREAM
from tests.wire.server import LAST, Script, Server, head, piece, serve
from tests.wire.sockets import talking

pytestmark = pytest.mark.anyio

AT_IMPORT = mellite.backend("openai-chat:m", api_key="k")
SSE = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def server():
    """A model that always answers "Hello, you."."""
    with serve() as running:
        yield running


@pytest.fixture
def script(server: Server) -> Script:
    """The model, for one test."""
    return server.script(head(200, SSE), piece(STREAM), LAST)


async def test_backends_that_were_made_before() -> None:
    """A backend made at import time uses it from the beginning of the block on, and its own transport after it."""
    scripted = ScriptedTransport([[STREAM]] * 3)
    with standing_in(lambda own: scripted):
        assert await AT_IMPORT.generate("hi") == "Hello, you."
        assert await mellite.backend("openai-chat:m", api_key="k").generate("hi") == "Hello, you."
        assert await anyio.to_thread.run_sync(AT_IMPORT.generate("hi").result) == "Hello, you."
    assert len(scripted.requests) == 3
    sentinel = ScriptedTransport([])
    assert in_place_of(lambda: sentinel) is sentinel


async def test_a_transport_that_was_given_goes_before_it() -> None:
    """What a backend was given in code is what it uses."""
    given, stands_in = ScriptedTransport([[STREAM]]), ScriptedTransport([])
    with standing_in(lambda own: stands_in):
        backend = mellite.backend("openai-chat:m", api_key="k", transport=given)
        assert await backend.generate("hi") == "Hello, you."
    assert (len(given.requests), len(stands_in.requests)) == (1, 0)


async def test_one_at_a_time() -> None:
    """A second one is refused, in whatever thread; the first goes on, and leaves nothing behind after an error."""
    scripted = ScriptedTransport([])
    refused: list[str] = []

    def another() -> None:
        try:
            with standing_in(lambda own: scripted):
                pass
        except ConfigurationError as error:
            refused.append(str(error))

    with standing_in(lambda own: scripted):
        thread = threading.Thread(target=another)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert in_place_of(lambda: ScriptedTransport([])) is scripted
    with pytest.raises(ZeroDivisionError), standing_in(lambda own: own()):
        1 / 0  # noqa: B018
    assert "one at a time" in refused[0]
    assert in_place_of(lambda: scripted) is scripted
    with standing_in(lambda own: own()):
        pass


async def test_a_cassette_records_over_the_backends_own_transport(tmp_path: Path, script: Script) -> None:
    """What has to be sent goes over what the backend would have used; afterwards nothing is sent."""
    backend = mellite.backend("openai-chat:m", base_url=f"{script.url}/v1", api_key="k")
    for mode, asked in (("all", 1), ("none", 1)):
        async with use(tmp_path / "case.json", mode=mode, environment={}) as cassette, backend:
            with standing_in(cassette.over):
                thunk = backend.generate("hi")
                assert await thunk == "Hello, you."
                assert thunk.generation.replayed is (mode == "none")
        assert len(script.requests(asked)) == asked


async def test_a_cassette_records_over_a_websocket(tmp_path: Path) -> None:
    """A backend that asks over a WebSocket is recorded over it, and replayed without a server."""
    path = tmp_path / "case.json"
    with talking([[[delta("Hel"), delta("lo."), last("Hello.")]]]) as server:
        backend = mellite.backend("openai-websocket:m", base_url=server.url, api_key="sk-test")
        async with use(path, mode="all", environment={}) as cassette, backend:
            with standing_in(cassette.over):
                assert await backend.generate("hi") == "Hello."
        assert len(server.heard) == 1
    assert len(load_cassette(path).http) == 1
    async with use(path, environment={}) as cassette:
        with standing_in(cassette.over):
            assert [text async for text in backend.generate("hi")] == ["Hel", "lo."]
        cassette.check_used()


async def test_a_transport_that_was_given_to_the_cassette(tmp_path: Path) -> None:
    """``live=`` says what to record over, whoever asks."""
    live = ScriptedTransport([[STREAM]])
    async with use(tmp_path / "case.json", mode="all", live=live, environment={}) as cassette:
        with standing_in(cassette.over):
            assert await AT_IMPORT.generate("hi") == "Hello, you."
    assert len(live.requests) == 1
