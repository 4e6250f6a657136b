"""Differences between the ways to Gemini."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

__all__ = ["GOOGLE", "GeminiDialect"]


@frozen(kw_only=True)
class GeminiDialect:
    """The differences of one way to Gemini: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        results: what a tool gave stands under ``output`` or ``error``, as Google documents it; or as text under
            ``content`` beside the tool's ``name``, as older clients wrote it.
        enums: whose numbers finish reasons are, where they come as numbers.
    """

    namespaces: tuple[str, ...] = ("gemini", "google")
    results: Literal["output", "content"] = "output"
    enums: Literal["studio", "vertex"] = "studio"


#: How Google documents it.
GOOGLE: Final = GeminiDialect()
