"""Hooks that the environment names: real packages with entry points, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging
logging.basicConfig(format="%(message)s")
from mellite.backends import Echo
print(Echo().generate("x").result())
"""

AUDIT = """
from mellite import hooks

@hooks.before("generation")
def before(request):
    print("asked", request.text)

@hooks.after("generation")
async def after(thunk):
    print("answered", thunk.value)

both = [before, after]
plain = print
broken = 1 / 0 if __name__ == "our_broken" else None
"""

POINTS = """[mellite.hooks]
audit = our_audit:both
one = our_audit:before
plain = our_audit:plain
broken = our_broken:both
missing = our_audit:nothing
"""


def run(folder: Path, names: str | None) -> tuple[str, str]:
    """Run the program with such packages installed; return what it printed and what it logged."""
    (folder / "our_audit.py").write_text(AUDIT, encoding="utf-8")
    (folder / "our_broken.py").write_text(AUDIT, encoding="utf-8")
    info = folder / "our_audit-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-audit\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("MELLITE_HOOKS", None)
    if names is not None:
        environment["MELLITE_HOOKS"] = names
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout, done.stderr


def test_only_those_that_are_named_are_loaded(tmp_path: Path) -> None:
    """One hook, or a list of them."""
    assert run(tmp_path, None) == ("x\n", "")
    assert run(tmp_path, "audit") == ("asked x\nanswered x\nx\n", "")
    assert run(tmp_path, " one, ") == ("asked x\nx\n", "")


def test_those_that_cannot_be_used_are_named_and_the_others_work(tmp_path: Path) -> None:
    """Missing, broken, misspelled, or no hooks at all."""
    out, said = run(tmp_path, "plain,broken,missing,audti,one")
    assert out == "asked x\nx\n"
    lines = said.splitlines()
    assert len(lines) == 4
    for name, why in (
        ("plain", "it is a builtin_function_or_method, and not a hook"),
        ("broken", "ZeroDivisionError"),
        ("missing", "AttributeError"),
        ("audti", "did you mean 'audit'"),
    ):
        [line] = [line for line in lines if f"{name!r}" in line and why in line]
        assert line.startswith("MELLITE_HOOKS names")
