"""Record against real servers on this machine, then replay: the same events, pieces and end, in every protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import evolve

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import load_cassette, use
from mellite.cassettes.timeline import Timeline
from mellite.errors import CassetteMismatch, ConnectionLost
from mellite.events import ResponseStart
from mellite.providers.catalog import find
from mellite.providers.openai import websocket_transport
from mellite.wire.http import HttpRequest, HttpResponse, Transport
from mellite.wire.transports.default import default_transport
from tests.providers.answers import ANSWERS
from tests.wire.server import CLOSE, LAST, RESET, Script, Server, Step, answer, gate, head, piece, serve
from tests.wire.sockets import hang_up, talking

pytestmark = pytest.mark.anyio

SPEAKERS = {
    "openai-chat": "openai-chat:m-1",
    "openai-responses": "openai:m-1",
    "anthropic-messages": "anthropic:m-1",
    "cohere-chat": "cohere:m-1",
    "gemini": "google:m-1",
    "bedrock-converse": "bedrock:m-1",
}
"""Protocol -> a provider that speaks it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


class Watched:
    """A transport that notes each piece that is read, and lets the server send the next one only then."""

    def __init__(self, inner: Transport, script: Script | None = None) -> None:
        self.inner = inner
        self.script = script
        self.pieces: list[bytes | str] = []

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Send it."""
        return _Watched(await self.inner.open(request, timeout=timeout), self)


class _Watched(HttpResponse):
    def __init__(self, inner: HttpResponse, by: Watched) -> None:
        self.inner, self.by = inner, by
        self.status, self.headers = inner.status, inner.headers

    async def read(self, timeout: float | None = None) -> bytes:
        if self.by.script is not None:
            await anyio.to_thread.run_sync(self.by.script.release, "next")
        try:
            piece = await self.inner.read(timeout)
        except Exception as error:
            self.by.pieces.append(f"{type(error).__name__}: {error}")
            raise
        self.by.pieces.append(piece)
        return piece

    async def aclose(self) -> None:
        await self.inner.aclose()


async def story(model: str, url: str, transport: Watched, *, stop: int | None = None, **options: Any) -> list[Any]:
    """All that a thunk gives: its events, how it ended, and the pieces that were read for it."""
    backend = LiveBackend(find(model, api_key="sk-test-0123", base_url=url), transport=transport)
    thunk = backend.generate("Say hello.", **options)
    events: list[Any] = []
    try:
        async for event in thunk.events():
            # That it is a replay is all that may differ.
            events.append(evolve(event, replayed=None) if isinstance(event, ResponseStart) else event)
            if stop is not None and len(events) == stop:
                await thunk.cancel_generation("enough")
    except mellite.errors.MelliteError as error:
        events.append((type(error).__name__, str(error), error.partial))
    about = thunk.generation
    return [events, thunk.state, thunk.partial, about.usage, about.finish_reason, transport.pieces]


async def recorded_and_replayed(
    path: Path, model: str, script: Script, live: Transport | None = None, **options: Any
) -> tuple[list[Any], list[Any]]:
    """The story of a call that is recorded, and of its replay."""
    live = live or default_transport()
    async with use(path, mode="once", live=live, environment={}) as transport:
        first = await story(model, script.url, Watched(transport, script), **options)
    await live.aclose()  # type: ignore[attr-defined]
    async with use(path, environment={}) as transport:
        assert transport.mode == "none"
        second = await story(model, script.url, Watched(transport), **options)
        transport.check_used()
    return first, second


def steps(protocol: str, *end: Step, pieces: int = 100) -> list[Step]:
    """An answer that is sent piece by piece, each when the one before has been read."""
    spoken = ANSWERS[protocol]
    sent = [step for each in spoken.pieces[:pieces] for step in (gate("next"), piece(each))]
    return [head(200, {"content-type": spoken.content_type, "x-request-id": "r-1"}), *sent, gate("next"), *end]


@pytest.mark.parametrize("protocol", SPEAKERS)
async def test_streamed(server: Server, tmp_path: Path, protocol: str) -> None:
    """A streamed answer comes again event for event and piece for piece."""
    script = server.script(steps(protocol, LAST))
    first, second = await recorded_and_replayed(tmp_path / "case.json", SPEAKERS[protocol], script)
    assert first == second
    assert (first[1], first[2]) == ("done", "Hello!")
    assert len(first[-1]) > 2


@pytest.mark.parametrize("protocol", SPEAKERS)
async def test_unary(server: Server, tmp_path: Path, protocol: str) -> None:
    """So does an answer in one piece."""
    body = ANSWERS[protocol].whole
    script = server.script(answer(body, headers={"content-type": "application/json", "x-request-id": "r-1"}))
    path = tmp_path / "case.json"
    first, second = await recorded_and_replayed(path, SPEAKERS[protocol], script, stream=False)
    assert first == second
    assert (first[1], first[2]) == ("done", "Hello!")
    assert load_cassette(path).http[0].response.body.data == body


@pytest.mark.parametrize(
    ("end", "ending"),
    [(RESET, "reset"), (CLOSE, "cut"), (LAST, None)],
    ids=["reset", "without its last chunk", "clean"],
)
@pytest.mark.parametrize("protocol", SPEAKERS)
async def test_broken(server: Server, tmp_path: Path, protocol: str, end: Step, ending: str | None) -> None:
    """An answer that breaks off, or ends before it is whole, fails again with the same error and the same text.

    The cassette keeps how its body ended, and so does the error of the replay.
    """
    script = server.script(steps(protocol, end, pieces=1))
    path = tmp_path / "case.json"
    first, second = await recorded_and_replayed(path, SPEAKERS[protocol], script)
    assert first == second
    assert first[1] == "failed"
    (one,) = load_cassette(path).http
    timeline = Timeline.of(one.extra)
    assert timeline is not None
    assert timeline.end == ("complete" if ending is None else "broken")
    assert (timeline.fault and timeline.fault.ending) == ending
    async with use(path, environment={}) as transport:
        asked = one.request
        response = await transport.open(
            HttpRequest(asked.method, asked.url, headers=asked.headers, body=asked.body.data)
        )
        broken = None
        try:
            while await response.read():
                pass
        except ConnectionLost as error:
            broken = error.ending
    assert broken == ending


@pytest.mark.parametrize("protocol", SPEAKERS)
async def test_cancelled(server: Server, tmp_path: Path, protocol: str) -> None:
    """An answer that its reader leaves is cancelled again at the same event, and is never a whole one."""
    script = server.script(steps(protocol, LAST))
    path = tmp_path / "case.json"
    stop = 5 if protocol == "openai-chat" else 4
    first, second = await recorded_and_replayed(path, SPEAKERS[protocol], script, stop=stop)
    assert first[1:3] == second[1:3]
    assert first[0] == second[0]
    assert first[1] == "cancelled"
    async with use(path, deadline=0.01, environment={}) as transport:
        found = await story(SPEAKERS[protocol], script.url, Watched(transport))
    assert found[1] == "failed"
    assert found[0][-1][0] == CassetteMismatch.__name__


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"retry-after": "7"}),
        (500, {}),
        (401, {"x-request-id": "r-9"}),
        (302, {"location": "https://example.com/v2"}),
    ],
)
async def test_error_answers(server: Server, tmp_path: Path, status: int, headers: dict[str, str]) -> None:
    """Error answers are recorded like others, with what their headers say of retries."""
    body = b'{"error": {"message": "no", "type": "it_is_so"}}'
    script = server.script(answer(body, status, {"content-type": "application/json", **headers}))
    path = tmp_path / "case.json"
    first, second = await recorded_and_replayed(path, SPEAKERS["openai-chat"], script)
    assert first == second
    assert first[1] == "failed"
    assert headers.items() <= load_cassette(path).http[0].response.headers.items()


async def test_refused_connections(tmp_path: Path, server: Server) -> None:
    """That nobody listens is recorded, too."""
    script = Script(Server(1), 0)
    path = tmp_path / "case.json"
    async with use(path, mode="once", environment={}) as transport:
        first = await story(SPEAKERS["openai-chat"], script.url, Watched(transport))
    async with use(path, environment={}) as transport:
        assert await story(SPEAKERS["openai-chat"], script.url, Watched(transport)) == first
    assert first[0][-1][0] == "ConnectError"


async def test_timeouts(tmp_path: Path, server: Server) -> None:
    """A server that falls silent is replayed as one, without the wait."""
    script = server.script(head(200, {"content-type": "text/event-stream"}), piece(b": hi\n\n"), gate("never"), LAST)
    options = {"timeouts": mellite.Timeouts(first_byte=5, idle=0.2)}
    first, second = await recorded_and_replayed(tmp_path / "case.json", SPEAKERS["openai-chat"], script, **options)
    assert first == second
    assert first[0][-1][0] == "IdleTimeout"


@pytest.mark.parametrize(
    ("clock", "seconds"), [("first_byte", 0.1), ("idle", 0.1), ("total", 0.2)], ids=["first_byte", "idle", "total"]
)
async def test_which_clock_ran_out(tmp_path: Path, server: Server, clock: str, seconds: float) -> None:
    """The cassette says which of the clocks of the call ran out, and what it was set to."""
    opened = [] if clock == "first_byte" else [head(200, {"content-type": "text/event-stream"}), piece(b": hi\n\n")]
    script = server.script(*opened, gate("never"), LAST)
    timeouts = mellite.Timeouts(**{"first_byte": 9, "idle": 9, "total": 30, clock: seconds})
    await recorded_and_replayed(tmp_path / "case.json", SPEAKERS["openai-chat"], script, timeouts=timeouts)
    (one,) = load_cassette(tmp_path / "case.json").http
    timeline = Timeline.of(one.extra)
    assert timeline is not None
    assert timeline.fault is not None
    assert (timeline.fault.type, timeline.fault.clock, timeline.fault.seconds) == ("TimeoutError", clock, seconds)


def said(text: str) -> list[dict[str, Any]]:
    """An answer of OpenAI Responses over a WebSocket."""
    item = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}
    return [
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": text},
        {"type": "response.completed", "response": {"id": "resp_1", "model": "m", "output": [item]}},
    ]


@pytest.mark.parametrize("broken", [False, True])
async def test_websockets(tmp_path: Path, *, broken: bool) -> None:
    """What comes over a WebSocket is recorded and replayed like any other stream, whole or broken."""
    messages: list[Any] = said("Hello!")
    if broken:
        messages[1:] = [hang_up]
    path = tmp_path / "case.json"
    with talking([[messages]]) as socket:
        live = websocket_transport()
        async with use(path, mode="once", live=live, environment={}) as transport:
            first = await story("openai-websocket:m-1", socket.url, Watched(transport))
        await live.aclose()  # type: ignore[attr-defined]
    async with use(path, environment={}) as transport:
        second = await story("openai-websocket:m-1", socket.url, Watched(transport))
    assert first == second
    assert (first[1], first[2]) == ("failed" if broken else "done", "Hello!")
