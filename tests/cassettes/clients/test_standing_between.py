"""What `mellite.cassettes.patch` leaves alone, what is recorded once, and what its users are told."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import botocore.session
import httpx2
import pytest
import requests

from mellite import cassettes
from mellite.cassettes import clients
from mellite.cassettes.timeline import Timeline
from mellite.errors import CassetteMiss
from mellite.wire.http import HttpRequest
from mellite.wire.transports.aiohttp import AiohttpTransport
from mellite.wire.transports.httpx2 import Httpx2Transport
from tests.cassettes.clients.askers import ASKERS, BODY, HEADERS, Asker, Question
from tests.wire.server import LAST, Server, answer, gate, head, piece, serve

pytestmark = pytest.mark.anyio

record = partial(cassettes.patch, mode="once", even_in_ci=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.mark.parametrize("make", [AiohttpTransport, Httpx2Transport])
async def test_own_transports_are_not_caught(server: Server, tmp_path: Path, make: Any, anyio_backend: str) -> None:
    """A backend of mellite is never caught, whatever client its transport is made of."""
    if make is AiohttpTransport and anyio_backend == "trio":
        make = Httpx2Transport  # aiohttp runs on asyncio alone
    script = server.script(answer(b"{}"))
    async with record(tmp_path / "case.json") as cassette:
        transport = make()
        response = await transport.open(HttpRequest("POST", script.url, body=b"{}"))
        assert await response.read() == b"{}"
        await response.aclose()
        await transport.aclose()
        assert cassette.recorded == 0
    assert len(script.requests(1)) == 1


async def test_recorded_once(server: Server, tmp_path: Path) -> None:
    """A client with a cassette of its own, below a patch, is recorded in its own alone."""
    script = server.script(answer(b"{}"))
    with record(tmp_path / "outer.json") as outer:
        own = cassettes.use(tmp_path / "own.json", mode="once", even_in_ci=True)
        with own, httpx2.Client(transport=clients.Httpx2Transport(own), verify=False) as client:
            assert client.post(script.url, content=BODY).status_code == 200
        assert (outer.recorded, own.recorded) == (0, 1)
    assert len(script.requests(1)) == 1


@pytest.mark.parametrize("client", [name for name in ASKERS if name != "botocore"])
async def test_compressed(server: Server, tmp_path: Path, client: str) -> None:
    """An answer that came compressed is kept as text, and read the same."""
    ask: Asker = ASKERS[client]
    body = gzip.compress(b'{"ok": true}')
    script = server.script(answer(body, headers={"content-type": "application/json", "content-encoding": "gzip"}))
    path = tmp_path / "case.json"
    with record(path):
        first = await ask(Question(url=script.url))
    with cassettes.patch(path, mode="none"):
        second = await ask(Question(url=script.url))
    assert b"".join(first.pieces) == b"".join(second.pieces) == b'{"ok": true}'
    assert cassettes.load_cassette(path).http[0].response.body.text == '{"ok": true}'


async def test_left_open(server: Server, tmp_path: Path) -> None:
    """What has come of an answer that is still open at the end of the block is recorded."""
    script = server.script(head(200, {"content-type": "text/event-stream"}), piece(b"data: 1\n\n"), gate("on"), LAST)
    with httpx2.Client(verify=False) as client:
        with record(tmp_path / "case.json"):
            response = client.send(client.build_request("POST", script.url, content=BODY), stream=True)
            pieces = response.iter_raw()
            assert next(pieces) == b"data: 1\n\n"
        await anyio.to_thread.run_sync(script.release, "on")
        assert list(pieces) == []
    (one,) = cassettes.load_cassette(tmp_path / "case.json").http
    found = Timeline.of(one.extra)
    assert (one.response.body.text, found and found.end) == ("data: 1\n\n", "interrupted")


async def test_the_reason_is_told(server: Server, tmp_path: Path) -> None:
    """An error that a client makes of a miss has the reason in its notes."""
    script = server.script(answer(b"{}"))
    with record(tmp_path / "case.json"):
        httpx2.post(script.url, content=BODY, verify=False)

    class ApiConnectionError(Exception):
        """As an SDK has one."""

    def sdk() -> None:
        try:
            httpx2.post(script.url, content=b'{"model":"m-9"}', verify=False)
        except CassetteMiss:
            msg = "Connection error."
            raise ApiConnectionError(msg) from None

    with pytest.raises(ApiConnectionError) as raised, cassettes.patch(tmp_path / "case.json", mode="none"):
        sdk()
    assert '$.model expected "m-1", received "m-9"' in raised.value.__notes__[0]


async def test_transports_of_their_own(server: Server, tmp_path: Path) -> None:
    """A session that is given an adapter, and one of botocore's, are recorded and replayed without a patch."""
    body = b'{"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}}'
    script = server.script(answer(body, headers={"content-type": "application/json"}))

    def told(cassette: Any) -> list[Any]:
        with requests.Session() as session:
            session.mount("http://", clients.RequestsAdapter(cassette))
            found: list[Any] = [session.post(script.url, data=BODY, headers=HEADERS).json()]
        session_of_aws = botocore.session.Session()
        clients.botocore(session_of_aws, cassette)
        made = session_of_aws.create_client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=script.url,
            aws_access_key_id="made-up",
            aws_secret_access_key="made-up-made-up",
        )
        asked = [{"role": "user", "content": [{"text": "hi"}]}]
        return [*found, made.converse(modelId="m-1", messages=asked)["output"]]

    found = []
    for mode in ("once", "none"):
        with cassettes.use(tmp_path / "case.json", mode=mode, match="pool", even_in_ci=True) as cassette:  # type: ignore[arg-type]
            found.append(await anyio.to_thread.run_sync(told, cassette))
    assert found[0] == found[1]
    assert len(script.requests(2)) == 2
