"""Refuse a provider whose address is that of the server itself, which would ask itself for ever."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..values.errors import ConfigurationError
from ..wire.endpoint import Endpoint
from ..wire.environment import variable

__all__ = ["refuse_itself"]

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
