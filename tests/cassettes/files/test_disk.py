"""Names of cassettes: good ones lead into the directory, all others are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from mellite.cassettes import cassette_path
from mellite.errors import InvalidCassetteName


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("case", "case.json"),
        ("group/case", "group/case.json"),
        ("group/case.json", "group/case.json"),
        ("a/b.c/d-e_f", "a/b.c/d-e_f.json"),
        (".hidden", ".hidden.json"),
        ("test_x[param-1]", "test_x[param-1].json"),
        ("\u65e5\u672c", "\u65e5\u672c.json"),
        ("console/auxiliary/com10", "console/auxiliary/com10.json"),
        ("x" * 250, "x" * 250 + ".json"),
        ("..a/b..c", "..a/b..c.json"),
    ],
)
def test_good_names(tmp_path: Path, name: str, path: str) -> None:
    """A name is a relative path with slashes, with or without the ending."""
    assert cassette_path(tmp_path, name) == os.path.join(tmp_path, *path.split("/"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".json",
        "/etc/passwd",
        "//x",
        "../x",
        "a/../../x",
        "a/..",
        "..",
        ".",
        "./x",
        "a//b",
        "a/",
        "C:\\x",
        "C:x",
        "c:/x",
        "\\\\server\\x",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "a\x7f",
        "x" * 251,
        "x" * 300,
        "a/" * 600 + "b",
        "\u00e9" * 126,
        "dot.",
        "dot./x",
        "blank ",
        " blank",
        "a/ /b",
        "CON",
        "con",
        "a/NUL/b",
        "nul.txt",
        "COM1",
        "lpt\N{SUPERSCRIPT TWO}.txt",
        "lpt9.json",
        "CON .x",
        "conin$",
        "stream:alternate",
        "what?",
        "a*",
        "a<b",
        'a"b',
        "a|b",
        "\ud800",
        None,
        5,
        b"x",
        Path("x"),
    ],
)
def test_bad_names(tmp_path: Path, name: Any) -> None:
    """What is empty, absolute, too long, leaves the directory or is not a file name somewhere is refused."""
    with pytest.raises(InvalidCassetteName) as caught:
        cassette_path(tmp_path, name)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("/a", "it is absolute"),
        ("a/../b", "it has the part '..'"),
        ("a\0", r"it contains '\\x00'"),
        ("x" * 300, "a part of it is longer than 250 bytes"),
        ("com1.old", "'com1.old' is a device on Windows"),
        ("a.", "'a.' begins or ends with a blank, or ends with a dot"),
    ],
)
def test_bad_names_say_why(tmp_path: Path, name: str, reason: str) -> None:
    """The error names what is wrong with the name."""
    with pytest.raises(InvalidCassetteName, match=reason):
        cassette_path(tmp_path, name)


def test_symlink_that_leads_out(tmp_path: Path) -> None:
    """A symlinked directory, or file, on the way must stay inside."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "inner", outside):
        directory.mkdir(parents=True)
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "inner")
    (root / "file.json").symlink_to(outside / "file.json")
    (root / "loop.json").symlink_to(root / "loop.json")
    assert cassette_path(root, "in/case") == str(root / "in" / "case.json")
    for name in ("out/case", "file"):
        with pytest.raises(InvalidCassetteName, match="a symlink leads from"):
            cassette_path(root, name)


def test_directory_may_be_a_symlink(tmp_path: Path) -> None:
    """The directory itself may be reached through a symlink."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert cassette_path(tmp_path / "link", "case") == str(tmp_path / "link" / "case.json")


@given(st.text(alphabet=st.sampled_from("ab./\\: \0~CON"), max_size=12))
def test_no_name_leaves_the_directory(name: str) -> None:
    """Whatever the name is, it is refused or lies inside."""
    try:
        path = cassette_path("cassettes", name)
    except InvalidCassetteName:
        return
    assert os.path.abspath(path).startswith(os.path.abspath("cassettes") + os.sep)
    assert path.endswith(".json")
