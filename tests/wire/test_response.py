"""Reading an answer against the three clocks, and letting go of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import anyio
import pytest

from mellite.errors import FirstByteTimeout, IdleTimeout, MelliteError, TotalTimeout
from mellite.events import Event, Finish, TextDelta
from mellite.request import Request, Timeouts
from mellite.wire.http import HttpRequest, HttpResponse
from tests.wire.answers import STREAM, WHOLE, chunk, received, route, text_of

# --- the clocks -----------------------------------------------------------------------------------


class Silent(HttpResponse):
    """An answer that gives some pieces and then nothing; notes with what timeouts it was read."""

    __slots__ = ("closed", "pieces", "waits")

    def __init__(self, pieces: Sequence[bytes], status: int = 200) -> None:
        self.status = status
        self.headers = {"content-type": "text/event-stream"}
        self.pieces = list(pieces)
        self.waits: list[float | None] = []
        self.closed = False

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece, or a wait that only a timeout ends."""
        self.waits.append(timeout)
        if self.pieces:
            await anyio.lowlevel.checkpoint()
            return self.pieces.pop(0)
        with anyio.fail_after(timeout):
            await anyio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None:
        """Note that it was closed, if there was time for it."""
        await anyio.lowlevel.checkpoint()
        self.closed = True


class Fixed:
    """A transport that gives one answer, or none at all."""

    def __init__(self, response: HttpResponse | None = None) -> None:
        self.response = response
        self.timeout: float | None = None

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """The answer, or a wait that only a timeout ends."""
        self.timeout = timeout
        if self.response is None:
            with anyio.fail_after(timeout):
                await anyio.sleep_forever()
        assert self.response is not None
        return self.response


async def clocked(transport: Fixed, **clocks: float | None) -> tuple[list[Event], MelliteError | None]:
    with anyio.fail_after(10):
        return await received(route().stream(Request.of("hi", timeouts=Timeouts(**clocks)), transport))


@pytest.mark.anyio
async def test_no_answer_is_a_first_byte_timeout() -> None:
    """Headers that never come are FirstByteTimeout."""
    _, error = await clocked(Fixed(), first_byte=0.05)
    assert isinstance(error, FirstByteTimeout)
    assert "0.05" in str(error)


@pytest.mark.anyio
async def test_silence_between_events_is_an_idle_timeout() -> None:
    """A stream that stops saying anything is IdleTimeout after the text so far, and it is closed."""
    response = Silent([chunk("Hel")])
    events, error = await clocked(Fixed(response), idle=0.05)
    assert isinstance(error, IdleTimeout)
    assert text_of(events) == "Hel"
    assert response.closed


@pytest.mark.anyio
async def test_comments_and_pings_are_no_events() -> None:
    """Comments and ping events do not put the idle clock back; an event does."""
    pings = [b": ping\n\n", b"event: ping\ndata: {}\n\n"]
    response = Silent([chunk("a"), *pings, chunk("b"), *pings])
    events, error = await clocked(Fixed(response), idle=0.2)
    assert isinstance(error, IdleTimeout)
    waits = [wait or 0 for wait in response.waits]
    assert text_of(events) == "ab"
    assert waits[1] == waits[4] == 0.2  # after an event: all of it
    assert 0.2 > waits[2] > waits[3]  # after a ping: what was left
    assert 0.2 > waits[5] > waits[6]


@pytest.mark.anyio
async def test_every_piece_of_an_answer_in_one_piece_is_progress() -> None:
    """The idle clock of an answer in one piece starts again with each piece of it."""
    response = Silent([WHOLE[:9], WHOLE[9:20], WHOLE[20:], b""])
    _, error = await clocked(Fixed(response), idle=5)
    assert error is None
    assert response.waits == [5] * 4


@pytest.mark.anyio
async def test_the_total_clock_ends_any_answer() -> None:
    """TotalTimeout comes whether the answer has begun or not, and although events keep coming."""
    for transport in (Fixed(), Fixed(Silent([chunk("a")]))):
        _, error = await clocked(transport, total=0.05)
        assert isinstance(error, TotalTimeout)
        assert transport.timeout is not None
        assert transport.timeout <= 0.05


@pytest.mark.anyio
async def test_clocks_can_be_switched_off() -> None:
    """Without clocks nothing is read with a timeout, but for the moment after the end."""
    response = Silent([STREAM, b""])
    transport = Fixed(response)
    _, error = await clocked(transport, first_byte=None, idle=None)
    assert error is None
    assert transport.timeout is None
    assert response.waits[0] is None


@pytest.mark.anyio
async def test_after_the_end_the_rest_is_read_if_it_comes_at_once() -> None:
    """After [DONE] the body is read to its end, so that the connection can be used again, but hardly waited for."""
    for rest in ([b"\n", b""], [b""], []):
        response = Silent([STREAM, *rest])
        events, error = await clocked(Fixed(response))
        assert error is None
        assert isinstance(events[-1], Finish)
        assert len(response.waits) == max(2, len(rest) + 1)
        assert 0 < (response.waits[1] or 0) < 0.1
        assert response.closed


@pytest.mark.anyio
async def test_an_answer_in_one_piece_closes_the_response() -> None:
    """An answer in one piece leaves its response closed too."""
    response = Silent([WHOLE, b""])
    _, error = await clocked(Fixed(response))
    assert error is None
    assert response.closed


@pytest.mark.anyio
async def test_leaving_the_stream_closes_the_response() -> None:
    """A consumer that stops in the middle closes the response."""
    response = Silent([chunk("a")] * 3)
    async with aclosing(route().stream(Request.of("hi"), Fixed(response))) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
    assert response.closed


@pytest.mark.anyio
async def test_cancelling_closes_the_response() -> None:
    """Cancellation in the middle of a read closes the response."""
    response = Silent([chunk("a")])
    with anyio.move_on_after(0.05):
        await received(route().stream(Request.of("hi"), Fixed(response)))
    assert response.closed
