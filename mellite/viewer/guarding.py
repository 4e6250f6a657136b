"""Tell who may look: a request must name this machine and know the token, and come from no other page."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Final

__all__ = ["HEADERS", "Guard"]

_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")

#: What a browser says of where a request comes from, if it is no other page: https://www.w3.org/TR/fetch-metadata/.
_OWN_SITE: Final = ("none", "same-origin")

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

#: Headers of every answer.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Tells which requests may look.

    A page in a browser can send requests to any port of the machine, and reach it under a name of its own (DNS
    rebinding), which then stands in ``Host``. No page but the viewer's own knows the token.

    Args:
        token: the first part of every path.
        port: the port that is listened on.

    Example:
        >>> guard = Guard("secret", 8080)
        >>> guard.refusal("/secret/", {"host": "127.0.0.1:8080"})
        >>> guard.refusal("/guess/", {"host": "127.0.0.1:8080"})
        404
        >>> guard.refusal("/secret/", {"host": "evil.example:8080"})
        403
    """

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode()
        self._hosts = frozenset(f"{name}:{port}" for name in _NAMES)

    def refusal(self, path: str, headers: Mapping[str, str]) -> int | None:
        """Return the status with which a request is refused; None if it is not.

        Args:
            path: as it was sent, without the query.
            headers: by lower-case name.
        """
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return 403
        if headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            return 403
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return 403
        first = path.removeprefix("/").partition("/")[0]
        return None if compare_digest(first.encode("utf-8", "surrogateescape"), self._token) else 404
