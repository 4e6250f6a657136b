"""Capabilities of the Claude models by version: thinking, effort, sampling, output length, system messages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from attrs import frozen

__all__ = ["ClaudeFacts", "facts_of"]

Thinking: TypeAlias = Literal["adaptive", "budget"]


@frozen(kw_only=True)
class ClaudeFacts:
    """The capabilities of one model. The defaults are for unknown models, whose server may refuse.

    Args:
        max_tokens: the longest answer to ask for, where the caller does not say.
        thinking: how it can be told to think: as it sees fit, or up to a number of tokens.
        effort: whether it knows levels of effort.
        sampling: whether it takes temperature, top_p and top_k.
        json_schema: whether its answers can be held to a JSON Schema.
        system_messages: whether instructions may stand in the middle of the conversation.
    """

    max_tokens: int = 32_000
    thinking: frozenset[Thinking] = frozenset({"budget"})
    effort: bool = True
    sampling: bool = True
    json_schema: bool = True
    system_messages: bool = False


_UNKNOWN: Final = ClaudeFacts()
_BUDGET: Final[frozenset[Thinking]] = frozenset({"budget"})
_BOTH: Final[frozenset[Thinking]] = frozenset({"adaptive", "budget"})
_ADAPTIVE: Final[frozenset[Thinking]] = frozenset({"adaptive"})

#: From this version on, of which family (None: any), what holds. The last row that fits counts. From the documents of
#: Anthropic on extended and adaptive thinking, effort, structured outputs, and the guides to each new model.
_ROWS: Final[tuple[tuple[tuple[int, int], str | None, ClaudeFacts], ...]] = (
    ((0, 0), None, ClaudeFacts(max_tokens=4096, thinking=frozenset(), effort=False, json_schema=False)),
    ((3, 5), None, ClaudeFacts(max_tokens=8192, thinking=frozenset(), effort=False, json_schema=False)),
    ((3, 7), None, ClaudeFacts(thinking=_BUDGET, effort=False, json_schema=False)),
    ((4, 1), "opus", ClaudeFacts(thinking=_BUDGET, effort=False)),
    ((4, 5), None, ClaudeFacts(thinking=_BUDGET, effort=False)),
    ((4, 5), "opus", ClaudeFacts(thinking=_BUDGET)),
    ((4, 6), None, ClaudeFacts(thinking=_BOTH)),
    ((4, 7), None, ClaudeFacts(thinking=_ADAPTIVE, sampling=False)),
    ((4, 8), "opus", ClaudeFacts(thinking=_ADAPTIVE, sampling=False, system_messages=True)),
    ((5, 0), None, ClaudeFacts(thinking=_ADAPTIVE, sampling=False, system_messages=True)),
)

#: ``claude-opus-4-5-20251101``, ``claude-sonnet-4-20250514``, ``claude-sonnet-5.5``
_FAMILY_FIRST: Final = re.compile(r"claude-(?P<family>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)")
#: ``claude-3-5-sonnet-20241022``, ``claude-2.1``
_VERSION_FIRST: Final = re.compile(
    r"claude-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)(?:-(?P<family>[a-z]+))?"
)


@lru_cache(maxsize=256)
def facts_of(model: str | None) -> ClaudeFacts:
    """Return what a model takes, by its name, whatever a gateway or a cloud puts before or after the name.

    Example:
        >>> facts_of("claude-3-5-haiku-latest").max_tokens, facts_of("us.anthropic.claude-opus-4-7").sampling
        (8192, False)
    """
    name = (model or "").lower()
    found = _FAMILY_FIRST.search(name) or _VERSION_FIRST.search(name)
    if found is None:
        return _UNKNOWN
    version = (int(found["major"]), int(found["minor"] or 0))
    facts = _UNKNOWN
    for since, family, row in _ROWS:
        if version >= since and family in (None, found["family"]):
            facts = row
    return facts
