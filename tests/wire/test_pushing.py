"""Over a kept connection, where events are pushed and no task waits, a call ends as it does over a new one."""

from __future__ import annotations

import base64
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import pytest

from mellite import ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.errors import MelliteError
from mellite.events import Event, TextDelta
from mellite.providers.openai import chat_route
from mellite.request import Timeouts
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import LOOPS, run_on
from tests.wire.answers import DONE, JSON, STREAM, WHOLE, chunk
from tests.wire.server import CLOSE, LAST, PATIENCE, RESET, Script, Server, Step, answer, gate, head, piece, send, serve

HEADERS = {"x-request-id": "req-1", "content-type": "text/event-stream"}
SOON = 0.3
COUNTED = chunk(finish="stop", usage={"prompt_tokens": 3, "completion_tokens": 4})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def asking(script: Script, transport: Http1Transport, **options: Any) -> LiveBackend:
    """Who asks the server for one script."""
    route = chat_route(api_key=None, model="gpt-test", base_url=f"{script.url}/v1")
    return LiveBackend(route, transport=transport, **options)


def at_once(*steps: Step) -> Step:
    """Send what these steps send in one piece, which arrives as one."""
    return send(b"".join(base64.b64decode(step[1]) for step in steps))


class Seen(NamedTuple):
    """All that a caller sees of a call."""

    state: str
    events: list[Event]
    kind: str
    message: str
    facts: list[object]
    raw: object
    chunks: object
    usage: object
    request_id: str | None
    next_text: str
    is_kept: bool
    """Whether the next call goes over the same connection."""


async def seen(server: Server, steps: list[Step], *, warm: bool, stream: bool, **options: Any) -> Seen:
    """Ask once, over a new connection or one that was used before, and once more; tell what came of it."""
    transport = Http1Transport(max_connections=1)
    before = server.script(answer(WHOLE, headers=JSON))
    if warm:
        await asking(before, transport).generate("hi", stream=False)
    script = server.script(*steps)
    thunk = asking(script, transport, **options).generate("hi", stream=stream)
    events = []
    with suppress(MelliteError):
        async for event in thunk.events():
            events.append(event)
            if type(event) is TextDelta and gate("next") in steps:
                script.release("next")
    text = await asking(before, transport).generate("hi", stream=False)
    await transport.aclose()
    used = [request.connection for request in (*script.requests(1), *before.requests(1 + warm)[-1:])]
    return told(thunk, events, text, script.url, used[0] == used[1])


def told(thunk: ModelOutputThunk[str], events: list[Event], text: str, url: str, kept: bool) -> Seen:
    error = thunk.error
    names = ("status", "partial", "retryable", "ending", "usage", "request_id", "provider", "model")
    facts = [getattr(error, name, None) for name in names]
    return Seen(
        thunk.state,
        events,
        type(error).__name__,
        str(error).replace(url, "URL"),
        facts,
        thunk.raw.response,
        thunk.raw.streamed_chunks,
        thunk.usage,
        thunk.generation.request_id,
        text,
        kept,
    )


