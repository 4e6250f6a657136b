"""Run a program of docs/examples/ as a user does: as a process of its own, warnings as errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from attrs import define

from tests.pages import ROOT

EXAMPLES: Final = ROOT / "docs" / "examples"

#: Variables of the reader's own machine that must not reach an example.
_LEFT_OUT: Final = ("RECORD", "CI", "MELLITE", "OPENAI", "ANTHROPIC", "MOCHI", "HTTPS_PROXY", "https_proxy")

#: Runs the `main` of a file on trio, with the arguments behind it.
_ON_TRIO: Final = "import runpy, sys, trio; sys.exit(trio.run(runpy.run_path(sys.argv[1])['main'], *sys.argv[2:]))"


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of this process without those that tell an example what to do, and with some more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return {**kept, "PYTHONUNBUFFERED": "1", **(variables or {})}


def command(name: str, *arguments: str, loop: str = "asyncio", folder: Path = EXAMPLES) -> list[str]:
    """Return the command that runs an example; on trio its `main`."""
    file = str(folder / f"{name}.py")
    if name.startswith("test_"):
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, *arguments]
    how = [file] if loop == "asyncio" else ["-c", _ON_TRIO, file]
    return [sys.executable, "-W", "error", *how, *arguments]


def run(
    name: str,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    loop: str = "asyncio",
    folder: Path = EXAMPLES,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end, with its own folder as the working directory."""
    return subprocess.run(
        command(name, *arguments, loop=loop, folder=folder),
        input=stdin,
        capture_output=True,
        text=True,
        env=environment(variables),
        cwd=folder,
        timeout=60,
        check=False,
    )


@define
class Server:
    """A running chat_server.py: where it listens, and what it printed once it has ended."""

    url: str
    printed: str = ""


@contextlib.contextmanager
def serving(variables: Mapping[str, str] | None = None, folder: Path = EXAMPLES) -> Generator[Server]:
    """Run chat_server.py until the block ends, then stop it as Ctrl-C does."""
    with subprocess.Popen(
        command("chat_server", "0", folder=folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(variables),
    ) as process:
        assert process.stderr is not None
        told = ""
        while not (found := re.search(r"running on (http://\S+)", told)):
            line = process.stderr.readline()
            assert line, told
            told += line
        server = Server(found[1])
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            server.printed = process.communicate(timeout=30)[0]
