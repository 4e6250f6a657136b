"""What a caller sees of every fault of the chaos server: an error that says all, or the whole answer; never silence."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import anyio
import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import RecordTransport, ReplayTransport, ScriptedTransport
from mellite.errors import (
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    OutputTooLarge,
    ProviderInternal,
    RateLimited,
    RequestError,
    TotalTimeout,
    TransportError,
    UnknownProviderError,
)
from mellite.messages import Image, Message
from mellite.providers.catalog import find
from mellite.request import Timeouts
from tests.wire.answers import DONE, KEY, chunk, shown
from tests.wire.chaos import chaos_server

Kinds: TypeAlias = tuple[type[MelliteError] | None, ...]

OK = None
TOKENS = 50
"""The chaos server answers "tok0 tok1 ..." with a finish reason, a usage report and [DONE]."""

# Fault and its number -> how it may end, and the tokens that must have been read by then.
FAULTS: dict[tuple[str, int], tuple[Kinds, int]] = {
    # The connection, and HTTP.
    ("ok", 0): ((OK,), TOKENS),
    ("close_now", 0): ((ConnectionLost,), 0),
    ("rst_now", 0): ((ConnectionLost,), 0),
    ("garbage", 0): ((InvalidProviderOutput,), 0),
    ("stall_headers", 0): ((FirstByteTimeout,), 0),
    ("slow_headers", 1): ((OK,), TOKENS),
    ("stall", 0): ((IdleTimeout,), 0),
    ("stall", 900): ((IdleTimeout,), 6),
    ("trickle", 0): ((OK,), TOKENS),
    ("keepalive_only", 5): ((IdleTimeout,), 0),
    ("rst", 900): ((ConnectionLost,), 6),
    ("rst_midchunk", 900): ((ConnectionLost,), 6),
    ("fin_chunked", 900): ((ConnectionLost,), 6),
    ("fin_close", 900): ((IncompleteStream,), 6),
    ("end_early_clean", 900): ((IncompleteStream,), 6),
    ("cl_long", 100): ((OK,), TOKENS),
    ("cl_short", 1000): ((IncompleteStream, InvalidProviderOutput), 0),
    ("cl_bad", 0): ((InvalidProviderOutput,), 0),
    ("cl_and_te", 0): ((OK, InvalidProviderOutput), 0),
    ("bad_chunk", 900): ((ConnectionLost, InvalidProviderOutput), 0),
    ("neg_chunk", 0): ((ConnectionLost, InvalidProviderOutput), 0),
    ("huge_chunk", 0): ((OK,), TOKENS),
    ("chunk_nocrlf", 0): ((ConnectionLost, InvalidProviderOutput), 0),
    ("many_headers", 5000): ((OK, InvalidProviderOutput), 0),
    ("big_header", 300_000): ((InvalidProviderOutput,), 0),
    ("cont100", 3): ((OK,), TOKENS),
    ("http10", 0): ((OK,), TOKENS),
    ("gzip", 0): ((OK,), TOKENS),
    ("gzip_trunc", 20): ((InvalidProviderOutput,), 0),
    ("gzip_bad", 0): ((InvalidProviderOutput,), 0),
    ("gzip_lie", 0): ((InvalidProviderOutput,), 0),
    ("gzip_bomb", 40): ((OutputTooLarge,), 0),
    ("inf_line", 40): ((OutputTooLarge,), 0),
    ("inf_data_lines", 40): ((OutputTooLarge,), 0),
    ("redirect", 0): ((UnknownProviderError,), 0),
    ("redirect_cross", 0): ((UnknownProviderError,), 0),
    ("redirect_loop", 0): ((UnknownProviderError,), 0),
    ("status429", 0): ((RateLimited,), 0),
    ("status503", 0): ((ProviderInternal,), 0),
    # The events of the stream.
    ("split", 1): ((OK,), TOKENS),
    ("bom", 0): ((OK,), TOKENS),
    ("cr", 0): ((OK,), TOKENS),
    ("crlf", 0): ((OK,), TOKENS),
    ("latin1", 0): ((OK,), TOKENS),
    ("bad_utf8", 900): ((InvalidProviderOutput,), 6),
    ("tail_cut", 0): ((OK,), TOKENS),
    # What they mean.
    ("html", 0): ((InvalidProviderOutput,), 0),
    ("empty", 0): ((IncompleteStream,), 0),
    ("done_only", 0): ((IncompleteStream,), 0),
    ("bad_json", 0): ((InvalidProviderOutput,), 27),
    ("wrong_types", 0): ((InvalidProviderOutput,), 0),
    ("deep_json", 0): ((InvalidProviderOutput,), 0),
    ("big_int", 0): ((InvalidProviderOutput,), 0),
    ("sse_error", 0): ((ProviderInternal,), 27),
    ("sse_error_data", 0): ((ProviderInternal,), 27),
    ("dup_finish", 0): ((OK,), TOKENS),
    ("two_finishes", 0): ((OK,), TOKENS),
    ("no_finish", 0): ((IncompleteStream,), TOKENS),
    ("no_finish_no_done", 0): ((IncompleteStream,), TOKENS),
    ("no_done", 0): ((OK,), TOKENS),
    ("after_done", 0): ((OK,), TOKENS),
}

AT_LEAST = {"cl_short", "bad_chunk", "gzip_trunc"}
"""Faults before which a client may or may not have handed on what was there."""

BEFORE_THE_HEADERS = {"close_now", "rst_now", "garbage", "stall_headers", "cl_bad", "big_header"}
WITH_THE_HEADERS = {"cl_and_te", "cl_short", "bad_chunk", "neg_chunk", "chunk_nocrlf", "many_headers"}
"""Faults that a client may notice before it hands on the status, as they come in the same bytes."""


@pytest.fixture(scope="module")
def chaos(corpora: Path) -> Iterator[str]:
    """The URL of the chaos server, in a process of its own."""
    with chaos_server(corpora) as url:
        yield url


SOON = 0.5
"""Seconds of the clock that ends a call, where the server never goes on."""

PATIENCE = 20.0
"""Seconds of every other clock, and of a test: only a machine that is stuck takes so long."""


def clocks(kinds: Kinds) -> Timeouts:
    """Soon for what must be ended by a clock; what ends by itself is not raced, however busy the machine is."""
    return Timeouts(
        first_byte=SOON if FirstByteTimeout in kinds else PATIENCE,
        idle=SOON if IdleTimeout in kinds else PATIENCE,
    )


def backend(chaos: str, fault: str, number: int, **options: Any) -> LiveBackend:
    """Who asks a server with one fault."""
    return LiveBackend(find("openai-chat:m-1", api_key=KEY, base_url=f"{chaos}/{fault}/{number}/v1"), **options)


def text_of(tokens: int) -> str:
    return "".join(f"tok{number} " for number in range(tokens))


@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "number"), FAULTS)
async def test_a_fault_is_told_or_does_no_harm(chaos: str, fault: str, number: int) -> None:
    """The answer is whole, or an error has its type, the text so far, who was asked, and no key; no clock is overrun.

    A clock of half a second ends what the server would go on with for 30 s; all the work takes less than two.
    """
    kinds, tokens = FAULTS[fault, number]
    worked = time.process_time()
    with anyio.fail_after(PATIENCE):
        async with backend(chaos, fault, number, timeouts=clocks(kinds)) as asked:
            thunk = asked.generate("hi")
            with suppress(MelliteError):
                await thunk
    error = thunk.error
    assert (None if error is None else type(error)) in kinds
    if error is not None:
        check_told(error, fault, tokens)
    else:
        assert thunk.value == text_of(TOKENS)
        assert (thunk.generation.finish_reason, thunk.generation.raw_finish_reason) == ("stop", "stop")
    assert time.process_time() - worked < 2


def check_told(error: BaseException, fault: str, tokens: int) -> None:
    """All that is known is on the error, and the key is not."""
    assert isinstance(error, MelliteError)
    text = error.partial or ""
    assert text == text_of(text.count(" "))
    assert text.count(" ") >= tokens if fault in AT_LEAST else text == text_of(tokens)
    assert (error.provider, error.model) == ("openai", "m-1")
    status = int(fault[6:]) if fault.startswith("status") else 307 if fault.startswith("redirect") else 200
    known = {None} if fault in BEFORE_THE_HEADERS else {None, status} if fault in WITH_THE_HEADERS else {status}
    assert error.status in known
    passing = (TransportError, IncompleteStream, RateLimited, ProviderInternal)
    assert error.retryable is (isinstance(error, passing) or fault == "gzip_trunc")
    assert KEY not in shown(error)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "number"), [("trickle", 1), ("keepalive_only", 5), ("stall", 900)])
async def test_the_total_clock_ends_what_goes_on(chaos: str, fault: str, number: int) -> None:
    """Where only the time in all is limited, neither a trickle nor comments for ever get around it.

    Each of them would go on for 8 s at least.
    """
    async with backend(chaos, fault, number, timeouts=Timeouts(first_byte=None, idle=None, total=0.4)) as asked:
        started = time.monotonic()
        with pytest.raises(TotalTimeout) as caught:
            await asked.generate("hi")
    assert 0.3 < time.monotonic() - started < 7
    assert KEY not in shown(caught.value)


async def log_of(chaos: str) -> list[dict[str, Any]]:
    """The requests that the chaos server has seen."""

    def read() -> list[dict[str, Any]]:
        with closing(HTTPConnection(urlsplit(chaos).netloc, timeout=5)) as connection:
            connection.request("GET", "/__log")
            log: list[dict[str, Any]] = json.loads(connection.getresponse().read())
            return log

    return await anyio.to_thread.run_sync(read)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["redirect", "redirect_cross", "redirect_loop"])
async def test_a_key_goes_nowhere_else(chaos: str, fault: str) -> None:
    """A server that sends a request elsewhere gets one request, and elsewhere nothing comes with the key or without."""
    before = len(await log_of(chaos))
    async with backend(chaos, fault, 0) as asked:
        with pytest.raises(UnknownProviderError):
            await asked.generate("hi")
    seen = [each["path"] for each in (await log_of(chaos))[before:]]
    assert seen == [f"/{fault}/0/v1/chat/completions"]


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


CLAUDE = [
    event("message_start", message={"id": "m", "usage": {"input_tokens": 7, "output_tokens": 1}}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Let me see."}),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}),
    event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":1}'}),
    event("content_block_stop", index=1),
]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ([], IncompleteStream),
        ([ConnectionLost("broken")], ConnectionLost),
        ([TimeoutError()], IdleTimeout),
        ([b"data: {nonsense\n\n"], InvalidProviderOutput),
        ([b"\xff\n\n"], InvalidProviderOutput),
        ([event("error", error={"type": "overloaded_error", "message": "Overloaded"})], ProviderInternal),
    ],
)
async def test_what_was_read_by_then_is_not_lost(end: list[Any], kind: type[MelliteError]) -> None:
    """However a stream breaks off, its text, its whole tool calls and the usage that was told are still there."""
    transport = ScriptedTransport([(200, {"request-id": "req_1"}, [*CLAUDE, *end])])
    thunk = LiveBackend(find("anthropic:m-1", api_key=KEY), transport=transport).generate("hi")
    with pytest.raises(kind) as caught:
        await thunk
    error = caught.value
    assert (error.partial, error.request_id, error.status) == ("Let me see.", "req_1", 200)
    assert error.usage is not None
    assert (error.usage.input_tokens, error.usage.output_tokens) == (7, 1)
    assert thunk.generation.usage == error.usage
    assert [(call.name, call.arguments) for call in thunk.tool_calls] == [("f", {"a": 1})]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", ["anthropic", "azure", "bedrock", "google", "openai", "openai-chat"])
async def test_pictures_are_not_fetched(name: str, stream: bool) -> None:
    """The URL of a picture is sent as it is or refused; mellite never asks for what is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        picture = Image(url=f"http://127.0.0.1:{port}/a.png", media_type="image/png")
        transport = ScriptedTransport([(503, {}, b"")])
        route = find(f"{name}:m-1", api_key=KEY, base_url="https://models.example.com/v1")
        asked = LiveBackend(route, transport=transport).generate(Message.user("What is it?", picture), stream=stream)
        with pytest.raises((ProviderInternal, RequestError)):
            await asked
        assert all(f"127.0.0.1:{port}/a.png".encode() in request.body for request in transport.requests)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.anyio
async def test_half_a_character_survives_being_recorded() -> None:
    """Half a surrogate pair in text and arguments is in the answer, in its recording, and in what is replayed of it."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"x":"\\udfff"}'}}
    asks = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).encode() + b"\n\n"
    recorder = RecordTransport(ScriptedTransport([[chunk("a\ud800"), chunk("b"), asks, chunk(finish="stop"), DONE]]))
    for transport in (recorder, None):
        route = find("openai-chat:m-1", api_key=KEY)
        thunk = LiveBackend(route, transport=transport or ReplayTransport(recorder.cassette)).generate("c\udc00")
        assert await thunk == "a\ud800b"
        assert [call.arguments for call in thunk.tool_calls] == [{"x": "\udfff"}]
