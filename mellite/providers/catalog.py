"""Find a provider by name: 'groq:llama-3.3-70b-versatile' becomes a route with its model."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from ..values.errors import ConfigurationError, UnknownProvider
from ..values.spelling import nearest
from ..wire.protocol import Protocol
from ..wire.route import Route

__all__ = ["PROTOCOLS", "PROVIDERS", "find", "find_protocol", "knows", "names", "providers_of", "split"]

#: The entry points of packages that bring a provider or a protocol of their own.
PROVIDERS: Final = "mellite.providers"
PROTOCOLS: Final = "mellite.protocols"

#: Other names that people use.
_ALIASES: Final = {
    "amazon-bedrock": "bedrock",
    "claude": "anthropic",
    "cloudflare-workers": "cloudflare-workers-ai",
    "fireworks-ai": "fireworks",
    "copilot": "github-copilot",
    "gemini": "google",
    "google-vertex": "vertex",
    "hf": "huggingface",
    "llama-cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "lm-studio": "lmstudio",
    "moonshotai": "moonshot",
    "openai-responses": "openai",
    "togetherai": "together",
    "vertexai": "vertex",
    "workers-ai": "cloudflare-workers-ai",
    "z.ai": "zai",
    "zhipu": "zai",
    "xai-responses": "xai",
}

_RESELLERS: Final = frozenset({"azure", "bedrock", "openrouter", "vertex", "vertex-anthropic"})
_GOOGLE: Final = frozenset({"google", "vertex"})

#: Makes a route, given ``api_key``, ``base_url`` and ``model``, each of which may be None.
Maker = Callable[..., Route]


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


def _makers() -> dict[str, tuple[str, str]]:
    """Where the route of each provider with a module of its own is made: module and function."""
    return {
        "anthropic": ("mellite.providers.anthropic", "messages_route"),
        "google": ("mellite.providers.google", "gemini_route"),
        "azure": ("mellite.providers.azure", "responses_route"),
        "azure-chat": ("mellite.providers.azure", "chat_route"),
        "bedrock": ("mellite.providers.bedrock", "converse_route"),
        "cohere": ("mellite.providers.cohere", "chat_route"),
        "cloudflare-ai-gateway": ("mellite.providers.cloudflare", "gateway_route"),
        "github-copilot": ("mellite.providers.github_copilot", "route"),
        "openai-compatible": ("mellite.providers.compatible", "any_route"),
        "openai": ("mellite.providers.openai", "responses_route"),
        "openai-chat": ("mellite.providers.openai", "chat_route"),
        "openai-websocket": ("mellite.providers.openai", "websocket_route"),
        "xai": ("mellite.providers.xai", "responses_route"),
        "xai-chat": ("mellite.providers.xai", "chat_route"),
        "xai-websocket": ("mellite.providers.xai", "websocket_route"),
        "vertex": ("mellite.providers.vertex", "gemini_route"),
        "vertex-anthropic": ("mellite.providers.vertex_anthropic", "messages_route"),
    }


def names() -> list[str]:
    """The names of all providers, sorted; those that other packages bring included.

    Example:
        >>> "groq" in names()
        True
    """
    from .compatible import HOSTS

    return sorted({*_makers(), *HOSTS, *[found.name.lower() for found in entry_points(group=PROVIDERS)]})


def knows(name: str) -> bool:
    """Whether there is a provider of this name, or one that is also called so."""
    from .compatible import HOSTS

    return name in _ALIASES or name in _makers() or name in HOSTS or bool(_brought(name))


def find(spec: str, *, api_key: str | None = None, base_url: str | None = None) -> Route:
    """The route to a provider and its model.

    Providers of other packages, see ``docs/how-to/add-a-provider.md``, come after mellite's own: none of them can take
    a name, and with it a key, that is taken.

    Args:
        spec: ``provider:model`` or ``provider/model``.
        api_key: the key; without one the provider's own environment variable is read when a call is made.
        base_url: another server; then no key of the environment is sent there.

    Raises:
        UnknownProvider: if there is none of that name, with the nearest one.
        ConfigurationError: if `base_url` is no URL, or the package that brings the provider is broken.

    Example:
        >>> route = find("groq:llama-3.3-70b-versatile", api_key="gsk-test")
        >>> route.provider, route.model
        ('groq', 'llama-3.3-70b-versatile')
    """
    name, model = split(spec)
    route: Any = _maker(_ALIASES.get(name, name), spec)(api_key=api_key, base_url=base_url, model=model)
    if not isinstance(route, Route):
        msg = f"provider {name!r} made a {type(route).__name__} where a Route was wanted; tell those who wrote it"
        raise ConfigurationError(msg, provider=name)
    return route


def find_protocol(id: str) -> Protocol[Any]:
    """A protocol that another package brings, by its id; to make routes that speak it.

    Raises:
        ConfigurationError: if there is none, or the package that brings it is broken.
    """
    for found in entry_points(group=PROTOCOLS, name=id):
        protocol = _loaded(found, "protocol")
        if isinstance(protocol, Protocol):
            return protocol
        msg = f"{_package(found)} brings as protocol {id!r} a {type(protocol).__name__}, not a Protocol"
        raise ConfigurationError(msg)
    known = ", ".join(sorted(entry_points(group=PROTOCOLS).names)) or "none"
    msg = f"no installed package brings a protocol {id!r} as an entry point of {PROTOCOLS!r}; there are: {known}"
    raise ConfigurationError(msg)


def _maker(name: str, spec: str) -> Maker:
    place = _makers().get(name)
    if place is not None:
        own: Maker = getattr(import_module(place[0]), place[1])
        return own
    from .compatible import HOSTS, Host, maker_of

    if name in HOSTS:
        return maker_of(HOSTS[name])
    for found in _brought(name):
        made = _loaded(found, "provider")
        if isinstance(made, Host):
            return maker_of(made)
        if callable(made):
            return cast("Maker", made)
        msg = f"{_package(found)} brings as provider {name!r} a {type(made).__name__}, not a Host or a function"
        raise ConfigurationError(msg, provider=name)
    raise UnknownProvider(_unknown(name, spec), provider=name)


def _unknown(name: str, spec: str) -> str:
    """What to say of a provider that does not exist: a model may have been named without one."""
    model = split(spec)[1] or spec.strip()
    known = {**{each: each for each in names()}, **_ALIASES}
    near = nearest(name, known)
    having = [] if near is not None else providers_of(spec.strip()) or providers_of(model)
    example = f"{having[0]}:{model if providers_of(model) else spec.strip()}" if having else "openai:gpt-4o-mini"
    if ":" in spec or "/" in spec:
        said = f"there is no provider {name!r} (from {spec!r})"
    else:
        said = f"{spec!r} names no provider: write PROVIDER:MODEL, as in {example!r}"
    if near is not None:
        return f"{said}; did you mean {near!r}?"
    if not having:
        return f"{said}; there are {', '.join(sorted(names()))}"
    return f"{said}; such a model is known of {', '.join(having)}"


def providers_of(model: str) -> list[str]:
    """The providers that have a model of this name, as far as the price list knows; those who make it come first.

    Example:
        >>> providers_of("gpt-4o-mini"), providers_of("no-such-model")
        (['openai', 'azure'], [])
    """
    from ..values.prices.pricelist import prices

    try:
        listed = prices()
    except ConfigurationError:  # of a file of the user's, which is told where prices are asked for
        return []
    found = {name for name in names() if listed.provider(name) is not None and listed.find(model, name) is not None}
    if "claude" in model.lower() and found & _GOOGLE:  # which is one company to the price list
        found = (found - _GOOGLE) | {"vertex-anthropic"}
    return sorted(found, key=lambda name: (name in _RESELLERS, name))


def _brought(name: str) -> list[EntryPoint]:
    """The providers of this name that other packages bring; case makes no difference."""
    return [found for found in entry_points(group=PROVIDERS) if found.name.lower() == name]


def _loaded(found: EntryPoint, what: str) -> Any:
    try:
        return found.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        msg = f"the {what} {found.name!r} of {_package(found)} cannot be loaded: {error}"
        raise ConfigurationError(msg) from error


def _package(found: EntryPoint) -> str:
    return found.dist.name if found.dist is not None else found.value
