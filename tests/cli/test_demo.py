"""`mellite demo`: what the README promises a newcomer, with the command line's libraries and without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.programs import COMMAND, Ran, run, surroundings
from tests.terminal import on_terminal

#: Starts the command in a process in which some libraries cannot be imported.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))
sys.argv = ["mellite", *sys.argv[1:]]
from mellite.__main__ import main
main()
"""


def without(libraries: str, *arguments: str, cwd: Path) -> Ran:
    """Run `mellite` where these libraries are not installed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT, libraries, *arguments],
        cwd=cwd,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_demo(tmp_path: Path) -> None:
    """In an empty directory and without a key it awaits, streams, copies, cancels and fails thunks."""
    ran = run("demo", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    for shown in (
        "pending: nothing has been sent",
        "done: three consumers, one generation, the same text for all: True",
        "'The' ' Amazon' ','",
        "finish 'stop', 17 + 10 tokens",
        "'heads' wins; the thunk itself is still pending",
        "state 'cancelled', kept 'One two three '",
        "failed: RateLimited",
    ):
        assert shown in ran.out
    assert list(tmp_path.iterdir()) == []


def test_demo_without_the_extra(tmp_path: Path) -> None:
    """The demo needs neither click nor rich."""
    ran = without("click,rich", "demo", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "still pending" in ran.out


def test_other_commands_without_the_extra(tmp_path: Path) -> None:
    """Any other command says what to install, and ends with 2."""
    ran = without("click,rich", "generate", "Hello.", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "pip install 'mellite[cli]'" in ran.err


def test_tables_without_rich() -> None:
    """With click but without rich, a command that draws a table on a terminal says the same."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT, "rich", "prices", "gpt-4o-mini"]
    seen = on_terminal(command, **surroundings())
    assert seen.code == 2
    assert "pip install 'mellite[cli]'" in seen.plain
    assert "Traceback" not in seen.plain


def test_on_a_terminal() -> None:
    """On a terminal it is coloured, and says the same."""
    seen = on_terminal([*COMMAND, "demo"], **surroundings())
    assert seen.code == 0
    assert "\x1b[" in seen.drawn
    assert "still pending" in seen.plain
