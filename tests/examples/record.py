"""Record the cassettes of docs/examples/ anew, from made-up providers: python -m tests.examples.record [NAME...]."""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Final

from tests.examples.answers import ANSWERS
from tests.examples.provider import providing
from tests.examples.running import EXAMPLES, run, serving

NOTE: Final = "Recorded from a made-up provider, whose answers are written by hand: tests/examples/answers.py."

#: What chat_server.py is asked.
QUESTIONS: Final = ("Why are there tides?", "Count the months.")


def record(name: str, folder: Path = EXAMPLES) -> str:
    """Record the cassette of one example, and return what that printed."""
    with providing(name) as variables:
        if name == "chat_server":
            with serving({**variables, "RECORD": "true"}, folder) as server:
                answers = [ask(server.url, question) for question in QUESTIONS]
            return "".join(answers) + server.printed
        with tempfile.TemporaryDirectory() as journals:
            more = {"research": [f"{journals}/new"], "test_evaluation": ["--mellite-record", "-rP"]}.get(name, [])
            done = run(name, *more, variables={**variables, "RECORD": "true"}, folder=folder)
    return done.stdout + done.stderr


def ask(url: str, question: str) -> str:
    """Return the whole answer of the chat server to one question."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]})
    with urllib.request.urlopen(f"{url}/chat", body.encode()) as answer:
        return str(answer.read(), "utf-8")


def cassette_of(name: str, folder: Path = EXAMPLES) -> Path:
    """Return where the cassette of an example is; for one that pytest runs, that of its first test."""
    kept = folder / "cassettes"
    return next(iter(sorted((kept / name).glob("*.json"))), kept / f"{name}.json")


def main(names: list[str]) -> None:
    """Record examples, show what they printed, and say in each cassette where it is from."""
    for name in names or ANSWERS:
        print(f"--- {name}\n{record(name)}", end="")
        path = cassette_of(name)
        cassette = json.loads(path.read_text(encoding="utf-8"))
        cassette["metadata"]["note"] = NOTE
        for interaction in cassette["interactions"]:
            interaction["response"]["headers"].pop("server", None)
        path.write_text(json.dumps(cassette, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
