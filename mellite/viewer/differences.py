"""Calls beside each other as JSON: which belong together, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ..archive.compare import Comparison, Pair, compare_entries
from ..archive.entries import Entry
from ..values.provider_json import Json, JsonObject

__all__ = ["difference_of"]


def difference_of(left: Sequence[Entry], right: Sequence[Entry]) -> JsonObject:
    """Compare calls as `mellite cassette diff` does, aligned as there."""
    found: Comparison = compare_entries(left, right)
    return {
        "pairs": [_pair(pair) for pair in found.pairs],
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cost_usd": _number(found.cost_usd),
    }


def _pair(pair: Pair) -> JsonObject:
    return {
        "change": pair.change,
        "left": _side(pair.left),
        "right": _side(pair.right),
        "request": [
            {"place": f"{each.section} {each.path}".strip(), "left": each.expected, "right": each.received}
            for each in pair.request
        ],
        "answer": [{"place": name, "left": _text(one), "right": _text(other)} for name, one, other in pair.answer],
    }


def _side(entry: Entry | None) -> JsonObject | None:
    if entry is None:
        return None
    answer, usage = entry.answer, None if entry.answer is None else entry.answer.usage
    return {
        "id": entry.name,
        "model": ":".join([each for each in (entry.provider, entry.model) if each]),
        "question": entry.question,
        "text": "" if answer is None else answer.text,
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_usd": None if answer is None else _number(answer.cost_usd),
    }


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _text(value: Any) -> Json:
    """Return a value that differs as a text; None for one that is not there."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str, indent=2)
