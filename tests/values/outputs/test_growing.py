"""JSON while it is being written: what is shown, what waits, and that it only grows."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.values.outputs.growing import NOTHING, GrowingJson

VECTORS = Path(os.environ.get("MELLITE_CORPORA") or Path(__file__).parents[4] / "shared" / "corpora")
VECTORS /= "partial_json_vectors.jsonl"


def vectors() -> list[dict[str, Any]]:
    """The rows of the corpus."""
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not there")
    return [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


def grown(text: str, schema: Any = None) -> list[Any]:
    """The different data in turn, as a text comes character by character."""
    reader = GrowingJson(schema)
    found: list[Any] = []
    for character in text:
        changed = reader.feed(character)
        if reader.data is not NOTHING and (not found or reader.data != found[-1]):
            assert changed
            found.append(reader.data)
    if reader.end():
        found.append(reader.data)
    return found


def is_more(before: Any, after: Any) -> bool:
    """Whether data holds all that it held before."""
    if before is NOTHING:
        return True
    if type(before) is not type(after):
        return False
    if isinstance(before, str):
        return bool(after.startswith(before))
    if isinstance(before, list):
        whole = max(len(before) - 1, 0)
        return len(before) <= len(after) and all(map(is_more, before, after)) and before[:whole] == after[:whole]
    if isinstance(before, dict):
        return [*before] == [*after][: len(before)] and all(is_more(value, after[key]) for key, value in before.items())
    return bool(before == after)


def has_twice(text: str) -> bool:
    """Whether an object has a key twice: the later value takes the place of the first one, and is no more of it."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.JSONDecoder(object_pairs_hook=look).raw_decode(text)
    return found


def test_as_other_parsers_read_it() -> None:
    """Of real arguments cut anywhere it reads what other partial parsers read, but no number before it is whole."""
    for row in vectors():
        for prefix in row["prefixes"]:
            text = row["full"][: prefix["k"]]
            reader = GrowingJson()
            reader.feed(text)
            wanted = prefix["trailing-strings"].get("v", NOTHING)
            is_number = text[-1:].isdigit() and wanted != reader.data
            assert is_number or wanted == reader.data, text
            if is_number and not has_twice(row["full"]):
                assert is_more(reader.data, wanted)


@pytest.mark.slow
def test_real_arguments_only_grow() -> None:
    """Cut at every character, each partial holds all of the one before, and the last is the whole value."""
    for row in vectors():
        text = row["full"]
        reader, last = GrowingJson(), NOTHING
        for character in text:
            changed, data = reader.feed(character), reader.data
            assert is_more(last, data) or has_twice(text), (last, data)
            assert changed or data == last
            last = data
        reader.end()
        assert reader.data == json.JSONDecoder().raw_decode(text)[0]


def test_what_is_json() -> None:
    """Of the vectors of JSONTestSuite, what must be read is read, and what must not is not."""
    file = VECTORS.with_name("json_vectors.jsonl")
    if not file.exists():
        pytest.skip(f"{file} is not there")
    wrong = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        text = base64.b64decode(row["raw_b64"]).decode("utf-8", "surrogateescape")
        reader = GrowingJson()
        reader.feed(text)
        reader.end()
        is_read = reader.is_whole and not reader.is_broken
        if row["expect"] == "accept" and not (is_read and reader.data == json.loads(text)):
            wrong.append((row["name"], reader.data))
        if row["expect"] == "reject" and is_read and max(text, default="") < "\udc00":
            wrong.append((row["name"], reader.data))
    assert wrong == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(VALUES, st.booleans(), st.integers(1, 7))
