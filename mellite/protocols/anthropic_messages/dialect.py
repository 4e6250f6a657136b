"""Differences between the companies that serve Claude."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["ANTHROPIC", "AnthropicDialect"]


@frozen(kw_only=True)
class AnthropicDialect:
    """The differences of one company's Anthropic Messages: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        names_model: whether the body names the model; clouds have it in the URL.
        says_stream: whether the body says that the answer is to be streamed; likewise.
        cache: whether parts of the prompt can be marked for a cache.
        max_tokens: how long an answer to ask for, where neither the caller nor the model's name says.
    """

    namespaces: tuple[str, ...] = ("anthropic",)
    names_model: bool = True
    says_stream: bool = True
    cache: bool = True
    max_tokens: int | None = None


#: The dialect of Anthropic itself.
ANTHROPIC: Final = AnthropicDialect()
