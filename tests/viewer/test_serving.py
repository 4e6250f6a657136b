"""`mellite view` as a process: who may look, what its paths answer, and how it begins and ends."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import mellite
from mellite.errors import ConfigurationError, InvalidRequest
from tests.cli.programs import invoked, run
from tests.viewer.viewing import COLUMNS, Answer, Growing, InPieces, got, journaled, logged, recorded, viewing


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer of a log, as a process of its own."""
    with viewing(str(logged(tmp_path_factory.mktemp("viewer") / "log.db"))) as (_, address):
        yield address


def other(url: str, path: str) -> str:
    """An address at the same server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{path}"


def test_calls(url: str) -> None:
    """Calls come with the columns of a log, as many as are wanted, and chosen as is wanted."""
    answer = got(f"{url}api/calls")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["total"] == 3
    assert list(answer.json["calls"][0]) == COLUMNS
    assert [call["state"] for call in answer.json["calls"]] == ["failed", "done", "done"]
    assert got(f"{url}api/calls?state=done&tag=odd").json["total"] == 1
    page = got(f"{url}api/calls?limit=1&offset=2").json
    assert (page["total"], [call["prompt"] for call in page["calls"]]) == (3, ["Question 0?"])
    assert got(f"{url}api/calls?q={quote('answer 1 OF <b>')}").json["calls"][0]["text"] == "Answer 1 of <b>many</b>."
    id = page["calls"][0]["id"]
    call = got(f"{url}api/calls/{id}").json
    assert (call["id"], call["message"]["content"][0]["text"]) == (id, "Answer 0 of <b>many</b>.")
    assert got(f"{url}api/runs").json == {"total": 0, "runs": []}


def test_what_is_not_there(url: str) -> None:
    """An unknown call or path is 404, a value that makes no sense 400, another method 405."""
    assert (
        got(f"{url}api/calls/none").status == got(f"{url}api/none").status == got(f"{url}files/main.js").status == 404
    )
    assert got(f"{url}files/..%2fpage.py").status == got(f"{url}files/../../page.py").status == 404
    for query in ("limit=many", "limit=-1", "offset=1e3", "sort=upwards", "min_usd=cheap", f"limit={'9' * 30}"):
        answer = got(f"{url}api/calls?{query}")
        assert (answer.status, list(answer.json)) == (400, ["error"])
    assert got(f"{url}api/calls", method="POST").status == 405


def refused(answer: Answer, status: int) -> None:
    """Check that nothing was told."""
    assert answer.status == status
    assert answer.body == b""


def test_who_may_look(url: str) -> None:
    """Without the token there is nothing; under another name, or from another page, nobody may look."""
    token = urlsplit(url).path.strip("/")
    for path in ("/", "/api/calls", f"/{token[:-1]}/api/calls", f"/{token}x/", f"//{token}/", "/%00/", "/é/"):
        refused(got(other(url, quote(path, safe="/%"))), 404)
    host = urlsplit(url).netloc
    port = host.partition(":")[2]
    for name in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", "127.0.0.1:1", ""):
        refused(got(f"{url}api/calls", Host=name), 403)
    for site in ("cross-site", "same-site"):
        refused(got(f"{url}api/calls", Sec_Fetch_Site=site), 403)
    for origin in ("null", "http://evil.example", f"https://{host}", f"http://localhost:{port}"):
        refused(got(f"{url}api/calls", Origin=origin), 403)
    for name in ("localhost", "[::1]"):
        assert got(f"{url}api/calls", Host=f"{name}:{port}").status == 200
    for site in ("none", "same-origin"):
        assert got(url, Sec_Fetch_Site=site, Origin=f"http://{host}").status == 200


def test_headers(url: str) -> None:
    """Nothing of the page is told elsewhere, kept, framed, or run from elsewhere; there is no cookie."""
    for path in ("", "api/calls", "files/page.js", "nothing"):
        headers = got(f"{url}{path}").headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_only_this_machine_is_listened_on(url: str) -> None:
    """No other address of the machine is listened on."""
    port = urlsplit(url).port or 0
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.2", port))


@contextmanager
def listening(url: str) -> Iterator[HTTPResponse]:
    """The events of a viewer, as they come."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
        connection.request("GET", f"{parts.path}api/events")
        with connection.getresponse() as events:
            yield events


