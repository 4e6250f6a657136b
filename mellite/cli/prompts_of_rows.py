"""The prompt of a row, and the row beside its answer, for `mellite map` and `mellite batch`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..values.errors import InvalidRequest

__all__ = ["beside", "prompt_of"]


def prompt_of(row: Mapping[str, Any], number: int, *, template: str | None, column: str | None) -> str:
    """Return the prompt of a row.

    Args:
        row: the row.
        number: which row it is, from 1 on, for the error.
        template: the prompt, with columns as ``{question}``.
        column: the column that is the prompt; ``prompt`` by default.

    Raises:
        InvalidRequest: if the row has no such column, or null in it, with its number.
    """
    columns = ", ".join(map(repr, row)) or "none"
    if template is not None:
        from ..values.templates import apply_vars, places_in

        missing = [name for name in places_in(template) if name not in row]
        if missing:
            msg = f"row {number} has no column {missing[0]!r}, which --template has a place for; it has {columns}"
            raise InvalidRequest(msg, parameter="template")
        return apply_vars(template, {name: _text(value) for name, value in row.items()})
    named = column or "prompt"
    if named not in row:
        msg = f"row {number} has no column {named!r}; it has {columns}: name one with --column, or use --template"
        raise InvalidRequest(msg, parameter="column")
    if row[named] is None:
        msg = f"row {number} has null in the column {named!r}, and there is nothing to ask: leave the row out"
        raise InvalidRequest(msg, parameter="column")
    return _text(row[named])


def _text(value: Any) -> str:
    """Return a cell as it stands in a prompt: null as nothing, lists and objects as JSON."""
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def beside(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose columns have other names than those of an answer."""
    from ..engine.collected import ANSWER_COLUMNS

    return {f"input_{name}" if name in ANSWER_COLUMNS else name: value for name, value in row.items()}
