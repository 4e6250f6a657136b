"""OpenAI's and Anthropic's packages for Node, recorded and replayed by `mellite serve`, as a test suite of its own.

Not collected with the other tests: `nox -s node` installs openai 7.59.0 and @anthropic-ai/sdk 1.14.0 and runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.providers.answers import ANSWERS
from tests.wire.server import CLOSE, LAST, Script, Server, Step, answer, head, piece, serve

PACKAGES = Path(os.environ.get("MELLITE_NODE", "."))
"""The folder with node_modules."""

KEY = "sk-very-secret-0123456789abcdef"
PROTOCOLS = {"chat": "openai-chat", "responses": "openai-responses", "messages": "anthropic-messages"}
PROGRAMS = [f"{name}{how}" for name in PROTOCOLS for how in ("", "-streamed", "-helper")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A provider in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def program() -> str:
    """The program, beside the packages that it imports."""
    return str(shutil.copy(Path(__file__).with_name("ask.mjs"), PACKAGES.resolve() / "ask.mjs"))


def steps(name: str, *, end: Step = LAST, pieces: int | None = None) -> list[Step]:
    """What the provider answers to a program: "Hello!", whole or streamed."""
    spoken = ANSWERS[PROTOCOLS[name.partition("-")[0]]]
    if "-" not in name:
        return answer(spoken.whole, headers={"content-type": "application/json", "x-request-id": "r-1"})
    headers = {"content-type": spoken.content_type, "x-request-id": "r-1"}
    return [head(200, headers), *[piece(each) for each in spoken.pieces[:pieces]], end]


def environment(url: str) -> dict[str, str]:
    """The environment of a program that asks a provider at *url*, and of nothing else."""
    names = {"OPENAI_BASE_URL": f"{url}/v1", "ANTHROPIC_BASE_URL": url, "OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    return {"PATH": os.environ["PATH"], **names}


def said(command: list[str], env: Mapping[str, str]) -> Any:
    """What a program prints last."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def served(*arguments: str) -> list[str]:
    """The command line of a server that runs what follows."""
    return [sys.executable, "-m", "mellite", "serve", *arguments, "--"]


def three_ways(script: Script, node: list[str], file: Path) -> list[Any]:
    """What a program makes of an answer without a server, of one that records, and of the recording."""
    env = environment(script.url)
    plain, recorded = said(node, env), said([*served("--record", str(file)), *node], env)
    assert len(script.requests(2)) == 2
    replayed = said([*served(str(file)), *node], environment("http://127.0.0.1:9"))  # where nobody listens
    assert len(script.requests(2)) == 2
    return [plain, recorded, replayed]


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_objects(server: Server, program: str, tmp_path: Path, name: str) -> None:
    """A program makes the same of an answer without a server, while it is recorded, and of the recording."""
    file = tmp_path / "calls.json"
    plain, recorded, replayed = three_ways(server.script(*steps(name)), ["node", program, name], file)
    assert plain == recorded == replayed
    assert "error" not in plain
    assert "lo!" in json.dumps(plain)
    assert "very-secret" not in file.read_text()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "-" in name])
@pytest.mark.parametrize("end", [LAST, CLOSE], ids=["cut", "broken"])
def test_an_answer_that_ends_too_soon(server: Server, program: str, tmp_path: Path, name: str, end: Step) -> None:
    """What ends too soon, in good order or not, does so again for a client of the recording."""
    script = server.script(*steps(name, end=end, pieces=2))
    plain, recorded, replayed = three_ways(script, ["node", program, name], tmp_path / "calls.json")
    assert plain == recorded == replayed


def test_what_was_not_recorded(server: Server, program: str, tmp_path: Path) -> None:
    """A client that asks something else gets an error, at once."""
    file = tmp_path / "calls.json"
    env = environment(server.script(*steps("chat")).url)
    said([*served("--record", str(file)), "node", program, "chat"], env)
    found = said([*served(str(file)), "node", program, "messages"], env)
    assert found == {"error": "NotFoundError", "status": 404}
