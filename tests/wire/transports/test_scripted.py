"""ScriptedTransport: answers in order, errors where they stand, and a clear error when it runs out."""

from __future__ import annotations

import copy
import pickle

import anyio
import pytest

from mellite.cassettes import ScriptedTransport
from mellite.errors import ConfigurationError, ConnectionLost
from mellite.wire.transports.default import HttpRequest, HttpResponse

pytestmark = pytest.mark.anyio


def request(body: bytes = b"") -> HttpRequest:
    return HttpRequest("POST", "https://example.com/v1/chat", body=body)


async def body_of(response: HttpResponse) -> list[bytes]:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    await response.aclose()
    return pieces


async def test_bytes_and_str_are_bodies() -> None:
    """Bytes and text are whole bodies with status 200, in the order of the list."""
    transport = ScriptedTransport([b"one", "zwei \N{LATIN SMALL LETTER U WITH DIAERESIS}"])
    first = await transport.open(request())
    second = await transport.open(request())
    assert (first.status, await body_of(first)) == (200, [b"one"])
    assert (second.status, await body_of(second)) == (200, [b"zwei \xc3\xbc"])


async def test_list_is_pieces() -> None:
    """Every piece of a list is read alone; empty ones, which would mean the end, are left out."""
    transport = ScriptedTransport([["da", b"", b"ta: 1", "\n\n"]])
    assert await body_of(await transport.open(request())) == [b"da", b"ta: 1", b"\n\n"]


async def test_status_and_headers() -> None:
    """A whole answer has its own status and headers, whose names are lowered."""
    response = await ScriptedTransport([(429, {"Retry-After": "1", "Content-Type": "text/plain"}, "slow")]).open(
        request()
    )
    assert response.status == 429
    assert response.headers == {"retry-after": "1", "content-type": "text/plain"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("data: {}\n\n", "text/event-stream"),
        (b' {"a": 1}', "application/json"),
        (["", "[1]"], "application/json"),
        ([], "text/event-stream"),
    ],
)
async def test_content_type(body: str, content_type: str) -> None:
    """A body that begins like JSON is called JSON, any other an event stream."""
    response = await ScriptedTransport([body]).open(request())
    assert response.headers["content-type"] == content_type


async def test_error_instead_of_an_answer() -> None:
    """An error in the list is raised by open, and its class is instantiated."""
    transport = ScriptedTransport([ConnectionLost("gone"), TimeoutError])
    with pytest.raises(ConnectionLost, match="gone"):
        await transport.open(request())
    with pytest.raises(TimeoutError):
        await transport.open(request())


async def test_error_inside_a_body() -> None:
    """An error among the pieces is raised when its turn comes, after what is before it."""
    response = await ScriptedTransport([["a", ConnectionLost("gone"), "b"]]).open(request())
    assert await response.read() == b"a"
    with pytest.raises(ConnectionLost, match="gone"):
        await response.read()


async def test_function_of_the_request() -> None:
    """A function, async or not, gives the answer to the request that it gets."""

    async def later(sent: HttpRequest) -> list[str | bytes]:
        return [sent.method, sent.body]

    transport = ScriptedTransport([lambda sent: sent.body.upper(), later])
    assert await body_of(await transport.open(request(b"hi"))) == [b"HI"]
    assert await body_of(await transport.open(request(b"hi"))) == [b"POST", b"hi"]


@pytest.mark.parametrize("answer", [["a", anyio.sleep_forever, "b"]])
async def test_stall_runs_into_the_timeout(answer: list[object]) -> None:
    """An async function among the pieces is awaited, for as long as the reader allows."""
    response = await ScriptedTransport([answer]).open(request())  # type: ignore[list-item]  # list is invariant
    assert await response.read(timeout=0.01) == b"a"
    with pytest.raises(TimeoutError):
        await response.read(timeout=0.01)


async def test_stalled_headers_run_into_the_timeout() -> None:
    """An async function that gives the answer has as long as `open` allows."""

    async def never(_sent: HttpRequest) -> bytes:
        await anyio.sleep_forever()
        return b""

    with pytest.raises(TimeoutError):
        await ScriptedTransport([never]).open(request(), timeout=0.01)


async def test_running_out() -> None:
    """A request after the last answer is an error that counts both and shows the request without its query."""
    transport = ScriptedTransport(["only"])
    await transport.open(request())
    assert transport.remaining == 0
    with pytest.raises(ConfigurationError, match=r"1 answer, and this is request 2: HttpRequest\('POST'"):
        await transport.open(HttpRequest("POST", "https://example.com/?key=hush"))
    assert [sent.url for sent in transport.requests] == ["https://example.com/v1/chat", "https://example.com/?key=hush"]


async def test_answers_are_given_in_order_of_arrival() -> None:
    """Concurrent requests get the answers in the order in which they arrived."""
    transport = ScriptedTransport([str(number) for number in range(20)])
    got: dict[int, list[bytes]] = {}

    async def ask(number: int) -> None:
        response = await transport.open(request(str(number).encode()))
        got[number] = await body_of(response)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    order = [int(sent.body) for sent in transport.requests]
    assert [got[number] for number in order] == [[str(place).encode()] for place in range(20)]


async def test_read_after_close() -> None:
    """A closed response gives nothing more, and may be closed again."""
    response = await ScriptedTransport([["a", "b"]]).open(request())
    await response.aclose()
    await response.aclose()
    with pytest.raises(ConnectionLost, match="closed"):
        await response.read()


@pytest.mark.parametrize("answers", ["text", b"bytes", None, 5, [5], [None], [("200", {}, "x")], [[5]], [(200, {})]])
async def test_wrong_answers(answers: object) -> None:
    """What is not an answer is refused when the script is made, not when its turn comes."""
    with pytest.raises(ConfigurationError):
        ScriptedTransport(answers)  # type: ignore[arg-type]  # that is the point


async def test_wrong_answer_of_a_function() -> None:
    """What a function gives is checked when it has given it."""
    with pytest.raises(ConfigurationError, match="not 5"):
        await ScriptedTransport([lambda _sent: 5]).open(request())  # type: ignore[list-item,return-value]  # the point


async def test_copies_start_again() -> None:
    """A copy or a pickle of a script is made of its answers: none has been given by it."""
    transport = ScriptedTransport(["one", (200, {}, ["two"])])
    await transport.open(request())
    for again in (pickle.loads(pickle.dumps(transport)), copy.deepcopy(transport), copy.copy(transport)):
        assert (again.requests, again.remaining) == ([], 2)
        assert await body_of(await again.open(request())) == [b"one"]
