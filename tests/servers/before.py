"""The blocks of docs/migrate/from-openai.md called before, run with the SDK: python -m tests.servers.before.

Each block is called *before* on the page, and marked `py` there; a made-up provider of `mellite serve` answers.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import sys
import tempfile
from typing import Any, Final

import openai
from pydantic import BaseModel

from mellite import Request
from mellite.backends import Scripted
from mellite.server.running import RunningServer, Settings
from tests.pages import ROOT

PAGE: Final = ROOT / "docs" / "migrate" / "from-openai.md"

#: What the blocks print, in their order.
PRINTED: Final = ["The Loire.\n", "The Loire. 9\n", "The Loire.", "name='Ada' age=36\n"]


class Person(BaseModel):
    """What one block asks for."""

    name: str
    age: int


def answer(request: Request) -> str:
    """Answer as the page says."""
    return '{"name": "Ada", "age": 36}' if "Ada" in request.text else "The Loire."


async def printed_by(block: str) -> str:
    """Run one block as in a coroutine, and return what it printed."""
    messages = [{"role": "user", "content": "Name a river in France."}]
    async with openai.AsyncOpenAI() as client:
        names: dict[str, Any] = {"client": client, "messages": messages, "Person": Person}
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            done = eval(compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(done):
                await done
    return shown.getvalue()


def main() -> None:
    """Run the blocks one after the other, in an empty folder."""
    blocks = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with RunningServer(Settings(source=Scripted([answer] * 20))) as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update({**server.env, "OPENAI_API_KEY": "made-up"})
        os.environ.pop("CI", None)  # where nothing is recorded
        os.chdir(folder)
        printed = [asyncio.run(printed_by(block)) for block in blocks]
        os.chdir(ROOT)
    print(f"openai {openai.__version__}: {len(printed)} blocks of {PAGE.name}")
    if printed != PRINTED:
        sys.exit(f"printed was {printed}, not {PRINTED}")


if __name__ == "__main__":
    main()
