"""Cassettes of go-vcr with what its two versions may leave out, and damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yaml import safe_dump, safe_load

from mellite.cassettes import load_cassette
from mellite.errors import InvalidCassette
from tests.archive.importing.replays import DATA, converted


def written(path: Path, change: Any) -> Path:
    """A real cassette of the version 2 of the format, changed."""
    document = safe_load((DATA / "go_v2.yaml").read_bytes())
    change(document)
    path.write_text(safe_dump(document, allow_unicode=True))
    return path


def test_left_out(tmp_path: Path) -> None:
    """Fields that are empty may be missing; a form and trailers that are not are said to be dropped."""

    def change(document: Any) -> None:
        first, second, third = document["interactions"]
        for name in ("body", "form", "headers", "host", "trailer"):
            del first["request"][name]
        first["request"] |= {"method": "get"}
        second["request"]["trailer"] = {"X-End": ["1"]}
        third["response"]["headers"] = None
        third["response"]["body"] = ""

    done = converted(written(tmp_path / "a.yaml", change), tmp_path / "a.json")
    (one, _, last) = load_cassette(tmp_path / "a.json").http
    assert (one.request.method, one.request.headers, one.request.body.data) == ("GET", {}, b"")
    assert (last.response.headers, last.response.body.data) == ({}, b"")
    assert "of requests: trailer" in done.dropped


def first(document: Any, side: str, **changes: Any) -> None:
    """Change one side of the first interaction."""
    document["interactions"][0][side] |= changes


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda document: document.update(version=3), r"\$\.version expected the number 1 or 2, found 3"),
        (lambda document: document.update(interactions={}), r"\$\.interactions expected a list"),
        (
            lambda document: document["interactions"][1].pop("request"),
            r"\[1\]\.request expected an object, found nothing",
        ),
        (lambda document: first(document, "response", code="200"), r"\[0\]\.response\.code expected"),
        (lambda document: first(document, "response", body=5), r"\[0\]\.response\.body expected a text"),
        (lambda document: first(document, "request", headers=[]), r"\[0\]\.request\.headers expected an object"),
        (lambda document: first(document, "request", headers={"A": "b"}), r"\.headers expected a list, found b"),
        (lambda document: document["interactions"][2]["response"].update(body=b"\x1f\x8b\x08x"), "expected gzip data"),
    ],
)
def test_places(tmp_path: Path, change: Any, place: str) -> None:
    """A value that is not as expected is refused with its place."""
    source = written(tmp_path / "a.yaml", change)
    with pytest.raises(InvalidCassette, match=place):
        converted(source, tmp_path / "b.json", source_format="go-vcr")
