"""The live backend over a real local server: filled, cut, stalled, cancelled thunks; its defaults and pickles."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    IncompleteStream,
    InvalidRequest,
    MelliteError,
    RateLimited,
    TotalTimeout,
    UnknownOption,
)
from mellite.protocols.openai_chat import OpenAIChatRaw
from mellite.providers.catalog import find
from mellite.request import HttpOptions, Timeouts
from tests.wire.server import LAST, RESET, Script, Server, answer, gate, head, piece, serve

KEY = "sk-sentinel-4711-do-not-show"
SSE = {"content-type": "text/event-stream", "x-request-id": "req_1"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c1", "model": "m-1", "choices": choices, **more}).encode() + b"\n\n"


END = chunk(finish="stop", usage=USAGE) + b"data: [DONE]\n\n"
STREAM = chunk("Hello") + chunk(", you.") + END
WHOLE = json.dumps(
    {
        "id": "c1",
        "model": "m-1",
        "choices": [{"message": {"role": "assistant", "content": "Hello, you."}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server process for the tests of this module."""
    with serve() as running:
        yield running


def live(script: Script, **options: Any) -> LiveBackend:
    return LiveBackend(find("openai-chat:gpt-test", api_key=KEY, base_url=f"{script.url}/v1"), **options)


def scripted(*answers: Any, **options: Any) -> LiveBackend:
    return LiveBackend(find("openai-chat:gpt-test", api_key=KEY), transport=ScriptedTransport(list(answers)), **options)


# --- over a real connection -----------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_thunk_is_filled_over_http(server: Server) -> None:
    """Awaiting a thunk sends one request and fills in everything about the answer."""
    script = server.script(head(200, SSE), piece(STREAM), LAST)
    async with live(script) as backend:
        thunk = backend.generate("hi", temperature=0)
        assert await thunk == "Hello, you."
    (received,) = script.requests(1)
    assert received.header("authorization") == f"Bearer {KEY}"
    assert received.target.endswith("/v1/chat/completions")
    assert json.loads(received.body)["messages"] == [{"role": "user", "content": "hi"}]
    known = thunk.generation
    assert (known.provider, known.protocol, known.model, known.response_model) == (
        "openai",
        "openai-chat",
        "gpt-test",
        "m-1",
    )
    assert (known.response_id, known.request_id, known.finish_reason, known.streaming) == ("c1", "req_1", "stop", True)
    assert known.usage is not None
    assert (known.usage.input_tokens, known.usage.output_tokens) == (3, 2)
    raw = thunk.raw
    assert isinstance(raw, OpenAIChatRaw)
    assert (raw.status, raw.request_body["temperature"]) == (200, 0)
    assert raw.response is not None
    assert raw.response["choices"][0]["message"]["content"] == "Hello, you."
    assert [made["id"] for made in raw.streamed_chunks or [] if isinstance(made, dict)] == ["c1"] * 3


@pytest.mark.anyio
async def test_an_answer_in_one_piece_says_the_same(server: Server) -> None:
    """With stream=False the same answer gives the same thunk, but for that it did not stream."""
    streamed = server.script(head(200, SSE), piece(STREAM), LAST)
    whole = server.script(answer(WHOLE, headers={"content-type": "application/json", "x-request-id": "req_1"}))
    async with live(streamed) as one, live(whole, stream=False) as two:
        first, second = await mellite.gather(one.generate("hi"), two.generate("hi"))
    assert (first.value, first.message, first.tool_calls) == (second.value, second.message, second.tool_calls)
    assert (first.generation.streaming, second.generation.streaming) == (True, False)
    for field in (
        "finish_reason",
        "raw_finish_reason",
        "response_id",
        "response_model",
        "request_id",
        "provider",
        "model",
    ):
        assert getattr(first.generation, field) == getattr(second.generation, field)
    assert second.raw.streamed_chunks is None
    assert isinstance(second.raw.response, dict)
    assert second.raw.response["usage"] == USAGE


@pytest.mark.anyio
async def test_deltas_are_handed_on_as_they_arrive(server: Server) -> None:
    """Each delta comes out before the server sends the next."""
    script = server.script(
        head(200, SSE), piece(chunk("Hello")), gate("a"), piece(chunk(", you.")), gate("b"), piece(END), LAST
    )
    seen = []
    async with live(script) as backend:
        thunk = backend.generate("hi")
        with anyio.fail_after(10):
            async for delta in thunk:
                seen.append(delta)
                script.release("a" if len(seen) == 1 else "b")
    assert seen == ["Hello", ", you."]


@pytest.mark.anyio
async def test_connections_are_used_again(server: Server) -> None:
    """Streams that were read to their end, and answers in one piece, leave their connection for the next call."""
    script = server.script(head(200, SSE), piece(STREAM), LAST)
    async with live(script) as backend:
        for _ in range(5):
            await backend.generate("hi")
    assert {received.connection for received in script.requests(5)} == {script.requests(1)[0].connection}


