"""Prices of answers from batches, as a share of the ordinary price: a table, with the source of each row."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from attrs import frozen

__all__ = ["BATCH", "BatchPrice", "batch_share"]

#: What `GenerationMetadata.service_tier` is of an answer out of a batch; Anthropic calls it so, too.
BATCH: Final = "batch"


@frozen(kw_only=True)
class BatchPrice:
    """The price of tokens in batches at one provider.

    Args:
        share: the share of the ordinary price.
        source: where that is said.
        date: when it was looked up.
    """

    share: Decimal
    source: str
    date: str


_HALF: Final = Decimal("0.5")

_SHARES: Final[Mapping[str, BatchPrice]] = {
    "openai": BatchPrice(share=_HALF, source="https://platform.openai.com/docs/guides/batch", date="2026-11-30"),
    "anthropic": BatchPrice(
        share=_HALF,
        source="https://platform.claude.com/docs/en/build-with-claude/batch-processing",
        date="2026-11-30",
    ),
    "azure": BatchPrice(
        share=_HALF, source="https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/batch", date="2026-12-01"
    ),
    "google": BatchPrice(share=_HALF, source="https://ai.google.dev/gemini-api/docs/batch-api", date="2026-11-30"),
    "mistral": BatchPrice(share=_HALF, source="https://docs.mistral.ai/capabilities/batch", date="2026-11-30"),
}


def batch_share(provider: str) -> Decimal | None:
    """Return the share of the ordinary price that a provider charges for tokens in batches; None if it is not known.

    Example:
        >>> batch_share("anthropic"), batch_share("acme")
        (Decimal('0.5'), None)
    """
    found = _SHARES.get(provider)
    return None if found is None else found.share
