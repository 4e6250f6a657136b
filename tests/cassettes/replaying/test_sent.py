"""Answers that are handed on without a task: the same events, order and errors as those that a task reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport, use
from mellite.cassettes.opening import CassetteTransport
from mellite.cassettes.timeline import packed
from mellite.errors import CassetteMismatch, CassetteMiss, ConnectionLost, InvalidCassette
from mellite.events import Event
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.wire.http import HttpRequest, HttpResponse

pytestmark = pytest.mark.anyio

URL = "https://api.deepseek.com/v1/chat/completions"
WORDS = [f"word {number}, " for number in range(40)]


def delta(text: str) -> str:
    """One event of a stream."""
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n"


def stream(words: list[str]) -> str:
    """The body of a whole stream."""
    end = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return "".join([*map(delta, words), f"data: {end}\n\ndata: [DONE]\n\n"])


def recorded(prompt: str, body: str, sizes: list[int] | None = None, **said: Any) -> HttpInteraction:
    """The answer to a prompt, with the sizes of the pieces in which it came."""
    asked = {
        "model": "deepseek-chat",
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks = packed([(size, 1000 + 10 * number) for number, size in enumerate(sizes or [len(body)])])
    times = {"started": "2026-11-21T06:00:00Z", "openedUs": 0, "chunks": chunks, "endedUs": 90_000, **said}
    return HttpInteraction(
        RecordedRequest("POST", URL, headers={"content-type": "application/json"}, body=Body(json.dumps(asked))),
        RecordedResponse(200, headers={"content-type": "text/event-stream"}, body=Body(body)),
        extra={"mellite": times},
    )


def backend_on(transport: Any) -> LiveBackend:
    """A backend over a transport."""
    return LiveBackend(find("deepseek:deepseek-chat", api_key="sk-made-up-for-this-test"), transport=transport)


def cut(body: str, size: int) -> list[int]:
    """The sizes of the pieces of a body that came so many bytes at a time."""
    return [len(body[start : start + size]) for start in range(0, len(body), size)]


async def deltas(thunk: mellite.ModelOutputThunk[str]) -> list[str]:
    """The texts that a thunk gives, one by one."""
    return [text async for text in thunk]


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 100_000])
async def test_every_way_to_cut(size: int) -> None:
    """The deltas are the same wherever the recorded pieces end, in an event or between two, or are cut again."""
    body = stream(WORDS)
    one = recorded("Hi.", body, cut(body, size))
    for options in ({}, {"cut": size}, {"cut": None}, {"cut": lambda whole: [whole[:size], whole[size:]]}):
        transport = ReplayTransport(Cassette((one,)), **options)
        thunk = backend_on(transport).generate("Hi.")
        assert await deltas(thunk) == WORDS
        transport.check_used()


async def test_pieces_between_events() -> None:
    """Pieces that are whole events, empty ones among them, and one that holds several, give each delta once."""
    ends = [0, *accumulate([len(delta(word)) for word in WORDS])]
    sizes = [end - start for start, end in pairwise(ends)]
    body = stream(WORDS)
    sizes = [*sizes[:5], 0, sum(sizes[5:9]), *sizes[9:], 0, len(body) - ends[-1]]
    transport = ReplayTransport(Cassette((recorded("Hi.", body, sizes),)))
    assert await deltas(backend_on(transport).generate("Hi.")) == WORDS


@pytest.mark.parametrize("size", [100, 10**7])
async def test_a_reader_that_stops(size: int) -> None:
    """A reader that stops for a while, and then reads on, gets everything once."""
    words = [f"word {number}, " for number in range(3000)]
    body = stream(words)
    thunk = backend_on(ReplayTransport(Cassette((recorded("Hi.", body, cut(body, size)),)))).generate("Hi.")
    found = []
    async for text in thunk:
        found.append(text)
        if len(found) in (1, 257, 700, 2999):
            for _ in range(30):
                await checkpoint()
    assert found == words


async def test_events_larger_than_a_turn() -> None:
    """Events of several turns' worth of bytes arrive whole, also as the last ones."""
    words = ["a" * 200_000, "b", "c" * 100_000, "d" * 65_536]
    body = stream(words)
    for sizes in (None, cut(body, 150_000), cut(body, 65_536)):
        thunk = backend_on(ReplayTransport(Cassette((recorded("Hi.", body, sizes),)))).generate("Hi.")
        assert await deltas(thunk) == words


@pytest.mark.parametrize("size", [5000, len(delta("x" * 1000))])
async def test_other_tasks_have_their_turns(size: int) -> None:
    """A long answer is handed on in many turns of the loop, and other tasks run in between."""
    body = stream(["x" * 1000] * 1500)
    thunk = backend_on(ReplayTransport(Cassette((recorded("Hi.", body, cut(body, size)),)))).generate("Hi.")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await thunk
        group.cancel_scope.cancel()
    assert turns > 20