def test_calls_as_they_happen(tmp_path: Path) -> None:
    """What is logged meanwhile comes as an event, and Ctrl-C ends it all well."""
    path = logged(tmp_path / "log.db", 1)
    with viewing(str(path)) as (process, url), listening(url) as events:
        assert events.getheader("content-type") == "text/event-stream"
        assert [events.readline() for _ in range(3)] == [b"event: ready\n", b'data: {"kind":"log"}\n', b"\n"]
        logged(path, 2)
        assert events.readline() == b"event: call\n"
        assert json.loads(events.readline().removeprefix(b"data: "))["text"] == "Answer 0 of <b>many</b>."
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def told(events: HTTPResponse) -> tuple[str, str]:
    """The next event: its name and its data."""
    name, data, end = [events.readline().decode() for _ in range(3)]
    assert end == "\n"
    return name.removeprefix("event: ").strip(), data.removeprefix("data: ").strip()


def until(events: HTTPResponse, name: str, words: str) -> None:
    """Read up to an event. A log half deleted or half made, if the viewer looks just then, is a problem before it."""
    while (event := told(events))[0] != name or words not in event[1]:
        assert event[0] == "problem", event


def test_a_log_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    """That it is gone is said, by answers and in events, and the viewer goes on when it is there again."""
    path = logged(tmp_path / "log.db")
    with viewing(str(path)) as (process, url), listening(url) as events:
        assert told(events) == ("ready", '{"kind":"log"}')
        for file in tmp_path.iterdir():
            file.unlink()
        until(events, "problem", "cannot be read: No such file")
        for asked in ("calls", "calls?q=one", "calls/1", "runs", "facets", "costs", "diff?left=1&right=2"):
            answer = got(f"{url}api/{asked}")
            assert (answer.status, list(answer.json)) == (503, ["error"])
            assert "cannot be read: No such file" in answer.json["error"]
        path.touch()  # as a log that is being made: its file is there before anything is in it
        until(events, "problem", "is empty")
        logged(path, 2)
        until(events, "ready", "log")
        assert got(f"{url}api/calls").json["total"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_journal_that_is_damaged_meanwhile(tmp_path: Path) -> None:
    """That something else has changed a journal is said, by the list and by whatever reads it again."""
    path = journaled(tmp_path / "journal")
    with mellite.viewer.serve(path) as viewer:
        assert got(f"{viewer.url}api/calls?brief=1").json["problems"] == []
        records = path / "records"
        records.write_bytes(b"something else\n" + records.read_bytes())
        for asked in ("calls/4", "calls/4/timeline", "runs", "diff?left=4&right=5"):
            answer = got(f"{viewer.url}api/{asked}")
            assert (answer.status, list(answer.json)) == (503, ["error"]), asked
            assert "was changed by something else" in answer.json["error"]
        (problem,) = got(f"{viewer.url}api/calls?brief=1").json["problems"]
        assert "is damaged" in problem
        assert "what was read before is shown" in problem


def test_a_reader_of_events_that_goes_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A page that is closed before its first event is no error that anybody is told of, and others go on to read."""
    path = logged(tmp_path / "log.db", 1)
    with mellite.viewer.serve(path) as viewer:
        for is_last in (False, False, False, True):
            with listening(viewer.url) as events:
                assert not is_last or told(events)[0] == "ready"
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.anyio
async def test_an_answer_that_grows(tmp_path: Path) -> None:
    """What arrives of an answer in a viewed journal comes as it does, and the call when it has settled."""
    path = await anyio.to_thread.run_sync(journaled, tmp_path / "journal")
    backend, ready = Growing(), anyio.Event()
    seen: list[tuple[str, str]] = []

    def looking(url: str) -> None:
        with listening(url) as events:
            while not seen or seen[-1] != ("call", "done: One two "):
                name, data = told(events)
                value = json.loads(data)
                if name == "ready":
                    anyio.from_thread.run_sync(ready.set)
                    continue
                seen.append((name, value["text"] if name == "growing" else f"{value['state']}: {value['text']}"))
                if seen[-1] == ("growing", "One two "):
                    backend.ended.set()

    async with mellite.viewer.serve(path) as viewer, anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, looking, viewer.url)
        await ready.wait()
        with mellite.journal(path):
            assert await backend.generate("Grow.") == "One two "
    assert seen[0] == ("call", "unsettled: ")
    assert seen[-2:] == [("growing", "One two "), ("call", "done: One two ")]
    assert {file.name for file in path.iterdir()} == {"journal.json", "records", "looked"}


@pytest.mark.anyio
async def test_a_long_answer_that_grows(tmp_path: Path) -> None:
    """Of an answer of megabytes only what is new is sent, and nothing of a key; the bytes are counted."""
    path = await anyio.to_thread.run_sync(journaled, tmp_path / "journal")
    long = [f"{number} {'many words ' * 2500}\n" for number in range(10)]
    backend = InPieces([*long, "The key is sk-abcdefghijklmnop", "qrstuvwxyz, ", "says \N{GRINNING FACE}. "])
    ready = anyio.Event()
    names: list[str] = []
    sizes: list[int] = []
    text = ""

    def looking(url: str) -> None:
        nonlocal text
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.request("GET", f"{parts.path}api/events")
        events = connection.getresponse()
        while not text.endswith("says \N{GRINNING FACE}. "):
            name = events.readline().decode().removeprefix("event: ").strip()
            data = events.readline()
            value = json.loads(data.removeprefix(b"data: "))
            assert events.readline() == b"\n"
            if name == "ready":
                anyio.from_thread.run_sync(ready.set)
            if name in {"growing", "more"}:
                names.append(name)
                sizes.append(len(data))
                text += value["text"]
                backend.seen.set()
        connection.close()

    async with mellite.viewer.serve(path) as viewer, anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, looking, viewer.url)
        await ready.wait()
        with mellite.journal(path):
            await backend.generate("Grow.")
    assert text == f"{''.join(long)}The key is [REDACTED], says \N{GRINNING FACE}. "
    assert names == ["growing", *["more"] * (len(long) + 2)]
    assert len(text) < sum(sizes) < len(text) * 1.1


def test_as_json(tmp_path: Path) -> None:
    """With --json the address is JSON. Without a source it is the log of the variable, and else ./cassettes."""
    recorded(tmp_path / "chat.json", "One.")
    page = tmp_path / "page.html"
    done = invoked("view", str(tmp_path / "chat.json"), "--html", str(page), "--json")
    assert (done.code, json.loads(done.out)) == (0, {"file": str(page)})
    assert invoked("view", "--html", str(page), MELLITE_LOG_DB=str(logged(tmp_path / "log.db"))).code == 0
    assert "Question 1?" in page.read_text(encoding="utf-8")


def test_nothing_to_look_at(tmp_path: Path) -> None:
    """No source, and one that is not there, exit with 2, and say what to do; so does a port that is taken."""
    done = run("view", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "MELLITE_LOG_DB" in done.err
    done = invoked("view", str(tmp_path / "none.json"))
    assert (done.code, done.out) == (2, "")
    assert "there is nothing at" in done.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = invoked("view", str(recorded(tmp_path / "chat.json", "One.")), "--port", str(taken.getsockname()[1]))
    assert done.code == 2
    assert "choose another port" in done.err


@pytest.mark.anyio
async def test_beside_a_program(tmp_path: Path) -> None:
    """A program shows its own calls in a block, sync or async, on any loop."""
    path = recorded(tmp_path / "chat.json", "One.")
    async with mellite.viewer.serve(path) as viewer:
        assert got(f"{viewer.url}api/calls").json["total"] == 1
    assert viewer.url == ""
    with mellite.viewer.serve(mellite.cassettes.load_cassette(path)) as viewer:
        assert got(viewer.url).headers["content-type"] == "text/html; charset=utf-8"
        with pytest.raises(InvalidRequest, match="shown already"):
            viewer.__enter__()
    with pytest.raises(InvalidRequest, match="the path of a cassette"):
        mellite.viewer.serve(3)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A block whose port is taken does not begin, and can begin later."""
    path = journaled(tmp_path / "journal")
    with mellite.viewer.serve(path) as first:
        second = mellite.viewer.serve(path, port=urlsplit(first.url).port or 0)
        with pytest.raises(ConfigurationError, match="choose another port"):
            second.__enter__()
    with second:
        assert got(f"{second.url}api/runs").json["total"] == 2
