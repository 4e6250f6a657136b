"""Find where a program asks for something else than it did when its journal was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, unified_diff
from itertools import islice
from typing import Any, Final

from .index import Call, Index

__all__ = ["difference", "expected", "nearest"]

#: Of so many calls that may be meant, the nearest one is looked for.
_MOST: Final = 20
#: So many characters of a request are compared to find it.
_COMPARED: Final = 4000


def expected(unclaimed: Iterable[Call]) -> list[Call]:
    """Return those calls that may come next: all that had settled before they were driven have been asked for.

    Args:
        unclaimed: the calls that have not been asked for yet, as they were driven.
    """
    found: list[Call] = []
    first_end = 0
    for call in islice(unclaimed, _MOST):
        if first_end and call.driven > first_end:
            break
        found.append(call)
        first_end = min(first_end, call.settled) if first_end else call.settled
    return found


def nearest(candidates: Iterable[Call], index: Index, request: Mapping[str, Any], run: str, step: int) -> Call | None:
    """Return the call that was most likely meant: the same step of the same run, else the most alike; None for none."""
    alike = [call for call in candidates if call.step == step]
    alike = [call for call in alike if call.run == run] or alike
    if len(alike) < 2:
        return alike[0] if alike else None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(_text(request)[-_COMPARED:])

    def likeness(call: Call) -> float:
        matcher.set_seq1(_text(index.request(call))[-_COMPARED:])
        return matcher.quick_ratio()

    return max(alike, key=likeness)


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return where two requests differ, as a unified diff of their JSON."""
    old, new = _text(before).split("\n"), _text(now).split("\n")
    return "\n".join(unified_diff(old, new, "journal", "asked", lineterm="", n=2))


def _text(request: Mapping[str, Any]) -> str:
    wanted = {name: request[name] for name in ("who", "lineage", "frame", "messages") if name in request}
    return json.dumps(wanted, indent=1, ensure_ascii=False, sort_keys=True, default=repr)
