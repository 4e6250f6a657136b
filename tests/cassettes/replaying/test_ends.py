"""Replaying what was recorded: the same pieces, in recorded time if asked, and the same end."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import anyio
import pytest

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport
from mellite.errors import CassetteMismatch, ConfigurationError, ConnectError, ConnectionLost, InvalidCassette
from mellite.wire.http import HttpRequest, HttpResponse

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/chat"
ASKED = HttpRequest("POST", URL, body=b"{}")


def recorded(body: str, chunks: str = "", *, status: int = 200, **mellite: Any) -> HttpInteraction:
    """An interaction that says how it went."""
    said = {"started": "2026-11-21T06:00:00.000000Z", "openedUs": 0, "chunks": chunks, "end": "complete", **mellite}
    return HttpInteraction(
        RecordedRequest("POST", URL, body=Body("{}")),
        RecordedResponse(status, body=Body(body)),
        extra={"mellite": {name: value for name, value in said.items() if value is not None}},
    )


def replay(one: HttpInteraction, **options: Any) -> ReplayTransport:
    """A transport that replays one interaction."""
    return ReplayTransport(Cassette((one,)), **options)


async def pieces_of(response: HttpResponse, timeout: float | None = None) -> list[bytes]:
    found = []
    while piece := await response.read(timeout):
        found.append(piece)
    return found


async def test_pieces_as_recorded() -> None:
    """The pieces that are read are those that were recorded, and empty ones are none."""
    response = await replay(recorded("abcdef", "2 1 0 3")).open(ASKED)
    assert await pieces_of(response) == [b"ab", b"c", b"def"]
    assert await response.read() == b""


async def test_a_body_that_was_edited() -> None:
    """A body that is not as long as its pieces comes in one piece: whoever edited it wins."""
    assert await pieces_of(await replay(recorded("abcdefg", "2 1 3")).open(ASKED)) == [b"abcdefg"]


@pytest.mark.parametrize(("cut", "pieces"), [(None, [b"abcdef"]), (4, [b"abcd", b"ef"]), ([1], [b"a", b"bcdef"])])
async def test_cut_at_will(cut: Any, pieces: list[bytes]) -> None:
    """Other cuts than the recorded ones can be asked for, and say nothing else of how it ended."""
    one = recorded("abcdef", "2 1 3", end="broken", error={"type": "ConnectionLost", "message": "gone"})
    response = await replay(one, cut=cut).open(ASKED)
    assert [await response.read() for _ in pieces] == pieces
    with pytest.raises(ConnectionLost, match="gone"):
        await response.read()


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("ConnectionLost", ConnectionLost),
        ("TimeoutError", TimeoutError),
        ("ValueError", ConnectionLost),
        ("NoSuchError", ConnectionLost),
        ("annotations", ConnectionLost),
    ],
)
async def test_a_broken_answer_breaks_again(kind: str, raised: type[Exception]) -> None:
    """After its pieces it raises what it raised; a class that is none of mellite's is a lost connection."""
    one = recorded("ab", "1 1", end="broken", error={"type": kind, "message": "it broke"})
    response = await replay(one).open(ASKED)
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    for _ in range(2):
        with pytest.raises(raised, match="it broke"):
            await response.read()


async def test_a_connection_that_failed() -> None:
    """A request that got no answer gets none again, and not the status that stands in its place."""
    error = {"type": "ConnectError", "message": "refused"}
    one = recorded("", status=599, openedUs=None, end="broken", error=error)
    with pytest.raises(ConnectError, match="refused"):
        await replay(one).open(ASKED)


async def test_an_interrupted_answer_waits_for_its_reader_to_go() -> None:
    """Where the recorded reader went away, nothing comes: a reader that goes away again notices no difference."""
    one = recorded("ab", "1 1", end="interrupted")
    response = await replay(one, deadline=60).open(ASKED)
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    with anyio.move_on_after(0.02) as scope:
        await response.read()
    assert scope.cancelled_caught
    await response.aclose()


async def test_an_interrupted_answer_is_never_whole() -> None:
    """A reader that does not go away learns after the deadline that there was no more; also before the status."""
    transport = ReplayTransport(
        Cassette((recorded("ab", "1 1", end="interrupted"), recorded("", openedUs=None, end="interrupted"))),
        deadline=0.01,
    )
    response = await transport.open(ASKED)
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    with pytest.raises(
        CassetteMismatch, match=r"interaction 0 of .* went away after 2 pieces of it when it was recorded"
    ):
        await response.read(60)
    with pytest.raises(TimeoutError):
        await response.read(0.005)
    with pytest.raises(CassetteMismatch, match=r"interaction 1 of .* went away before anything came"):
        await transport.open(ASKED)


