"""RecordTransport: everything is handed on as it arrives, and stored with its pieces and its end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from mellite.cassettes import HttpInteraction, RecordTransport, Redaction, ReplayTransport, ScriptedTransport
from mellite.cassettes.interactions import Interaction
from mellite.cassettes.timeline import Timeline
from mellite.errors import CassetteError, ConnectError, ConnectionLost, InvalidRequest
from mellite.wire.http import HttpRequest, HttpResponse, Transport

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/chat"


def request(body: object = "hi", **context: Any) -> HttpRequest:
    """A request with a key, as a route makes it."""
    headers = {"content-type": "application/json", "authorization": "Bearer live-secret-0123456789"}
    return HttpRequest("POST", URL, headers=headers, body=json.dumps(body).encode(), context=context)


async def read(transport: Transport, sent: HttpRequest | None = None, *, pieces: int = 100) -> list[bytes]:
    """The first pieces of an answer, which is then closed."""
    response = await transport.open(sent or request())
    found: list[bytes] = []
    try:
        while len(found) < pieces and (piece := await response.read()):
            found.append(piece)
    finally:
        await response.aclose()
    return found


def only(recorder: RecordTransport) -> tuple[HttpInteraction, Timeline]:
    """The one interaction that was recorded, and how it went."""
    (interaction,) = recorder.cassette.http
    timeline = Timeline.of(interaction.extra)
    assert timeline is not None
    return interaction, timeline


async def test_pieces_are_handed_on_as_they_arrive() -> None:
    """A piece is there for its reader before the next one has been sent, and the same object, not a copy."""
    sent: list[str] = []
    first = b"data: 1\n\n"
    live = ScriptedTransport([[first, lambda: sent.append("second"), b"data: 2\n\n"]])
    response = await RecordTransport(live).open(request())
    assert await response.read() is first
    assert sent == []
    assert await response.read() == b"data: 2\n\n"
    await response.aclose()


async def test_a_whole_answer() -> None:
    """What is stored has the request without its key, the answer with its pieces and times, and whose copy asked."""
    live = ScriptedTransport([(201, {"X-Request-Id": "r1", "Set-Cookie": "s=1"}, ["data: 1\n\n", "data: 22\n\n"])])
    recorder = RecordTransport(live)
    assert await read(recorder, request({"a": 1, "token": "t"}, lineage=(0, 3))) == [b"data: 1\n\n", b"data: 22\n\n"]
    interaction, timeline = only(recorder)
    assert (interaction.request.method, interaction.request.url) == ("POST", URL)
    assert interaction.request.headers == {"content-type": "application/json"}
    assert interaction.request.body.text == '{"a":1,"token":"[REDACTED]"}'
    assert interaction.response.status == 201
    assert interaction.response.headers == {"x-request-id": "r1", "content-type": "text/event-stream"}
    assert interaction.response.body.text == "data: 1\n\ndata: 22\n\n"
    assert (timeline.end, timeline.lineage, [size for size, _ in timeline.pieces()]) == ("complete", (0, 3), [9, 10])
    times = [at for _, at in timeline.pieces()]
    assert 0 <= (timeline.opened or -1) <= times[0] <= times[1] <= timeline.ended


async def test_times_are_those_of_the_pieces() -> None:
    """A pause between two pieces is between them in the recording, too."""

    async def pause() -> None:
        await anyio.sleep(0.03)

    recorder = RecordTransport(ScriptedTransport([["a", pause, "b"]]))
    await read(recorder)
    _, timeline = only(recorder)
    (_, first), (_, second) = timeline.pieces()
    assert second - first >= 29_000
    assert timeline.started > 1_700_000_000_000_000


async def test_a_reader_that_stops() -> None:
    """An answer that is closed before its end is stored as interrupted, with what had come, and closes the live one."""
    live = Watched(ScriptedTransport([["a", "b", "c"]]))
    recorder = RecordTransport(live)
    assert await read(recorder, pieces=2) == [b"a", b"b"]
    assert live.closed == 1
    interaction, timeline = only(recorder)
    assert (interaction.response.body.text, timeline.end) == ("ab", "interrupted")


class Watched:
    """A transport that counts how many answers were closed."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.closed = 0

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        return _Watched(await self.inner.open(request, timeout=timeout), self)


class _Watched(HttpResponse):
    def __init__(self, inner: HttpResponse, by: Watched) -> None:
        self.inner, self.by = inner, by
        self.status, self.headers = inner.status, inner.headers

    async def read(self, timeout: float | None = None) -> bytes:
        return await self.inner.read(timeout)

    async def aclose(self) -> None:
        self.by.closed += 1
        await self.inner.aclose()


async def test_a_reader_that_is_cancelled() -> None:
    """Cancelling a read stores the answer as interrupted, however the cancellation is meant for it."""
    with anyio.CancelScope() as scope:

        async def pause() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        recorder = RecordTransport(ScriptedTransport([["a", pause, "b"]]))
        await read(recorder)
    interaction, timeline = only(recorder)
    assert (interaction.response.body.text, timeline.end) == ("a", "interrupted")


