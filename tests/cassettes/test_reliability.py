"""What goes wrong around cassettes, end to end: secrets in every place, full disks, interruptions, sockets, rights."""

from __future__ import annotations

import base64
import gzip
import json
import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mellite.cassettes import Redaction, ScriptedTransport, Sidecar, TextDirectory, load_cassette, use
from mellite.cassettes.modes import Mode
from mellite.errors import InvalidCassette, UnsafeCassette
from mellite.wire.http import HttpRequest
from tests.thunk.support import run_child

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-" + "proj-AbCd0123EfGh4567IjKl89Mn"
UNSHAPED = "correct.horse.battery"
"""A secret that is one only because a variable has it."""

URL = "https://api.example.com/v1/chat"
KEPT = Redaction(request_headers=frozenset({"x-note"}), response_headers=frozenset({"x-note"}))


def events(*texts: str) -> str:
    """A stream of events, each with a piece of text."""
    made = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return "".join([f"data: {json.dumps(event)}\n\n" for event in made]) + "data: [DONE]\n\n"


def told(answer: Any) -> tuple[HttpRequest, Any]:
    """A harmless request, and this answer."""
    return HttpRequest("POST", URL, body=b"{}"), answer


def asked(url: str = URL, body: object = None, **headers: str) -> tuple[HttpRequest, Any]:
    """This request, and a harmless answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", url, headers=named, body=json.dumps(body).encode()), "fine"


REFUSED = {
    "a header that is kept": asked(x_note=KEY),
    "a parameter of the URL": asked(f"{URL}?note={KEY}"),
    "the path of the URL": asked(f"{URL}/{KEY}"),
    "a field of the request": asked(body={"messages": [{"content": f"My key is {KEY}."}]}),
    "a header of the answer": told((200, {"x-note": KEY}, "fine")),
    "the answer": told(f"Your key is {KEY}."),
    "a field of the answer": told(json.dumps({"a": [{"b": KEY}]})),
    "an event": told(events("It is ", KEY, ".")),
    "two events": told(events("It is ", KEY[:12], KEY[12:], ".")),
    "two pieces of one answer": told([f"It is {KEY[:12]}".encode(), f"{KEY[12:]}.".encode()]),
    "base64": told(json.dumps({"data": base64.b64encode(f"user:{KEY}".encode()).decode()})),
    "the value of a variable": told(f"It is {UNSHAPED}."),
    "the value of a variable in a request": asked(body={"note": UNSHAPED}),
    "the value of a variable in two events": told(events(UNSHAPED[:7], UNSHAPED[7:])),
    "the value of a variable in base64": told(base64.b64encode(f"a:{UNSHAPED}".encode()).decode()),
    "the request's own key": (
        HttpRequest("POST", URL, headers={"authorization": "Bearer 0123456789abcdefgh"}, body=b"{}"),
        "You sent 0123456789abcdefgh.",
    ),
}
"""Where a secret can be -> a request and its answer that are not to be stored."""

TAKEN_OUT = {
    "the header that is for it": asked(authorization=f"Bearer {KEY}"),
    "another header": asked(x_other=KEY),
    "the parameter that is for it": asked(f"{URL}?key={KEY}"),
    "user and password of the URL": asked(f"https://me:{KEY}@api.example.com/v1"),
    "the field that is for it": asked(body={"api_key": KEY}),
    "a header of the answer that is not kept": told((200, {"set-cookie": KEY}, "fine")),
    "the field of an answer that is for it": told(json.dumps({"access_token": KEY})),
    "the field of an event that is for it": told(f'data: {{"client_secret": "{KEY}"}}\n\n'),
}
"""Where a secret can be -> a request and its answer that are stored without it."""


def whole(answer: Any) -> str:
    """All the text of an answer as it is given here."""
    if isinstance(answer, list):
        return b"".join(answer).decode()
    text: str = answer if isinstance(answer, str) else answer[2]
    return text


async def exchange(transport: Any, request: HttpRequest) -> str:
    """The whole answer to a request."""
    response = await transport.open(request)
    body = b""
    while piece := await response.read():
        body += piece
    await response.aclose()
    return body.decode()


async def record_one(path: Path) -> None:
    """Make a cassette with one interaction."""
    async with use(path, mode="all", live=ScriptedTransport(["old"]), environment={}) as transport:
        await exchange(transport, HttpRequest("POST", URL, body=b"{}"))


def holders(folder: Path) -> list[str]:
    """The files that have one of the secrets in them, as it is or in base64."""
    secrets = [KEY, UNSHAPED, base64.b64encode(f"user:{KEY}".encode()).decode(), KEY[12:], "0123456789abcdefgh"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["all", "rewrite"])
@pytest.mark.parametrize("where", REFUSED)
async def test_a_secret_leaves_the_old_file_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, mode: Mode
) -> None:
    """Wherever a secret is, it reaches no file, the old one stays byte for byte, and the caller has the answer."""
    monkeypatch.setenv("MELLITE_TEST_SECRET", UNSHAPED)
    path = tmp_path / "case.json"
    await record_one(path)
    before = path.read_bytes()
    request, answer = REFUSED[where]
    transport = use(path, mode=mode, live=ScriptedTransport([answer]), redaction=KEPT, environment={})
    got = await exchange(transport, request)
    assert got == whole(answer)
    assert holders(tmp_path) == []
    with pytest.raises(UnsafeCassette, match=r"refusing to write") as caught:
        await transport.aclose()
    assert not any(secret in f"{caught.value!r} {vars(caught.value)}" for secret in (KEY, UNSHAPED))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["case.json"]


@pytest.mark.anyio
@pytest.mark.parametrize("where", TAKEN_OUT)
async def test_a_secret_in_its_own_place_is_taken_out(tmp_path: Path, where: str) -> None:
    """Where keys belong they are left out, and the interaction is stored; the caller has the whole answer."""
    path = tmp_path / "case.json"
    request, answer = TAKEN_OUT[where]
    async with use(path, mode="all", live=ScriptedTransport([answer]), environment={}) as transport:
        got = await exchange(transport, request)
        assert got == whole(answer)
        assert holders(tmp_path) == []
    assert holders(tmp_path) == []
    assert len(load_cassette(path).http) == 1


# --- rights -----------------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o027], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the process takes away from the rights of new files: nothing, or only some of it."""
    old = os.umask(request.param)
    yield
    os.umask(old)