HEAD = head(headers=HEADERS)
CLOSING = {**HEADERS, "connection": "close"}
BIG = "b" * 64_000
STREAMS: dict[str, tuple[list[Step], dict[str, Any]]] = {
    "whole": ([at_once(HEAD, piece(STREAM), LAST)], {}),
    "in steps": ([HEAD, piece(STREAM), LAST], {}),
    "goes on after its end": ([HEAD, piece(STREAM), gate("never")], {}),
    "says that it closes": (
        [at_once(head(headers={**HEADERS, "connection": "close"}), piece(STREAM), LAST), CLOSE],
        {},
    ),
    "ends with the connection": ([send(b"HTTP/1.1 200 X\r\n\r\n" + STREAM), CLOSE], {}),
    "ends with the connection, large": (
        [send(b"HTTP/1.1 200 X\r\n\r\n" + b"".join([chunk(BIG) for _ in range(4)]) + COUNTED + DONE), CLOSE],
        {},
    ),
    "ends without its mark, at once": ([at_once(HEAD, piece(chunk("a") + COUNTED), LAST)], {}),
    "ends without its mark, with the last piece": ([HEAD, piece(chunk("a")), at_once(piece(COUNTED), LAST)], {}),
    "ends without its mark, large": (
        [at_once(HEAD, piece(b"".join([chunk(BIG) for _ in range(4)]) + COUNTED), LAST)],
        {},
    ),
    "breaks off, at once": ([at_once(HEAD, piece(chunk("a")), LAST)], {}),
    "breaks off later": ([HEAD, piece(chunk("a")), LAST], {}),
    "is framed wrongly, at once": ([at_once(HEAD, piece(chunk("a")), send(b"zz\r\n")), gate("never")], {}),
    "is framed wrongly later": ([HEAD, piece(chunk("a")), send(b"zz\r\n"), gate("never")], {}),
    "is cut": ([HEAD, piece(chunk("a")), CLOSE], {}),
    "is cut at once": ([at_once(HEAD, piece(chunk("a"))), CLOSE], {}),
    "is reset": ([HEAD, piece(chunk("a")), RESET], {}),
    "is reset at once": ([at_once(HEAD, piece(chunk("a"))), RESET], {}),
    "is cut in its head": ([send(b"HTTP/1.1 200 X\r\n"), CLOSE], {}),
    "never begins": ([gate("never")], {"timeouts": Timeouts(first_byte=SOON)}),
    "stops after its head": ([HEAD, gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "stops": ([HEAD, piece(chunk("a")), gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "only pings": ([HEAD, piece(b": ping\n\n"), gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "takes too long": ([HEAD, piece(chunk("a")), gate("never")], {"timeouts": Timeouts(total=SOON)}),
    "never begins in all": ([gate("never")], {"timeouts": Timeouts(total=SOON)}),
    "grows too large": (
        [HEAD, piece(chunk("a") + COUNTED), gate("next"), piece(chunk("b" * 5000)), gate("never")],
        {"max_answer_bytes": 3000},
    ),
    "is too large at once": ([at_once(HEAD, piece(chunk("b" * 5000))), gate("never")], {"max_answer_bytes": 3000}),
    "is too large, in several pieces": (
        [at_once(HEAD, piece(chunk(BIG) + chunk(BIG) + chunk(BIG))), gate("never")],
        {"max_answer_bytes": 130_000},
    ),
    "is too large only after its end": (
        [at_once(HEAD, piece(chunk("a") + COUNTED + DONE + b" " * 200_000)), gate("never")],
        {"max_answer_bytes": 130_000},
    ),
    "has an error": (
        [at_once(HEAD, piece(chunk("a") + b'data: {"error": {"message": "no", "code": 500}}\n\n'), LAST)],
        {},
    ),
    "is JSON": (answer(WHOLE, headers=JSON), {}),
    "is a large JSON": (answer(WHOLE.replace(b"Hello.", b"a" * 300_000), headers=JSON), {}),
    "is JSON after blanks": ([HEAD, piece(b"\n \n"), piece(WHOLE), LAST], {}),
    "is a web page": (answer(b"<html></html>", headers=HEADERS), {}),
    "is empty": (answer(b"", headers=HEADERS), {}),
    "is refused": (answer(b'{"error": {"message": "slow down"}}', 429, {**HEADERS, "retry-after": "7"}), {}),
    "is refused, and stops": ([head(429, HEADERS), piece(b'{"er'), gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "two answers": ([at_once(HEAD, piece(STREAM), LAST, *answer(WHOLE))], {}),
    "is not kept raw": ([HEAD, piece(STREAM), LAST], {"keep_raw": False}),
}
WHOLES: dict[str, tuple[list[Step], dict[str, Any]]] = {
    "whole": (answer(WHOLE, headers=HEADERS), {}),
    "in steps": ([head(headers=HEADERS, body=len(WHOLE)), send(WHOLE[:9]), send(WHOLE[9:])], {}),
    "says that it closes": ([*answer(WHOLE, headers=CLOSING), CLOSE], {}),
    "ends with the connection": ([send(b"HTTP/1.1 200 X\r\n\r\n" + WHOLE), CLOSE], {}),
    "large": (answer(WHOLE.replace(b"Hello.", b"a" * 300_000), headers=HEADERS), {}),
    "as large as a piece": (answer(WHOLE + b" " * (65536 - len(WHOLE)), headers=HEADERS), {}),
    "larger than a piece by one": (answer(WHOLE + b" " * (65537 - len(WHOLE)), headers=HEADERS), {}),
    "after blanks": ([HEAD, piece(b"\n"), piece(b" \n"), piece(WHOLE[:30]), piece(WHOLE[30:]), LAST], {}),
    "only blanks": ([HEAD, piece(b"\n"), piece(b"\n"), gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "stops after its head": ([HEAD, gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "stops": ([HEAD, piece(WHOLE[:30]), gate("never")], {"timeouts": Timeouts(idle=SOON)}),
    "takes too long": ([HEAD, piece(WHOLE[:30]), gate("never")], {"timeouts": Timeouts(total=SOON)}),
    "never begins": ([gate("never")], {"timeouts": Timeouts(first_byte=SOON)}),
    "is too large": (answer(WHOLE + b" " * 5000, headers=HEADERS), {"max_answer_bytes": 3000}),
    "has too many values": (answer(WHOLE, headers=HEADERS), {"max_answer_values": 3}),
    "is cut": ([HEAD, piece(WHOLE[:30]), CLOSE], {}),
    "is reset": ([HEAD, piece(WHOLE[:30]), RESET], {}),
    "is not JSON": (answer(b'{"id": ', headers=HEADERS), {}),
    "is another JSON": (answer(b"[]", headers=HEADERS), {}),
    "is a stream": (answer(STREAM, headers=HEADERS), {}),
    "is a web page": (answer(b"<html></html>", headers=HEADERS), {}),
    "is empty": (answer(b"", headers=HEADERS), {}),
    "is refused": (answer(b'{"error": {"message": "slow down"}}', 429, {**HEADERS, "retry-after": "7"}), {}),
    "has nothing in it": ([send(b"HTTP/1.1 204 X\r\n\r\n")], {}),
    "two answers": (answer(WHOLE + b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n"), {}),
}
CASES = [
    pytest.param(case, stream, id=f"{'stream' if stream else 'whole'}: {name}")
    for stream, cases in ((True, STREAMS), (False, WHOLES))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("case", "stream"), CASES)
def test_as_over_a_new_connection(server: Server, case: tuple[list[Step], dict[str, Any]], stream: bool) -> None:
    """Events, outcome, error with all it knows, raw answer, and what becomes of the connection are the same."""
    steps, options = case
    options = {"timeouts": Timeouts(first_byte=PATIENCE, idle=PATIENCE), **options}
    for loop in LOOPS:
        cold, warm = [
            run_on(loop, limited, functools.partial(seen, server, steps, warm=way, stream=stream, **options))
            for way in (False, True)
        ]
        assert warm == cold


async def limited(call: Callable[[], Awaitable[Any]]) -> Any:
    """What is never told must fail here, not hang."""
    with anyio.fail_after(PATIENCE / 2):
        return await call()
