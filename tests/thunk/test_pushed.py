"""A generation whose events are pushed, over a kept connection, behaves as one whose task pulls them."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest

import mellite
from mellite import Backend, Request
from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport, ReplayTransport
from mellite.errors import ConnectionLost
from mellite.events import Event, Finish, TextDelta
from mellite.providers.openai import chat_route
from mellite.wire.http import HttpRequest, HttpResponse
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import on_loops
from tests.wire.answers import DONE, JSON, STREAM, WHOLE, chunk
from tests.wire.server import CLOSE, LAST, Server, Step, answer, gate, piece, send, serve
from tests.wire.test_pushing import HEAD, asking, at_once

pytestmark = [pytest.mark.anyio, on_loops("asyncio", "uvloop", "trio")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(params=[False, True], ids=["cold", "warm"])
async def transport(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Http1Transport]:
    """A transport without a connection, or with kept ones."""
    transport = Http1Transport()
    if request.param:
        await warm(transport, server, 3)
    yield transport
    await transport.aclose()


async def warm(transport: Http1Transport, server: Server, connections: int) -> None:
    """Have the transport keep so many connections."""
    if not connections:
        return
    script = server.script(gate("all"), answer(WHOLE, headers=JSON))
    backend = asking(script, transport)
    async with anyio.create_task_group() as group:
        for _ in range(connections):
            group.start_soon(backend.generate("hi", stream=False).settle)
        await anyio.to_thread.run_sync(script.waiting, connections)
        script.release("all", connections)


async def round_trip(server: Server, transport: Http1Transport) -> None:
    """Let the loop take in what has come by now: it looks at all of its sockets to get this answer."""
    for _ in range(2):
        await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)


def tokens(count: int, first: int = 0) -> bytes:
    return b"".join([chunk(f"t{number} ") for number in range(first, first + count)])


# --- back pressure --------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [1, 2, 7])
async def test_no_further_than_wanted(server: Server, ahead: int) -> None:
    """A reader that stops has as many events waiting for it as over a new connection, and later the rest, in order."""
    script = server.script(at_once(HEAD, piece(tokens(40))), gate("more"), piece(tokens(40, 40) + STREAM), LAST)
    found = []
    for connections in (0, 2):
        transport = Http1Transport()
        await warm(transport, server, connections)
        thunk = asking(script, transport).generate("hi")
        events = thunk.events(ahead=ahead)
        seen: list[Event] = []
        waiting = []
        for count in (1, 2, 5, 11, 20):
            while len(seen) < count:
                seen.append(await anext(events))
            await round_trip(server, transport)
            waiting.append(thunk.partial)
        script.release("more")
        seen += [event async for event in events]
        assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == thunk.value
        assert thunk.value == "".join(f"t{number} " for number in range(80)) + "Hello, you."
        found.append((seen, waiting))
        await transport.aclose()
    assert found[0] == found[1]
    assert found[0][1][-1].count(" ") < 20


async def test_readers_at_their_own_speed(server: Server, transport: Http1Transport) -> None:
    """Readers that begin late, stop, leave and go on, in tasks and in a thread, all get the same events."""
    script = server.script(at_once(HEAD, piece(tokens(300))), gate("more"), piece(tokens(300, 300) + STREAM), LAST)
    thunk = asking(script, transport).generate("hi")
    got: dict[str, list[Event]] = {"slow": [], "fast": [], "late": []}

    async def read(name: str, ahead: int, pause: Callable[[int], bool]) -> None:
        async for event in thunk.events(ahead=ahead):
            got[name].append(event)
            if pause(len(got[name])):
                await round_trip(server, transport)

    def read_in_thread() -> str:
        return "".join(thunk.iter())

    first = thunk.events(ahead=1)
    for _ in range(5):
        await anext(first)
    del first
    texts: list[str] = []

    async def read_elsewhere() -> None:
        texts.append(await anyio.to_thread.run_sync(read_in_thread))

    async with anyio.create_task_group() as group:
        group.start_soon(read, "slow", 1, lambda count: count % 100 == 0)
        group.start_soon(read, "fast", 64, lambda _: False)
        group.start_soon(read_elsewhere)
        await anyio.to_thread.run_sync(script.waiting, 1)
        script.release("more")
        group.start_soon(read, "late", 3, lambda count: count == 50)
    assert got["slow"] == got["fast"] == got["late"]
    assert texts == [thunk.value] == ["".join(f"t{number} " for number in range(600)) + "Hello, you."]


async def test_no_wish_of_another_thread_is_lost(server: Server) -> None:
    """However threads and the loop take turns, who wants more gets it.

    300 times, with a switch every few instructions: where a generation did not look again before it paused, a few were
    enough for a reader that waited for ever.
    """
    transport = Http1Transport()
    await warm(transport, server, 1)
    backend = asking(server.script(at_once(HEAD, piece(tokens(300) + STREAM), LAST)), transport)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            thunk = backend.generate("hi")
            first = thunk.events(ahead=1)
            await anext(first)

            def read(thunk: mellite.ModelOutputThunk[str] = thunk) -> None:
                for _ in thunk.iter():
                    pass

            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:
                    for _ in range(2):
                        group.start_soon(functools.partial(anyio.to_thread.run_sync, abandon_on_cancel=True), read)
            assert thunk.state == "done"
    finally:
        sys.setswitchinterval(interval)
        await transport.aclose()


async def test_a_paused_generation_lets_others_go_first(server: Server, transport: Http1Transport) -> None:
    """It gives its place up, and waits for it before it goes on."""
    script = server.script(at_once(HEAD, piece(tokens(40))), gate("end"), piece(STREAM), LAST)
    backend = asking(script, transport, max_concurrency=1)
    thunk, other = backend.generate("hi"), backend.generate("hi")
    events = thunk.events(ahead=1)
    seen = [await anext(events), await anext(events)]

    async def go_on() -> None:
        seen.extend([event async for event in events])

    async with anyio.create_task_group() as group:
        group.start_soon(other.settle)
        await anyio.to_thread.run_sync(script.waiting, 2)
        group.start_soon(go_on)
        await round_trip(server, transport)
        assert (len(seen), thunk.state, other.state) == (2, "running", "running")
        script.release("end", 2)
    assert thunk.text == other.text
    assert thunk.text.endswith("t39 Hello, you.")


async def test_a_place_is_given_back_although_the_thunk_and_its_readers_are_kept(
    server: Server, transport: Http1Transport
) -> None:
    """A generation that is over holds no place, whoever still looks at it."""
    backend = asking(server.script(at_once(HEAD, piece(STREAM), LAST)), transport, max_concurrency=1)
    kept: list[object] = []
    with anyio.fail_after(20):
        for _ in range(3):
            thunk = backend.generate("hi")
            events = thunk.events()
            assert type([event async for event in events][-1]) is Finish
            kept += [thunk, events]
    assert len(kept) == 6


async def test_an_error_does_not_show_how_events_were_handed_on(server: Server, transport: Http1Transport) -> None:
    """The traceback of an answer that breaks off begins where it is read, also where a task took over what waited."""
    script = server.script(at_once(HEAD, piece(tokens(40))), gate("end"), CLOSE)
    backend = asking(script, transport, max_concurrency=1)
    thunk, other = backend.generate("hi"), backend.generate("hi")
    events = thunk.events(ahead=1)
    seen = [await anext(events), await anext(events)]
    async with anyio.create_task_group() as group:
        group.start_soon(other.settle)
        await anyio.to_thread.run_sync(script.waiting, 2)
        script.release("end", 2)
        with pytest.raises(ConnectionLost):
            seen += [event async for event in events]
    assert thunk.partial.endswith("t39 ")
    traceback = thunk.outcome.traceback if thunk.outcome is not None else None
    assert traceback is not None
    assert not traceback.tb_frame.f_globals["__name__"].startswith("mellite.thunk")


async def test_a_forked_child_goes_on_with_nothing(server: Server, transport: Http1Transport) -> None:
    """Who asks for more in the child of a process that reads gets what was there, and the parent reads on."""
    script = server.script(at_once(HEAD, piece(tokens(40))), gate("end"), piece(STREAM), LAST)
    thunk = asking(script, transport).generate("hi")
    events = thunk.events(ahead=2)
    for _ in range(4):
        await anext(events)
    await round_trip(server, transport)
    before = thunk.partial
    child = os.fork()
    if child == 0:
        same = False
        with suppress(BaseException):
            thunk.events(ahead=100)
            same = (thunk.state, thunk.partial) == ("cancelled", before)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0  # noqa: ASYNC222 - it ends at once
    script.release("end")
    async for _ in events:
        pass
    assert thunk.text.endswith("t39 Hello, you.")


# --- whose code runs where ------------------------------------------------------------------------

WHO: ContextVar[str] = ContextVar("who", default="nobody")
made: list[tuple[str, bool]] = []


@attrs.define
class Found:
    """An output that looks around as it is made."""

    x: int

    def __attrs_post_init__(self) -> None:
        made.append((WHO.get(), anyio.get_current_task().id > 0))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_is_read_in_a_task_with_the_context_of_its_call(
    server: Server, transport: Http1Transport, stream: bool
) -> None:
    """Code of the caller never runs where bytes arrive, nor in the context of the call that made the connection."""
    text = '{"x": 1}'
    whole = WHOLE.replace(b"Hello.", text.encode().replace(b'"', b'\\"'))
    streamed = at_once(HEAD, piece(chunk(text) + chunk(finish="stop") + DONE), LAST)
    steps = [streamed] if stream else answer(whole, headers=JSON)
    made.clear()
    WHO.set("the caller")
    thunk = asking(server.script(*steps), transport).generate("hi", stream=stream, output=Found)
    assert await thunk == Found(1)
    assert made[0] == ("the caller", True)


class Louder(Backend):
    """A backend around another one, all of which it passes on but the stream."""

    def __init__(self, inner: LiveBackend) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        yield TextDelta("Listen: ")
        async for event in self.inner.stream(request):
            yield event


class Counted:
    """A transport around another one, all of which it passes on but one method."""

    def __init__(self, inner: Http1Transport) -> None:
        self.inner = inner
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        self.count += 1
        return await self.inner.open(request, timeout=timeout)


class Loud(LiveBackend):
    """A backend with a stream of its own."""

    async def stream(self, request: Request) -> AsyncIterator[Event]:  # type: ignore[override]
        yield TextDelta("Listen: ")
        async for event in super().stream(request):
            yield event


async def test_what_stands_before_another_is_not_passed_by(server: Server, transport: Http1Transport) -> None:
    """A backend that subclasses or passes on, and a transport that does, are asked themselves."""
    script = server.script(answer(WHOLE, headers=JSON))
    backend = asking(script, transport)
    assert await mellite.generate(Louder(backend), "hi", stream=False) == "Listen: Hello."
    loud = Loud(chat_route(api_key=None, model="m", base_url=f"{script.url}/v1"), transport=transport)
    assert await loud.generate("hi", stream=False) == "Listen: Hello."
    counted = Counted(transport)
    assert await asking(script, counted).generate("hi", stream=False) == "Hello."  # type: ignore[arg-type]
    assert counted.count == 1


class Watching(ReplayTransport):
    """A cassette that counts what is asked of it."""

    count = 0

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        self.count += 1
        return await super().open(request, timeout=timeout)


async def test_what_stands_before_a_cassette_is_not_passed_by(server: Server, transport: Http1Transport) -> None:
    """What is recorded over a transport that passes on goes through that; a cassette's subclass is asked itself."""
    script = server.script(answer(WHOLE, headers=JSON))
    counted = Counted(transport)
    recorder = RecordTransport(counted)
    for _ in range(2):
        assert await asking(script, recorder).generate("hi", stream=False) == "Hello."  # type: ignore[arg-type]
    assert counted.count == 2
    watching = Watching(recorder.cassette)
    assert await asking(script, watching).generate("hi", stream=False) == "Hello."  # type: ignore[arg-type]
    assert watching.count == 1


