"""What a transport sends and hands on, against a real server in another process."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from mellite.wire.transports.default import HttpRequest
from tests.wire.server import LAST, Server, answer, gate, head, piece, send
from tests.wire.transports.support import KEY, Make, fetch, in_thread, post, whole


class TestAnswers:
    """What goes out and what comes back."""

    @pytest.mark.anyio
    async def test_unary(self, server: Server, make: Make) -> None:
        """Status, lower-case headers and body are the server's."""
        script = server.script(answer(b'{"a":1}', 201, {"X-Request-ID": "r1", "Content-Type": "application/json"}))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert (response.status, response.headers["x-request-id"]) == (201, "r1")
            assert await whole(response) == b'{"a":1}'

    @pytest.mark.anyio
    async def test_request_bytes(self, server: Server, make: Make) -> None:
        """Target, body and headers arrive as given; host, length and three defaults are all that is added."""
        script = server.script(answer(b""))
        target = "/models/a%2Fb:generate%3A?alt=sse&q=%20/+?x"
        request = HttpRequest("POST", script.url + target, headers={"X-Api-Key": KEY, "Accept": "a/b"}, body=b"\0body")
        async with aclosing(make()) as transport:
            await whole(await transport.open(request, timeout=5))
        [got] = script.requests(1)
        assert (got.method, got.body) == ("POST", b"\0body")
        assert got.target == f"/{script.number}{target}"
        assert {name.lower(): value for name, value in got.headers} == {
            "host": f"127.0.0.1:{server.port}",
            "x-api-key": KEY,
            "accept": "a/b",
            "accept-encoding": "gzip, deflate",
            "user-agent": "mellite",
            "content-length": "5",
        }

    @pytest.mark.anyio
    async def test_context_is_not_sent(self, server: Server, make: Make) -> None:
        """What is in `context` stays here."""
        script = server.script(answer(b""))
        request = HttpRequest("GET", script.url, context={"lineage": "CONTEXT"})
        async with aclosing(make()) as transport:
            await whole(await transport.open(request))
        [got] = script.requests(1)
        assert "CONTEXT" not in repr(got)

    @pytest.mark.anyio
    async def test_repeated_headers_are_joined(self, server: Server, make: Make) -> None:
        """Headers that come twice are joined with a comma, in order."""
        raw = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nset-cookie: c=1\r\ncontent-length: 0\r\n\r\n"
        script = server.script(send(raw))
        async with aclosing(make()) as transport:
            # Not an IP address: from those, cookies are refused anyway.
            url = script.url.replace("127.0.0.1", "localhost")
            response = await transport.open(post(url), timeout=5)
            assert response.headers["x-a"] == "1, 2"
            await whole(response)
            await fetch(transport, url)
        assert [each.header("cookie") for each in script.requests(2)] == [None, None]

    @pytest.mark.anyio
    async def test_stream_piece_by_piece(self, server: Server, make: Make) -> None:
        """Each piece is handed on when it arrives: the server sends the next one only when asked to."""
        steps = [step for i in range(20) for step in (gate("next"), piece(b"event %d" % i))]
        script = server.script(head(), *steps, LAST)
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            async with aclosing(response):
                for i in range(20):
                    await in_thread(partial(script.release, "next"))
                    assert await response.read(5) == b"event %d" % i
                assert await response.read(5) == b""
                assert await response.read(5) == b""

    @pytest.mark.anyio
    async def test_body_stays_compressed(self, server: Server, make: Make) -> None:
        """The body is handed on as it came, whatever its content-encoding says."""
        script = server.script(answer(b"not gzip", headers={"content-encoding": "gzip"}))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"not gzip"

    @pytest.mark.anyio
    async def test_redirects_are_not_followed(self, server: Server, make: Make) -> None:
        """A redirect is an answer, and the key goes nowhere else."""
        other = server.script(answer(b"other"))
        script = server.script(answer(b"", 307, {"location": other.url}))
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            assert (response.status, response.headers["location"]) == (307, other.url)
            await whole(response)
        assert other.requests(0) == []

    @pytest.mark.anyio
    @pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
    async def test_large_bodies(self, server: Server, make: Make, size: int) -> None:
        """Bodies of any size go both ways whole."""
        body = bytes(range(256)) * (size // 256)
        script = server.script(answer(body))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script, body) == body
        assert script.requests(1)[0].body == body

    @pytest.mark.anyio
    async def test_passwords_of_netrc_are_not_sent(
        self, server: Server, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody gets a password of the file `.netrc`, whether it is found by its variable or at home."""
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {KEY}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        script = server.script(answer(b"ok"))
        async with aclosing(make()) as transport:
            assert await whole(await transport.open(HttpRequest("POST", script.url), timeout=5)) == b"ok"
        assert script.requests(1)[0].header("authorization") is None