@pytest.mark.anyio
@pytest.mark.usefixtures("_umask")
async def test_recordings_are_for_their_owner(tmp_path: Path) -> None:
    """Every file is made for its owner alone, whatever the umask would leave to others; also while it is recorded."""

    def rights() -> dict[str, int]:
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    path = tmp_path / "case.json"
    recordings: list[tuple[Mode, set[str]]] = [
        ("all", {"case.json.journal"}),
        ("rewrite", {"case.json", "case.json.journal", "case.json.rewrite"}),
    ]
    for mode, expected in recordings:
        async with use(path, mode=mode, live=ScriptedTransport(["a"]), environment={}) as transport:
            await exchange(transport, HttpRequest("POST", URL, body=b"{}"))
            assert rights() == dict.fromkeys(expected, 0o600)
    texts, call = TextDirectory(tmp_path), Sidecar("openai", "", prompt="p", chunks=("Hel", "lo!"))
    texts.record("Hello!", call)
    texts.record("Hello!", evolve(call, prompt="q"), compression="gzip")
    assert len(rights()) == 5
    assert set(rights().values()) == {0o600}


# --- sockets ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_miss_opens_no_socket(tmp_path: Path, loop: str) -> None:
    """What replays contacts nobody, looks up no name and makes no socket but the loop's own, also for a miss."""
    run_child(
        f"""
        import sys
        import anyio, mellite
        from mellite.cassettes import use
        from mellite.errors import CassetteMiss, CassetteMismatch

        seen = []

        def watch(event, args):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind",
                         "socket.sendto", "socket.sendmsg"):
                seen.append((event, args))
            if event == "socket.__new__" and args[1] in (2, 10):  # IPv4, IPv6
                seen.append((event, args))

        chat = {str(ROOT / "mellite" / "demo_cassettes" / "chat.json")!r}

        async def misses():
            backends = [
                mellite.backend("openai-chat:m", api_key="k", transport=use(chat, environment={{}})),
                mellite.backend("openai-chat:m", api_key="k", transport=use(chat, match="keyed", environment={{}})),
                mellite.backend("openai:m", api_key="k", transport=use(chat, match="pool", environment={{}})),
                mellite.backend("cassette:" + chat),
                mellite.backend("cassette:" + {str(ROOT / "cassettes" / "text")!r}),
            ]
            for backend in backends:
                thunk = await backend.generate("Nobody ever asked this.").settle()
                assert isinstance(thunk.error, (CassetteMiss, CassetteMismatch)), thunk.error
                await backend.aclose()
            try:
                use({str(tmp_path / "none.json")!r}, environment={{}})
            except CassetteMiss:
                return
            raise SystemExit("no miss")

        sys.addaudithook(watch)
        anyio.run(misses, backend={loop!r})
        assert not seen, seen
        """
    )


# --- disks and signals ------------------------------------------------------------------------------