async def test_what_a_test_puts_in_place_of_a_method_is_called(
    server: Server, transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that a test replaces, in the class or in one backend, is the one that is asked; so is an `open`."""
    script = server.script(answer(WHOLE, headers=JSON))
    backend = asking(script, transport)

    async def stream(_self: LiveBackend, _request: Request) -> AsyncIterator[Event]:
        yield TextDelta("Replaced.")
        yield Finish("stop")

    recorder = RecordTransport(transport)
    opened = []

    async def opens(request: HttpRequest, **options: Any) -> HttpResponse:
        opened.append(request)
        return await RecordTransport.open(recorder, request, **options)

    with monkeypatch.context() as patched:
        patched.setattr(recorder, "open", opens)
        assert await asking(script, recorder).generate("hi", stream=False) == "Hello."  # type: ignore[arg-type]
        assert len(opened) == 1
    with monkeypatch.context() as patched:
        patched.setattr(LiveBackend, "stream", stream)
        assert await backend.generate("hi", stream=False) == "Replaced."
    with monkeypatch.context() as patched:
        patched.setattr(backend, "stream", functools.partial(stream, backend))
        assert await backend.generate("hi", stream=False) == "Replaced."
    assert await backend.generate("hi", stream=False) == "Hello."


class Repository:
    """A backend with a method that has nothing to do with answers, though its name is one that mellite uses."""

    def __init__(self) -> None:
        self.pushed: list[object] = []

    def push(self, *what: object) -> list[object]:
        self.pushed += what
        return self.pushed

    async def stream(self, _request: Request) -> AsyncIterator[Event]:
        yield TextDelta("Hello.")
        yield Finish("stop")


async def test_a_method_of_a_backend_that_only_shares_a_name_is_left_alone() -> None:
    """A backend may have its own `push`."""
    repository = Repository()
    assert await mellite.generate(repository, "hi") == "Hello."
    assert repository.pushed == []


class Unlucky:
    """Credentials that raise what is not an error of mellite's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def headers(self, _http: HttpRequest) -> Any:
        msg = "no luck"
        raise ValueError(msg)


async def test_an_error_before_sending_holds_no_place(server: Server, transport: Http1Transport) -> None:
    """What goes wrong where a request would be sent at once is told, each time."""
    route = chat_route(api_key="sk-x", model="m", base_url=f"{server.script(answer(WHOLE)).url}/v1")
    backend = LiveBackend(route.with_(auth=Unlucky(route.auth)), transport=transport, max_concurrency=1)
    for _ in range(3):
        thunk = backend.generate("hi")
        with anyio.fail_after(10):
            await thunk.settle()
        assert "no luck" in str(thunk.error)


# --- cancellation ---------------------------------------------------------------------------------

POINTS: dict[str, tuple[list[Step], bool, str]] = {
    "before the head": ([gate("here")], True, ""),
    "in the head": ([send(b"HTTP/1.1 200 X\r\n"), gate("here")], True, ""),
    "after the head": ([HEAD, gate("here")], True, ""),
    "in an event": ([HEAD, piece(chunk("a") + chunk("b")[:20]), gate("here")], True, "a"),
    "with more than is wanted": ([at_once(HEAD, piece(tokens(600))), gate("here")], True, "t1 "),
    "in an answer in one piece": ([HEAD, piece(WHOLE[:30]), gate("here")], False, ""),
    "after the last event": ([HEAD, piece(chunk(finish="stop")), gate("here")], True, ""),
}
"""What the server has sent by then, whether as a stream, and the text that has come of it."""


async def ask_for_it(thunk: mellite.ModelOutputThunk[str], _scope: anyio.CancelScope) -> None:
    await thunk.cancel_generation()


async def in_a_thread(thunk: mellite.ModelOutputThunk[str], _scope: anyio.CancelScope) -> None:
    await anyio.to_thread.run_sync(thunk.cancel)


async def the_reader(_thunk: mellite.ModelOutputThunk[str], scope: anyio.CancelScope) -> None:
    scope.cancel()


@pytest.mark.parametrize("how", [ask_for_it, in_a_thread, the_reader])
@pytest.mark.parametrize("point", POINTS)
async def test_cancelled_at_any_point(server: Server, point: str, how: Callable[..., Any]) -> None:
    """It ends at once, with what came by then, and the next call gets nothing of it."""
    found = []
    for connections in (0, 1):
        transport = Http1Transport(max_connections=1)
        await warm(transport, server, connections)
        found.append(await cancelled(server, transport, point, how))
        await transport.aclose()
    assert found[0] == found[1]
    assert found[0][0] == "cancelled"


async def cancelled(server: Server, transport: Http1Transport, point: str, how: Callable[..., Any]) -> Any:
    """Cancel a generation at a point; return what it came to, and the answer to the next call."""
    steps, stream, text = POINTS[point]
    script = server.script(*steps)
    thunk = asking(script, transport, max_concurrency=1).generate("hi", stream=stream)
    scope = anyio.CancelScope()

    async def read() -> None:
        events = thunk.events(ahead=2)
        with scope, suppress(mellite.errors.GenerationCancelled):
            while not (text and text in thunk.partial):
                await anext(events)
            await thunk if text == "a" else await anyio.sleep_forever()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.to_thread.run_sync(script.waiting, 1)
            while text not in thunk.partial:
                await anyio.lowlevel.checkpoint()
            await how(thunk, scope)
            scope.cancel()
        if thunk.state == "running":  # nobody reads on, and nobody was waiting
            await thunk.cancel_generation()
        await anyio.to_thread.run_sync(script.gone, 1)
    after = await asking(server.script(answer(WHOLE, headers=JSON)), transport).generate("hi", stream=False)
    return thunk.state, thunk.partial, after


async def test_closing_the_transport_in_the_middle(server: Server, transport: Http1Transport) -> None:
    """What was running fails as a connection that was lost; the transport serves again."""
    script = server.script(HEAD, piece(chunk("a ")), gate("never"))
    thunk = asking(script, transport).generate("hi")
    events = thunk.events()
    await anext(events)
    await anext(events)
    await transport.aclose()
    with pytest.raises(mellite.errors.ConnectionLost) as caught:
        async for _ in events:
            pass
    assert caught.value.partial == "a "
    await round_trip(server, transport)


# --- nothing is left ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["stream", "steps", "whole"])
async def test_no_garbage(server: Server, transport: Http1Transport, case: str) -> None:
    """Calls leave nothing to the garbage collector."""
    steps = {
        "stream": [at_once(HEAD, piece(STREAM), LAST)],
        "steps": [HEAD, piece(STREAM), LAST],
        "whole": answer(WHOLE, headers=JSON),
    }[case]
    backend = asking(server.script(*steps), transport)
    call = functools.partial(backend.generate, "hi", stream=case != "whole")
    for _ in range(3):
        await call()
    await anyio.lowlevel.checkpoint()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(20):
            await call()
        gc.collect()
        left = [each for each in gc.garbage if type(each).__module__.startswith("mellite")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
