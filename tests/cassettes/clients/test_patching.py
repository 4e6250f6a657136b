"""`mellite.cassettes.patch`: every client is recorded as it streams, and gets the same again offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mellite import cassettes
from mellite.cassettes import Redaction, load_cassette
from mellite.cassettes.timeline import Timeline
from mellite.errors import CassetteMiss, ConfigurationError
from tests.cassettes.clients.askers import ASKERS, Asker, Question, Told
from tests.wire.server import CLOSE, LAST, RESET, Script, Server, Step, answer, gate, head, piece, send, serve

pytestmark = pytest.mark.anyio

EVENTS = [b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n"]
STREAM = {"content-type": "text/event-stream", "x-request-id": "r-1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture(params=ASKERS)
def ask(request: pytest.FixtureRequest) -> Asker:
    """One client after the other."""
    asker: Asker = ASKERS[request.param]
    return asker


def streamed(*end: Step, pieces: int = 3) -> list[Step]:
    """An answer that is sent piece by piece, each when the one before has been read."""
    return [head(200, STREAM), *[step for each in EVENTS[:pieces] for step in (gate("next"), piece(each))], *end]


async def recorded_and_replayed(
    path: Path, ask: Asker, script: Script, *, ready: Callable[[], None] | None = None, **options: Any
) -> tuple[Told, Told]:
    """What a client tells of a call that is recorded, and of its replay, for which no server is needed."""
    ready = ready or partial(script.release, "next")
    async with cassettes.patch(path, mode="once", even_in_ci=True) as cassette:
        first = await ask(Question(url=script.url, ready=ready, **options))
        assert cassette.recorded == 1
    async with cassettes.patch(path, mode="none") as cassette:
        second = await ask(Question(url=script.url, **options))
        cassette.check_used()
    return first, second


def timeline(path: Path) -> Timeline:
    """How the one answer of a cassette went."""
    (one,) = load_cassette(path).http
    found = Timeline.of(one.extra)
    assert found is not None
    return found


async def test_what_is_kept_is_for_the_caller_to_say(server: Server, tmp_path: Path) -> None:
    """Headers of an answer by `redaction`, texts that are not keys by `allowed`, and a `directory` with `metadata`."""
    text = "sk-proj-" + "a1B2" * 10
    script = server.script(answer(json.dumps({"id": text}).encode(), headers={"x-note": "kept"}))
    settings: dict[str, Any] = {
        "directory": tmp_path,
        "redaction": Redaction(response_headers=frozenset({"x-note"})),
        "allowed": [text],
        "metadata": {"why": "a test"},
    }
    with cassettes.patch("case", mode="once", even_in_ci=True, **settings):
        await ASKERS["httpx2"](Question(url=script.url))
    cassette = load_cassette(tmp_path / "case.json")
    (one,) = cassette.http
    assert one.response.headers["x-note"] == "kept"
    assert text in one.response.body.text
    assert (cassette.metadata or {})["why"] == "a test"


async def test_streamed(server: Server, tmp_path: Path, ask: Asker) -> None:
    """A streamed answer comes piece by piece while it is recorded, and in the same pieces from the cassette."""
    script = server.script(*streamed(gate("next"), LAST))
    first, second = await recorded_and_replayed(tmp_path / "case.json", ask, script)
    assert first == second == Told(200, EVENTS)
    assert len(script.requests(1)) == 1
    (one,) = load_cassette(tmp_path / "case.json").http
    assert (one.request.method, one.request.url, one.response.status) == ("POST", script.url, 200)
    assert one.response.headers["x-request-id"] == "r-1"
    assert [size for size, _ in timeline(tmp_path / "case.json").pieces()] == [len(each) for each in EVENTS]
    assert "live-secret" not in (tmp_path / "case.json").read_text()


async def test_whole(server: Server, tmp_path: Path, ask: Asker) -> None:
    """So does an answer in one piece."""
    body = b'{"id": "1", "choices": []}'
    script = server.script(answer(body, 201, {"content-type": "application/json"}))
    first, second = await recorded_and_replayed(tmp_path / "case.json", ask, script)
    assert (first.status, b"".join(first.pieces), first.error) == (201, body, None)
    assert first == second


_LENGTH = {"content-length": "1234"}
_BODILESS: dict[str, tuple[int, dict[str, str]]] = {
    "HEAD 200": (200, _LENGTH),
    "HEAD 404": (404, {**_LENGTH, "content-encoding": "gzip"}),
    "GET 304": (304, {**_LENGTH, "content-encoding": "gzip"}),
    "POST 204": (204, {}),
    "POST 200": (200, {"content-length": "0"}),
}


@pytest.mark.parametrize("kind", _BODILESS)
async def test_without_a_body(server: Server, tmp_path: Path, ask: Asker, kind: str) -> None:
    """An answer that has no body keeps what its headers say of one, such as the length that a GET would have."""
    method = kind.partition(" ")[0]
    status, headers = _BODILESS[kind]
    lines = [f"HTTP/1.1 {status} X", *[f"{name}: {value}" for name, value in headers.items()], "", ""]
    script = server.script([send("\r\n".join(lines).encode())])
    body = b"{}" if method == "POST" else b""
    first, second = await recorded_and_replayed(
        tmp_path / "case.json", ask, script, ready=lambda: None, method=method, body=body
    )
    assert first == second == Told(status)
    assert first.headers == second.headers == headers


@pytest.mark.parametrize(("end", "ending"), [(RESET, "reset"), (CLOSE, "cut"), (LAST, None)], ids=str)
async def test_ends(server: Server, tmp_path: Path, ask: Asker, end: Step, ending: str | None) -> None:
    """An answer that breaks off does so again, after the same pieces, by the same error of that client."""
    script = server.script(*streamed(gate("next"), end, pieces=1))
    first, second = await recorded_and_replayed(tmp_path / "case.json", ask, script)
    assert first == second
    assert first.pieces == EVENTS[:1]
    assert (first.error is None) == (ending is None)
    found = timeline(tmp_path / "case.json")
    assert found.end == ("complete" if ending is None else "broken")
    assert (found.fault and found.fault.ending) == ending


async def test_reader_goes(server: Server, tmp_path: Path, ask: Asker) -> None:
    """Where the reader goes away, the request is cancelled, and what had come is recorded."""
    script = server.script(*streamed(gate("never"), LAST))
    first, second = await recorded_and_replayed(tmp_path / "case.json", ask, script, stop=2)
    assert first == second == Told(200, EVENTS[:2])
    await anyio.to_thread.run_sync(script.gone, 1)
    assert timeline(tmp_path / "case.json").end == "interrupted"


async def test_no_answer(server: Server, tmp_path: Path, ask: Asker) -> None:
    """A connection that is refused, and one that is closed before the headers, fail again in the same way."""
    for number, script in enumerate([Script(Server(1), 0), server.script(CLOSE)]):
        path = tmp_path / f"{number}.json"
        first, second = await recorded_and_replayed(path, ask, script, ready=lambda: None)
        assert first == second
        assert first.error is not None
        assert timeline(path).end == "broken"


async def test_too_slow(server: Server, tmp_path: Path, ask: Asker) -> None:
    """The client's own timeout is recorded, and comes again without the wait."""
    script = server.script(head(200, STREAM), piece(EVENTS[0]), gate("never"), LAST)
    path = tmp_path / "case.json"
    first, second = await recorded_and_replayed(path, ask, script, ready=lambda: None, timeout=0.2)
    assert first == second
    assert first.pieces == EVENTS[:1]
    assert first.error is not None


