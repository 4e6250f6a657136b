"""`--help` of every command: short enough to be listed whole, with examples that the command takes."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mellite.__main__ import command_line
from tests.cli.programs import invoked, surroundings


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = [*commands(command_line())]
GROUPS = [(), *[path for path, command in COMMANDS if isinstance(command, click.Group)]]
LEAVES = [(path, command) for path, command in COMMANDS if not isinstance(command, click.Group)]
NAMES = [" ".join(path) for path, _ in LEAVES]


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_list_of_commands_cuts_no_line_off(path: tuple[str, ...]) -> None:
    out = invoked(*path, "--help").out
    listed = out.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=NAMES)
def test_help_ends_with_examples_that_the_command_takes(
    path: tuple[str, ...], command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = invoked(*path, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.strip() for line in out.rpartition("Examples:\n")[2].splitlines()]
    assert lines
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line.rpartition("| ")[2].partition(" <")[0].partition(" >")[0])
        assert words[: len(path) + 1] == ["mellite", *path]
        for word in words:
            if word == "runs":
                Path(word).mkdir()
            elif word.endswith((".json", "cassettes")):
                Path(word).parent.mkdir(exist_ok=True)
                Path(word).touch()
        command.make_context(line, words[len(path) + 1 :]).close()  # raises for what the command does not take


def test_help_says_with_which_code_a_command_exits_in_one_way() -> None:
    said = {path: " ".join((command.help or "").split()) for path, command in COMMANDS}
    assert {path: text for path, text in said.items() if "exit with" in text or "nds with 1" in text} == {}


@pytest.mark.parametrize("module", ["mellite.cli.app", "mellite.server.running"])
def test_ctrl_c_during_an_import_ends_a_command_without_a_traceback(module: str) -> None:
    """A command that starts slowly is stopped as quietly as one that runs."""
    stopped = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from mellite.__main__ import main\n"
        "sys.argv[1:] = ['serve', 'fake:echo']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", stopped], env=surroundings(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")
