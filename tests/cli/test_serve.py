"""`mellite serve`: its first line, its variables, a command with them, JSON for each request, and recording."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mellite.__main__ import command_line
from mellite.cassettes import load_cassette
from tests.cli.programs import COMMAND, ROOT, run, surroundings
from tests.server.asking import raw
from tests.wire.server import LAST, THEN, answer, gate, head, piece, serve

CHAT = "/v1/chat/completions"
HELLO = json.dumps({"model": "m", "messages": [{"role": "user", "content": "One two."}]}).encode()

ASK = (
    "import json, os, urllib.request as http; "
    "body = json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': 'One two.'}]}).encode(); "
    "url = os.environ['OPENAI_BASE_URL'] + '/chat/completions'; "
    "print(json.load(http.urlopen(url, body))['choices'][0]['message']['content'])"
)


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process of its own, and its address."""
    command = [*COMMAND, "serve", *arguments]
    around = surroundings(**environment)
    with subprocess.Popen(
        command, cwd=ROOT, env=around, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.fullmatch(r"mellite serve: (http://127\.0\.0\.1:\d+)\n", first)
            assert found is not None, first
            yield process, found[1]
        finally:
            process.kill()


def test_a_server_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It says where it listens and which variables to set, a line for each request, and why one found no answer."""
    file = tmp_path / "chat.json"
    with serving("fake:echo", "--env=json", "--json", "--record", str(file), CI="") as (process, url):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["OPENAI_BASE_URL"] == f"{url}/v1"
        assert raw(url, CHAT, HELLO).status == 200
        told = json.loads(process.stdout.readline())
        assert (told["protocol"], told["model"], told["status"]) == ("openai-chat", "m", 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert len(load_cassette(file).http) == 1
    with serving(str(file), "--match", "cursor", "--speed", "recorded") as (process, url):
        assert raw(url, f"{CHAT}?key=made-up-key", HELLO.replace(b"two", b"three")).status == 404
        process.send_signal(signal.SIGINT)
        _, trouble = process.communicate(timeout=20)
    assert '$.messages[0].content expected "One two.", received "One three."' in trouble
    assert "made-up-key" not in trouble


def test_a_command_with_the_variables() -> None:
    """A command finds the server, and its exit code is that of mellite."""
    done = run("serve", "fake:echo", "--", sys.executable, "-c", ASK)
    assert done.out.splitlines()[1:] == ["One two."]
    assert done.code == 0
    done = run("serve", "fake:echo", "--", sys.executable, "-c", "import sys; sys.exit(7)")
    assert done.code == 7
    done = run("serve", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)")
    assert done.code == 128 + 15


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such/file.json"], "no/such/file.json"),
        (["chat.jsn"], "there is no file 'chat.jsn', and 'chat.jsn' names no provider"),
        (["nobody:model"], "there is no provider 'nobody'"),
        (["fake:echo", "--fault", "lightning:1"], "KIND:RATE"),
        (["fake:echo", "--fault", "429:2"], "a share from 0 to 1"),
        (["fake:echo", "--speed", "warp"], "speed is"),
        (["fake:echo", "--env=perl"], "shell, dotenv, json"),
        (["fake:echo", "--"], "no command"),
        (["fake:echo", "--", "no-such-program-anywhere"], "cannot run 'no-such-program-anywhere'"),
        (["fake:echo", "--record", "x.json"], "CI"),
    ],
)
def test_what_cannot_be_served(arguments: list[str], said: str) -> None:
    """What makes no sense ends at once, with 2 and what to do."""
    done = CliRunner().invoke(command_line(), ["serve", *arguments], env={"CI": "true"})
    assert done.exit_code == 2
    assert said in done.output


STUBBORN = (
    "import signal, sys; "
    "signal.signal(signal.SIGTERM, lambda *_: print('No.', flush=True)); signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "print('ready', flush=True); sys.stdin.read()"
)


def test_a_command_that_does_not_stop() -> None:
    """The first signal asks a command to end, and the second one ends it."""
    command = [*COMMAND, "serve", "fake:echo", "--", sys.executable, "-c", STUBBORN]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=surroundings(), text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][1] == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "No.\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 128 + signal.SIGKILL


def test_stopped_in_a_stream(tmp_path: Path) -> None:
    """A server that is stopped while an answer is on its way ends; what was not whole is never served as whole."""
    file = tmp_path / "calls.json"
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
    stream = [head(200, {"content-type": "text/event-stream"}), piece(event), gate("more"), piece(event), LAST]
    with serve() as provider:
        script = provider.script(answer(b'{"choices": []}'), THEN, stream)
        around = {"OPENAI_BASE_URL": f"{script.url}/v1", "OPENAI_API_KEY": "made-up", "CI": ""}
        with serving("--record", str(file), **around) as (process, url), ThreadPoolExecutor(1) as pool:
            assert raw(url, CHAT, HELLO).status == 200
            asked = pool.submit(raw, url, CHAT, HELLO.replace(b"two", b"three"))
            script.waiting(1)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
            assert not asked.result(timeout=20).ended
    with serving(str(file)) as (_, url):
        assert raw(url, CHAT, HELLO).pieces == [b'{"choices": []}']
        again = raw(url, CHAT, HELLO.replace(b"two", b"three"))
        assert (again.pieces, again.ended) == ([event], False)


def test_a_cassette_that_would_answer_and_be_recorded(tmp_path: Path) -> None:
    """One file is not both."""
    file = tmp_path / "chat.json"
    file.write_text('{"version": 1, "interactions": []}')
    done = run("serve", str(file), "--record", str(file))
    assert done.code == 2
    assert "record into another file" in done.err
