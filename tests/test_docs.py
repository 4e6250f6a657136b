"""The code in README.md and docs/ runs, and prints what the page says it prints."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layer_rules import FACES, ROOMS
from tests.pages import APART, NEEDS, PAGES, ROOT, Difference, as_typed, blocks, run_page
from tests.thunk.support import run_child


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of a page runs at a prompt, alone in a folder, and prints the text block behind it."""
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)  # where nothing is recorded
    if page.name in APART:
        run_child(f"""
            import asyncio, pathlib
            from tests.pages import run_page
            assert asyncio.run(run_page(pathlib.Path({str(page)!r}))) == []
        """)
        return
    differing = asyncio.run(run_page(page))
    assert not differing, "\n".join(map(str, differing))


def anchors(page: Path) -> set[str]:
    """The names that MkDocs gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to another page, or to a heading, leads to one that is there."""
    broken = []
    for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        if not file.is_file() or (heading and heading not in anchors(file)):
            broken.append(f"{target}#{heading}")
    assert broken == []


def test_files_of_the_house_exist() -> None:
    """Every file and folder of the package that docs/design.md names is there, and the page names every room."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+(?:/|\.py))`", text)
    assert [name for name in named if not (ROOT / "mellite" / name).exists() and not (ROOT / name).exists()] == []
    rooms = {f"{room}/" for row in ROOMS for room in row if (ROOT / "mellite" / room).is_dir()}
    assert rooms | {f"{face}.py" for face in FACES} <= set(named)


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml leads to every page below docs/."""
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.name != "README.md"}


@pytest.mark.slow
def test_newcomer(tmp_path: Path) -> None:
    """README, tutorial and all other pages run in one folder, one after the other, and again over what they left."""
    command = [sys.executable, "-m", "tests.newcomer", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_fresh_clone(tmp_path: Path) -> None:
    """From a fresh clone over README, tutorial, three how-tos and an example to the viewer, no step fails."""
    command = [sys.executable, "-m", "tests.fresh_clone", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["no step failed"]), done.stdout + done.stderr


if sys.version_info < (3, 13):  # from a pipe, newer prompts take no blocks of several lines

    def typed_into_the_prompt(page: Path, folder: Path) -> None:
        """Type a page into `python -m asyncio`: no line raises, and what the page shows is printed in that order."""
        prompts = r">>> |\.\.\. "
        prompt = [sys.executable, "-W", "ignore::ResourceWarning", "-m", "asyncio"]
        done = subprocess.run(
            prompt, input=as_typed(page), capture_output=True, text=True, cwd=folder, timeout=120, check=False
        )
        said = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert 'File "<console>"' not in done.stderr, said
        shown = "".join(block.shown for block in blocks(page) if block.language == "python" and block.shown)
        printed = iter(re.sub(prompts, "", done.stdout).splitlines())
        assert [line for line in re.sub(prompts, "", shown).splitlines() if line not in printed] == [], said

    def test_tutorial_in_the_real_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The tutorial goes into `python -m asyncio` without an error."""
        monkeypatch.delenv("CI", raising=False)  # where nothing is recorded
        typed_into_the_prompt(ROOT / "docs" / "tutorial.md", tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_page_in_the_real_prompt(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """So does every page that has code."""
        if page.name in NEEDS:
            pytest.importorskip(NEEDS[page.name])
        monkeypatch.delenv("CI", raising=False)
        typed_into_the_prompt(page, tmp_path)


def test_wrong_output_is_noticed(tmp_path: Path) -> None:
    """A page whose text block is wrong fails, with the line it is wrong at."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n", encoding="utf-8")
    assert asyncio.run(run_page(page)) == [Difference("page.md", 4, "2\n", "1\n")]


@pytest.mark.parametrize(
    "code",
    [
        "for n in [1]:\n    print(n)\n\n    print(n)\n",
        "for n in [1]:\n    print(n)\nprint(2)\n",
        "print(\n",
    ],
    ids=["blank line inside", "no blank line behind", "unfinished"],
)
def test_what_a_prompt_refuses_is_noticed(code: str, tmp_path: Path) -> None:
    """A block that a file takes and a prompt does not fails."""
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}```\n", encoding="utf-8")
    with pytest.raises(SyntaxError):
        asyncio.run(run_page(page))


@pytest.mark.parametrize("command", ["wget example.com", "mellite frobnicate"])
def test_commands_that_do_not_work_are_noticed(command: str, tmp_path: Path) -> None:
    """A shell command that fails, or that no test knows, fails its page."""
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{command}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=command.rpartition(" ")[2]):
        asyncio.run(run_page(page))


def test_tutorial_has_blocks() -> None:
    """The pattern that finds code blocks finds those of the tutorial."""
    assert len(blocks(ROOT / "docs" / "tutorial.md")) >= 8
