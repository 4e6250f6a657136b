"""A coding agent, OpenAI's Codex, recorded and replayed by `mellite serve`: it calls a tool, and tells what it found.

Not collected with the other tests: `nox -s node` installs @openai/codex 0.171.0 and runs it. The agent has a home
of its own, no login, and no way to other machines.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import LAST, THEN, Server, Step, head, piece, serve

CODEX = os.environ.get("MELLITE_CODEX", "codex")
"""The program of @openai/codex."""

ASK = (
    "{codex} exec --json --skip-git-repo-check -s danger-full-access -m gpt-5 -c model_provider=mellite"
    # what it would ask other machines: for news of itself, for plugins, and to be counted
    " -c analytics.enabled=false -c check_for_update_on_startup=false --disable plugins --disable apps"
    """ -c "model_providers.mellite={{name='mellite', wire_api='responses', base_url='$OPENAI_BASE_URL'}}" """
    """ "Which colour stands in colour.txt?" < /dev/null"""
)
"""What a shell runs: an agent takes the address of its provider from its settings, and not from the environment."""

CALL = {"cmd": "cat colour.txt"}
ITEMS: list[dict[str, Any]] = [
    {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "exec_command",
        "arguments": json.dumps(CALL),
        "status": "completed",
    },
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "It says blue.", "annotations": []}],
    },
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A provider in a process of its own."""
    with serve() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A proxy for all other machines, which answers nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def answered(number: int) -> list[Step]:
    """What the provider streams: one item."""
    item = ITEMS[number]
    response = {"id": f"resp_{number}", "object": "response", "status": "in_progress", "model": "m", "output": []}
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [item], "usage": usage},
        },
    ]
    pieces = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events]
    return [head(200, {"content-type": "text/event-stream"}), *[piece(each) for each in pieces], LAST]


def told(folder: Path, elsewhere: socket.socket, *server: str, **env: str) -> list[Any]:
    """What the agent does in a folder while a server runs: its steps, without their ids."""
    proxy = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
    own = {"HOME": str(folder / "home"), "CODEX_HOME": str(folder / "home"), "PATH": os.environ["PATH"]}
    own |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy) | {"NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "mellite", "serve", *server, "--", "sh", "-c", ASK.format(codex=CODEX)]
    done = subprocess.run(command, cwd=folder, env=own | env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(BlockingIOError):  # no other machine was asked for
        elsewhere.accept()[0].close()
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [step for step in steps if step["type"] != "thread.started"]


def test_a_session(server: Server, elsewhere: socket.socket, tmp_path: Path) -> None:
    """The whole session is recorded, and happens again where no provider is there, on another day, too."""
    (tmp_path / "colour.txt").write_text("blue\n")
    (tmp_path / "home").mkdir()
    script = server.script(*answered(0), THEN, *answered(1))
    file = tmp_path / "calls.json"
    upstream = {"OPENAI_BASE_URL": f"{script.url}/v1", "OPENAI_API_KEY": "sk-very-secret-0123456789abcdef"}
    recorded = told(tmp_path, elsewhere, "--record", str(file), **upstream)
    assert "It says blue." in json.dumps(recorded)
    assert "blue\\n" in json.dumps([step for step in recorded if step["type"] == "item.completed"])
    first, second = script.requests(2)
    assert "call_1" not in first.body.decode()
    assert "Chunk ID" in second.body.decode()
    text = file.read_text()
    assert "very-secret" not in text
    file.write_text(re.sub(r"(<current_date>)\d{4}-\d\d-\d\d(</current_date>)", r"\g<1>2026-01-01\2", text))
    assert file.read_text() != text
    assert told(tmp_path, elsewhere, str(file)) == recorded
    assert len(script.requests(2)) == 2


def test_another_colour(server: Server, elsewhere: socket.socket, tmp_path: Path) -> None:
    """An agent that finds something else is told what the recording has, and ends with an error."""
    (tmp_path / "colour.txt").write_text("blue\n")
    (tmp_path / "home").mkdir()
    script = server.script(*answered(0), THEN, *answered(1))
    file = tmp_path / "calls.json"
    told(tmp_path, elsewhere, "--record", str(file), OPENAI_BASE_URL=f"{script.url}/v1", OPENAI_API_KEY="sk-made-up")
    (tmp_path / "colour.txt").write_text("red\n")
    with pytest.raises(AssertionError, match=r"expected .*blue.*received .*red"):
        told(tmp_path, elsewhere, str(file))