async def test_json_that_came_in_pieces() -> None:
    """An answer that is one JSON value is whole however it came."""
    body = json.dumps({"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]})
    one = recorded("Hi.", body, cut(body, 9))
    asked = json.loads(one.request.body.text)
    del asked["stream"], asked["stream_options"]
    unary = HttpInteraction(
        RecordedRequest("POST", URL, headers=one.request.headers, body=Body(json.dumps(asked))),
        RecordedResponse(200, headers={"content-type": "application/json"}, body=Body(body)),
        extra=one.extra,
    )
    transport = ReplayTransport(Cassette((one, unary)))
    assert await backend_on(transport).generate("Hi.") == "Hello!"
    assert await backend_on(transport).generate("Hi.", stream=False) == "Hello!"


class InATask(LiveBackend):
    """A backend with a stream of its own, which a task reads."""

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:  # type: ignore[override]
        async for event in LiveBackend.stream(self, request):
            yield event


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio does not promise which of two tasks begins first
@pytest.mark.parametrize("turns", range(4))
async def test_requests_arrive_in_turn(anyio_backend: str, turns: int) -> None:
    """Requests get their answers in the order in which they were begun, whether a task sends them or not."""
    prompts = [str(number) for number in range(8)]
    transport = ReplayTransport(Cassette(tuple([recorded(prompt, stream([prompt])) for prompt in prompts])))
    plain = backend_on(transport)
    own = InATask(find("deepseek:deepseek-chat", api_key="sk-made-up-for-this-test"), transport=transport)
    chosen = [own if number >> (turns % 3) & 1 == turns // 3 else plain for number in range(8)]
    thunks = [one.generate(prompt) for one, prompt in zip(chosen, prompts, strict=True)]
    assert [thunk.value for thunk in await mellite.gather(*thunks)] == prompts


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("size", [64, 40_000])
async def test_pieces_need_no_task(anyio_backend: str, size: int) -> None:
    """On asyncio, all pieces of a stream are handed on from the loop: it takes no task to read the second one."""
    body = stream(WORDS * 100)
    thunk = backend_on(ReplayTransport(Cassette((recorded("Hi.", body, cut(body, size)),)))).generate("Hi.")
    before = asyncio.all_tasks()
    found = []
    async for text in thunk:
        found.append(text)
        assert asyncio.all_tasks() == before
    assert found == WORDS * 100


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_function_that_cuts_runs_in_a_task(anyio_backend: str) -> None:
    """Code of the caller runs where it may ask for the current task, as always."""
    tasks = []

    def halves(body: bytes) -> list[bytes]:
        tasks.append(asyncio.current_task())
        return [body[:50], body[50:]]

    transport = ReplayTransport(Cassette((recorded("Hi.", stream(WORDS)),)), cut=halves)
    assert await deltas(backend_on(transport).generate("Hi.")) == WORDS
    assert len(tasks) == 1
    assert tasks[0] is not None


async def test_a_transport_that_opens_in_its_own_way(tmp_path: Path) -> None:
    """A subclass that opens otherwise is asked to open."""
    opened: list[str] = []

    class Own(ReplayTransport):
        async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
            opened.append(request.url)
            return await super().open(request, timeout=timeout)

    class OwnFile(CassetteTransport):
        async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
            opened.append(request.url)
            return await super().open(request, timeout=timeout)

    assert await backend_on(Own(Cassette((recorded("1", stream(["one"])),)))).generate("1") == "one"
    path = tmp_path / "case.json"
    path.write_text('{"version": 1, "interactions": []}', encoding="utf-8")
    own = OwnFile(str(path), "none", about={}, replaying={})
    assert isinstance((await backend_on(own).generate("1").settle()).error, CassetteMiss)
    assert opened == [URL, URL]


async def test_refusals(tmp_path: Path) -> None:
    """What is not recorded is refused with the same help as ever, and uses nothing up."""
    path = tmp_path / "case.json"
    replay = ReplayTransport(Cassette((recorded("1", stream(["one"])),), metadata={"name": "group/case"}))
    thunk = await backend_on(replay).generate("2").settle()
    assert isinstance(thunk.error, CassetteMismatch)
    assert '$.messages[0].content expected "1", received "2"' in str(thunk.error)
    assert (replay.used, await backend_on(replay).generate("1")) == (0, "one")
    thunk = await backend_on(replay).generate("1").settle()
    assert isinstance(thunk.error, CassetteMiss)
    assert "its only interaction was used" in str(thunk.error)
    path.write_text('{"version": 1, "interactions": []}', encoding="utf-8")
    async with use(path, environment={}) as transport:
        thunk = await backend_on(transport).generate("1").settle()
    assert isinstance(thunk.error, CassetteMiss)
    assert "run this with RECORD=true" in str(thunk.error)


async def test_ends_as_recorded() -> None:
    """An answer that broke off gives its deltas and the error; a damaged body is told; each uses up its interaction."""
    body = delta("one") + delta("two")
    lost = {"type": "ConnectionLost", "message": "gone", "ending": "reset"}
    broken = recorded("1", body, [len(delta("one")), len(delta("two"))], end="broken", error=lost)
    whole = recorded("2", stream(["x"]))
    damaged = HttpInteraction(
        whole.request, RecordedResponse(200, body=Body("?", encoding="base64")), extra=whole.extra
    )
    odd = recorded("3", stream(["x"]), openedUs="soon")
    transport = ReplayTransport(Cassette((broken, damaged, odd)))
    thunk = await backend_on(transport).generate("1").settle()
    assert isinstance(thunk.error, ConnectionLost)
    assert (thunk.error.ending, thunk.partial) == ("reset", "onetwo")
    assert transport.used == 1
    for prompt in ("2", "3"):
        thunk = await backend_on(transport).generate(prompt).settle()
        assert isinstance(thunk.error, InvalidCassette)
    assert transport.used == 3


# What `Transport` says of `begin`, which is for asyncio here.


class Watched:
    """A request that was begun, and how many times it called back."""

    def __init__(self, interaction: HttpInteraction) -> None:
        asked = interaction.request
        self.transport = ReplayTransport(Cassette((interaction,)))
        self.calls = 0
        request = HttpRequest("POST", URL, headers=asked.headers, body=asked.body.data)
        sent = self.transport.begin(request, self.notify)
        assert sent is not None
        self.sent = sent

    def notify(self) -> None:
        """Count a call."""
        self.calls += 1


async def turns(count: int) -> None:
    """Let other tasks run."""
    for _ in range(count):
        await checkpoint()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_calling_back(anyio_backend: str) -> None:
    """The loop calls back from the next turn on, not while the reader pauses, and not once it has left."""
    body = stream(["x" * 1000] * 200)
    watched = Watched(recorded("Hi.", body, [1000] * (len(body) // 1000) + [len(body) % 1000]))
    sent = watched.sent
    assert (watched.calls, watched.transport.used) == (0, 0)
    sent.pause()
    await turns(5)
    assert (watched.calls, watched.transport.used) == (0, 0)
    sent.resume()
    await turns(5)
    assert watched.calls == 1  # nothing more can be told of before the reader asks for the head
    response = sent.response()
    assert response is not None
    assert (response.status, watched.transport.used, sent.is_broken) == (200, 1, False)
    sent.again()
    await turns(1)
    assert watched.calls > 1
    sent.pause()
    await turns(2)
    before = watched.calls
    await turns(5)
    assert watched.calls == before
    assert response.arrived() == body[:1000].encode()
    assert sent.left() is sent
    sent.resume()
    sent.again()
    await turns(5)
    assert watched.calls == before


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_pieces_come_together_up_to_a_bound(anyio_backend: str) -> None:
    """What was cut between two events comes at once, but no more of it than is to be looked at in one turn."""
    one = delta("x" * 1000)
    body = stream(["x" * 1000] * 200)
    watched = Watched(recorded("Hi.", body, [*[len(one)] * 200, 10, len(body) - 200 * len(one) - 10]))
    await turns(2)
    response = watched.sent.response()
    assert response is not None
    pieces = []
    while piece := response.arrived():
        pieces.append(piece)
    assert b"".join(pieces) == body.encode()
    assert [len(piece) // len(one) for piece in pieces[:3]] == [65536 // len(one)] * 3
    assert len(pieces[-1]) == len(body) - 200 * len(one) - 10  # the piece before ends in an event
    assert await response.read() == b""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_cannot_be_answered_at_once(anyio_backend: str) -> None:
    """Nothing comes of a damaged body but the error, when it is opened; times and functions are not begun at all."""
    whole = recorded("Hi.", stream(["x"]))
    damaged = RecordedResponse(200, body=Body("?", encoding="base64"))
    watched = Watched(HttpInteraction(whole.request, damaged, extra=whole.extra))
    await turns(2)
    assert (watched.sent.response(), watched.sent.is_broken) == (None, True)
    with pytest.raises(InvalidCassette):
        await watched.sent.opened(None)
    request = HttpRequest("POST", URL, body=whole.request.body.data)
    for options in ({"speed": 1}, {"cut": lambda body: [body]}):
        transport = ReplayTransport(Cassette((whole,)), **options)  # type: ignore[arg-type]
        assert transport.begin(request, watched.notify) is None
    assert transport.used == 0