def test_any_value(value: Any, is_ascii: bool, size: int) -> None:
    """Any JSON in pieces of any size grows into its value."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=size % 3)
    reader, last = GrowingJson(), NOTHING
    for at in range(0, len(text), size):
        reader.feed(text[at : at + size])
        assert is_more(last, reader.data)
        last = reader.data
    reader.end()
    assert reader.data == value
    assert not reader.is_broken


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('{"a": "xy"}', [{}, {"a": ""}, {"a": "x"}, {"a": "xy"}]),
        ("[1, 23]", [[], [1], [1, 23]]),
        ("12", [12]),
        ("-1.5e3", [-1500.0]),
        ("[true, null]", [[], [True], [True, None]]),
        ("null", [None]),
        ('"a\\u00e9\\n"', ["", "a", "aé", "aé\n"]),
        ('"\\ud83d\\ude00!"', ["", "😀", "😀!"]),
        ('"\\ud83d!"', ["", "\ud83d!"]),
        ('[{}, [], ""]', [[], [{}], [{}, []], [{}, [], ""]]),
        ('{"a": 1, "a": "x"}', [{}, {"a": 1}, {"a": ""}, {"a": "x"}]),
    ],
)
def test_steps(text: str, steps: list[Any]) -> None:
    """Texts grow; numbers and words come whole; a key that comes twice has its last value."""
    assert grown(text) == steps


@pytest.mark.parametrize(
    "text",
    ['{"a" 1}', "[1,]", "[tru]", "01", '"\\q"', '"a\nb"', '{"a":1,}', "nul", "[1 2]", "}", "-", '"\\u12g4"', "+1"],
)
def test_what_is_no_json(text: str) -> None:
    """Behind a fault nothing is read, and nothing is raised."""
    reader = GrowingJson()
    for character in f"{text} [1]":
        reader.feed(character)
    reader.end()
    assert reader.is_broken
    assert not reader.is_whole


@pytest.mark.parametrize(
    ("schema", "steps"),
    [
        ({"type": "string"}, ["", "r", "re", "red"]),
        ({"enum": ["red", "green"]}, ["red"]),
        ({"type": "string", "const": "red"}, ["red"]),
        ({"type": "string", "format": "date"}, ["red"]),
        ({"type": "string", "pattern": "^r"}, ["red"]),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}, ["red"]),
        ({"anyOf": [{"type": "string"}, {"enum": ["red"]}]}, ["", "r", "re", "red"]),
        ({"$ref": "#/$defs/c", "$defs": {"c": {"enum": ["red"]}}}, ["red"]),
        ({"allOf": [{"enum": ["red"]}]}, ["red"]),
        ({"type": ["string", "null"], "enum": ["red", None]}, ["red"]),
    ],
)
def test_texts_of_a_closed_set_wait(schema: Any, steps: list[Any]) -> None:
    """A text that has only some values, or a format, by its schema is there once it is whole."""
    assert grown('"red"', schema) == steps
    inside = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": schema}},
        "$defs": schema.get("$defs", {}),
    }
    assert grown('{"a": ["red"]}', inside) == [{}, {"a": []}, *[{"a": [step]} for step in steps]]


def test_elements() -> None:
    """The whole elements of an array are told as soon as each is whole, also under a key."""
    reader = GrowingJson()
    counts = []
    for character in '[1, "ab", {"x": [1]}, [2]]':
        reader.feed(character)
        counts.append(len(reader.elements()))
    assert counts == sorted(counts)
    assert counts[:3] == [0, 0, 1]
    assert reader.elements() == [1, "ab", {"x": [1]}, [2]]
    wrapped = GrowingJson()
    wrapped.feed('{"value": [1, 2, "x')
    assert wrapped.elements("value") == [1, 2]
    assert wrapped.elements() == wrapped.elements("other") == ()
    wrapped.feed('"]}')
    assert wrapped.elements("value") == [1, 2, "x"]


def test_what_was_given_does_not_change() -> None:
    """Data that was given stays as it was."""
    reader = GrowingJson()
    reader.feed('{"a": [1, "x')
    before = reader.data
    reader.feed('y", 2], "b": {}}')
    assert before == {"a": [1, "x"]}
    assert reader.data == {"a": [1, "xy", 2], "b": {}}


def test_deep_nesting_is_a_fault() -> None:
    """What is nested too deeply to be read anyhow is not followed."""
    reader = GrowingJson()
    reader.feed("[" * 100_000)
    assert reader.is_broken


def test_long_texts_take_linear_time() -> None:
    """The work is linear in the text: ten times the text takes about ten times the steps of the reader."""

    def steps(count: int) -> int:
        reader = GrowingJson()
        taken = 0
        text = json.dumps([{"n": n, "t": "x" * 10} for n in range(count)])
        for at in range(0, len(text), 5):
            taken += 1
            reader.feed(text[at : at + 5])
        assert reader.is_whole
        return taken

    assert steps(2_000) < 12 * steps(200)
