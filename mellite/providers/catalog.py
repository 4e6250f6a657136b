"""Find a provider by name: 'groq:llama-3.3-70b-versatile' becomes a route with its model."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

from ..errors import UnknownProvider
from ..wire.route import Route
from . import compatible, openai

__all__ = ["find", "names", "split"]

#: Other names that people use.
_ALIASES: Final = {
    "hf": "huggingface",
    "llama-cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "lm-studio": "lmstudio",
    "togetherai": "together",
}


def split(spec: str) -> tuple[str, str | None]:
    """The provider's name, in lower case, and the model's id, which may hold more separators.

    Args:
        spec: ``provider:model`` or ``provider/model``, whichever separator comes first; or a provider alone.

    Example:
        >>> split("openrouter:openai/gpt-4o-mini"), split("openai/gpt-4o-mini"), split("ollama")
        (('openrouter', 'openai/gpt-4o-mini'), ('openai', 'gpt-4o-mini'), ('ollama', None))
    """
    cut = min([at for at in (spec.find(":"), spec.find("/")) if at >= 0], default=len(spec))
    return spec[:cut].strip().lower(), spec[cut + 1 :].strip() or None


def names() -> list[str]:
    """The names of all providers, sorted.

    Example:
        >>> "groq" in names()
        True
    """
    return sorted(_makers())


def find(spec: str, *, api_key: str | None = None, base_url: str | None = None) -> Route:
    """The route to a provider and its model.

    Args:
        spec: ``provider:model`` or ``provider/model``.
        api_key: the key; without one the provider's own environment variable is read when a call is made.
        base_url: another server; then no key of the environment is sent there.

    Raises:
        UnknownProvider: if there is none of that name, with the nearest one.
        ConfigurationError: if `base_url` is no URL.

    Example:
        >>> route = find("groq:llama-3.3-70b-versatile", api_key="gsk-test")
        >>> route.provider, route.model
        ('groq', 'llama-3.3-70b-versatile')
    """
    name, model = split(spec)
    makers = _makers()
    make = makers.get(_ALIASES.get(name, name))
    if make is None:
        known = sorted(makers)
        near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        msg = f"there is no provider {name!r} (from {spec!r}); {hint}"
        raise UnknownProvider(msg, provider=name)
    return make(api_key, base_url, model)


_Maker = Callable[[str | None, str | None, str | None], Route]


def _makers() -> dict[str, _Maker]:
    """How to make the route of each provider. ``openai`` means Chat Completions until Responses is here."""
    makers: dict[str, _Maker] = {"openai": _openai, "openai-chat": _openai}
    for host in compatible.HOSTS.values():
        makers[host.name] = _maker(host)
    return makers


def _openai(api_key: str | None, base_url: str | None, model: str | None) -> Route:
    return openai.chat_route(api_key=api_key, base_url=base_url, model=model)


def _maker(host: compatible.Host) -> _Maker:
    def make(api_key: str | None, base_url: str | None, model: str | None) -> Route:
        return compatible.chat_route(host, api_key=api_key, base_url=base_url, model=model)

    return make
