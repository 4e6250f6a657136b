"""Walk as a newcomer does, from a fresh clone to the viewer: python -m tests.fresh_clone [FOLDER].

Clone what is committed, install it into an environment of its own, run the commands of the README, paste README,
tutorial and three how-tos into a prompt in one folder, run an example, and look at what was recorded in the viewer.
The first step that fails ends the walk with its output. What mellite needs is taken from the environment that runs
this, so that no package index is asked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from pathlib import Path
from typing import Final

from attrs import define

from tests.pages import ROOT

_HOW_TOS: Final = ("record-and-replay", "sample", "resume-a-run")

#: What is read, in this order, in one folder.
PAGES: Final = ("README.md", "docs/tutorial.md", *(f"docs/how-to/{name}.md" for name in _HOW_TOS))

#: Run by the clone's own interpreter: each page in a namespace of its own, in the working directory.
_PASTE: Final = """
import asyncio, pathlib, sys
import mellite
from tests.pages import ROOT, run_page
assert pathlib.Path(mellite.__file__).is_relative_to(ROOT), mellite.__file__
for name in sys.argv[1:]:
    for one in asyncio.run(run_page(ROOT / name)):
        sys.exit(f"{name}:{one.line} shows\\n{one.shown}and prints\\n{one.printed}")
"""


@define
class Newcomer:
    """Somebody with a folder, who runs one command after the other.

    Args:
        folder: an empty folder.
    """

    folder: Path

    @property
    def clone(self) -> Path:
        """Where the clone is."""
        return self.folder / "mellite"

    @property
    def bin(self) -> Path:
        """Where the programs of the clone's environment are."""
        return self.clone / ".venv" / ("Scripts" if os.name == "nt" else "bin")

    @property
    def variables(self) -> dict[str, str]:
        """The environment, in which what mellite needs is found, and no key is."""
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_KEY") and name != "CI"}
        return {**kept, "PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONUNBUFFERED": "1"}

    def does(self, *command: str | Path, within: Path | None = None, paths: tuple[Path, ...] = ()) -> str:
        """Run a command and return what it printed.

        Raises:
            SystemExit: if it fails, with its output.
        """
        variables = self.variables
        variables["PYTHONPATH"] = os.pathsep.join([*map(str, paths), variables["PYTHONPATH"]])
        done = subprocess.run(
            list(map(str, command)),
            cwd=within or self.clone,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))[:200]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def views(self, source: Path) -> list[dict[str, object]]:
        """Start the viewer on a source, ask it for its calls, and stop it as Ctrl-C does."""
        command = [str(self.bin / "mellite"), "view", str(source), "--json", "--no-open"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.variables) as process:
            assert process.stdout is not None
            try:
                url = json.loads(process.stdout.readline())["url"]
                with urllib.request.urlopen(f"{url}api/calls") as answer:
                    calls: list[dict[str, object]] = json.load(answer)["calls"]
            finally:
                process.send_signal(signal.SIGINT)
        assert process.returncode == 0, process.returncode
        return calls


def walk(folder: Path) -> None:
    """Walk all of it in an empty folder, saying each step."""
    newcomer, desk = Newcomer(folder), folder / "desk"
    print("a fresh clone")
    newcomer.does("git", "clone", "--quiet", str(ROOT), "mellite", within=folder)
    print("README: install, demo")
    newcomer.does(sys.executable, "-m", "venv", "--without-pip", ".venv")
    offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    newcomer.does(sys.executable, "-m", "pip", "--python", newcomer.bin / "python", "install", *offline, ".")
    assert "cassette" in newcomer.does(newcomer.bin / "mellite", "demo")
    print("README, tutorial and three how-tos, in one folder")
    desk.mkdir()
    newcomer.does(newcomer.bin / "python", "-c", _PASTE, *PAGES, within=desk, paths=(newcomer.clone,))
    print("an example")
    assert "platform 31" in newcomer.does(newcomer.bin / "python", "docs/examples/agent.py")
    print("the viewer, on what was recorded")
    for source in ("recorded/rivers.json", "runs/today"):
        calls = newcomer.views(desk / source)
        assert calls, source
    newcomer.does(newcomer.bin / "mellite", "view", desk / "recorded", "--html", desk / "calls.html")
    assert "Name a river." in (desk / "calls.html").read_text(encoding="utf-8")
    print("no step failed")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        walk(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as fresh:
            walk(Path(fresh).resolve())
