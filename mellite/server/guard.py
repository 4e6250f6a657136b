"""Refuse what web pages send: a request that names another host, or comes from a page of an origin that may not ask."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Guard", "granted", "is_preflight"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST: Final = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([^:\[\]/@?#\s]+)(?::\d+)?")


class Guard:
    """Tells which requests come from programs of this machine.

    A page in a browser can send requests to any server of the machine, and reach it under a name of its own (DNS
    rebinding). The name then stands in ``Host``, and the page in ``Origin``, which programs do not send.

    Args:
        hosts: names beside those of the machine itself, such as ``host.docker.internal``.

    Example:
        >>> guard = Guard()
        >>> guard.refusal({"host": "127.0.0.1:8080"}), guard.refusal({"host": "evil.example:8080"})
        (None, "the host 'evil.example:8080' is not served here; allow it with --allow-host")
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._more = frozenset(host.lower().rstrip(".") for host in hosts)
        self._hosts = _LOOPBACK | self._more

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request is refused; None if it is not.

        Args:
            headers: by lower-case name.
        """
        host = headers.get("host", "")
        found = _HOST.fullmatch(host)
        name = (found[1] or found[2]).lower().rstrip(".") if found is not None else ""
        if name not in self._hosts:
            return f"the host {host!r:.100} is not served here; allow it with --allow-host"
        origin = headers.get("origin")
        if origin is None or self._is_own(origin, host):
            return None
        return f"the origin {origin!r:.100} may not ask here; allow its host with --allow-host"

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            name = parts.hostname or ""
        except ValueError:
            return False
        return parts.netloc.lower() == host.lower() or name in self._more


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a browser asks what a page may send, before it sends that."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def granted(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers by which a browser lets a page read an answer; none for a request that no page has sent.

    Args:
        headers: of the request, which was not refused, by lower-case name.

    Example:
        >>> granted({"origin": "http://app.example"})["access-control-allow-origin"]
        'http://app.example'
    """
    origin = headers.get("origin")
    if origin is None:
        return {}
    found = {"access-control-allow-origin": origin, "access-control-expose-headers": "*", "vary": "origin"}
    wanted = headers.get("access-control-request-method")
    if wanted is not None:
        asked = headers.get("access-control-request-headers", "")
        found |= {"access-control-allow-methods": wanted, "access-control-max-age": "600"}
        found |= {"access-control-allow-headers": asked} if asked else {}
        if "access-control-request-private-network" in headers:
            found["access-control-allow-private-network"] = "true"
    return found