async def test_cancelled_before_anything_came() -> None:
    """A request whose sender goes away before the status is there is stored, as nothing that could be an answer."""
    with anyio.CancelScope() as scope:

        async def never(request: HttpRequest) -> str:
            scope.cancel()
            await anyio.sleep_forever()
            return ""

        recorder = RecordTransport(ScriptedTransport([never]))
        await recorder.open(request())
    interaction, timeline = only(recorder)
    assert (interaction.response.status, timeline.opened, timeline.end) == (599, None, "interrupted")


@pytest.mark.parametrize("error", [ConnectionLost("it broke"), TimeoutError("too late")])
async def test_an_answer_that_breaks_off(error: Exception) -> None:
    """An answer that fails on the way is stored as broken, with the error, which its reader gets."""
    recorder = RecordTransport(ScriptedTransport([["a", error]]))
    with pytest.raises(type(error), match=str(error)):
        await read(recorder)
    interaction, timeline = only(recorder)
    assert (interaction.response.body.text, timeline.end) == ("a", "broken")
    assert timeline.fault is not None
    assert (timeline.fault.type, timeline.fault.message) == (type(error).__name__, str(error))


async def test_a_connection_that_fails() -> None:
    """A request that gets no answer at all is stored with its error."""
    recorder = RecordTransport(ScriptedTransport([ConnectError("refused")]))
    with pytest.raises(ConnectError, match="refused"):
        await recorder.open(request())
    interaction, timeline = only(recorder)
    assert (interaction.response.status, timeline.opened, timeline.end) == (599, None, "broken")


async def test_what_was_never_sent_is_not_stored() -> None:
    """The caller's own mistake is not an interaction."""
    recorder = RecordTransport(ScriptedTransport([InvalidRequest("no such method")]))
    with pytest.raises(InvalidRequest):
        await recorder.open(request())
    assert recorder.cassette.interactions == ()


async def test_compressed_answers_are_stored_as_text() -> None:
    """The reader gets the compressed bytes; the cassette has the text, in as many pieces, and no header that lies."""
    body = gzip.compress(b"data: 1\n\n" * 100 + b"data: 2\n\n", mtime=0)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip", "content-length": str(len(body))}
    recorder = RecordTransport(ScriptedTransport([(200, headers, [body[:20], body[20:]])]))
    assert b"".join(await read(recorder)) == body
    interaction, timeline = only(recorder)
    assert interaction.response.body.data == gzip.decompress(body)
    assert interaction.response.headers == {"content-type": "text/event-stream"}
    assert sum(size for size, _ in timeline.pieces()) == 909


@pytest.mark.parametrize("body", [b"\x1f\x8bgarbage", gzip.compress(b"data: 1\n\n", mtime=0)[:-3]])
async def test_what_is_not_compressed_as_it_says_stays_as_it_came(body: bytes) -> None:
    """A damaged compressed answer is kept byte for byte, so that it fails again in the same way."""
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    recorder = RecordTransport(ScriptedTransport([(200, headers, [body])]))
    await read(recorder)
    interaction, _ = only(recorder)
    assert (interaction.response.body.encoding, interaction.response.body.data) == ("base64", body)
    assert interaction.response.headers["content-encoding"] == "gzip"


async def test_binary_bodies() -> None:
    """The messages of an AWS event stream are kept in base64, even if they happen to be text."""
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    recorder = RecordTransport(ScriptedTransport([(200, headers, [b"abc", b"\xff"])]))
    await read(recorder)
    interaction, timeline = only(recorder)
    assert (interaction.response.body.encoding, interaction.response.body.data) == ("base64", b"abc\xff")
    assert [size for size, _ in timeline.pieces()] == [3, 1]


async def test_secret_fields_in_streams() -> None:
    """Secret fields in the events of a stream are taken out, and the pieces keep their borders; tokens of text stay."""
    secret = b'data: {"access_token": "abcdefgh", "x": 1}\n\n'
    token = b'data: {"token": "Hello", "logprob": -0.1}\n\n'
    recorder = RecordTransport(ScriptedTransport([[b": hi\n\n" + secret, token, b"data: [DONE]\n\n"]]))
    assert await read(recorder) == [b": hi\n\n" + secret, token, b"data: [DONE]\n\n"]
    interaction, _ = only(recorder)
    clean = b'data: {"access_token":"[REDACTED]","x":1}\n\n'
    assert interaction.response.body.data == b": hi\n\n" + clean + token + b"data: [DONE]\n\n"
    assert await read(ReplayTransport(recorder.cassette)) == [b": hi\n\n" + clean, token, b"data: [DONE]\n\n"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("apiKey", True),
        ("-api-KEY-", True),
        ("t\\u006fken", True),
        ("\\u0074oken", True),
        ("api\u212aey", True),
        ("API\\u212AEY", True),
        ("refresh token", True),
        ("tokens", False),
        ("max_token", False),
    ],
)
async def test_secret_fields_however_they_are_spelled(name: str, *, secret: bool) -> None:
    """Only letters and digits of a name count, escaped or not, alone in an answer or in the event of a stream."""
    body = f'{{"{name}": "hush"}}'
    recorder = RecordTransport(ScriptedTransport([body, f"data: {body}\n\n"]))
    await read(recorder)
    await read(recorder)
    assert [("hush" in one.response.body.text) for one in recorder.cassette.http] == [not secret] * 2


