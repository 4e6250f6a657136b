"""YAML from anybody: plain values, and nothing that runs, grows or crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mellite.cassettes.files.yaml import decode_yaml
from mellite.errors import InvalidCassette


def test_plain_values() -> None:
    """Texts, numbers, booleans, null, lists, mappings, binary and aliases; a date is a text."""
    source = """
text: a
number: 5
float: 1.5
none: null
truth: true
date: 2024-01-01
time: 2024-01-01 10:00:00
binary: !!binary aGVsbG8=
list: &list [1, two]
again: *list
"""
    assert decode_yaml(source.encode()) == {
        "text": "a",
        "number": 5,
        "float": 1.5,
        "none": None,
        "truth": True,
        "date": "2024-01-01",
        "time": "2024-01-01 10:00:00",
        "binary": b"hello",
        "list": [1, "two"],
        "again": [1, "two"],
    }


def test_values_like_keys() -> None:
    """A value may be what a key is, or another value, as often as it likes."""
    assert decode_yaml(b"a: x\nb: x\nx: {a: a, b: [x, x]}") == {"a": "x", "b": "x", "x": {"a": "a", "b": ["x", "x"]}}


@pytest.mark.parametrize(
    "source",
    [
        "!!python/object/apply:os.system ['touch {path}']",
        "a: !!python/name:os.system ''",
        "!!python/object:pathlib.Path {{}}",
        "!!python/tuple [1]",
        "!own {{}}",
        "!!timestamp 2024-01-01",
        "!!set {{a}}",
    ],
)
def test_tags_run_nothing(source: str, tmp_path: Path) -> None:
    """A tag for anything but a plain value is refused, and nothing runs."""
    path = tmp_path / "made"
    with pytest.raises(InvalidCassette, match="stands for no plain value"):
        decode_yaml(source.format(path=path).encode())
    assert not path.exists()


@pytest.mark.parametrize("source", ["[" * 250, "- " * 250 + "x", "{a: " * 250, "? " * 250])
def test_deep(source: str) -> None:
    """What is nested too deeply is refused."""
    with pytest.raises(InvalidCassette, match="nested more than 200 deep"):
        decode_yaml(source.encode(), path="x.yaml")


@pytest.mark.parametrize("source", ["[" * 100_000, "- " * 100_000 + "x", "{a: " * 100_000, "? " * 100_000])
def test_far_too_deep(source: str) -> None:
    """What could crash the parser is a damaged cassette; a parser with a bound of its own may say so first."""
    with pytest.raises(InvalidCassette, match=r"cassette 'x\.yaml' is damaged in line 1, column \d+: ") as caught:
        decode_yaml(source.encode(), path="x.yaml")
    assert caught.value.path == "x.yaml"
    assert caught.value.offset is not None


def test_deep_enough() -> None:
    """What is nested as deeply as a cassette can be is read."""
    assert decode_yaml(("[" * 150 + "]" * 150).encode()) is not None


def test_aliases_that_grow() -> None:
    """Aliases of aliases are counted as what they stand for."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(InvalidCassette, match="more than 2,000,000 values"):
        decode_yaml("\n".join(lines).encode())


@pytest.mark.parametrize("source", ["&a [*a]", "a: &a {b: *a}", "*none"])
def test_aliases_of_themselves(source: str) -> None:
    """A value inside itself is refused, and so is an alias for nothing."""
    with pytest.raises(InvalidCassette):
        decode_yaml(source.encode())


@pytest.mark.parametrize("source", ["a: 1\nb: 2\na: 3", "x: {a: 1, b: [a, a], 'a': 2}"])
def test_key_twice(source: str) -> None:
    """A key that comes twice is refused, and told with its line: readers differ in which one counts."""
    with pytest.raises(InvalidCassette, match=r"in line \d, column \d+: the key 'a' is there twice"):
        decode_yaml(source.encode())


@pytest.mark.parametrize(
    "source",
    [
        b"a: [1",
        b"a: b: c",
        b"\x00\x01",
        b"\xff\xfe\xfd",
        b"a: '\xff'",
        b"\x80\x04\x95\x05",
        b"--- 1\n--- 2",
        b"a: !!int x",
        b"a: !!binary '?'",
        b"{[a]: 1}",
        b"a: " + b"9" * 5000,
        b"a: @",
        b"%YAML 9.9\n--- a",
    ],
)
def test_damaged(source: bytes) -> None:
    """What is not YAML, not UTF-8, a pickle, or a value that is none is a damaged cassette, never another error."""
    with pytest.raises(InvalidCassette, match=r"cassette 'x\.yaml' is damaged"):
        decode_yaml(source, path="x.yaml")


def test_where() -> None:
    """The error has the byte at which it went wrong, also after characters of several bytes."""
    with pytest.raises(InvalidCassette) as caught:
        decode_yaml("a: \u20ac\nb: 1\nb: 2\n".encode())
    assert caught.value.offset == len("a: \u20ac\nb: 1\n".encode())


def test_truncated_anywhere() -> None:
    """Cut at any byte, a document is read in part or is damaged; nothing else comes out."""
    source = "a: [1, 'x', {b: \"y\"}]\nc: |\n  text\n  more\nd: &e [*f]\n".replace("*f", "z").encode()
    for length in range(len(source)):
        try:
            decode_yaml(source[:length])
        except InvalidCassette:
            continue
