"""Asking over WebSockets: connections that stay open, turns that go on, and everything that breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from websockets.sync.server import ServerConnection

from mellite.errors import ConnectError, ConnectionLost, InvalidProviderOutput
from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
from mellite.wire.http import HttpRequest, HttpResponse
from mellite.wire.transports.default import default_transport
from mellite.wire.transports.websocket import WebSocketTransport
from tests.wire.server import answer, head, serve
from tests.wire.sockets import close, hang_up, talking


def said(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text}


def item(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def last(number: int, *output: Any, kind: str = "completed") -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": f"resp_{number}", "output": list(output)}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "output_text", "text": text}]}


def request(url: str, *turns: Any, key: str = "key") -> HttpRequest:
    body = json.dumps({"model": "m", "input": list(turns), "stream": True}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return HttpRequest("POST", f"{url}/responses", headers=headers, body=body)


@asynccontextmanager
async def transport(**options: Any) -> AsyncIterator[WebSocketTransport]:
    made = WebSocketTransport(ResponsesDialogue, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def rest(response: HttpResponse) -> list[Any]:
    """All messages that are left, decoded."""
    body = b""
    while data := await response.read(5):
        body += data
    await response.aclose()
    return [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n\n") if line]


ONE = [said("Hel"), said("lo."), last(1, item("Hello."))]
TWO = [said("Yes."), last(2, item("Yes."))]
GOING_ON = (user("Hi."), assistant("Hello."), user("Really?"))


@pytest.mark.anyio
async def test_a_turn() -> None:
    """A request becomes a message without what HTTP needs; the messages that come back become a stream."""
    with talking([[ONE]]) as server:
        async with transport() as sockets:
            response = await sockets.open(request(server.url, user("Hi.")), timeout=5)
            assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
            assert await rest(response) == ONE
            assert await response.read() == b""
    assert server.heard == [[{"type": "response.create", "model": "m", "input": [user("Hi.")]}]]
    assert server.headers[0]["authorization"] == "Bearer key"
    assert "content-type" not in server.headers[0]


@pytest.mark.anyio
async def test_closing() -> None:
    """Connections that wait for their next turn are closed in good order, and so is what was there to fall back to."""
    closed: list[str] = []

    class Fallback:
        async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
            raise AssertionError

        async def aclose(self) -> None:
            closed.append("fallback")

    with talking([[ONE]]) as server:
        async with transport(fallback=Fallback()) as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
        assert await anyio.to_thread.run_sync(server.gone.acquire, True, 5)
    assert (server.codes, closed) == ([1000], ["fallback"])


@pytest.mark.anyio
async def test_a_conversation_goes_on_where_it_was() -> None:
    """The next turn goes over the same connection and only says what is new."""
    with talking([[ONE, TWO]]) as server:
        async with transport() as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
            assert await rest(await sockets.open(request(server.url, *GOING_ON))) == TWO
    (first, second) = server.heard[0]
    assert "previous_response_id" not in first
    assert (second["input"], second["previous_response_id"]) == ([user("Really?")], "resp_1")


@pytest.mark.parametrize("half_read", [False, True])
def test_a_loop_closed_by_hand(half_read: bool) -> None:
    """Its connections are closed with it, busy or idle, though the transport and the answer are still referred to."""
    with talking([[ONE[: 1 if half_read else None]]]) as server:
        sockets = WebSocketTransport(ResponsesDialogue)

        async def main() -> HttpResponse:
            response = await sockets.open(request(server.url, user("Hi.")))
            if not half_read:
                await rest(response)
            return response

        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(main())
        loop.close()
        assert server.gone.acquire(timeout=5)
        assert left.status == 200


@pytest.mark.anyio
async def test_a_server_that_forgot_is_told_again() -> None:
    """Where the server does not know the last answer any more, all is said again, and nobody notices."""
    forgotten = {"type": "error", "error": {"code": "previous_response_not_found", "message": "?"}}
    with talking([[ONE, [forgotten], TWO]]) as server:
        async with transport() as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
            assert await rest(await sockets.open(request(server.url, *GOING_ON))) == TWO
    assert server.heard[0][2]["input"] == list(GOING_ON)
    assert "previous_response_id" not in server.heard[0][2]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "end",
    [
        [hang_up],
        [close()],
        [close(1011, "internal error")],
        [{"type": "error", "error": {"code": "websocket_connection_limit_reached"}}],
    ],
)
async def test_a_connection_that_has_had_its_time_is_replaced(end: list[Any]) -> None:
    """What breaks before anything came of an answer on an old connection is asked again on a new one, whole."""
    with talking([[ONE, end], [TWO]]) as server:
        async with transport() as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
            assert await rest(await sockets.open(request(server.url, *GOING_ON))) == TWO
    assert [len(heard) for heard in server.heard] == [2, 1]
    assert server.heard[1][0]["input"] == list(GOING_ON)


@pytest.mark.anyio
async def test_a_new_connection_that_breaks_is_not_replaced() -> None:
    """A request that may have been answered is not sent a second time."""
    with talking([[[hang_up]], [[close()]]]) as server:
        async with transport() as sockets:
            for _ in range(2):
                with pytest.raises(ConnectionLost):
                    await sockets.open(request(server.url, user("Hi.")))
    assert [len(heard) for heard in server.heard] == [1, 1]


@pytest.mark.anyio
@pytest.mark.parametrize(("end", "broken"), [(hang_up, True), (close(1011, "oops"), True), (close(), False)])
async def test_a_connection_that_breaks_halfway(end: Any, broken: bool) -> None:
    """What came before is given; a close in good order is the end of the stream, anything else is a loss."""
    with talking([[[said("Hel"), end]]]) as server:
        async with transport() as sockets:
            response = await sockets.open(request(server.url, user("Hi.")))
            assert b"Hel" in await response.read()
            if broken:
                with pytest.raises(ConnectionLost):
                    await response.read()
            else:
                assert await response.read() == b""
            await response.aclose()


@pytest.mark.anyio
async def test_two_at_once_have_two_connections() -> None:
    """A connection answers one request at a time."""
    with talking([[[said("a")]], [TWO]]) as server:
        async with transport() as sockets:
            first = await sockets.open(request(server.url, user("Hi.")))
            assert await rest(await sockets.open(request(server.url, user("Hi.")))) == TWO
            await first.aclose()
    assert len(server.heard) == 2


@pytest.mark.anyio
async def test_who_goes_away_ends_the_connection() -> None:
    """Closing an answer that is not over closes its connection, and cancelling a read does so when it is closed."""
    with talking([[[said("a")]]]) as server:
        async with transport() as sockets:
            response = await sockets.open(request(server.url, user("Hi.")))
            await response.read()
            with anyio.move_on_after(0.01):
                await response.read()
            await response.aclose()
            await response.aclose()
            assert await anyio.to_thread.run_sync(server.gone.acquire, True, 5)
            with pytest.raises(ConnectionLost):
                await response.read()


@pytest.mark.anyio
async def test_another_key_has_another_connection() -> None:
    """A connection that was opened with one key is not used for another."""
    with talking([[ONE, TWO], [TWO]]) as server:
        async with transport() as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
            await rest(await sockets.open(request(server.url, *GOING_ON, key="other")))
    assert [headers["authorization"] for headers in server.headers] == ["Bearer key", "Bearer other"]
    assert server.heard[1][0]["input"] == list(GOING_ON)


@pytest.mark.anyio
@pytest.mark.parametrize("end", [hang_up, close(1011), lambda connection: connection.socket.sendall(b"\xff" * 20)])
async def test_no_frame_of_an_error_holds_the_key(end: Any) -> None:
    """Whoever shows the locals of a traceback does not show the key; nor that of a connection that was not made."""
    with talking([[[end]]]) as server:
        async with transport() as sockets:
            for url in (server.url, "http://127.0.0.1:1/v1"):
                with pytest.raises((ConnectError, ConnectionLost, InvalidProviderOutput)) as caught:
                    await sockets.open(request(url, user("Hi."), key="sk-very-secret"))
                shown = "".join(
                    [repr(entry.frame.f_locals) for entry in caught.traceback if "mellite" in str(entry.path)]
                )
                assert "sk-very-secret" not in shown


@pytest.mark.anyio
@pytest.mark.parametrize("limit", ["max_age", "max_idle"])
async def test_connections_grow_old(limit: str) -> None:
    """A connection that was open or idle for long is closed, and the conversation goes on over another."""
    with talking([[ONE, TWO], [TWO]]) as server:
        async with transport(**{limit: 0}) as sockets:
            await rest(await sockets.open(request(server.url, user("Hi."))))
            assert await rest(await sockets.open(request(server.url, *GOING_ON))) == TWO
    assert server.heard[1][0]["input"] == list(GOING_ON)


@pytest.mark.anyio
async def test_few_connections_stay_open() -> None:
    """Conversations that do not go on share the connections that are there."""
    with talking([[ONE] * 3] * 20) as server:
        async with transport() as sockets:
            for number in range(20):
                await rest(await sockets.open(request(server.url, user(str(number)))))
    assert len(server.heard) == 8


@pytest.mark.anyio
async def test_many_at_once_leave_few_connections() -> None:
    """Of many connections that were needed at once, a few are kept for what may come."""
    go_on = threading.Event()
    with talking([[[said("a"), lambda _: go_on.wait(5), last(1)]]] * 10) as server:
        async with transport() as sockets:
            answers = [await sockets.open(request(server.url, user(str(number))), timeout=5) for number in range(10)]
            go_on.set()
            for answer in answers:
                assert await rest(answer) == [said("a"), last(1)]
            for _ in range(2):
                assert await anyio.to_thread.run_sync(server.gone.acquire, True, 5)
            assert not server.gone.acquire(blocking=False)


@pytest.mark.anyio
async def test_clocks() -> None:
    """Waiting for the first message, and for the next, takes as long as is allowed."""
    with talking([[[]], [[said("a")]]]) as server:
        async with transport() as sockets:
            with pytest.raises(TimeoutError):
                await sockets.open(request(server.url, user("Hi.")), timeout=0.5)  # time enough to shake hands
            response = await sockets.open(request(server.url, user("Hi.")), timeout=5)
            await response.read(5)
            with pytest.raises(TimeoutError):
                await response.read(0.05)
            await response.aclose()


@pytest.mark.anyio
async def test_a_refusal_is_an_answer() -> None:
    """A server that refuses the handshake is heard: its status, its headers and its body."""
    with talking(refuse=401) as server:
        async with transport() as sockets:
            response = await sockets.open(request(server.url, user("Hi.")))
            assert (response.status, json.loads(await response.read())["error"]["message"]) == (401, "Not you.")
            assert await response.read() == b""
            await response.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text/event-stream", 'event: response.completed\ndata: {"type": "response.completed", "response": {}}\n\n'),
        ("application/json", '{"object": "response", "status": "completed", "output": []}'),
        ("text/html", "<html>Welcome</html>"),
    ],
)
async def test_an_answer_to_the_handshake_alone_is_none(kind: str, said: str) -> None:
    """What a server answers before it has heard the request is not the answer to it, however much it looks like one."""
    with serve() as server:
        script = server.script(answer(said.encode(), 200, {"content-type": kind}))
        async with transport() as sockets:
            with pytest.raises(InvalidProviderOutput, match=r"HTTP 200.*before it had heard the request"):
                await sockets.open(request(script.url, user("Hi.")), timeout=5)
        (asked,) = script.requests(1)
    assert (asked.method, asked.body) == ("GET", b"")


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("status", [404, 405, 426, 501])
async def test_a_server_without_websockets_is_asked_over_http(status: int) -> None:
    """Where there is something to fall back to, a server that knows no WebSockets gets the request over HTTP."""
    with serve() as server:
        script = server.script(head(status, body=0))
        async with transport(fallback=default_transport()) as sockets:
            response = await sockets.open(request(script.url, user("Hi.")), timeout=5)
            assert response.status == status
            await response.aclose()
        asked, sent = script.requests(2)
    assert (asked.method, sent.method) == ("GET", "POST")
    assert json.loads(sent.body)["input"] == [user("Hi.")]


@pytest.mark.anyio
async def test_nobody_is_there() -> None:
    """A port that nobody listens on is a ConnectError."""
    async with transport() as sockets:
        with pytest.raises(ConnectError):
            await sockets.open(request("http://127.0.0.1:1/v1", user("Hi.")))


@pytest.mark.anyio
async def test_https_is_not_spoken_in_the_clear() -> None:
    """A URL with https never talks to a server without TLS."""
    with talking([[ONE]]) as server:
        async with transport() as sockets:
            with pytest.raises(ConnectError):
                await sockets.open(request(server.url.replace("http:", "https:"), user("Hi.")))
    assert not server.headers


@pytest.mark.anyio
async def test_what_is_no_websocket() -> None:
    """Bytes that break the rules are InvalidProviderOutput."""
    with talking([[[lambda connection: connection.socket.sendall(b"\xff" * 20)]]]) as server:
        async with transport() as sockets:
            with pytest.raises(InvalidProviderOutput):
                await sockets.open(request(server.url, user("Hi.")))


@pytest.mark.anyio
async def test_messages_of_any_shape() -> None:
    """Line breaks in a message, and messages that are bytes, are one event each."""
    pretty = json.dumps(said("a"), indent=2)
    with talking([[[pretty, pretty.encode(), last(1)]]]) as server:
        async with transport() as sockets:
            assert await rest(await sockets.open(request(server.url, user("Hi.")))) == [said("a"), said("a"), last(1)]


# --- what is left of another turn -----------------------------------------------------------------

CREATED = {"type": "response.created", "response": {"id": "resp_2"}}
OLD = [said("Old."), last(1, item("Old."))]


class Late:
    """Says something as soon as the test lets it, all of it in one piece, and tells when it has."""

    def __init__(self, *messages: Any, wait: bool = True) -> None:
        self.go_on = threading.Event()
        self.told = threading.Event()
        self._messages = messages
        if not wait:
            self.go_on.set()

    def __call__(self, connection: ServerConnection) -> None:
        assert self.go_on.wait(5)
        with connection.protocol_mutex:
            for message in self._messages:
                connection.protocol.send_text((message if isinstance(message, str) else json.dumps(message)).encode())
            with contextlib.suppress(OSError):  # a client that has read too much hangs up at once
                connection.send_data()
        self.told.set()


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("left", [OLD, OLD[:1], [CREATED, *OLD], [{"type": "error", "error": {}}], ["hello"]])
async def test_more_than_an_answer_ends_the_connection(left: list[Any], wait: bool) -> None:
    """What comes behind the end of an answer, at once or long after, is not part of the next: another connection is."""
    late = Late(*left) if wait else Late(CREATED, *ONE, *left, wait=False)
    first = [CREATED, *ONE, late] if wait else [late]
    with talking([[first], [[CREATED, *TWO]]]) as server:
        async with transport() as sockets:
            assert await rest(await sockets.open(request(server.url, user("Hi.")), timeout=5)) == [CREATED, *ONE]
            late.go_on.set()
            assert await anyio.to_thread.run_sync(late.told.wait, 5)
            assert await rest(await sockets.open(request(server.url, *GOING_ON), timeout=5)) == [CREATED, *TWO]
    assert server.heard[1][0]["input"] == list(GOING_ON)


@pytest.mark.anyio
@pytest.mark.parametrize("left", [OLD, OLD[:1], OLD[1:]])
async def test_what_comes_before_an_answer_is_announced_ends_the_connection(left: list[Any]) -> None:
    """What still comes when the next turn has been asked for is not part of it: nothing is before it was announced."""
    with talking([[[CREATED, *ONE], left], [[CREATED, *TWO]]]) as server:
        async with transport() as sockets:
            assert await rest(await sockets.open(request(server.url, user("Hi.")), timeout=5)) == [CREATED, *ONE]
            assert await rest(await sockets.open(request(server.url, *GOING_ON), timeout=5)) == [CREATED, *TWO]
    assert [len(heard) for heard in server.heard] == [2, 1]


@pytest.mark.anyio
async def test_news_between_two_turns_end_nothing() -> None:
    """Messages that belong to no answer, and the server's pings, leave the connection as it is."""
    limits = {"type": "codex.rate_limits", "used": 3}
    late, pings = Late(limits), []

    def ping(connection: ServerConnection) -> None:
        pings.append(connection.ping())

    with talking([[[CREATED, *ONE, ping, late], [limits, CREATED, *TWO]]]) as server:
        async with transport() as sockets:
            await rest(await sockets.open(request(server.url, user("Hi.")), timeout=5))
            late.go_on.set()
            assert await anyio.to_thread.run_sync(late.told.wait, 5)
            found = await rest(await sockets.open(request(server.url, *GOING_ON), timeout=5))
            assert await anyio.to_thread.run_sync(pings[0].wait, 5)
    assert found == [limits, CREATED, *TWO]
    assert len(server.heard) == 1
