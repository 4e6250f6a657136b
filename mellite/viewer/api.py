"""Answer the page's paths with JSON: calls, one call, its timeline, runs, costs, differences. No HTTP here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from attrs import frozen

from ..archive.log.choosing import Wanted
from ..values.errors import MelliteError
from ..values.provider_json import JsonObject
from .rows import SORTS, Sort, Source

__all__ = ["Reply", "reply_to", "unreadable"]

_DEFAULT_LIMIT: Final = 200
_MOST: Final = 10_000
_TEXTS: Final = {
    **{name: name for name in ("state", "model", "tag", "since", "until")},
    "q": "word",
    "run": "parent",
}


@frozen
class Reply:
    """An answer: the status, and JSON-ready values."""

    status: int
    body: JsonObject


class _BadQueryError(Exception):
    pass


def reply_to(source: Source, path: Sequence[str], query: Mapping[str, str]) -> Reply:
    """Answer a request.

    Args:
        source: what is looked at.
        path: the parts of the path after ``api``, as in ``["calls", "12", "timeline"]``.
        query: what is asked for, by name.
    """
    try:
        found = _found(source, list(path), query)
    except _BadQueryError as error:
        return Reply(400, {"error": str(error)})
    except (MelliteError, OSError) as error:  # it was deleted or damaged meanwhile, and may come back
        return Reply(503, {"error": unreadable(source, error)})
    return Reply(404, {"error": "there is no such thing"}) if found is None else Reply(200, found)


def unreadable(source: Source, error: Exception) -> str:
    """Return as a sentence why a source cannot be read now."""
    return str(error) if isinstance(error, MelliteError) else f"{source.name} cannot be read now: {error}"


def _found(source: Source, path: list[str], query: Mapping[str, str]) -> JsonObject | None:
    match path:
        case ["calls"]:
            return _calls(source, query)
        case ["calls", id]:
            return source.call(id, brief=bool(query.get("brief")))  # the page asks
        case ["calls", id, "timeline"]:
            return source.timeline(id)
        case ["runs"]:
            runs = source.runs()
            return {"total": len(runs), "runs": [*runs]}
        case ["runs", id]:
            return source.run(id)
        case ["facets"]:
            return source.facets()
        case ["costs"]:
            return source.costs()
        case ["diff"]:
            return source.difference(query.get("left", ""), query.get("right", ""))
        case ["source"]:
            return {"kind": source.kind, "name": source.name}
        case _:
            return None


def _calls(source: Source, query: Mapping[str, str]) -> JsonObject:
    limit = min(_count(query, "limit", _DEFAULT_LIMIT), _MOST)
    found = source.calls(_wanted(query), _count(query, "offset", 0), limit)
    if query.get("brief"):  # the page asks
        rows = [row.brief().as_json() for row in found.calls]
        return {"total": found.total, "calls": rows, "problems": [*source.problems]}
    return {"total": found.total, "calls": [row.as_json() for row in found.calls]}


def _wanted(query: Mapping[str, str]) -> Wanted:
    sort = query.get("sort") or "newest"
    if sort not in SORTS:
        msg = f"'sort' is one of {', '.join(get_args(Sort))}, not {sort!r}"
        raise _BadQueryError(msg)
    texts: dict[str, Any] = {name: query.get(asked, "") for asked, name in _TEXTS.items()}
    return Wanted(**texts, order=sort, min_usd=_number(query, "min_usd"), min_ms=_number(query, "min_ms"))


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(2**62)) - 1:
        msg = f"{name!r} is a whole number, not {text!r:.40}"
        raise _BadQueryError(msg)
    return int(text)


def _number(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name, "")
    try:
        return float(text) if text else None
    except ValueError:
        msg = f"{name!r} is a number, not {text!r:.40}"
        raise _BadQueryError(msg) from None
