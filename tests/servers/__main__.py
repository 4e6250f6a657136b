"""Start other people's servers and ask them the same through mellite and through the official SDKs.

    python -m tests.servers --litellm PROGRAM --aimock PROGRAM [--only NAME] [--model FOLDER]

`nox -s servers` installs what it needs and runs it. It ends with 1 if something differs that is not listed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.servers import running
from tests.servers.gauntlet import STEPS, Difference, Seat, run
from tests.servers.listed import reason_for

ANSWERS: tuple[dict[str, object], ...] = (
    {
        "match": {"userMessage": "Fail."},
        "response": {"error": {"message": "Slow down.", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "weather", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    },
    {
        "match": {"userMessage": "weather", "hasToolResult": True},
        "response": {"content": "It is sunny in Paris, at 22 degrees."},
    },
    {"match": {"userMessage": "Think"}, "response": {"content": "Four.", "reasoning": "Two and two make four."}},
    {"match": {"userMessage": "rivers"}, "response": {"content": "The Amazon, the Nile and the Danube."}},
    {"match": {"userMessage": "longest"}, "response": {"content": "The Nile is the longest."}},
    {"match": {"userMessage": "thirty"}, "response": {"content": "Number after number. " * 200}},
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello there, my friend!"}},
)
"""What aimock says."""


def seats(stack: ExitStack, given: argparse.Namespace, folder: Path, model: Path) -> Iterator[Seat]:
    """Start every server, and name the protocols that it speaks."""
    start = stack.enter_context
    mock = start(running.aimock(given.aimock, ANSWERS, folder))
    yield from (
        Seat("aimock", name, mock, "m-1") for name in ("openai-chat", "openai", "anthropic", "google", "cohere")
    )
    llama = start(running.llama_cpp(model, folder))
    yield from (Seat("llama.cpp", name, llama, "tiny") for name in ("openai-chat", "openai", "anthropic"))
    served = start(running.transformers(model, folder))
    yield from (Seat("transformers", name, served, str(model)) for name in ("openai-chat", "openai"))
    behind = {
        "aimock": ("openai/m-1", f"{mock}/v1"),
        "tiny": ("openai/tiny", f"{llama}/v1"),
        "served": (f"openai/{model}", f"{served}/v1"),
    }
    proxy = start(running.litellm(given.litellm, behind, folder))
    for name in behind:
        yield Seat(f"litellm, {name}", "openai-chat", proxy, name)
    yield Seat("litellm, tiny", "openai", proxy, "tiny")
    yield Seat("litellm, tiny", "anthropic", proxy, "tiny")


def described(found: Difference) -> str:
    """A line for one difference."""
    error = f" ({found.message})" if found.message else ""
    return f"    {found.step}, {found.field}: mellite {found.ours!r:.300}{error}, SDK {found.theirs!r:.300}"


def main() -> int:
    """Run the gauntlet; print a row a server and protocol, then every difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", required=True)
    parser.add_argument("--aimock", required=True)
    parser.add_argument("--only", default="", help="part of a server's name and protocol")
    parser.add_argument("--model", type=Path, help="a folder with the tiny model; made anew without it")
    given = parser.parse_args()
    unlisted = 0
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        model = given.model or folder / "tiny"
        if given.model is None:
            subprocess.run([sys.executable, "-m", "tests.servers.tiny_model", str(model)], check=True)
        print(f"{'server':32}" + " ".join(STEPS))
        for seat in seats(stack, given, folder, model):
            if given.only not in seat.name:
                continue
            began = time.monotonic()
            found = run(seat, folder)
            row = []
            notes = []
            for step, differences in found.items():
                reasons = [reason_for(difference) for difference in differences]
                bad = [each for each, reason in zip(differences, reasons, strict=True) if reason is None]
                unlisted += len(bad)
                row.append(f"{'same' if not differences else 'DIFFERS' if bad else 'listed':<{len(step)}}")
                notes += [described(each) for each in bad]
                notes += [
                    f"    listed: {each.step}, {each.field}: {reason}"
                    for each, reason in zip(differences, reasons, strict=True)
                    if reason
                ]
            print(f"{seat.name:32}{' '.join(row)}  {time.monotonic() - began:.0f} s", *notes, sep="\n", flush=True)
    print(f"{unlisted} differences that are not listed")
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main())
