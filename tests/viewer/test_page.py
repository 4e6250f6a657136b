"""The page: what it is made of, that nothing can break out of it, and that one file of it is small."""

from __future__ import annotations

import base64
import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.viewer.json_texts import Packing, as_ascii, embedded
from mellite.viewer.page import SCRIPTS, page_file
from tests.viewer.viewing import journaled, recorded

FILES = Path(mellite.__file__).parent / "viewer" / "page_files"


def parts(page: str) -> tuple[Any, Any, str, str]:
    """What a page holds: the rows, the details, the script and the style."""
    rows, details, script, style = [
        re.findall(pattern, page, re.DOTALL)
        for pattern in (
            r'<script type="application/json" id="rows">(.*?)</script>',
            r'<script type="application/octet-stream" id="details">([\w+/=]*)</script>',
            r'<script type="module">(.*?)</script>',
            r"<style>(.*?)</style>",
        )
    ]
    assert [len(found) for found in (rows, details, script, style)] == [1, 1, 1, 1]
    return json.loads(rows[0]), json.loads(gzip.decompress(base64.b64decode(details[0]))), script[0], style[0]


def whole(value: Any, kept: list[Any]) -> Any:
    """What stands for something that is kept once, put in its place, as the page does it."""
    if isinstance(value, list):
        return [whole(each, kept) for each in value]
    if not isinstance(value, dict):
        return value
    found = kept[value["$same"]] if list(value) == ["$same"] else value
    return {name: whole(each, kept) for name, each in found.items()}


def test_one_file(tmp_path: Path) -> None:
    """One file holds the list, all calls with their timelines, and the scripts, and loads nothing from anywhere."""
    page = mellite.viewer.html(recorded(tmp_path / "chat.json", "One two.", "Three."))
    rows, details, script, style = parts(page)
    assert (rows["kind"], rows["name"], rows["total"]) == ("cassette", "chat.json", 2)
    assert [row["text"] for row in rows["calls"]] == ["Three.", "One two."]
    call = whole(details["calls"]["0"], details["kept"])
    assert call["messages"][0]["content"][0]["text"] == "Say <i>it</i>."
    assert [step["text"] for step in details["timelines"]["0"]["steps"]] == ["One two.", "stop"]
    digests = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in (script, style)]
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)[0]
    assert f"script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []


@pytest.mark.anyio
async def test_one_file_of_a_journal(tmp_path: Path) -> None:
    """One file can be made where a loop runs, and has the runs of a journal with the calls of tools in them."""
    path = tmp_path / "journal"
    with mellite.journal(path):
        await mellite.backends.Scripted(["Hello."]).generate("Say it.")
    rows, details, _, _ = parts(mellite.viewer.html(path))
    assert [run["id"] for run in rows["runs"]] == list(details["runs"]) == ["outside"]


def test_tools_in_one_file(tmp_path: Path) -> None:
    """Every call that stands in the tree of a run can be opened."""
    _, details, _, _ = parts(mellite.viewer.html(journaled(tmp_path / "journal")))

    def named(parts: list[Any]) -> list[str]:
        return [name for part in parts for name in ([part["call"]] if part["call"] else named(part["parts"]))]

    calls = [name for run in details["runs"].values() for name in named(run["parts"])]
    assert len(calls) == 8
    assert set(calls) <= details["calls"].keys()


BREAKING = "</script><script>alert(1)</script><!-- <script> ]]> \u2028 \ud800 \x00"


def test_nothing_breaks_out(tmp_path: Path) -> None:
    """What ends a script in HTML, and half a surrogate pair, are text like any other."""
    page = mellite.viewer.html(recorded(tmp_path / "chat.json", BREAKING))
    page.encode()
    rows, details, _, _ = parts(page)
    assert BREAKING in (rows["calls"][0]["text"], rows["calls"][0]["text"].replace("\ufffd", "\ud800"))
    assert "alert(1)" in json.dumps(details)
    assert page.count("<script") == page.count("</script>") == 3
    assert "<!--" not in page.partition("<body>")[2].partition('<script type="module">')[0]


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_many_calls(tmp_path: Path, count: int) -> None:
    """The file of a cassette of 500 calls is under 3 MB."""
    answers = [
        f"Answer {number}: " + " ".join(f"word{number * n % 7919}" for n in range(200)) for number in range(count)
    ]
    page = mellite.viewer.html(recorded(tmp_path / "chat.json", *answers))
    assert parts(page)[0]["total"] == count
    size = len(page.encode()) - len("".join(page_file(name) or "" for name in ("page.js", "style.css")))
    assert size < 2_900_000 * count / 500


def test_scripts() -> None:
    """All scripts are part of the page, none uses a name of another, and nothing in them parses HTML."""
    assert {path.name for path in FILES.iterdir()} == {*SCRIPTS, "style.css"}
    assert page_file("../page.py") is None
    names: list[str] = []
    for name in SCRIPTS:
        text = (FILES / name).read_text(encoding="utf-8")
        names += re.findall(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", text, re.MULTILINE)
        assert text.startswith("// ")
        assert (
            re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|</script", text) == []
        )
        for imported in re.findall(r'from "\./(.*?)";', text):
            assert SCRIPTS.index(imported) < SCRIPTS.index(name)
    assert sorted(names) == sorted(set(names))


def test_json_in_pages() -> None:
    """Numbers that JSON has none of are texts, and what looks like a reference is none."""
    assert json.loads(as_ascii([float("nan"), float("inf"), 1.5])) == ["nan", "inf", 1.5]
    assert "<" not in embedded({"<a>": "</script>"})
    packing = Packing()
    value = {"list": [{"$same": 0}, {"role": "x" * 200}, {"role": "x" * 200}, [{"a": {"$same": 1, "b": [1]}}]]}
    packed = packing.packed(value)
    assert whole(packed, packing.kept) == value
    assert len(packing.kept) == 3
