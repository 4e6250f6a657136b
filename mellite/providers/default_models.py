"""The default models of some providers, for programs that name none, and Mochi's names for providers."""

from __future__ import annotations

from typing import Final

__all__ = ["DEFAULT_MODELS", "spec_of"]

#: Provider, by Mochi's name -> the default model.
DEFAULT_MODELS: Final = {
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "llama": "default",  # a llama.cpp server ignores the name and uses the model that it was started with
    "openai": "gpt-4o-mini",
}

_PROVIDERS: Final = {"llama": "llama.cpp"}


def spec_of(provider: str, model: str) -> str:
    """Return the spec for `mellite.backend`, given a provider by Mochi's name or mellite's, and a model.

    An empty model stands for the provider's default.

    Example:
        >>> spec_of("llama", ""), spec_of("groq", "llama-3.3-70b-versatile")
        ('llama.cpp:default', 'groq:llama-3.3-70b-versatile')
    """
    return f"{_PROVIDERS.get(provider, provider)}:{model or DEFAULT_MODELS.get(provider, '')}"