async def test_recorded_time() -> None:
    """With a speed each piece comes when it came, that much faster."""
    one = recorded("abc", "1@20000 1@20000 1@20000", openedUs=20_000, endedUs=100_000)
    began = time.monotonic()
    response = await replay(one, speed=2).open(ASKED)
    moments = [time.monotonic() - began]
    while await response.read():
        moments.append(time.monotonic() - began)
    moments.append(time.monotonic() - began)
    due = [0.01, 0.02, 0.03, 0.04, 0.05]
    assert all(moment >= wanted - 0.001 for moment, wanted in zip(moments, due, strict=True))


@pytest.mark.parametrize("speed", [None, 100_000])
async def test_faster_than_recorded(speed: float | None) -> None:
    """Without a speed, or with a great one, what took minutes takes no time."""
    one = recorded("abc", "1@60000000 1@60000000 1@60000000", openedUs=60_000_000, endedUs=300_000_000)
    with anyio.fail_after(5):
        assert await pieces_of(await replay(one, speed=speed).open(ASKED)) == [b"a", b"b", b"c"]


async def test_recorded_time_with_other_cuts() -> None:
    """A piece that was cut at will comes when its last byte came."""
    one = recorded("abcd", "2@10000 2@30000", endedUs=40_000)
    began = time.monotonic()
    response = await replay(one, speed=1, cut=1).open(ASKED)
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    assert await response.read() == b"c"
    assert time.monotonic() - began >= 0.03


async def test_recorded_time_and_timeouts() -> None:
    """Time that the recorded server took counts against the timeouts of the reader."""
    one = recorded("ab", "1 1@60000000", openedUs=0, endedUs=60_000_000)
    response = await replay(one, speed=1).open(ASKED)
    assert await response.read(1) == b"a"
    with pytest.raises(TimeoutError):
        await response.read(0.01)
    with pytest.raises(TimeoutError):
        await replay(recorded("", openedUs=60_000_000), speed=1).open(ASKED, timeout=0.01)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"chunks": "2 x"}, "'mellite.chunks'"),
        ({"chunks": 5}, "'mellite.chunks'"),
        ({"chunks": "9x999999999 9x999999999"}, "'mellite.chunks'"),
        ({"end": "somehow"}, "'mellite.end'"),
        ({"openedUs": -1}, "'mellite.openedUs'"),
        ({"endedUs": True}, "'mellite.endedUs'"),
        ({"started": "yesterday"}, "'mellite.started'"),
        ({"started": "2026-11-21T06:00:00"}, "'mellite.started'"),
        ({"started": None}, "'mellite.started'"),
        ({"error": "ConnectionLost"}, "'mellite.error'"),
        *[
            ({"error": {"type": "ConnectionLost", "message": "gone", **more}}, f"'mellite.error.{name}'")
            for name, more in [
                ("ending", {"ending": "slowly"}),
                ("clock", {"clock": "wall"}),
                ("seconds", {"clock": "idle"}),
                ("seconds", {"clock": "idle", "seconds": True}),
                ("seconds", {"clock": "idle", "seconds": -1}),
            ]
        ],
        ({"lineage": "0"}, "'mellite.lineage'"),
        ({"lineage": [True]}, "'mellite.lineage'"),
    ],
)
async def test_what_cannot_be_read(said: dict[str, Any], wrong: str) -> None:
    """How it went is read strictly, and what is wrong is named."""
    with pytest.raises(InvalidCassette, match=wrong):
        await replay(recorded("ab", **said)).open(ASKED)
    one = HttpInteraction(RecordedRequest("POST", URL, body=Body("{}")), RecordedResponse(200), extra={"mellite": []})
    with pytest.raises(InvalidCassette, match="'mellite'"):
        await replay(one).open(ASKED)


@pytest.mark.parametrize("options", [{"match": "nearest"}, {"speed": 0}, {"speed": "fast"}, {"cut": "words"}])
async def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    """A match, speed or cut that does not exist is told."""
    with pytest.raises(ConfigurationError):
        await replay(recorded("ab"), **options).open(ASKED)


async def test_pickles_keep_how_to_replay() -> None:
    """A copy of the transport replays in the same way, from the start."""
    one = recorded("abcd", "2 2")
    transport = replay(one, match="keyed", cut=1, deadline=0.5)
    await transport.open(ASKED)
    again = pickle.loads(pickle.dumps(transport))
    assert (again.match, again.used) == ("keyed", 0)
    assert await pieces_of(await again.open(ASKED)) == [b"a", b"b", b"c", b"d"]


async def test_what_is_edited_can_be_json(tmp_path: Any) -> None:
    """What a file says under the key survives as it is, and other keys beside it."""
    path = tmp_path / "case.json"
    document = {
        "version": 1,
        "interactions": [
            {
                "request": {"method": "POST", "url": URL, "headers": {}, "body": "{}"},
                "response": {"status": 200, "headers": {}, "body": "abc"},
                "mellite": {"started": "2026-11-21T06:00:00Z", "chunks": "1 2", "end": "complete", "note": "mine"},
            }
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    transport = ReplayTransport(path)
    assert await pieces_of(await transport.open(ASKED)) == [b"a", b"bc"]
    assert transport.cassette.http[0].extra["mellite"]["note"] == "mine"
