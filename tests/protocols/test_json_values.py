"""Strict JSON, as all protocols read and write it."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from mellite.errors import InvalidProviderOutput, InvalidRequest
from mellite.protocols.json_values import decode_json, json_text


def test_known_json(corpora: Path) -> None:
    """What must be read is read, what must not is InvalidProviderOutput, and nothing is ever another error."""
    wrong = []
    for line in (corpora / "json_vectors.jsonl").read_text().splitlines():
        vector = json.loads(line)
        try:
            decode_json(base64.b64decode(vector["raw_b64"]))
            got = "accept"
        except InvalidProviderOutput:
            got = "reject"
        if vector["expect"] not in (got, "either"):
            wrong.append((vector["name"], vector["expect"], got))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        ('"\\ud800"', "\ud800"),
        ('{"\\udc00": 1}', {"\udc00": 1}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        (str(10**100), 10**100),
        (" 1 ", 1),
    ],
)
def test_json_is_read_as_it_is(text: str, value: Any) -> None:
    """Lone surrogates and large numbers are kept, from text and from bytes."""
    assert decode_json(text) == value
    assert decode_json(text.encode()) == value


@pytest.mark.parametrize(
    "text", ["", "NaN", "-Infinity", "1e999", "[" * 100_000, "9" * 10_000, "{}{}", '{"a":1,}', "x" * 999]
)
def test_what_is_no_json_says_why(text: str) -> None:
    """Bad JSON is InvalidProviderOutput that says why and shows only the beginning."""
    with pytest.raises(InvalidProviderOutput, match="not valid JSON") as caught:
        decode_json(text)
    assert len(str(caught.value)) < 500


def test_broken_utf8_is_replaced() -> None:
    """Bytes that are not UTF-8 become U+FFFD inside a text."""
    assert decode_json(b'"a\xffb"') == "a\ufffdb"


@attrs.frozen
class Point:
    """A point."""

    x: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1, "é"]}, '{"b":1,"a":[1,"é"]}'),
        (Point(1), '{"x":1}'),
        ([date(2026, 11, 20)], '["2026-11-20"]'),
        ("\ud800", '"\ud800"'),
    ],
)
def test_json_text_is_compact(value: Any, text: str) -> None:
    """Values of many kinds are written compactly, in their own order."""
    assert json_text(value, what="it") == text


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {(1, 2): 3}, CYCLE, b"\xff" * 3 and {1, object()}]
)
def test_what_is_no_json_cannot_be_written(value: Any) -> None:
    """What JSON cannot hold is InvalidRequest that names the thing."""
    with pytest.raises(InvalidRequest, match="the thing cannot be written as JSON"):
        json_text(value, what="the thing")
