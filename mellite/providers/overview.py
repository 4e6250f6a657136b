"""Say of each provider where its key comes from and which server it is, without ever showing a key."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from ..values.errors import ConfigurationError
from ..wire.environment import variable
from ..wire.route import Route
from .catalog import find, names

__all__ = ["KeyState", "Overview", "described", "overview"]

#: Whether the environment holds a key; local servers need none.
KeyState: TypeAlias = Literal["present", "missing", "not needed"]

#: Servers of nobody in particular: what to ask is said with the call.
_ANYWHERE: Final = "openai-compatible"


@frozen
class Overview:
    """A provider as the environment has it now.

    Attributes:
        name: as in ``groq:llama-3.3-70b-versatile``.
        variables: the environment variables that it reads: those of the key first, then those of the server.
        base_url: the server in force, without a query; with ``{name}`` where a setting is missing. None if the call
            says it, or if it cannot be used.
        key: whether the environment holds a key.
        variable: which variable holds it, or which two; None if there is none.
        problem: what is wrong with what the environment says; None if nothing is.
    """

    name: str
    variables: tuple[str, ...]
    base_url: str | None = field(kw_only=True)
    key: KeyState = field(kw_only=True)
    variable: str | None = field(default=None, kw_only=True)
    problem: str | None = field(default=None, kw_only=True)


def overview() -> list[Overview]:
    """Return all providers, sorted by name, with those of other packages.

    Example:
        >>> [each.base_url for each in overview() if each.name == "groq"]
        ['https://api.groq.com/openai/v1']
    """
    return [described(name) for name in names()]


def described(name: str) -> Overview:
    """Return one provider.

    Args:
        name: the provider's name, or another name of it.

    Raises:
        UnknownProvider: if there is no such provider; names the nearest.

    Example:
        >>> described("anthropic").variables
        ('ANTHROPIC_AUTH_TOKEN', 'ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL')
    """
    if name == _ANYWHERE:
        return Overview(name, (), base_url=None, key="not needed")
    try:
        route = find(name)
    except ConfigurationError as error:
        if name not in names():
            raise
        return Overview(name, (), base_url=None, key="missing", problem=str(error))
    base_url, problem = _server(route)
    state, held_in = _key(route)
    return Overview(name, _variables(route), base_url=base_url, key=state, variable=held_in, problem=problem)


def _variables(route: Route) -> tuple[str, ...]:
    endpoint = route.endpoint
    of_settings = [name for setting in endpoint.settings.values() for name in setting.variables]
    of_keys = [name for group in route.auth.held_in() for name in group]
    return tuple(dict.fromkeys([*of_keys, *endpoint.variables, *of_settings]))


def _server(route: Route) -> tuple[str | None, str | None]:
    """Return the base URL, and what is wrong with it."""
    try:
        parts = urlsplit(route.endpoint.base())
    except ConfigurationError as error:
        if route.endpoint.unsaid():
            return route.endpoint.base_url, None  # a setting is missing, as a key may be
        return None, str(error)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), None  # a query may hold a key


def _key(route: Route) -> tuple[KeyState, str | None]:
    """Return whether there is a key, and the variables that hold it."""
    groups = route.auth.held_in()
    for group in groups:
        if all(variable(name) for name in group):
            return "present", " and ".join(group)
    is_needed = bool(groups) and not _is_optional(route)
    return ("missing" if is_needed else "not needed"), None


def _is_optional(route: Route) -> bool:
    """Return whether a request goes without a key: there is none now, and there would be no error."""
    constant = route.auth.constant_headers()
    return constant is not None and None not in constant.values()
