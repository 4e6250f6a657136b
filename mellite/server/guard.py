"""Refuse what web pages send: a request that names another host, or comes from a page of another origin."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Guard"]

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
