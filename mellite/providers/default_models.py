"""The models that are asked where a program names none, and the names that Mochi has for providers."""

from __future__ import annotations

from typing import Final

__all__ = ["DEFAULT_MODELS", "spec_of"]

#: Provider -> the model that is asked by default; with Mochi's names.
DEFAULT_MODELS: Final = {
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "llama": "default",  # a llama.cpp server answers with the model that it was started with, whatever it is asked for
    "openai": "gpt-4o-mini",
}

_PROVIDERS: Final = {"llama": "llama.cpp"}


def spec_of(provider: str, model: str) -> str:
    """What `mellite.backend` takes for a provider of Mochi's, or of ours, and a model; empty for the default one.

    Example:
        >>> spec_of("llama", ""), spec_of("groq", "llama-3.3-70b-versatile")
        ('llama.cpp:default', 'groq:llama-3.3-70b-versatile')
    """
    return f"{_PROVIDERS.get(provider, provider)}:{model or DEFAULT_MODELS.get(provider, '')}"