async def test_more_headers_on_request() -> None:
    """Headers that the redaction allows are stored beside the harmless ones."""
    recorder = RecordTransport(
        ScriptedTransport([(200, {"X-Mine": "1", "X-Other": "2"}, "{}")]),
        redaction=Redaction(response_headers=["x-mine"]),
    )
    await read(recorder)
    interaction, _ = only(recorder)
    assert interaction.response.headers == {"x-mine": "1", "content-type": "application/json"}


async def test_concurrent_requests_are_in_the_order_in_which_they_were_sent() -> None:
    """The cassette has them in the order of their start, whichever answer was over first."""
    gates = [anyio.Event() for _ in range(3)]
    live = ScriptedTransport([[gate.wait, str(number)] for number, gate in enumerate(gates)])
    recorder = RecordTransport(live)
    responses = [await recorder.open(request(number)) for number in range(3)]
    for number in (2, 0, 1):
        gates[number].set()
        assert await responses[number].read() == str(number).encode()
        assert await responses[number].read() == b""
    assert [one.request.body.text for one in recorder.cassette.http] == ["0", "1", "2"]


class Failing:
    """A sink that cannot store what has the word bad in it."""

    def __init__(self) -> None:
        self.kept: list[Interaction] = []
        self.end = ""

    def append(self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()) -> None:
        """Keep it, or not."""
        assert isinstance(interaction, HttpInteraction)
        assert secrets == ("live-secret-0123456789",)
        if "bad" in interaction.response.body.text:
            msg = "the disk is full"
            raise CassetteError(msg)
        self.kept.append(interaction)

    def finish(self) -> None:
        """It ended well."""
        self.end += "finished"

    def abandon(self) -> None:
        """It did not."""
        self.end += "abandoned"


async def test_a_recording_that_fails_does_not_fail_the_call() -> None:
    """The caller gets the answer, the rest is recorded, and the error comes out when the recording ends."""
    sink = Failing()
    recorder = RecordTransport(ScriptedTransport(["good", "bad", "good"]), sink)
    assert [await read(recorder) for _ in range(3)] == [[b"good"], [b"bad"], [b"good"]]
    assert (len(sink.kept), len(recorder.problems)) == (2, 1)
    with pytest.raises(CassetteError, match="the disk is full"):
        await recorder.aclose()
    assert sink.end == "abandoned"


async def test_the_end_of_a_recording() -> None:
    """It ends well with its block, badly with an error in it; once; and what comes after it is refused."""
    sink = Failing()
    async with RecordTransport(ScriptedTransport(["good"]), sink) as recorder:
        await read(recorder)
    recorder.finish()
    assert sink.end == "finished"
    with pytest.raises(CassetteError, match="the recording is over"):
        await recorder.open(request())
    other = Failing()
    with pytest.raises(ZeroDivisionError):
        await failing(other)
    assert other.end == "abandoned"


async def failing(sink: Failing) -> None:
    """Record something, and then go wrong."""
    async with RecordTransport(ScriptedTransport(["good"]), sink) as recorder:
        await read(recorder)
        _ = 1 / 0


async def test_stored_before_the_end_is_told() -> None:
    """When the reader learns that an answer is over, it is stored: what is done is recorded."""
    sink = Failing()
    response = await RecordTransport(ScriptedTransport(["good"]), sink).open(request())
    assert await response.read() == b"good"
    assert sink.kept == []
    assert await response.read() == b""
    assert len(sink.kept) == 1
    await response.aclose()
    assert len(sink.kept) == 1


async def test_the_reader_of_one_end_acts_before_the_last_one_comes() -> None:
    """Of two answers that end together, the reader of the first can still stop the second: also the last one waits."""
    gate = anyio.Event()
    recorder = RecordTransport(ScriptedTransport([[b"one", gate.wait], [b"two", gate.wait]]))
    ended: list[str] = []

    async def reader(name: str, scope: anyio.CancelScope, other: anyio.CancelScope) -> None:
        with scope:
            await read(recorder)
            ended.append(name)
            for _ in range(10):  # as a thunk that settles, and a strategy that decides
                await checkpoint()
            other.cancel()

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader, "first", first, second)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(reader, "second", second, first)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert len(ended) == 1
