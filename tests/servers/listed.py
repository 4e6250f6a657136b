"""What differs by design between mellite and an official SDK, each with its reason; anything else is a fault."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from tests.servers.gauntlet import Difference

__all__ = ["reason_for"]

CLOSED: Final = "*Server disconnected*"
"""What aiohttp says where a connection that was kept alive turns out to be closed."""

LISTED: Final[tuple[tuple[str, str, str, str, str], ...]] = (
    (
        "transformers openai",
        "*, whole",
        "*",
        "*",
        (
            "The server streams whatever is not asked with stream=false, which the SDK was told to say. mellite leaves "
            "the field out, as the vendor's API has it, gets a stream, and reads it; only the whole answer is trimmed."
        ),
    ),
    (
        "*llama.cpp*",
        "*",
        "*",
        CLOSED,
        (
            "The server closes a connection that it announced to keep, and a question that is sent at that moment is "
            "lost. The SDK's HTTP client asks once more; mellite's transport does not yet."
        ),
    ),
)
"""Patterns for the seat, the step, the field and mellite's error, and why the two differ there."""


def reason_for(found: Difference) -> str | None:
    """Why this difference is meant to be; None if it is not."""
    facts = (found.seat, found.step, found.field, found.message or "")
    for *patterns, reason in LISTED:
        if all(fnmatchcase(fact, pattern) for fact, pattern in zip(facts, patterns, strict=True)):
            return reason
    return None