@pytest.mark.anyio
async def test_cancelling_closes_the_connection(server: Server) -> None:
    """Cancelling a generation in mid-stream closes its connection and keeps the text."""
    script = server.script(head(200, SSE), piece(chunk("Hello")), gate("never"), LAST)
    async with live(script) as backend:
        thunk = backend.generate("hi")
        with anyio.fail_after(10):
            async for _ in thunk:
                break
            await thunk.cancel_generation("enough")
        assert (thunk.cancelled, thunk.partial) == (True, "Hello")
        script.gone(1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("steps", "kind", "text"),
    [
        ([RESET], ConnectionLost, ""),
        ([head(200, SSE), piece(chunk("Hel")), RESET], ConnectionLost, "Hel"),
        ([head(200, SSE), piece(chunk("Hel")), ["close"]], ConnectionLost, "Hel"),
        ([head(200, SSE), piece(chunk("Hel")), LAST], IncompleteStream, "Hel"),
        ([head(429, {"retry-after": "2"}), piece(b'{"error": {"message": "Slow down."}}'), LAST], RateLimited, ""),
    ],
)
async def test_what_breaks_off_is_typed_and_keeps_the_text(
    server: Server, steps: list[Any], kind: type[MelliteError], text: str
) -> None:
    """Whatever a server does, the thunk fails with the right type and keeps what came."""
    async with live(server.script(*steps)) as backend:
        thunk = backend.generate("hi")
        with anyio.fail_after(10), pytest.raises(kind) as caught:
            await thunk
    assert (thunk.partial, caught.value.partial, caught.value.provider) == (text, text, "openai")
    assert KEY not in repr(caught.value)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("steps", "clocks", "kind"),
    [
        ([gate("never")], Timeouts(first_byte=0.2), FirstByteTimeout),
        ([head(200, SSE), piece(chunk("Hel")), gate("never")], Timeouts(idle=0.2), IdleTimeout),
        ([head(200, SSE), piece(chunk("Hel")), gate("never")], Timeouts(total=0.2), TotalTimeout),
    ],
)
async def test_the_three_clocks(server: Server, steps: list[Any], clocks: Timeouts, kind: type[MelliteError]) -> None:
    """The clocks of a backend, or of one call, end what takes too long, and close its connection."""
    script = server.script(*steps, LAST)
    async with live(script, timeouts=clocks) as backend, live(script) as patient:
        with anyio.fail_after(10):
            for thunk in (backend.generate("hi"), patient.generate("hi", timeouts=clocks)):
                with pytest.raises(kind):
                    await thunk
        script.gone(2)


@pytest.mark.slow
@pytest.mark.anyio
async def test_code_that_blocks_the_loop_runs_into_no_clock(server: Server) -> None:
    """What has arrived while somebody's code held up the whole loop counts as in time, however long that took."""
    script = server.script(head(200, SSE), piece(chunk("Hello")), gate("go"), piece(chunk(", you.") + END), LAST)
    async with live(script, timeouts=Timeouts(idle=0.2)) as backend:
        thunk = backend.generate("hi")
        reader = aiter(thunk)
        assert await anext(reader) == "Hello"

        async def block() -> None:
            script.release("go")
            threading.Event().wait(0.5)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(thunk.settle)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(block)
        assert (thunk.error, thunk.partial) == (None, "Hello, you.")


@pytest.mark.anyio
async def test_nobody_there_is_a_connect_error(server: Server) -> None:
    """A refused connection is ConnectError, which may be tried again."""
    backend = LiveBackend(find("openai-chat:gpt-test", api_key=KEY, base_url="http://127.0.0.1:1/v1"))
    async with backend:
        with pytest.raises(ConnectError) as caught:
            await backend.generate("hi")
    assert caught.value.retryable


def test_one_backend_works_in_one_loop_after_another(server: Server) -> None:
    """A backend serves two asyncio.run, and sync callers, one after the other."""
    script = server.script(head(200, SSE), piece(STREAM), LAST)
    backend = live(script)

    async def ask() -> str:
        return await backend.generate("hi")

    assert [asyncio.run(ask()), backend.generate("hi").result(), asyncio.run(ask())] == ["Hello, you."] * 3
    assert list(backend.generate("hi").iter()) == ["Hello", ", you."]

    async def close() -> None:
        await backend.aclose()

    asyncio.run(close())
    server.no_connections()


@pytest.mark.anyio
async def test_it_can_be_used_again_after_it_was_closed(server: Server) -> None:
    """Closing a backend closes its connections; a later call opens new ones."""
    script = server.script(head(200, SSE), piece(STREAM), LAST)
    backend = live(script)
    for _ in range(2):
        async with backend:
            await backend.generate("hi")
        server.no_connections()


# --- its defaults ---------------------------------------------------------------------------------


def test_options_are_defaults_for_every_call() -> None:
    """Options of the backend stand under those of a call."""
    backend = scripted(
        temperature=0.1, max_tokens=5, provider_options={"openai": {"user": "u"}}, http=HttpOptions(query={"a": "b"})
    )
    http = backend.prepare(mellite.Request.of("hi", temperature=0.9))
    body = json.loads(http.body)
    assert (body["temperature"], body["max_completion_tokens"], body["user"]) == (0.9, 5, "u")
    assert http.url.endswith("?a=b")


