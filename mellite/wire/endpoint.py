"""Where a request goes: base URL + path + query, checked, with environment variables that move it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from ..values.empty import EMPTY
from ..values.errors import ConfigurationError

__all__ = ["Endpoint", "Setting", "host_of", "is_private_link"]

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSIONED: Final = re.compile(r"/v\d[a-z0-9]*/?$")
_LAST_CONTROL: Final = 0x20
_LAST_ASCII: Final = 0x7E


@frozen
class Setting:
    """A word in a base URL that differs from account to account: a project, a region, a resource.

    Args:
        value: the word; None looks into the environment.
        variables: environment variables that may hold it, in order; read at call time.
        default: what holds where neither says anything.

    Example:
        >>> Setting("eu-west-1", variables=("AWS_REGION",)).of("region")
        'eu-west-1'
    """

    value: str | None = None
    variables: tuple[str, ...] = field(default=(), kw_only=True)
    default: str | None = field(default=None, kw_only=True)

    @property
    def is_given(self) -> bool:
        """Whether somebody said something, here or in the environment."""
        return bool(self.value) or any(os.environ.get(name, "").strip() for name in self.variables)

    def of(self, name: str) -> str:
        """The word in force now.

        Args:
            name: what it is called, for the error.

        Raises:
            ConfigurationError: if there is none, or it holds what cannot stand in a host name or a path.
        """
        found = [(f"{name}=...", self.value), *[(each, os.environ.get(each, "").strip()) for each in self.variables]]
        where, value = next(((where, value) for where, value in found if value), ("", self.default))
        if not value:
            variables = " or ".join(self.variables)
            way = f"set the environment variable {variables}, or give {name}=..." if variables else f"give {name}=..."
            msg = f"no {name}: {way}"
            raise ConfigurationError(msg)
        if not _WORD.fullmatch(value):
            msg = f"{where or name} must be letters, digits, '.', '_' and '-', as it stands in a URL: {value!r}"
            raise ConfigurationError(msg)
        return value


@frozen
class Endpoint:
    """A base URL and the path of one operation below it.

    Args:
        base_url: ``https://host/v1``; a slash at its end makes no difference. ``{name}`` stands for a setting.
        path: what follows it; ``{model}`` stands for the model's id, percent-encoded.
        version: what stands between the two, as in ``/v1``, where the base URL does not end with a version itself:
            some companies' own variables hold it without, other people's URLs with it.
        streaming_path: the path where the answer is streamed, if that is another.
        query: what always stands in the query.
        streaming_query: what stands there besides, where the answer is streamed.
        variables: environment variables that replace `base_url`, the first that is set; read at call time.
        settings: the words in `base_url` that differ from account to account, by name.
        model_path: how a model's id is spelled in the path, for ids that are paths themselves; it must see to it that
            the id leads nowhere else.

    Raises:
        ConfigurationError: if `base_url` is no http or https URL, or holds a user name, a fragment or characters that
            do not belong into a URL.

    Example:
        >>> Endpoint("https://api.example.com/v1/", "/chat/completions").url()
        'https://api.example.com/v1/chat/completions'
        >>> regional = Endpoint("https://{region}.example.com", "/ask", settings={"region": Setting("eu")})
        >>> regional.url()
        'https://eu.example.com/ask'
    """

    base_url: str
    path: str = ""
    version: str = field(default="", kw_only=True)
    streaming_path: str | None = field(default=None, kw_only=True)
    query: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    streaming_query: Mapping[str, str] = field(default=EMPTY, kw_only=True)
    variables: tuple[str, ...] = field(default=(), kw_only=True)
    settings: Mapping[str, Setting] = field(default=EMPTY, kw_only=True)
    model_path: Callable[[str], str] | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _split(self.base_url, "base_url")

    def base(self) -> str:
        """The base URL in force now: the first variable that is set, else `base_url` with its settings.

        Raises:
            ConfigurationError: if an environment variable holds no URL, or a setting is missing.
        """
        for name in self.variables:
            value = os.environ.get(name, "").strip()
            if value:
                _split(value, name)
                return value
        base = self.base_url
        for name, setting in self.settings.items():
            place = f"{{{name}}}"
            if place in base:
                base = base.replace(place, setting.of(name))
        return base

    def unsaid(self) -> list[str]:
        """The names of the settings on which the base URL depends and which neither code nor environment gives.

        One that has a default is among them: a recording may have been made with another one.
        """
        if any(os.environ.get(name, "").strip() for name in self.variables):
            return []
        named = [name for name in self.settings if f"{{{name}}}" in self.base_url]
        return [name for name in named if not self.settings[name].is_given]

    def url(
        self,
        *,
        model: str | None = None,
        query: Mapping[str, str] = EMPTY,
        streaming: bool = False,
        base: str | None = None,
    ) -> str:
        """The whole URL; `query` replaces values of the same name.

        Args:
            streaming: whether the answer is asked for as a stream.
            base: what to put in the place of the base URL in force now.

        Raises:
            ConfigurationError: if an environment variable holds no URL, or a setting is missing.
        """
        path = self.path
        if streaming:
            path = self.path if self.streaming_path is None else self.streaming_path
            query = {**self.streaming_query, **query}
        if "{model}" in path:
            spelled = quote(model or "", safe="") if self.model_path is None else self.model_path(model or "")
            path = path.replace("{model}", spelled)
        base = self.base() if base is None else base
        if self.version and not _VERSIONED.search(urlsplit(base).path):
            path = self.version + path
        return _joined(base, path, tuple({**self.query, **query}.items()))


def _split(url: object, name: str) -> SplitResult:
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
