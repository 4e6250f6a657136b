"""Coding agents, recorded and replayed by `mellite serve`: each calls a tool, and tells what it found.

Not collected with the other tests: `nox -s node` installs @openai/codex 0.171.0 and @anthropic-ai/claude-code 2.1.332,
and runs it. An agent has a home of its own, no login, and no way to other machines.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import LAST, THEN, Script, Server, Step, head, piece, serve

CODEX = os.environ.get("MELLITE_CODEX", "codex")
CLAUDE = os.environ.get("MELLITE_CLAUDE", "claude")
"""The programs of @openai/codex and @anthropic-ai/claude-code."""

KEY = "sk-very-secret-0123456789abcdef"

#: What a shell runs: Codex takes the address of its provider from its settings, and not from the environment.
ASKS = {
    "codex": (
        f"{CODEX} exec --json --skip-git-repo-check -s danger-full-access -m gpt-5 -c model_provider=mellite"
        # what it would ask other machines: for news of itself, for plugins, and to be counted
        " -c analytics.enabled=false -c check_for_update_on_startup=false --disable plugins --disable apps"
        """ -c "model_providers.mellite={name='mellite', wire_api='responses', base_url='$OPENAI_BASE_URL'}" """
        """ "Which colour stands in colour.txt?" < /dev/null"""
    ),
    "claude": (
        f"""{CLAUDE} -p "Which colour stands in colour.txt?" --output-format stream-json --verbose"""
        " --allowedTools Bash < /dev/null"
    ),
}
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}

COMMAND = "cat colour.txt"
ITEMS: list[dict[str, Any]] = [
    {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "exec_command",
        "arguments": json.dumps({"cmd": COMMAND}),
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
BLOCKS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
        {
            "type": "input_json_delta",
            "partial_json": json.dumps({"command": COMMAND, "description": "Read it"}),
        },
        "tool_use",
    ),
    ({"type": "text", "text": ""}, {"type": "text_delta", "text": "It says blue."}, "end_turn"),
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


def streamed(events: list[dict[str, Any]]) -> list[Step]:
    """An answer of events."""
    pieces = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events]
    return [head(200, {"content-type": "text/event-stream"}), *[piece(each) for each in pieces], LAST]


def responses(number: int) -> list[Step]:
    """What OpenAI streams: one item."""
    item = ITEMS[number]
    response = {"id": f"resp_{number}", "object": "response", "status": "in_progress", "model": "m", "output": []}
    done = {
        "status": "completed",
        "output": [item],
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    }
    return streamed(
        [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, **done}},
        ]
    )


def messages(number: int) -> list[Step]:
    """What Anthropic streams: one block."""
    block, delta, reason = BLOCKS[number]
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 5, "output_tokens": 2}
    return streamed(
        [
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
    )


ANSWERS = {"codex": responses, "claude": messages}


def started(server: Server, agent: str, folder: Path) -> tuple[Script, dict[str, str]]:
    """A folder with a file to read, and a provider, under the variables by which it is found."""
    (folder / "colour.txt").write_text("blue\n")
    (folder / "home").mkdir()
    script = server.script(*ANSWERS[agent](0), THEN, *ANSWERS[agent](1))
    return script, {"OPENAI_BASE_URL": f"{script.url}/v1", "ANTHROPIC_BASE_URL": script.url}


def told(agent: str, folder: Path, elsewhere: socket.socket, *server: str, **env: str) -> tuple[int, str]:
    """What an agent prints in a folder while a server runs, and its exit code."""
    proxy = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
    own = {"HOME": str(folder / "home"), "CODEX_HOME": str(folder / "home"), "PATH": os.environ["PATH"], **QUIET}
    own |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy)
    own |= {"NO_PROXY": "127.0.0.1", "OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    command = [sys.executable, "-m", "mellite", "serve", *server, "--", "sh", "-c", ASKS[agent]]
    done = subprocess.run(command, cwd=folder, env=own | env, capture_output=True, text=True, timeout=120, check=False)
    with pytest.raises(BlockingIOError):  # no other machine was asked for
        elsewhere.accept()[0].close()
    return done.returncode, done.stdout + done.stderr


def committed(folder: Path, message: str) -> None:
    """Make a commit of a folder, as a repository of its own."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for command in (("init", "-q"), ("add", "colour.txt"), (*who, "commit", "-q", "--allow-empty", "-m", message)):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


@pytest.mark.parametrize("agent", ASKS)
def test_a_session(server: Server, elsewhere: socket.socket, tmp_path: Path, agent: str) -> None:
    """The whole session is recorded, and happens again where no provider is there, also on another day and commit."""
    script, upstream = started(server, agent, tmp_path)
    file = tmp_path / "calls.json"
    committed(tmp_path, "Begin")
    code, recorded = told(agent, tmp_path, elsewhere, "--record", str(file), **upstream)
    assert code == 0, recorded
    assert "It says blue." in recorded
    first, second = script.requests(2)
    assert "blue" not in first.body.decode()
    assert "blue" in second.body.decode()
    text = file.read_text()
    assert KEY not in text
    today = datetime.now().astimezone().date()
    file.write_text(text.replace(f"{today}", "2026-01-01"))
    assert file.read_text() != text
    committed(tmp_path, "Go on")
    code, replayed = told(agent, tmp_path, elsewhere, str(file))
    assert code == 0, replayed
    assert "It says blue." in replayed
    assert len(script.requests(2)) == 2


@pytest.mark.parametrize("agent", ASKS)
def test_another_colour(server: Server, elsewhere: socket.socket, tmp_path: Path, agent: str) -> None:
    """An agent that finds something else is told what the recording has, and ends with an error."""
    _, upstream = started(server, agent, tmp_path)
    file = tmp_path / "calls.json"
    assert told(agent, tmp_path, elsewhere, "--record", str(file), **upstream)[0] == 0
    (tmp_path / "colour.txt").write_text("red\n")
    code, said = told(agent, tmp_path, elsewhere, str(file))
    assert code != 0
    assert re.search(r"expected .*blue.*received .*red", said)
