"""The programs of docs/examples/ run offline from their cassettes, and print what their page says they print."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.examples.answers import ANSWERS
from tests.examples.provider import providing
from tests.examples.record import ask, cassette_of, record
from tests.examples.running import EXAMPLES, command, environment, run, serving
from tests.pages import blocks

trio = pytest.importorskip("trio")

SHOWN = {
    block.code.split()[1].rpartition("/")[2].removesuffix(".py"): block.shown
    for block in blocks(EXAMPLES / "index.md")
    if block.shown is not None
}
"""Example -> what its page says that it prints."""

FAILS = {"extract": 1}
"""Example -> the code it ends with, where that is not 0."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Make a copy of the examples that a test may change."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


@pytest.mark.parametrize("name", sorted(SHOWN.keys() - {"research"}))  # which takes its time, and is killed below
def test_prints_what_its_page_shows(name: str, copied: Path) -> None:
    """Each program runs without a key, without a network and without a warning, from the cassette beside it."""
    done = run(name, folder=copied)
    assert (done.stdout, done.returncode) == (SHOWN[name], FAILS.get(name, 0)), done.stderr
    if not done.returncode:
        assert done.stderr == ""


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_runs_on_trio(
    name: str, copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The `main` of each program does the same on trio."""
    for variable in set(os.environ) - set(environment()):
        monkeypatch.delenv(variable)
    monkeypatch.chdir(copied)
    code = trio.run(runpy.run_path(str(copied / f"{name}.py"))["main"])
    assert (capsys.readouterr().out, code or 0) == (SHOWN[name], FAILS.get(name, 0))


def leave_in_the_middle(address: str) -> None:
    """Ask the chat server for a long answer, read its first line and close the connection."""
    url = urlsplit(address)
    assert url.hostname is not None
    client = HTTPConnection(url.hostname, url.port)
    client.request("POST", "/chat", json.dumps({"messages": [{"role": "user", "content": "Count the months."}]}))
    with client.getresponse() as response:
        assert response.readline() == b"event: delta\n"
    client.close()


def test_chat_server_streams_and_sees_clients_leave() -> None:
    """A whole answer comes as events, a wrong question is refused, and a client that leaves is noticed at once."""
    with serving() as server:
        told = ask(server.url, "Why are there tides?")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.url}/chat", b'{"messages": "Hello."}')
        with refused.value as answer:
            assert answer.status == 400
        leave_in_the_middle(server.url)
    said = "The moon pulls the sea up, and the earth turns below it."
    assert "".join(json.loads(data) for data in re.findall(r"data: (.*)\n", told)) == f"{said}stop"
    left = re.search(r"the client left after (\d+) characters", server.printed)
    assert left, server.printed
    assert int(left[1]) < 100  # of 254


@pytest.mark.slow
def test_chat_server_stops_the_model_when_the_client_leaves(copied: Path) -> None:
    """Live, the connection to the provider is closed in the middle of the answer: no more of it is recorded."""
    with providing("chat_server") as variables, serving({**variables, "RECORD": "true"}, copied) as server:
        leave_in_the_middle(server.url)
    (interaction,) = json.loads(cassette_of("chat_server", copied).read_text(encoding="utf-8"))["interactions"]
    assert "Month 1 " in interaction["response"]["body"]
    assert "Month 12 " not in interaction["response"]["body"]


def test_research_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    """Killed after two of its questions and started again, it asks only for what it did not have, and ends the same."""
    journal = str(tmp_path / "journal")
    with subprocess.Popen(
        command("research", journal), stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("2 of 4"):
                process.send_signal(signal.SIGKILL)
                break
    done = run("research", journal)
    found = re.search(r"\[(\d) calls from the journal, (\d) asked\]\n", done.stdout)
    assert found, done.stdout + done.stderr
    assert int(found[1]) in (3, 4)
    assert int(found[1]) + int(found[2]) == 6
    assert done.stdout[: found.start()] == SHOWN["research"].rpartition("[")[0]


def test_evaluation_passes_in_ci() -> None:
    """The evaluation runs as CI runs it: replay only."""
    done = run("test_evaluation", "-rP", variables={"CI": "true"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 of 10, $0.00003150\n'Why was I charged twice?': invoice, not complaint" in done.stdout


@pytest.mark.slow
def test_evaluation_fails_for_another_prompt(copied: Path) -> None:
    """A prompt that was changed and not recorded fails, and the report says what differs."""
    file = copied / "test_evaluation.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("Into which box", "In which box"), encoding="utf-8")
    done = run("test_evaluation", variables={"CI": "true"}, folder=copied)
    assert done.returncode == 1
    assert "In which box" in done.stdout
    assert "Into which box" in done.stdout


@pytest.mark.slow
def test_runs_live(copied: Path) -> None:
    """With a key and RECORD=true a program asks the provider over TLS, prints the same, and records it."""
    cassette = cassette_of("agent", copied)
    cassette.unlink()
    assert record("agent", copied) == SHOWN["agent"]
    assert run("agent", folder=copied).stdout == SHOWN["agent"]
    assert "made-up" not in cassette.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_cassettes_are_what_is_recorded_today(name: str, copied: Path) -> None:
    """What an example sends is what stands in its cassette: recorded anew, the requests are the same."""
    record(name, copied)
    before, after = (
        sorted(
            json.dumps(interaction["request"])
            for interaction in json.loads(cassette_of(name, folder).read_text(encoding="utf-8"))["interactions"]
        )
        for folder in (EXAMPLES, copied)
    )
    assert before == after


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_shape(path: Path) -> None:
    """A program is short, says in five lines what it is, imports only what is public, and is on the page."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert 30 <= len(text.splitlines()) <= 80
    assert len((ast.get_docstring(tree) or "").splitlines()) == 5
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    public = {"mellite", "mellite.cassettes", "mellite.errors", "mellite.events", "mellite.requirements"}
    assert {name for name in modules if name.startswith("mellite")} <= public
    assert not re.search(r"\._\w", text)
    assert f"[{path.name}]({path.name})" in (EXAMPLES / "index.md").read_text(encoding="utf-8")
    assert cassette_of(path.stem).stat().st_size < 64_000
