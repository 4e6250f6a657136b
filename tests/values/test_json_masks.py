"""Keys in decoded JSON are masked: by the names of fields, and by the look of texts."""

from __future__ import annotations

import json
from typing import Any

from mellite.values.secrets.json_masks import masked_json

KEY = "sk-abcdefghijklmnopqrstuvwxyz0123456789"


def test_keys_are_masked() -> None:
    """Fields that are secret by name, keys in texts, lists and names of fields; the rest is equal, and a copy."""
    value: dict[str, Any] = {"password": {"old": "a"}, "api_key": None, "n": [1, 2.5, True, f"use {KEY}"], KEY: "x"}
    before = json.dumps(value)
    found = masked_json(value)
    assert found == {
        "password": "[REDACTED]",
        "api_key": None,
        "n": [1, 2.5, True, "use [REDACTED]"],
        "[REDACTED]": "x",
    }
    assert json.dumps(value) == before
    assert found["n"] is not value["n"]


def test_deep_json() -> None:
    """What lies deeper than fifty levels is left out, so that any depth can be shown and pickled."""
    deep: Any = KEY
    for _ in range(100_000):
        deep = [deep]
    text = json.dumps(masked_json(deep))
    assert len(text) < 200
    assert KEY not in text
