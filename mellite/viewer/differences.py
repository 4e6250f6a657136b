"""Calls beside each other as JSON: what differs between them, and by what a page without a server finds that out."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Any, final

from attrs import asdict

from ..archive.aligning import asked, said
from ..archive.compare import Comparison, Pair, called, compare_entries
from ..archive.entries import Answer, Entry
from ..values.provider_json import Json, JsonObject

__all__ = ["Numbered", "difference_of"]


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


@final
class Numbered:
    """Tells calls as what a page compares them by, which must not think about what is equal as Python does.

    Equal requests, equal answers and equal costs have equal numbers, of all calls that one of these has told.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def told(self, entry: Entry) -> JsonObject:
        """Return what a call is compared by, as JSON-ready values."""
        answer, sent = entry.answer, entry.request
        return {
            "side": _side(entry),
            "format": entry.format,
            "asked": self._number("asked", asked(entry)),
            "said": self._number("said", said(entry)),
            "spent": None if answer is None else self._number("spent", _spent(answer)),
            "request": None
            if sent is None
            else {
                "method": sent.method,
                "url": sent.url,
                "headers": dict(sent.headers),
                "body": sent.body,
                "is_json": sent.is_json,
            },
            "status": _text(entry.status),
            "end": entry.end,
            "ending": entry.ending,
            "body": self._number("body", entry.body),
            "size": f"{len(entry.body):,} bytes",
            "span": None if entry.span is None else [*entry.span],
            "lineage": None if entry.lineage is None else [*entry.lineage],
            "refused": entry.refused,
            "answer": self._answer(entry),
        }

    def _answer(self, entry: Entry) -> JsonObject | None:
        answer = entry.answer
        if answer is None:
            return None
        usage = answer.usage
        return {
            "text": answer.text,
            "thinking": answer.thinking,
            "finish_reason": answer.finish_reason,
            "error": _text(answer.error),
            "tool_calls": [
                {"same": self._number("call", _sorted(call)), "text": called(call)} for call in answer.tool_calls
            ],
            "usage": None if usage is None else [usage.input_tokens, usage.output_tokens],
            "is_zero": usage is not None and usage.is_zero,
            "cost_usd": _number(answer.cost_usd),
        }

    def _number(self, kind: str, value: Hashable) -> int:
        return self._numbers.setdefault((kind, value), len(self._numbers))


def _spent(answer: Answer) -> Hashable:
    return None if answer.usage is None else _sorted(asdict(answer.usage, recurse=False)), answer.cost_usd


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
