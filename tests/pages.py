"""Run the code of README.md and docs/ as a reader does: pasted line by line into a prompt, shell commands included."""

from __future__ import annotations

import ast
import codeop
import contextlib
import inspect
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, Final

from attrs import frozen

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

#: Page -> a package that its code needs, and that mellite does not bring along.
NEEDS: Final = {"trace-calls.md": "opentelemetry.sdk", "use-mcp-tools.md": "mcp"}

#: Pages whose code changes its process for good.
APART: Final = ("trace-calls.md",)

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Shell commands that no test runs, with the reason.
_NOT_RUN: Final = {
    "git": "needs a repository",
    "nox": "runs tests",
    "pip": "needs a package index",
    "pytest": "needs the reader's own tests",
    "python": "runs tests, or an example, which tests/examples do",
    "python3": "makes an environment",
}


@frozen
class Block:
    """A block of code of a page: the line at which its code begins, and the output that the page shows, if it does."""

    line: int
    language: str
    code: str
    shown: str | None


@frozen
class Difference:
    """A block that printed something else than the page shows."""

    page: str
    line: int
    shown: str
    printed: str


def blocks(page: Path) -> list[Block]:
    """List the blocks of a page in Python and for the shell; a text block right behind one is its output."""
    text = page.read_text(encoding="utf-8")
    matches = list(_FENCE.finditer(text))
    found = []
    for match, following in zip(matches, [*matches, None][1:], strict=True):
        shown = None
        if following is not None and following[1] == "text" and not text[match.end() : following.start()].strip():
            shown = following[2]
        if match[1] in ("python", "sh"):
            found.append(Block(text.count("\n", 0, match.start()) + 2, match[1], match[2], shown))
    return found


def statements(block: Block, page: Path) -> Iterator[CodeType]:
    """Compile a block of Python as Python 3.11's prompt does, which gets one line after the other.

    At that prompt a blank line ends what is indented, and only a blank line does.

    Raises:
        SyntaxError: where the prompt would say so.
    """
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    pending: list[str] = []
    begun = block.line
    for line, text in enumerate([*block.code.splitlines(), ""], start=block.line):
        if not pending:
            begun = line
        pending.append(text)
        source = "\n" * (begun - 1) + "\n".join(pending)
        code = compiler(source, str(page), "single")
        if code is not None:
            pending.clear()
            yield code
    if pending:
        msg = "the block ends in the middle of a statement"
        raise SyntaxError(msg, (str(page), begun, 1, pending[0]))


def _show_nothing(value: object) -> None:
    """Show no value of an expression: what a page shows is printed."""


async def _run_python(block: Block, page: Path, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    display, sys.displayhook = sys.displayhook, _show_nothing
    try:
        with contextlib.redirect_stdout(printed):
            for code in statements(block, page):
                result = eval(code, names)
                if inspect.isawaitable(result):
                    await result
    finally:
        sys.displayhook = display
    return printed.getvalue()


def _run_shell(block: Block) -> str | None:
    """Run the commands of mellite in a block, and return what they printed; None if there are none.

    Raises:
        AssertionError: for a command that is in no table, or one that ends with an error that the page does not show.
    """
    printed = None
    for line in block.code.replace("\\\n", "").splitlines():
        for command in line.split(" && "):
            words = shlex.split(command, comments=True)
            name = words[0].rpartition("/")[2] if words else "git"
            if name == "mellite":
                run = [sys.executable, "-m", "mellite", *words[1:]]
                done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
                printed = (printed or "") + done.stdout + done.stderr
                assert done.returncode == 0 or block.shown is not None, f"{command}: {done.stderr or done.stdout}"
            else:
                assert name in _NOT_RUN, f"no test knows the command {command!r}"
    return printed.rstrip("\n") + "\n" if printed else printed


def as_typed(page: Path) -> str:
    """Return what a reader of a page types into a prompt, its commands of mellite as calls of `subprocess`."""
    typed = []
    for block in blocks(page):
        if block.language == "python":
            typed.append(block.code)
            continue
        lines = block.code.replace("\\\n", "").splitlines()
        commands = [shlex.split(command, comments=True) for line in lines for command in line.split(" && ")]
        for words in commands:
            if words and words[0].rpartition("/")[2] == "mellite":
                run = [sys.executable, "-m", "mellite", *words[1:]]
                typed.append(f"_ = __import__('subprocess').run({run!r}, capture_output=True)\n")
    return "\n\n".join([*typed, ""])


async def run_page(page: Path) -> list[Difference]:
    """Run all blocks of a page in one namespace, and give those that print something else than the page shows."""
    names: dict[str, Any] = {"__name__": "__docs__"}
    differing = []
    for block in blocks(page):
        printed = await _run_python(block, page, names) if block.language == "python" else _run_shell(block)
        if block.shown is not None and printed is not None and printed != block.shown:
            differing.append(Difference(page.name, block.line, block.shown, printed))
    return differing