def test_a_full_disk(tmp_path: Path) -> None:
    """Where no more bytes fit, storing and scrubbing is a typed error, the old file stays, and nothing is left."""
    run_child(
        f"""
        import os, random, resource, signal
        from pathlib import Path
        from mellite.cassettes import Sidecar, TextDirectory
        from mellite.cassettes.scrub_files import scrub_files
        from mellite.cassettes.files.storing import store_file
        from mellite.errors import CassetteError

        folder = {str(tmp_path)!r}
        letters = "".join(random.Random(1).choices("abcdefghijklmnop \\n", k=20_000))  # that no gzip makes small
        directory, call = TextDirectory(folder), Sidecar("openai", "", prompt="p", chunks=("old",))
        directory.record("old", call)
        secret = "sk-" + "proj-AbCd0123EfGh4567IjKl89Mn"
        entry = '{{"request": {{"method": "GET", "url": "u"}}, "response": {{"status": 200, "body": "%s"}}}}'
        case = Path(folder, "case.json")
        case.write_text('{{"version": 1, "interactions": [%s]}}' % (entry % (secret + " x" * 9000)))

        def files():
            return {{path.name: path.read_bytes() for path in Path(folder).iterdir()}}

        def fails(function):
            try:
                function()
            except CassetteError as error:
                assert type(error).__name__ == "CassetteError", repr(error)
                assert error.path.startswith(folder), error.path
                assert files() == before, sorted(files())
            else:
                raise SystemExit("there was room")

        before = files()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (0, 1, 300, 5000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for compression in (None, "gzip"):
                new = Sidecar("openai", "", prompt="p", chunks=(letters,))
                fails(lambda: directory.record(letters, new, compression=compression, replace=True))
                fails(lambda: directory.record(letters, Sidecar("openai", "", prompt="q", chunks=(letters,)),
                                               compression=compression))
            fails(lambda: store_file(str(case), letters.encode()))
            fails(lambda: list(scrub_files([folder])))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (scrubbed,) = scrub_files([folder])
        assert scrubbed.changed and secret not in case.read_text()
        """
    )


def test_a_rewrite_that_finds_no_room_has_no_effect(tmp_path: Path) -> None:
    """Where the new cassette cannot be written, finishing raises, and what was there stays, also for the next one."""
    run_child(
        f"""
        import resource, signal
        from pathlib import Path
        from mellite.cassettes import Body, CassetteWriter, HttpInteraction, RecordedRequest, RecordedResponse
        from mellite.cassettes import load_cassette
        from mellite.errors import CassetteError

        def answer(text):
            headers = {{f"x{{number}}": "y" for number in range(100)}}
            return HttpInteraction(RecordedRequest("GET", "u"), RecordedResponse(200, headers=headers, body=Body(text)))

        def texts():
            return [one.response.body.text for one in load_cassette(path).http]

        path = Path({str(tmp_path)!r}, "case.json")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with CassetteWriter.open(path) as writer:
            writer.append(answer("old"))
        writer = CassetteWriter.open(path, "rewrite")
        for number in range(4):
            writer.append(answer(f"new {{number}}"))
        journal = path.with_name("case.json.rewrite").stat().st_size
        # Room for the marks in the journal, but not for the cassette, which is pretty-printed.
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal + 500, resource.RLIM_INFINITY))
        try:
            writer.finish()
        except CassetteError as error:
            assert "case.json" in str(error)
        else:
            raise SystemExit("there was room")
        assert texts() == ["old"], texts()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert texts() == ["old"], texts()
        with CassetteWriter.open(path) as writer:
            assert [one.response.body.text for one in writer.cassette.http] == ["old"]
            writer.append(answer("more"))
        assert texts() == ["old", "more"], texts()
        """
    )


def test_signals_lose_nothing(tmp_path: Path) -> None:
    """A signal every millisecond, which interrupts whatever the system does just then, changes nothing."""
    run_child(
        f"""
        import signal
        import anyio
        from mellite.cassettes import ScriptedTransport, Sidecar, TextDirectory, load_cassette, use
        from mellite.wire.http import HttpRequest

        count = 0

        def interrupt(*_):
            global count
            count += 1

        async def record():
            live = ScriptedTransport([str(number) for number in range(60)])
            async with use({str(tmp_path / "case.json")!r}, mode="all", live=live, environment={{}}) as transport:
                for _ in range(60):
                    response = await transport.open(HttpRequest("GET", "https://example.com/"))
                    while await response.read():
                        pass

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        anyio.run(record)
        texts = TextDirectory({str(tmp_path / "texts")!r})
        for number in range(30):
            texts.record(str(number), Sidecar("openai", "", prompt=str(number)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert count > 20, count
        answers = [one.response.body.text for one in load_cassette({str(tmp_path / "case.json")!r}).http]
        assert answers == [str(number) for number in range(60)]
        assert [texts.read("openai", "", str(number)).text for number in range(30)] == answers[:30]
        """
    )
    assert sorted(os.listdir(tmp_path)) == ["case.json", "texts"]
    assert len(os.listdir(tmp_path / "texts")) == 60


# --- bombs ------------------------------------------------------------------------------------------


def test_a_compressed_cassette_that_comes_to_too_much(tmp_path: Path) -> None:
    """A small file that would fill the memory is an InvalidCassette in every mode, takes little, and stays as it is."""
    bomb = gzip.compress(b'{"x": "' + bytes(40_000_000))
    path = tmp_path / "case.json.gz"
    path.write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(InvalidCassette, match="comes to more than 1,000,000 bytes") as caught:
        load_cassette(path, limit=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.path == str(path)
    assert peak < 8_000_000
    assert path.read_bytes() == bomb