async def test_nothing_recorded(server: Server, tmp_path: Path, ask: Asker) -> None:
    """A request that is not recorded is refused with the reason, and none leaves the process."""
    script = server.script(answer(b"{}"))
    path = tmp_path / "case.json"
    with cassettes.patch(path, mode="all", even_in_ci=True):
        await ask(Question(url=script.url))
    with cassettes.patch(path, mode="none") as cassette:
        told = await ask(Question(url=script.url, body=b'{"model":"m-2","messages":[]}'))
    assert told.error == CassetteMiss.__name__
    assert '$.model expected "m-1", received "m-2"' in str(cassette.misses[0])
    assert len(script.requests(1)) == 1


async def test_modes(server: Server, tmp_path: Path, ask: Asker) -> None:
    """``new_episodes`` replays what is there and records the rest; hosts that are not named are not caught."""
    script = server.script(answer(b"{}"))
    path = tmp_path / "case.json"
    for number in (1, 2):
        async with cassettes.patch(path, mode="new_episodes", even_in_ci=True) as cassette:
            for asked in range(number):
                await ask(Question(url=script.url, body=b"%d" % asked))
        assert (cassette.used, cassette.recorded) == (number - 1, 1)
    async with cassettes.patch(path, mode="new_episodes", hosts=["*.example.com"], even_in_ci=True) as cassette:
        await ask(Question(url=script.url, body=b"9"))
    assert (cassette.used, cassette.recorded) == (0, 0)
    await ask(Question(url=script.url, body=b"10"))
    assert len(script.requests(4)) == 4


async def test_at_once(server: Server, tmp_path: Path, ask: Asker) -> None:
    """Requests that run at the same time find their own answers, whichever comes first."""
    bodies = [b'{"messages":[{"role":"user","content":"%d"}]}' % number for number in range(8)]
    script = server.script(*[step for body in bodies for step in (*answer(body), ["then"])])
    told: dict[bytes, Told] = {}

    async def one(body: bytes, order: int) -> None:
        await anyio.sleep(order / 1000)
        told[body] = await ask(Question(url=script.url, body=body))

    path = tmp_path / "case.json"
    said = []
    for mode, step in (("once", 1), ("none", -1)):
        with cassettes.patch(path, mode=mode, even_in_ci=True):  # type: ignore[arg-type]
            async with anyio.create_task_group() as group:
                for order, body in enumerate(bodies[::step]):
                    group.start_soon(one, body, order)
        said.append(dict(sorted(told.items())))
    assert said[0] == said[1]
    assert len({each.pieces[0] for each in said[0].values()}) == len(bodies)


def test_arguments(tmp_path: Path) -> None:
    """Only one patch at a time, and no client that does not exist."""
    with pytest.raises(ConfigurationError, match="did you mean 'httpx2'"):
        cassettes.patch(tmp_path / "case.json", clients=["htpx2"])
    with pytest.raises(ConfigurationError, match=r"clients is 'all' or names of httpx, .*, not 5"):
        cassettes.patch(tmp_path / "case.json", clients=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"api\.openai\.com"):
        cassettes.patch(tmp_path / "case.json", hosts=["https://api.openai.com/"])
    with pytest.raises(CassetteMiss), cassettes.patch(tmp_path / "case.json", mode="none"):
        pass
    once = partial(cassettes.patch, mode="once", even_in_ci=True)
    with once(tmp_path / "one.json"), pytest.raises(ConfigurationError, match="one patch"):
        once(tmp_path / "two.json").__enter__()
    with once(tmp_path / "two.json"):
        pass
