"""The command line, run as a process of its own; and HTTP cassettes of chat answers to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from mellite.__main__ import command_line
from mellite.providers.catalog import find
from mellite.request import Request

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-W", "error", "-m", "mellite"]
URL = "https://api.openai.com/v1/chat/completions"

#: Variables that change what the command line does, and that a test sets itself.
OURS = (
    "MELLITE_PRICES",
    "MELLITE_LOG_DB",
    "MELLITE_CASSETTE_DIR",
    "MOCHI_LLM_CASSETTE_DIR",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
)


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        """Its standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def surroundings(**environment: str) -> dict[str, str]:
    """The environment of a command: this one's, without what would change it."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, "PYTHONPATH": str(ROOT), **environment}


def run(*arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str) -> Ran:
    """Run `mellite` in pipes."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd or ROOT,
        env=surroundings(**environment),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def command(*arguments: str, **environment: str) -> Ran:
    """Run `mellite cassette` in this process, which is a tenth of the time, and as in a pipe."""
    return invoked("cassette", *arguments, **environment)


def invoked(*arguments: str, **environment: str) -> Ran:
    """Run `mellite` in this process, with nothing on standard input."""
    nothing = dict.fromkeys(OURS)
    done = CliRunner().invoke(command_line(), arguments, env={**nothing, **environment})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def chat_answer(text: str, *, prompt_tokens: int = 1000, completion_tokens: int = 100) -> str:
    """An answer as OpenAI streams it."""
    start = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18"}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": 0}
    usage["total_tokens"] = prompt_tokens + completion_tokens
    chunks = [
        {**start, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]},
        {**start, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**start, "choices": [], "usage": usage},
    ]
    return "".join([f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]) + "data: [DONE]\n\n"


def cassette(path: Path, prompt: str, answers: list[str | tuple[int, str]], *, url: str = URL, **options: Any) -> Path:
    """An HTTP cassette in which gpt-4o-mini is asked the same several times; an answer may be a status and a body."""
    route = find("openai-chat:gpt-4o-mini", api_key="sk-test")
    prepared = route.prepare(Request.of(prompt, **options))
    interactions = []
    for answer in answers:
        status, body = answer if isinstance(answer, tuple) else (200, chat_answer(answer))
        kind = "text/event-stream" if status == 200 else "application/json"
        interactions.append(
            {
                "transport": "http",
                "request": {
                    "method": "POST",
                    "url": url,
                    "headers": {"content-type": "application/json"},
                    "body": prepared.body.decode(),
                },
                "response": {"status": status, "headers": {"content-type": kind}, "body": body},
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "metadata": {}, "interactions": interactions}), encoding="utf-8")
    return path