def test_options_are_checked_when_the_backend_is_made() -> None:
    """A misspelled option, or one of the wrong type, is refused before any call."""
    with pytest.raises(UnknownOption, match="temperature"):
        scripted(temperatur=1)
    with pytest.raises(InvalidRequest, match="temperature"):
        scripted(temperature="hot")


def test_a_model_may_be_given_to_the_backend_or_the_call() -> None:
    """The call's model wins over the backend's, and that over the route's."""
    backend = scripted(model="b")
    assert json.loads(backend.prepare(mellite.Request.of("hi")).body)["model"] == "b"
    assert json.loads(backend.prepare(mellite.Request.of("hi", model="c")).body)["model"] == "c"
    assert backend.describe() == "openai:b"


def test_nothing_is_sent_before_a_thunk_is_driven() -> None:
    """Making a backend and a thunk, printing and copying them sends nothing."""
    transport = ScriptedTransport([STREAM])
    backend = LiveBackend(find("openai-chat:gpt-test", api_key=KEY), transport=transport)
    thunk = backend.generate("hi")
    copy.copy(thunk)
    repr(thunk)
    assert not transport.requests


@pytest.mark.anyio
async def test_raw_chunks_can_be_left_out() -> None:
    """With keep_raw=False the stream events are not kept; the merged response is."""
    thunk = scripted(STREAM, keep_raw=False).generate("hi")
    assert await thunk == "Hello, you."
    assert thunk.raw.streamed_chunks is None
    assert isinstance(thunk.raw.response, dict)
    assert thunk.raw.response["choices"][0]["message"]["content"] == "Hello, you."


@pytest.mark.anyio
async def test_a_missing_key_is_told_when_a_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is sent, and the variable is named; once it is set, the same backend works."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    transport = ScriptedTransport([STREAM])
    backend = LiveBackend(find("openai-chat:gpt-test"), transport=transport)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        await backend.generate("hi")
    assert (caught.value.kind, transport.requests) == ("missing", [])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert await backend.generate("hi") == "Hello, you."


def test_a_backend_is_pickled_by_its_configuration() -> None:
    """A pickle keeps route, model, options and transport, but neither key nor connections."""
    backend = LiveBackend(find("openai-chat:gpt-test", api_key=KEY), model="b", temperature=0.5)
    backend.stream(mellite.Request.of("hi"))
    data = pickle.dumps(backend)
    assert KEY.encode() not in data
    twin = pickle.loads(data)
    assert twin.describe() == "openai:b"
    assert twin.route.options.temperature == 0.5
    with pytest.raises(AuthenticationError, match="never pickled"):
        twin.prepare(mellite.Request.of("hi"))


@pytest.mark.anyio
async def test_a_backend_can_be_pickled_while_it_is_connected(server: Server) -> None:
    """Open connections are not part of a pickle, and the copy makes its own."""
    script = server.script(head(200, SSE), piece(STREAM), LAST)
    async with live(script) as backend:
        await backend.generate("hi")
        async with pickle.loads(pickle.dumps(backend)) as twin:
            with pytest.raises(AuthenticationError, match="never pickled"):
                await twin.generate("hi")
    assert len(script.requests(1)) == 1


def test_a_backend_from_the_environment_survives_pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend whose key is in the environment finds it there after unpickling."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    data = pickle.dumps(LiveBackend(find("openai-chat:gpt-test")))
    assert KEY.encode() not in data
    assert pickle.loads(data).prepare(mellite.Request.of("hi")).headers["authorization"] == f"Bearer {KEY}"


def test_a_backend_never_shows_its_key() -> None:
    """repr, str and vars of a backend, its route and its requests do not hold the key."""
    backend = scripted(STREAM)
    http = backend.prepare(mellite.Request.of("hi"))
    shown = f"{backend!r} {backend} {vars(backend)} {backend.route!r} {http!r}"
    assert KEY not in shown


@pytest.mark.anyio
async def test_a_transport_that_was_given_is_not_closed() -> None:
    """`aclose` leaves a transport alone that the caller made."""
    closed = []

    class Mine(ScriptedTransport):
        async def aclose(self) -> None:
            """Note that it was closed."""
            closed.append(True)

    async with LiveBackend(find("openai-chat:gpt-test", api_key=KEY), transport=Mine([STREAM])) as backend:
        await backend.generate("hi")
    assert not closed


@pytest.mark.anyio
async def test_its_stream_can_be_used_directly() -> None:
    """`stream` is an async generator of events, for wrappers and for people who want no thunk."""
    async with aclosing(scripted(STREAM).stream(mellite.Request.of("hi"))) as stream:
        names = [type(event).__name__ async for event in stream]
    assert (names[0], names[-1]) == ("ResponseStart", "Finish")


@pytest.mark.parametrize("name", ["cache", "metadata", "output", "system", "tool_choice", "tools"])
def test_what_belongs_to_a_call(name: str) -> None:
    """A backend does not take in silence what it would ignore: the error says where it belongs."""
    with pytest.raises(UnknownOption, match=rf"'{name}' belongs to a call.*backend\.generate"):
        mellite.backend("openai-chat:m", api_key="sk-test", **{name: "x"})
