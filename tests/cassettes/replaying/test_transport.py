"""ReplayTransport: recorded answers in order, each request compared, and nothing else."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport
from mellite.errors import CassetteMismatch, CassetteMiss, ConfigurationError, InvalidCassette
from mellite.wire.http import HttpRequest, HttpResponse

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/chat"


def pair(step: int, answer: str = "", **changes: Any) -> HttpInteraction:
    """An interaction whose request body is ``{"step": N}``."""
    sent = RecordedRequest(
        "POST", URL, headers={"content-type": "application/json"}, body=Body(json.dumps({"step": step}))
    )
    values: dict[str, Any] = {
        "headers": {"content-type": "text/event-stream"},
        "body": Body(answer or f"answer {step}"),
    }
    status = changes.pop("status", 200)
    return HttpInteraction(sent, RecordedResponse(status, **(values | changes)))


def request(step: object = 1, *, url: str = URL, method: str = "POST", **headers: str) -> HttpRequest:
    """A live request: it has headers that no cassette keeps."""
    sent = {"content-type": "application/json", "authorization": "Bearer live-secret", **headers}
    return HttpRequest(method, url, headers=sent, body=json.dumps({"step": step}, separators=(",", ":")).encode())


async def pieces_of(response: HttpResponse) -> list[bytes]:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    await response.aclose()
    return pieces


async def test_in_order() -> None:
    """The first request gets the first answer, the second the second, with status and headers."""
    transport = ReplayTransport(Cassette((pair(1), pair(2, status=429, headers={"Retry-After": "1"}))))
    first, second = await transport.open(request(1)), await transport.open(request(2))
    assert (first.status, await pieces_of(first)) == (200, [b"answer 1"])
    assert (second.status, second.headers, await pieces_of(second)) == (429, {"retry-after": "1"}, [b"answer 2"])
    assert (transport.used, transport.unused) == (2, ())
    transport.check_used()


async def test_identical_requests_have_their_own_answers() -> None:
    """A request that is sent again gets the next recorded answer, as when polling."""
    transport = ReplayTransport(Cassette((pair(1, "pending"), pair(1, "done"))))
    assert [await pieces_of(await transport.open(request(1))) for _ in range(2)] == [[b"pending"], [b"done"]]


async def test_key_order_spaces_and_numbers_do_not_count() -> None:
    """Bodies are compared as JSON: the order of keys, white space and 0 or 0.0 make no difference."""
    recorded = RecordedRequest("POST", URL, body=Body('{"a": {"x": 0, "y": [1, 2]},\n "b": "z"}'))
    transport = ReplayTransport(Cassette((HttpInteraction(recorded, RecordedResponse(200)),)))
    await transport.open(HttpRequest("POST", URL, body=b'{"b":"z","a":{"y":[1.0,2],"x":0.0}}'))


@pytest.mark.parametrize(
    ("sent", "difference"),
    [
        (request(3), r"\$\.step expected 2, received 3"),
        (request("2"), r"\$\.step expected 2, received \"2\""),
        (request(True), r"\$\.step expected 2, received true"),
        (request(2, method="PUT"), 'method expected "POST", received "PUT"'),
        (request(2, url=URL + "/other"), rf'url expected "{URL}", received "{URL}/other"'),
        (request(2, url=URL + "?alt=sse"), rf'url expected "{URL}", received "{URL}\?alt=sse"'),
        (request(2, accept="text/plain"), "header 'accept' expected nothing, received \"text/plain\""),
        (
            HttpRequest("POST", URL, headers={"content-type": "application/json"}, body=b"step 2"),
            'body expected {"step":2}, received "step 2"',
        ),
    ],
)
async def test_mismatch_says_what_differs(sent: HttpRequest, difference: str) -> None:
    """A request that is not the recorded one is refused, named by its place, and uses nothing up."""
    transport = ReplayTransport(Cassette((pair(1), pair(2)), metadata={"name": "group/case"}))
    await transport.open(request(1))
    with pytest.raises(CassetteMismatch, match=rf"'group/case': request 1 is not(.|\n)*  {difference}"):
        await transport.open(sent)
    assert await pieces_of(await transport.open(request(2))) == [b"answer 2"]


async def test_a_miss_among_many_does_not_hold_up_others() -> None:
    """The nearest of many interactions is looked for while other tasks go on."""
    transport = ReplayTransport(Cassette(tuple([pair(number) for number in range(300)])), match="pool")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await anyio.lowlevel.checkpoint()
        before = turns
        with pytest.raises(CassetteMiss, match="the nearest is interaction 0"):
            await transport.open(request(1000))
        group.cancel_scope.cancel()
    assert turns - before > 50


async def test_mismatch_shows_the_nearest() -> None:
    """Where another interaction fits better, the error says which, and whether it is used up."""
    transport = ReplayTransport(Cassette((pair(1), pair(2), pair(3))))
    await transport.open(request(1))
    with pytest.raises(CassetteMismatch, match="it is the request of interaction 2: requests must come in the"):
        await transport.open(request(3))
    with pytest.raises(CassetteMismatch, match="it is the request of interaction 0, which was used already"):
        await transport.open(request(1))


async def test_mismatch_hides_secrets() -> None:
    """What looks like a secret is not shown, nor is the value of a secret variable."""
    key = "sk-" + "a1B2" * 8
    recorded = RecordedRequest("POST", URL, body=Body(json.dumps({"a": key, "prompt": "x"})))
    transport = ReplayTransport(Cassette((HttpInteraction(recorded, RecordedResponse(200)),)))
    with pytest.raises(CassetteMismatch) as caught:
        await transport.open(HttpRequest("POST", URL, body=json.dumps({"a": "none", "prompt": "y"}).encode()))
    assert key not in str(caught.value)
    assert '$.a expected "[REDACTED]", received "none"' in str(caught.value)
    assert '$.prompt expected "x", received "y"' in str(caught.value)


async def test_redacted_recording_equals_the_live_request() -> None:
    """Keys, tokens and passwords differ between recording and replay, and do not count."""
    recorded = RecordedRequest(
        "POST",
        "https://api.example.com/v1?key=%5BREDACTED%5D&alt=sse",
        headers={"authorization": "[REDACTED]", "content-type": "application/json"},
        body=Body('{"api_key":"[REDACTED]","x":{"Refresh-Token":"[REDACTED]"},"max_tokens":5}'),
    )
    transport = ReplayTransport(Cassette((HttpInteraction(recorded, RecordedResponse(200)),)))
    await transport.open(
        HttpRequest(
            "POST",
            "https://api.example.com/v1?key=AIzaSyLive&alt=sse",
            headers={"Authorization": "Bearer live", "Content-Type": "application/json", "x-api-key": "live"},
            body=b'{"max_tokens":5,"api_key":"live","x":{"Refresh-Token":"live"}}',
        )
    )


async def test_miss_after_the_last() -> None:
    """A request after the last interaction is a miss that counts them and shows no secret of its URL."""
    transport = ReplayTransport(Cassette((pair(1),)))
    await transport.open(request(1))
    with pytest.raises(CassetteMiss, match="its only interaction was used, and this request is one more") as caught:
        await transport.open(request(1, url=URL + "?key=hush"))
    assert "hush" not in str(caught.value)
    assert "POST https://api.example.com/v1/chat?key=%5BREDACTED%5D" in str(caught.value)


async def test_empty_cassette() -> None:
    """A cassette without interactions answers nothing."""
    with pytest.raises(CassetteMiss, match="it holds no interactions"):
        await ReplayTransport(Cassette()).open(request())


async def test_unused_are_reported() -> None:
    """What no request came for is listed, and is an error for whoever asks."""
    transport = ReplayTransport(Cassette((pair(1), pair(2))))
    await transport.open(request(1))
    assert transport.unused == (pair(2),)
    with pytest.raises(CassetteMismatch, match="1 of 2 interactions were used; the next is POST https://api"):
        transport.check_used()


@pytest.mark.parametrize(
    ("cut", "pieces"),
    [
        (None, [b"abcdefgh"]),
        (3, [b"abc", b"def", b"gh"]),
        (100, [b"abcdefgh"]),
        ([1, 5], [b"a", b"bcde", b"fgh"]),
        ([5, 1, 0, 99], [b"a", b"bcde", b"fgh"]),
        (lambda body: [body[:2], b"", body[2:]], [b"ab", b"cdefgh"]),
    ],
)
async def test_cut_at_will(cut: Any, pieces: list[bytes]) -> None:
    """The pieces that are read are cut as asked for, and add up to the body."""
    transport = ReplayTransport(Cassette((pair(1, "abcdefgh"),)), cut=cut)
    assert await pieces_of(await transport.open(request(1))) == pieces


async def test_a_cut_that_loses_bytes() -> None:
    """A function that loses bytes is refused where it is called."""
    transport = ReplayTransport(Cassette((pair(1),)), cut=lambda body: [body[1:]])
    with pytest.raises(ConfigurationError):
        await transport.open(request(1))


@pytest.mark.parametrize("cut", [0, -1, "chunks", 1.5, True, ["a"], {"a": 1}])
def test_bad_cuts(cut: Any) -> None:
    """What is not a way to cut is refused at once."""
    with pytest.raises(ConfigurationError, match="cut"):
        ReplayTransport(Cassette((pair(1),)), cut=cut)


@pytest.mark.parametrize(("status", "method"), [(204, "POST"), (205, "POST"), (304, "POST"), (200, "HEAD")])
async def test_answers_without_a_body(status: int, method: str) -> None:
    """A response that cannot have a body has none."""
    recorded = HttpInteraction(RecordedRequest(method, URL), RecordedResponse(status, body=Body("not empty")))
    response = await ReplayTransport(Cassette((recorded,))).open(HttpRequest(method, URL))
    assert await pieces_of(response) == []


async def test_text_is_not_compressed() -> None:
    """A body stored as text is what was in the compressed one, so the header goes; base64 is left as it was."""
    headers = {"Content-Encoding": "gzip", "content-length": "3", "x": "y"}
    transport = ReplayTransport(
        Cassette((pair(1, headers=headers), pair(2, headers=headers, body=Body("/w==", encoding="base64"))))
    )
    assert (await transport.open(request(1))).headers == {"x": "y"}
    assert (await transport.open(request(2))).headers["content-encoding"] == "gzip"


async def test_concurrent_requests_in_order_of_arrival() -> None:
    """Requests at once get their answers in the order in which they arrived, whoever reads first."""
    transport = ReplayTransport(Cassette(tuple([pair(step) for step in range(20)])), cut=2)
    got: dict[int, bytes] = {}
    arrivals: list[int] = []

    async def ask() -> None:
        step = len(arrivals)
        arrivals.append(step)
        got[step] = b"".join(await pieces_of(await transport.open(request(step))))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert got == {step: f"answer {step}".encode() for step in range(20)}


async def test_file(tmp_path: Path) -> None:
    """A path is read when the transport is made; a missing or damaged file is told at once."""
    path = tmp_path / "case.json"
    with pytest.raises(CassetteMiss, match="there is no cassette"):
        ReplayTransport(path)
    path.write_text('{"version": 1, "interactions": [', encoding="utf-8")
    with pytest.raises(InvalidCassette, match="at byte 32"):
        ReplayTransport(str(path))


async def test_damaged_body_is_told_when_it_is_due(tmp_path: Path) -> None:
    """A body that is not base64 is an InvalidCassette that names the file and the place."""
    path = tmp_path / "case.json"
    interaction = {
        "request": {"method": "POST", "url": URL, "headers": {}, "body": ""},
        "response": {"status": 200, "headers": {}, "body": "?", "bodyEncoding": "base64"},
    }
    path.write_text(json.dumps({"version": 1, "interactions": [interaction]}), encoding="utf-8")
    with pytest.raises(
        InvalidCassette, match=r"\$\.interactions\[0\]\.response\.body of cassette '.*case\.json'"
    ) as caught:
        await ReplayTransport(path).open(HttpRequest("POST", URL))
    assert (caught.value.path, caught.value.offset) == (str(path), path.read_bytes().index(b'"?"'))


async def test_cassette_survives_pickling(tmp_path: Path) -> None:
    """A cassette read from a file can be pickled, views into the file notwithstanding."""
    path = tmp_path / "case.json"
    interaction = {
        "request": {"method": "GET", "url": URL, "headers": {}, "body": "\u00fc"},
        "response": {"status": 200, "headers": {}, "body": 'a"b'},
    }
    path.write_text(json.dumps({"version": 1, "interactions": [interaction]}), encoding="utf-8")
    cassette = ReplayTransport(path).cassette
    again = pickle.loads(pickle.dumps(cassette))
    assert again == cassette
    assert again.http[0].response.body.data == b'a"b'


async def test_copies_start_again() -> None:
    """A copy or a pickle of the transport is made of its arguments: nothing has been replayed by it."""
    transport = ReplayTransport(Cassette((pair(1, "abc"),)), cut=2)
    await transport.open(request(1))
    for again in (pickle.loads(pickle.dumps(transport)), copy.deepcopy(transport), copy.copy(transport)):
        assert (again.used, again.cassette) == (0, transport.cassette)
        assert await pieces_of(await again.open(request(1))) == [b"ab", b"c"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the threads bring loops of their own
async def test_threads_share_one_transport(anyio_backend: str) -> None:
    """Requests from several threads use up every interaction once."""
    transport = ReplayTransport(Cassette(tuple([pair(1, f"answer {number}") for number in range(400)])))

    async def ask() -> list[bytes]:
        return [(await pieces_of(await transport.open(request(1))))[0] for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(anyio.run, ask, backend=loop) for loop in ("asyncio", "trio") * 4]
        answers = [answer for future in futures for answer in future.result()]
    assert sorted(answers) == sorted(f"answer {number}".encode() for number in range(400))
    transport.check_used()
