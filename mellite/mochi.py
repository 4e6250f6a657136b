"""mochi_llm_generate(): one recorded answer for one call, as compiled Mochi programs ask for it."""

from __future__ import annotations

import os
import sys

from .cassettes.text import TextDirectory, djb2_key

__all__ = ["mochi_llm_generate"]


def mochi_llm_generate(provider: str, model: str, prompt: str) -> str:
    """The text that was recorded for a call, in the directory that MOCHI_LLM_CASSETTE_DIR names now.

    Where there is none it says so on stderr and gives the empty text, so that a program runs to its end, as with
    Mochi's other runtimes. What is there but damaged, or the answer to another call, is an error all the same.

    Args:
        provider: as in ``openai``.
        model: the model's id; empty for the provider's default.
        prompt: what is asked.

    Raises:
        CassetteMismatch: if the file is the answer to another call with the same key.
        InvalidCassette: if the file, or its sidecar, is damaged.

    Example:
        >>> os.environ["MOCHI_LLM_CASSETTE_DIR"] = "cassettes/text"
        >>> "Answer: " + mochi_llm_generate("openai", "", "Say hello.")
        'Answer: Hello! It is good to meet you.'
        >>> del os.environ["MOCHI_LLM_CASSETTE_DIR"]
    """
    path = os.environ.get("MOCHI_LLM_CASSETTE_DIR")
    if not path:
        _say("MOCHI_LLM_CASSETTE_DIR not set")
        return ""
    directory = TextDirectory(path)
    cassette = directory.find(provider, model, prompt)
    if cassette is None:
        _say(f"cassette not found: {directory.file(djb2_key(provider, model, prompt))}")
        return ""
    return cassette.text


def _say(what: str) -> None:
    print(f"mochi_llm: {what}", file=sys.stderr)  # noqa: T201 - this line is part of the contract
