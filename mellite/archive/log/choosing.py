"""Choose calls of a log by state, model, tag, time, cost and words: the conditions and orders as SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve, frozen

__all__ = ["MANY", "Wanted", "escaped", "holding_word"]

#: So many numbers of calls are a long list.
MANY: Final = 1000

_ESCAPE: Final = "ESCAPE '\\'"

#: The order by name. Calls are numbered as they settle.
_ORDERS: Final = {
    "newest": "number DESC",
    "oldest": "number",
    "cost": "cost_usd DESC, number DESC",
    "slowest": "duration_ms DESC, number DESC",
    "tokens": "coalesce(input_tokens, 0) + coalesce(output_tokens, 0) DESC, number DESC",
}

_NUMBERED: Final = ("newest", "oldest")

_COLUMNS: Final = ("text", "shown", "thinking", "error")

#: The numbers of the calls that hold a word. A history is found by any message in it.
_HOLDING: Final = """
    WITH RECURSIVE hits(id) AS (SELECT id FROM messages WHERE {text} OR {shown}),
    down(id) AS (
        SELECT id FROM histories WHERE message IN hits
        UNION SELECT h.id FROM histories AS h JOIN down ON h.parent = down.id
    )
    SELECT number FROM call_records WHERE answer IN hits OR history IN down OR {thinking} OR {error}
"""


@frozen(kw_only=True)
class Wanted:
    """Which calls of a log are wanted, and in which order. What is empty or None wants all.

    Args:
        state: their state.
        model: the model asked for, the one that answered, or the provider and the model, as in ``openai:gpt-4o``.
        tag: one of their tags.
        word: a text in prompt, answer, thinking or error, however it is capitalised.
        parent: the run or step that they are a part of.
        since: a time as the log writes it, or its beginning: from then on; `until` up to it.
        min_usd: what they cost at least.
        min_ms: how long they took at least, in milliseconds.
        order: ``newest``, ``oldest``, ``cost``, ``slowest`` or ``tokens``.
    """

    state: str = ""
    model: str = ""
    tag: str = ""
    word: str = ""
    parent: str = ""
    since: str = ""
    until: str = ""
    min_usd: float | None = None
    min_ms: float | None = None
    order: str = "newest"

    def condition(self, holding: Sequence[int] | None = None) -> tuple[str, list[Any]]:
        """Return the condition, and the values in it.

        Args:
            holding: the numbers of the calls that hold the word, if they are known. Where they are many, the condition
                is without the word, as SQLite is slower with long lists than Python is (`MANY`).
        """
        conditions: list[str] = []
        values: list[Any] = []
        for wanted, condition, count in (
            (self.state, "state = ?", 1),
            (self.model, "? IN (model, response_model, provider || ':' || model)", 1),
            (self.parent, "parent = ?", 1),
            (self.since, "started_at >= ?", 1),
            (self.until, "started_at < ?", 1),
            (self.min_usd, "cost_usd >= ?", 1),
            (self.min_ms, "duration_ms >= ?", 1),
        ):
            if wanted not in ("", None):
                conditions.append(condition)
                values += [wanted] * count
        if self.tag:
            # Within another tag, the quotation marks of this one would have backslashes before them.
            written = json.dumps(self.tag, ensure_ascii=False)
            conditions.append("tags != '[]' AND (instr(tags, ?) OR instr(tags, ?) OR instr(tags, ?))")
            values += [f"{before}{written}" for before in ("[", ",", ", ")]
        if holding is not None:
            if len(holding) < MANY:
                conditions.append("number IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(holding))
        elif self.word:
            query, patterns = holding_word(self.word)
            conditions.append(f"number IN ({query})")
            values += patterns
        return " AND ".join(conditions) or "1", values

    @property
    def is_a_word(self) -> bool:
        """Whether only a word is wanted, in the order in which calls are numbered."""
        return bool(self.word) and evolve(self, word="", order="newest") == Wanted() and self.order in _NUMBERED

    @property
    def by(self) -> str:
        """The order, as SQL.

        Raises:
            KeyError: if there is no such order.
        """
        return _ORDERS[self.order]


def holding_word(word: str) -> tuple[str, list[str]]:
    """Return a query for the numbers of the calls that hold a word, and the values in it."""
    forms = _forms_of(word)
    conditions = {name: f"({' OR '.join([f'{name} LIKE ? {_ESCAPE}'] * len(forms))})" for name in _COLUMNS}
    return _HOLDING.format(**conditions), [f"%{escaped(form)}%" for form in forms] * len(_COLUMNS)


def _forms_of(word: str) -> list[str]:
    """Return the forms in which a word is looked for: SQLite ignores the case of ASCII letters only."""
    if word.isascii():
        return [word]
    return list(dict.fromkeys([word, word.lower(), word.upper(), word.capitalize()]))


def escaped(text: str) -> str:
    """Return a text as a pattern of LIKE that stands for itself."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
