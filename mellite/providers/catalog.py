"""Find a provider by name: turn 'groq:llama-3.3-70b-versatile' into a route with its model."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from ..values.errors import ConfigurationError, UnknownProvider
from ..values.spelling import nearest
from ..values.type_names import a_type_name
from ..wire.protocol import Protocol
from ..wire.route import Route

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

__all__ = ["PROTOCOLS", "PROVIDERS", "find", "find_protocol", "knows", "names", "providers_of", "split"]

#: The groups of entry points with which other packages add providers and protocols.
PROVIDERS: Final = "mellite.providers"
PROTOCOLS: Final = "mellite.protocols"

#: Other names for providers.
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

#: A function that makes a route from ``api_key``, ``base_url`` and ``model``, each of which may be None.
Maker = Callable[..., Route]


def split(spec: str) -> tuple[str, str | None]:
    """Split a spec into the provider's name, in lower case, and the model's id, or None.

    Args:
        spec: ``provider:model`` or ``provider/model``, or a provider alone. The first separator counts; the model's id
            may hold more.

    Example:
        >>> split("openrouter:openai/gpt-4o-mini"), split("openai/gpt-4o-mini"), split("ollama")
        (('openrouter', 'openai/gpt-4o-mini'), ('openai', 'gpt-4o-mini'), ('ollama', None))
    """
    cut = min([at for at in (spec.find(":"), spec.find("/")) if at >= 0], default=len(spec))
    return spec[:cut].strip().lower(), spec[cut + 1 :].strip() or None


def _makers() -> dict[str, tuple[str, str]]:
    """Return, for each provider with a module of its own, the module and function that make the route."""
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
    """Return the sorted names of all providers, with those of other packages.

    Example:
        >>> "groq" in names()
        True
    """
    from .compatible import HOSTS

    return sorted({*_makers(), *HOSTS, *[found.name.lower() for found in _entry_points(PROVIDERS)]})


def knows(name: str) -> bool:
    """Return whether *name* is the name or another name of a provider."""
    from .compatible import HOSTS

    return name in _ALIASES or name in _makers() or name in HOSTS or bool(_brought(name))


def find(spec: str, *, api_key: str | None = None, base_url: str | None = None) -> Route:
    """Return the route to a provider and its model.

    mellite's own providers come before those of other packages (see ``docs/how-to/add-a-provider.md``), so that no
    package can take over a name and receive the key for it.

    Args:
        spec: ``provider:model`` or ``provider/model``.
        api_key: the key; by default from the provider's environment variable, read when a call is made.
        base_url: another server; no key of the environment is sent there.

    Raises:
        UnknownProvider: if there is no such provider; names the nearest one.
        ConfigurationError: if `base_url` is not a URL, or the package with the provider is broken.

    Example:
        >>> route = find("groq:llama-3.3-70b-versatile", api_key="gsk-test")
        >>> route.provider, route.model
        ('groq', 'llama-3.3-70b-versatile')
    """
    name, model = split(spec)
    route: Any = _maker(_ALIASES.get(name, name), spec)(api_key=api_key, base_url=base_url, model=model)
    if not isinstance(route, Route):
        msg = f"provider {name!r} made {a_type_name(type(route))} where a Route was wanted; tell those who wrote it"
        raise ConfigurationError(msg, provider=name)
    return route


def find_protocol(id: str) -> Protocol[Any]:
    """Return a protocol of another package by its id, to make routes with.

    Raises:
        ConfigurationError: if there is no such protocol, or its package is broken.
    """
    for found in _entry_points(PROTOCOLS).select(name=id):
        protocol = _loaded(found, "protocol")
        if isinstance(protocol, Protocol):
            return protocol
        msg = f"{_package(found)} brings as protocol {id!r} {a_type_name(type(protocol))}, not a Protocol"
        raise ConfigurationError(msg)
    known = ", ".join(sorted(_entry_points(PROTOCOLS).names)) or "none"
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
        msg = f"{_package(found)} brings as provider {name!r} {a_type_name(type(made))}, not a Host or a function"
        raise ConfigurationError(msg, provider=name)
    raise UnknownProvider(_unknown(name, spec), provider=name)


def _unknown(name: str, spec: str) -> str:
    """Return the message for a provider that does not exist; perhaps the spec is a model without its provider."""
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
    """Return the providers that have a model, by the price list: first the model's makers, then resellers.

    Example:
        >>> providers_of("gpt-4o-mini"), providers_of("no-such-model")
        (['openai', 'azure'], [])
    """
    from ..values.prices.pricelist import prices

    try:
        listed = prices()
    except ConfigurationError:  # the user's own price list is broken, which is reported where a price is needed
        return []
    found = {name for name in names() if listed.provider(name) is not None and listed.find(model, name) is not None}
    if "claude" in model.lower() and found & _GOOGLE:  # the price list knows Google as one company
        found = (found - _GOOGLE) | {"vertex-anthropic"}
    return sorted(found, key=lambda name: (name in _RESELLERS, name))


def _entry_points(group: str) -> EntryPoints:
    from importlib.metadata import entry_points  # takes as long to import as a protocol; most names need none

    return entry_points(group=group)


def _brought(name: str) -> list[EntryPoint]:
    """Return the entry points of other packages for a provider of this name, in any case."""
    return [found for found in _entry_points(PROVIDERS) if found.name.lower() == name]


def _loaded(found: EntryPoint, what: str) -> Any:
    try:
        return found.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        msg = f"the {what} {found.name!r} of {_package(found)} cannot be loaded: {error}"
        raise ConfigurationError(msg) from error


def _package(found: EntryPoint) -> str:
    return found.dist.name if found.dist is not None else found.value
