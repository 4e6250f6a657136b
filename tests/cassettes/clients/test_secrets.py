"""No secret reaches a cassette through other people's clients, wherever it stands, and the program goes on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mellite import cassettes
from mellite.errors import UnsafeCassette
from tests.cassettes.clients.askers import ASKERS, Asker, Question
from tests.values.secrets.made_up import KEYS
from tests.wire.server import LAST, Server, answer, head, piece, serve

pytestmark = pytest.mark.anyio

SENTINEL = "sentinel.0123456789.abcdef"
"""A key of no known form, so that it is found only for being the key."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def held_by(folder: Path, *secrets: str) -> list[str]:
    """The secrets that a file below a folder has in it, as they are or in base64."""
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    forms = [(secret, form) for each in secrets for secret, form in [(each, each.encode()), (each, in_base64(each))]]
    return [secret for secret, form in forms if any(form in text for text in texts)]


def in_base64(secret: str) -> bytes:
    return base64.b64encode(secret.encode())


def delta(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


@pytest.mark.parametrize("client", ASKERS)
async def test_no_key_reaches_a_cassette(server: Server, tmp_path: Path, client: str) -> None:
    """The key of a header, of a URL, and one that the server sends back is in no file at any moment."""
    ask: Asker = ASKERS[client]
    plain, telling = server.script(answer(b'{"ok": true}')), server.script(answer(SENTINEL.encode(), 401))
    headers = {"content-type": "application/json"}
    with pytest.raises(UnsafeCassette) as raised:  # noqa: PT012 - it is raised where the block ends
        async with cassettes.patch(tmp_path / "case.json", mode="all", even_in_ci=True) as cassette:
            for name, prefix in (("authorization", "Bearer "), ("x-api-key", ""), ("x-goog-api-key", "")):
                told = await ask(Question(url=plain.url, headers={**headers, name: prefix + SENTINEL}))
                assert (told.status, told.error) == (200, None)
            await ask(Question(url=f"{plain.url}?key={SENTINEL}&alt=sse"))
            await ask(Question(url=plain.url, body=json.dumps({"api_key": SENTINEL, "a": 1}).encode()))
            assert cassette.recorded == 5
            told = await ask(Question(url=telling.url, headers={**headers, "authorization": f"Bearer {SENTINEL}"}))
            assert (told.status, b"".join(told.pieces)) == (401, SENTINEL.encode())
            assert held_by(tmp_path, SENTINEL) == []
    assert SENTINEL not in str(raised.value)
    assert held_by(tmp_path, SENTINEL) == []
    assert len(cassettes.load_cassette(tmp_path / "case.json").http) == 5


@pytest.mark.slow
@pytest.mark.parametrize("client", ["httpx2", "httpx2-async", "requests", "aiohttp"])
async def test_every_planted_shape(server: Server, tmp_path: Path, client: str) -> None:
    """A key of any known form is kept out: in a request, and cut over two events of an answer."""
    ask: Asker = ASKERS[client]
    names = list(KEYS) if client == "httpx2" else list(KEYS)[::6]
    secrets = ["".join(KEYS[name]) for name in names]
    recording = partial(cassettes.patch, mode="all", even_in_ci=True)
    for number, name in enumerate(names):
        one, other = KEYS[name]
        script = server.script(
            head(200, {"content-type": "text/event-stream"}),
            *[piece(delta(text)) for text in ("It is ", one, other, ".")],
            LAST,
        )
        for place, body in enumerate((b"{}", json.dumps({"messages": [{"content": one + other}]}).encode())):
            with pytest.raises(UnsafeCassette) as raised:  # noqa: PT012
                async with recording(tmp_path / f"{number}-{place}.json"):
                    told = await ask(Question(url=script.url, body=body))
                    assert told.status == 200
            assert one + other not in str(raised.value)
    assert held_by(tmp_path, *secrets) == []
