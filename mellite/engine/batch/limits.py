"""Limits of the providers' batch services: a table, with the source of each row and when it was looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

__all__ = ["LIMITS", "OTHERS", "PART_BYTES", "BatchLimits", "limits_of"]

_MB: Final = 1_000_000

#: The largest file that is made, in bytes, whatever a service takes: it is in memory while it is sent.
PART_BYTES: Final = 32 * _MB


@frozen(kw_only=True)
class BatchLimits:
    """The limits of one service for one batch.

    Args:
        requests: how many requests; None for no bound that is known.
        bytes: how many bytes.
        source: where that is said.
        date: when it was looked up.
    """

    requests: int | None
    bytes: int
    source: str
    date: str


LIMITS: Final[Mapping[str, BatchLimits]] = {
    "openai": BatchLimits(
        requests=50_000,
        bytes=200 * _MB,
        source="https://platform.openai.com/docs/api-reference/batch/create, and openai 3.57.0 for Python",
        date="2026-11-30",
    ),
    "anthropic": BatchLimits(
        requests=100_000,
        bytes=256 * _MB,
        source="https://platform.claude.com/docs/en/build-with-claude/batch-processing",
        date="2026-11-30",
    ),
    "azure": BatchLimits(
        requests=100_000,
        bytes=200 * _MB,
        source="https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/batch",
        date="2026-12-01",
    ),
    "google": BatchLimits(
        requests=None,
        bytes=2_000 * _MB,
        source="https://ai.google.dev/gemini-api/docs/batch-api",
        date="2026-11-30",
    ),
    "mistral": BatchLimits(
        requests=100_000,
        bytes=512 * _MB,
        source="https://docs.mistral.ai/resources/known-limitations",
        date="2026-11-30",
    ),
}
"""Provider -> what its service takes."""

OTHERS: Final = LIMITS["openai"]
"""What is held for services like OpenAI's that are not in the table."""


def limits_of(provider: str) -> BatchLimits:
    """Return what the service of a provider takes.

    Example:
        >>> limits_of("anthropic").requests
        100000
    """
    return LIMITS.get(provider, OTHERS)
