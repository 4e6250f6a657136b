"""Where a request goes: base URL + path + query, checked, with environment variables that move it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from ..errors import ConfigurationError
from ..request import EMPTY

__all__ = ["Endpoint", "host_of", "is_private_link"]


@frozen
class Endpoint:
    """A base URL and the path of one operation below it.

    Args:
        base_url: ``https://host/v1``; a slash at its end makes no difference.
        path: what follows it; ``{model}`` stands for the model's id, percent-encoded.
        query: what always stands in the query.
        variables: environment variables that replace `base_url`, the first that is set; read at call time.

    Raises:
        ConfigurationError: if `base_url` is no http or https URL, or holds a user name, a fragment or characters that
            do not belong into a URL.

    Example:
        >>> Endpoint("https://api.example.com/v1/", "/chat/completions").url()
        'https://api.example.com/v1/chat/completions'
    """

    base_url: str
    path: str = ""
    query: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    variables: tuple[str, ...] = field(default=(), kw_only=True)

    def __attrs_post_init__(self) -> None:
        _split(self.base_url, "base_url")

    def base(self) -> str:
        """The base URL in force now: the first variable that is set, else `base_url`."""
        for name in self.variables:
            value = os.environ.get(name, "").strip()
            if value:
                _split(value, name)
                return value
        return self.base_url

    def url(self, *, model: str | None = None, query: Mapping[str, str] = EMPTY) -> str:
        """The whole URL; `query` replaces values of the same name.

        Raises:
            ConfigurationError: if an environment variable holds no URL.
        """
        path = self.path.replace("{model}", quote(model or "", safe="")) if "{model}" in self.path else self.path
        return _joined(self.base(), path, tuple({**self.query, **query}.items()))


_LAST_CONTROL: Final = 0x20
_LAST_ASCII: Final = 0x7E


def _split(url: Any, name: str) -> SplitResult:
    """Take a base URL apart, or say what is wrong with it; a URL that may hold a password is not repeated."""
    if not isinstance(url, str) or not url:
        msg = f"{name} must be a URL such as 'https://api.example.com/v1', not {url!r}"
        raise ConfigurationError(msg)
    if any(not _LAST_CONTROL < ord(char) <= _LAST_ASCII for char in url):
        msg = f"{name} holds a space, a line break or another character that cannot stand in a URL"
        raise ConfigurationError(msg)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        msg = f"{name} is not a URL: {error}"
        raise ConfigurationError(msg) from None
    if "@" in parts.netloc:
        msg = f"{name} holds a user name or password; give the key as api_key=... instead"
        raise ConfigurationError(msg)
    if parts.scheme not in ("http", "https") or not host:
        msg = f"{name} must begin with https:// (or http://) and name a host: {url!r}"
        raise ConfigurationError(msg)
    if parts.fragment:
        msg = f"{name} has a fragment ('#...'), which is never sent: {url!r}"
        raise ConfigurationError(msg)
    return parts


@lru_cache(maxsize=64)
def _joined(base: str, path: str, query: tuple[tuple[str, str], ...]) -> str:
    parts = _split(base, "base_url")
    values = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **dict(query)}
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, urlencode(values), ""))


def host_of(url: str) -> str:
    """The host of a URL, in lower case, with its port if it names one."""
    return urlsplit(url).netloc.lower()


@lru_cache(maxsize=64)
def is_private_link(url: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or a server on this machine."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
