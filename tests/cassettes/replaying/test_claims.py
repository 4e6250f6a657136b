"""Pool and keyed: which recorded answer a request gets when many are asked at once."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import anyio
import pytest

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport
from mellite.errors import CassetteMismatch, CassetteMiss
from mellite.wire.http import HttpRequest

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/chat"


def pair(body: str, answer: str, lineage: list[int] | None = None, **headers: str) -> HttpInteraction:
    """An interaction, recorded for a copy."""
    said = {"started": "2026-11-21T06:00:00Z", "endedUs": 0, "lineage": lineage}
    return HttpInteraction(
        RecordedRequest("POST", URL, headers=headers, body=Body(body)),
        RecordedResponse(200, body=Body(answer)),
        extra={} if lineage is None else {"mellite": said},
    )


def asked(body: str, lineage: tuple[int, ...] | None = None, url: str = URL, **headers: str) -> HttpRequest:
    """A request of a copy."""
    return HttpRequest("POST", url, headers=headers, body=body.encode(), context={"lineage": lineage})


async def answer(transport: ReplayTransport, request: HttpRequest) -> str:
    """The whole answer to a request."""
    response = await transport.open(request)
    found = await response.read()
    assert await response.read() == b""
    await response.aclose()
    return found.decode()


async def test_pool_takes_requests_in_any_order() -> None:
    """Different requests may come in any order; equal ones get their answers in the order of the recording."""
    transport = ReplayTransport(Cassette((pair("1", "a"), pair("2", "b"), pair("1", "c"))), match="pool")
    assert [await answer(transport, asked(body)) for body in ("2", "1", "1")] == ["b", "a", "c"]
    transport.check_used()


@pytest.mark.parametrize(
    ("recorded", "received"),
    [
        ('{"a": 1, "b": [1, 2]}', '{"b":[1.0,2e0],"a":1}'),
        ('{"a": "\\ud83d\\ude00"}', '{"a":"\U0001f600"}'),
        ('{"a": "\\ud800", "b": 1}', '{"b":1,"a":"\\ud800"}'),
        ('{"token": "[REDACTED]"}', '{"token": "live"}'),
        ("not json", "not json"),
        ("", ""),
        ('{"a": 123456789012345678901234567890}', '{"a":123456789012345678901234567890}'),
    ],
)
async def test_same_body(recorded: str, received: str) -> None:
    """Bodies are found by what they mean: the order of keys, spaces, spelling of numbers, secrets do not count."""
    assert await answer(ReplayTransport(Cassette((pair(recorded, "x"),)), match="pool"), asked(received)) == "x"


@pytest.mark.parametrize(
    ("recorded", "received"),
    [
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
        ('{"a": 1e400}', '{"a": null}'),
        ("x", "x "),
        ('{"a": null}', "{}"),
    ],
)
async def test_another_body(recorded: str, received: str) -> None:
    """What means something else is not found, and the miss shows what is nearest."""
    transport = ReplayTransport(Cassette((pair(recorded, "x"),)), match="pool")
    with pytest.raises(CassetteMiss, match=r"none of its 1 interaction fits POST(.|\n)*the nearest is interaction 0"):
        await transport.open(asked(received))
    assert transport.used == 0


async def test_headers_and_urls_count() -> None:
    """Of equal bodies the one with the same kept headers, at the same URL, is found."""
    recorded = (pair("1", "json", accept="application/json"), pair("1", "text", accept="text/plain"))
    transport = ReplayTransport(Cassette(recorded), match="pool")
    with pytest.raises(CassetteMiss, match=r"url expected"):
        await transport.open(asked("1", url=f"{URL}?x=1", accept="text/plain"))
    with pytest.raises(CassetteMiss, match="header 'accept' expected"):
        await transport.open(asked("1", accept="*/*"))
    assert await answer(transport, asked("1", url="https://API.example.com:443/v1/chat", accept="text/plain")) == "text"


@pytest.mark.parametrize("match", ["cursor", "pool", "keyed"])
async def test_what_was_compared_before_does_not_hide_a_difference(match: Any) -> None:
    """Each request is compared for itself, whether the one before had the same URL and headers or not, and agreed."""
    json_, text = {"accept": "application/json"}, {"accept": "text/plain"}
    recorded = [pair("1", "a", **json_), pair("2", "b", **json_), pair("3", "c", **text), pair('{"x": 1}', "d", **text)]
    transport = ReplayTransport(Cassette(tuple(recorded)), match=match)
    refused = (CassetteMismatch, CassetteMiss)
    assert await answer(transport, asked("1", authorization="Bearer 1", **json_)) == "a"
    for wrong in (asked("2", **text), asked("2"), asked("2", url=URL + "/", **json_), asked("2.5", **json_)):
        with pytest.raises(refused):
            await transport.open(wrong)
    assert await answer(transport, asked("2", authorization="Bearer 2", **json_)) == "b"
    with pytest.raises(refused):
        await transport.open(asked("3", **json_))
    assert await answer(transport, asked("3", **text)) == "c"
    with pytest.raises(refused):
        await transport.open(HttpRequest("PUT", URL, headers=text, body=b'{"x":1}'))
    assert await answer(transport, asked('{"x":1.0}', url="HTTPS://api.example.com:443/v1/chat", **text)) == "d"


@pytest.mark.parametrize("match", ["cursor", "pool"])
async def test_each_answer_has_its_own_headers(match: Any) -> None:
    """Headers are those of the interaction, also after one with nearly the same; a reader cannot change them."""
    zipped = {"X-Y": "1", "Content-Encoding": "gzip"}
    long = {"Content-Length": "2"}
    told: list[dict[str, str]] = [zipped, zipped, zipped, {"X-Y": "2"}, {}, long, long]
    bodies = [Body("A"), Body("A"), Body("QQ==", encoding="base64"), *[Body("A")] * 3, Body("AB")]
    sent = RecordedRequest("POST", URL, body=Body("1"))
    answers = [RecordedResponse(200, headers=of, body=body) for of, body in zip(told, bodies, strict=True)]
    cassette = Cassette(tuple([HttpInteraction(sent, one) for one in answers]))
    transport = ReplayTransport(cassette, match=match)
    found = []
    for _ in told:
        response = await transport.open(asked("1"))
        found.append(dict(response.headers))
        if isinstance(response.headers, dict):
            response.headers.clear()
    zipped_still = {"x-y": "1", "content-encoding": "gzip"}
    assert found == [{"x-y": "1"}, {"x-y": "1"}, zipped_still, {"x-y": "2"}, {}, {}, {"content-length": "2"}]


async def test_keyed_gives_each_copy_its_own() -> None:
    """Twenty copies of one request get the answers that were recorded for them, whatever the order; twice the same."""
    recorded = Cassette(tuple([pair("1", str(number), [number]) for number in range(20)]))
    for seed in range(3):
        transport = ReplayTransport(recorded, match="keyed")
        numbers = random.Random(seed).sample(range(20), 20)
        found = [await answer(transport, asked("1", (number,))) for number in numbers]
        assert found == [str(number) for number in numbers]


async def test_keyed_never_gives_another_copys_answer() -> None:
    """The copy too many is a miss that says which were recorded."""
    recorded = Cassette(tuple([pair("1", str(number), [number]) for number in range(20)]))
    transport = ReplayTransport(recorded, match="keyed")
    with pytest.raises(CassetteMiss, match=r"20 times, and 0 of it used: .* copies \[0\], \[1\].* by the copy \[20\]"):
        await transport.open(asked("1", (20,)))
    assert await answer(transport, asked("1", (19,))) == "19"


async def test_keyed_with_what_others_recorded() -> None:
    """Interactions that do not say whose they are fit every copy, after those of that copy."""
    recorded = Cassette((pair("1", "any"), pair("1", "mine", [4]), pair("1", "mine again", [4])))
    transport = ReplayTransport(recorded, match="keyed")
    found = [await answer(transport, asked("1", (4,))) for _ in range(3)]
    assert found == ["mine", "mine again", "any"]
    assert await answer(ReplayTransport(recorded, match="keyed"), asked("1")) == "any"


async def test_unused_are_reported() -> None:
    """Whatever was not asked for is listed, not only what follows the last."""
    transport = ReplayTransport(Cassette((pair("1", "a"), pair("2", "b"), pair("3", "c"))), match="pool")
    await answer(transport, asked("2"))
    assert [one.request.body.text for one in transport.unused] == ["1", "3"]
    with pytest.raises(CassetteMismatch, match="1 of 3 interactions were used"):
        transport.check_used()


async def test_concurrent_pool() -> None:
    """A hundred requests at once get a hundred different answers."""
    recorded = Cassette(tuple([pair("1", str(number)) for number in range(100)]))
    transport = ReplayTransport(recorded, match="pool")
    found: list[str] = []

    async def ask() -> None:
        found.append(await answer(transport, asked("1")))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask)
    assert sorted(found, key=int) == [str(number) for number in range(100)]


@pytest.mark.slow
@pytest.mark.parametrize("match", ["cursor", "pool", "keyed"])
async def test_cost_does_not_grow(match: Any) -> None:
    """A call costs the same with 10 and with 10,000 interactions in the cassette."""

    def body(number: int) -> str:
        return json.dumps({"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]})

    async def cost(size: int) -> float:
        transport = ReplayTransport(Cassette(tuple([pair(body(n), "x", [n]) for n in range(size)])), match=match)
        requests = [asked(body(n), (n,)) for n in range(10)]
        await answer(transport, requests[0])
        began = time.process_time()
        for request in requests[1:]:
            await answer(transport, request)
        return time.process_time() - began

    few = min([await cost(10) for _ in range(5)])
    many = min([await cost(10_000) for _ in range(2)])
    assert many < 3 * few  # generous: single calls on a busy machine
