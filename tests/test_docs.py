"""The code in README.md and docs/ runs, and prints what the page says it prints."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(page: Path) -> list[tuple[int, str, str | None]]:
    """The python blocks of a page: line, code, and the text block right behind it, if there is one."""
    text = page.read_text(encoding="utf-8")
    blocks = [(match.group(1), match.group(2), match.start(), match.end()) for match in FENCE.finditer(text)]
    found = []
    for index, (language, code, start, end) in enumerate(blocks):
        if language != "python":
            continue
        expected = None
        if index + 1 < len(blocks):
            following, output, begin, _ = blocks[index + 1]
            if following == "text" and not text[end:begin].strip():
                expected = output
        found.append((text.count("\n", 0, start) + 2, code, expected))
    return found


def compiled(code: str, page: Path, line: int) -> CodeType:
    """Compile a block as an asyncio prompt would, with the page's own line numbers."""
    return compile("\n" * (line - 1) + code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def run_page(page: Path) -> list[tuple[int, str, str]]:
    """Run all blocks of a page in one namespace; gives line, expected and printed text where they differ."""
    names: dict[str, Any] = {"__name__": "__docs__"}
    differing = []
    for line, code, expected in snippets(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(compiled(code, page, line), names)
            if inspect.isawaitable(result):
                await result
        if expected is not None and printed.getvalue() != expected:
            differing.append((line, expected, printed.getvalue()))
    return differing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every python block of a page runs, and prints the text block behind it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)  # where nothing is recorded
    assert asyncio.run(run_page(page)) == []


def test_wrong_output_is_noticed(tmp_path: Path) -> None:
    """A page whose text block is wrong fails, with the line it is wrong at."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n", encoding="utf-8")
    assert asyncio.run(run_page(page)) == [(4, "2\n", "1\n")]


def test_tutorial_has_snippets() -> None:
    """The pattern that finds code blocks finds those of the tutorial."""
    assert len(snippets(ROOT / "docs" / "tutorial.md")) >= 8
