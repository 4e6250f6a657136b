"""Refuse endless loops: a provider that is the server itself, and a request that it has passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from ..values.errors import ConfigurationError
from ..wire.endpoint import Endpoint, host_of
from ..wire.environment import variable

__all__ = ["MARKS", "is_provider", "marked", "refuse_itself", "refuse_round_trip"]

#: Names the servers that have passed a request on; https://www.rfc-editor.org/rfc/rfc9110#field.via.
_VIA: Final = "via"

#: Does so, too: proxies drop, or replace, what they take for their own, and hand on what they do not know.
_OWN: Final = "mellite-via"

#: The headers by which a server knows what it has passed on.
MARKS: Final = (_VIA, _OWN)

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def refuse_itself(endpoint: Endpoint, own: str) -> None:
    """Raise if an endpoint leads to the server that is about to ask it.

    Args:
        endpoint: where a provider is asked.
        own: the address of the server, as in ``http://127.0.0.1:8080``; empty before it listens.

    Raises:
        ConfigurationError: if both are the same, or the endpoint has no base URL.

    Example:
        >>> refuse_itself(Endpoint("http://localhost:8080/v1"), "http://127.0.0.1:8080")
        Traceback (most recent call last):
        ...
        mellite.errors.ConfigurationError: 'http://localhost:8080/v1' is this server itself, ...
    """
    base = endpoint.base()
    parts = urlsplit(base)
    port = parts.port or _PORTS.get(parts.scheme)
    if not own or port != urlsplit(own).port:
        return
    host = (parts.hostname or "").rstrip(".")
    if host in _LOOPBACK or host.endswith(".localhost"):
        name = next((each for each in endpoint.variables if variable(each)), None)
        where = f"{name}={base!r}" if name else repr(base)
        msg = f"{where} is this server itself, which would ask itself for ever: start it without, or name a provider"
        raise ConfigurationError(msg)


def refuse_round_trip(headers: Mapping[str, str], mark: str) -> None:
    """Raise if a server is asked what it has passed on, by way of another one that asks it in turn.

    Args:
        headers: of the request, by lower-case name.
        mark: by which the server knows itself.

    Raises:
        ConfigurationError: if it is.

    Example:
        >>> refuse_round_trip(marked({}, "mellite-1"), "mellite-2")
    """
    for name in MARKS:
        seen = [each.rpartition(" ")[2] for each in headers.get(name, "").split(",")]
        if mark in seen:
            others = len(seen) - seen.index(mark) - 1
            way = f"{others} more, each of which asks the next" if others else "a proxy"
            msg = (
                f"this request has come back to this server by way of {way}: let the base URL of one of them "
                "lead to the provider"
            )
            raise ConfigurationError(msg)


def marked(headers: Mapping[str, str], mark: str) -> dict[str, str]:
    """Return the headers with which a server names itself, after those before it, in what it passes on.

    Example:
        >>> marked({"via": "1.1 other"}, "mellite-1")
        {'via': '1.1 other, 1.1 mellite-1', 'mellite-via': 'mellite-1'}
    """
    before = {name: f"{headers[name]}, " for name in MARKS if headers.get(name)}
    return {_VIA: f"{before.get(_VIA, '')}1.1 {mark}", _OWN: f"{before.get(_OWN, '')}{mark}"}


def is_provider(endpoint: Endpoint) -> bool:
    """Return whether an endpoint leads to the provider itself, which need not know of servers like this one.

    Example:
        >>> is_provider(Endpoint("https://api.example.com/v1")), is_provider(Endpoint("http://localhost:8080/v1"))
        (True, False)
    """
    base = endpoint.base()
    if base[:7].lower() == "http://":
        return False
    return host_of(base) == host_of(endpoint.base_url) or not any(variable(name) for name in endpoint.variables)
