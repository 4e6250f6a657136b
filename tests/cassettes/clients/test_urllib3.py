"""urllib3 by itself, below no other client: what it does of its own around a request stays as it is."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from urllib3.exceptions import MaxRetryError, NewConnectionError

from mellite import cassettes
from tests.cassettes.clients.askers import HEADERS
from tests.wire.server import THEN, Server, answer, send, serve

record = partial(cassettes.patch, mode="once", even_in_ci=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def twice(path: Path, asked: Any) -> Any:
    """What a program tells that is recorded, which is what it tells from the cassette."""
    with record(path):
        first = asked()
    with cassettes.patch(path, mode="none") as cassette:
        assert asked() == first
        cassette.check_used()
    return first


def test_read_whole(server: Server, tmp_path: Path) -> None:
    """An answer that urllib3 reads by itself, which is what it does unless told otherwise; compressed or not."""
    body = gzip.compress(b'{"a": 1}')
    lines = ["HTTP/1.1 429 Too Many Requests", "content-type: application/json", "content-encoding: gzip"]
    script = server.script([send("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body)])

    def asked() -> list[Any]:
        with urllib3.PoolManager() as pools:
            response = pools.request("POST", script.url, json={"b": 2}, headers={"x-api-key": HEADERS["authorization"]})
            return [response.status, response.reason, response.json(), response.data]

    assert twice(tmp_path / "case.json", asked) == [429, "Too Many Requests", {"a": 1}, b'{"a": 1}']
    assert len(script.requests(1)) == 1
    (one,) = cassettes.load_cassette(tmp_path / "case.json").http
    assert (one.request.url, one.request.body.text) == (script.url, '{"b":2}')
    assert "live-secret" not in (tmp_path / "case.json").read_text()


@pytest.mark.parametrize(
    "body", [b"{}", "{}", bytearray(b"{}"), io.BytesIO(b"{}"), io.StringIO("{}"), iter([b"{", "}"])]
)
def test_bodies(server: Server, tmp_path: Path, body: Any) -> None:
    """Whatever a body is given as, it is sent, and recorded as what was sent."""
    script = server.script(*answer(b"{}"))
    with record(tmp_path / "case.json"), urllib3.PoolManager() as pools:
        assert pools.urlopen("POST", script.url, body=body, headers=HEADERS).status == 200
    assert [each.body for each in script.requests(1)] == [b"{}"]
    assert cassettes.load_cassette(tmp_path / "case.json").http[0].request.body.text == "{}"


def test_redirects_and_retries(server: Server, tmp_path: Path) -> None:
    """A redirect that is followed is a request of its own; retries of a pool are one with the last answer."""
    there = server.script(*answer(b"busy", 503), THEN, *answer(b"there"))
    here = server.script(*answer(b"", 302, {"location": there.url}))

    def asked() -> list[Any]:
        rule = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0)
        with urllib3.PoolManager(retries=rule) as pools:
            response = pools.request("GET", here.url)
            return [response.status, response.data]

    assert twice(tmp_path / "case.json", asked) == [200, b"there"]
    assert len(here.requests(1)) == 1
    assert len(there.requests(2)) == 2
    found = [(one.request.url, one.response.status) for one in cassettes.load_cassette(tmp_path / "case.json").http]
    assert found == [(here.url, 302), (there.url, 200)]


def test_no_connection(tmp_path: Path) -> None:
    """A connection that is refused each time ends with urllib3's own error and reason; no key of the URL is kept."""
    url = "http://127.0.0.1:1/v1?key=made-up-0123456789"

    def asked() -> list[str]:
        with urllib3.PoolManager(retries=urllib3.Retry(1, backoff_factor=0)) as pools:
            with pytest.raises(MaxRetryError) as raised:
                pools.request("GET", url)
            assert isinstance(raised.value.reason, NewConnectionError)
            return [str(raised.value.pool), raised.value.url or ""]

    twice(tmp_path / "case.json", asked)
    assert "made-up" not in (tmp_path / "case.json").read_text()


def test_below_requests(server: Server, tmp_path: Path) -> None:
    """What requests sends is recorded once; as urllib3's, where requests is not named. Nor is what is not named."""
    script = server.script(*answer(b"{}"))
    for number, (clients, client) in enumerate([("all", "requests"), (["urllib3"], "urllib3"), (["httpx"], None)]):
        path = tmp_path / f"{number}.json"
        with record(path, clients=clients) as cassette:
            assert requests.post(script.url, data=b"{}", headers=HEADERS, timeout=5).json() == {}
            assert cassette.recorded == (0 if client is None else 1)
    assert len(script.requests(3)) == 3
    with cassettes.patch(tmp_path / "1.json", mode="none", clients=["urllib3"]):
        response = requests.post(script.url, data=b"{}", headers=HEADERS, timeout=5)
    assert (response.json(), response.reason) == ({}, "OK")
