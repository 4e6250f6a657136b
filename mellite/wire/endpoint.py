"""The URL of a request: base URL, path and query, checked; environment variables may replace the base URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from ..values.empty import EMPTY
from ..values.errors import ConfigurationError
from .environment import variable

__all__ = ["Endpoint", "Setting", "host_of", "is_private_link"]

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSIONED: Final = re.compile(r"/v\d[a-z0-9]*/?$")


@frozen
class Setting:
    """A word in a base URL that differs from account to account: a project, a region, a resource.

    Args:
        value: the word; None to look into the environment.
        variables: environment variables that may hold the word; the first that is set counts. Read at call time.
        default: the word if neither gives one.

    Example:
        >>> Setting("eu-west-1", variables=("AWS_REGION",)).of("region")
        'eu-west-1'
    """

    value: str | None = None
    variables: tuple[str, ...] = field(default=(), kw_only=True)
    default: str | None = field(default=None, kw_only=True)

    @property
    def is_given(self) -> bool:
        """Whether code or environment gives a word; the default does not count."""
        return bool(self.value) or any((variable(name) or "").strip() for name in self.variables)

    def of(self, name: str) -> str:
        """Return the word in force now.

        Args:
            name: the setting's name, for the error.

        Raises:
            ConfigurationError: if there is no word, or it has a character that a host name or path cannot have.
        """
        where, value = f"{name}=...", self.value
        for each in () if value else self.variables:
            where, value = each, variable(each)
            value = value.strip() if value else value
            if value:
                break
        if not value:
            where, value = "", self.default
        if not value:
            variables = " or ".join(self.variables)
            way = f"set the environment variable {variables}, or give {name}=..." if variables else f"give {name}=..."
            msg = f"no {name}: {way}"
            raise ConfigurationError(msg)
        if not _WORD.fullmatch(value):
            seen = "" if "@" in value else f": {value!r}"  # before an @ may stand a password
            msg = f"{where or name} must be letters, digits, '.', '_' and '-', as it stands in a URL{seen}"
            raise ConfigurationError(msg)
        return value


@frozen
class Endpoint:
    """A base URL and the path of one operation below it.

    Args:
        base_url: ``https://host/v1``, with or without a slash at the end. ``{name}`` stands for a setting.
        path: the path below the base URL. ``{model}`` stands for the model's id, percent-encoded.
        version: a path such as ``/v1`` to insert between the two if the base URL does not end in a version. Base URLs
            of some companies' environment variables lack the version, those of compatible servers have it.
        streaming_path: the path for streamed answers, if another.
        query: parameters of every request.
        streaming_query: further parameters of requests for streamed answers.
        variables: environment variables that replace `base_url`; the first that is set counts. Read at call time.
        settings: the words in `base_url` that differ from account to account, by name.
        model_path: spells a model's id in the path, for ids that are paths themselves; must escape the id so that it
            cannot lead to another path.

    Raises:
        ConfigurationError: if `base_url` is not an http or https URL, or holds a user name, a fragment or characters
            that a URL cannot have.

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
        url: object = self.base_url  # of callers without a type checker, too
        if isinstance(url, str):
            _check(url, "base_url")
        else:
            _split(url, "base_url")

    def base(self) -> str:
        """Return the base URL in force now: the first variable that is set, else `base_url` with its settings.

        Raises:
            ConfigurationError: if an environment variable holds no URL, or a setting is missing.
        """
        for name in self.variables:
            value = variable(name)
            if value and (value := value.strip()):
                _check(value, name)
                return value
        base = self.base_url
        for name, setting in self.settings.items():
            place = f"{{{name}}}"
            if place in base:
                base = base.replace(place, setting.of(name))
        return base

    def unsaid(self) -> list[str]:
        """Return the names of the settings in the base URL that neither code nor environment gives.

        Settings with a default are among them: a recording may have been made with another word.
        """
        if not self.settings or any((variable(name) or "").strip() for name in self.variables):
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
        """Return the whole URL.

        Args:
            model: the model's id, for a path that holds ``{model}``.
            query: parameters to add, or to replace those of the same name.
            streaming: whether the answer is to be streamed.
            base: a base URL to use instead of the one in force now.

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
        pairs: dict[str, object] = {**self.query, **query}
        # As texts: 1 and True are equal, and would be one to what keeps the URL.
        texts = [
            (name, str(value) if isinstance(value, (bool, int, float)) else value) for name, value in pairs.items()
        ]
        return _joined(base, path, tuple(texts))


def _split(url: object, name: str) -> SplitResult:
    """Split and check a base URL; *name* says in errors where it comes from.

    Raises:
        ConfigurationError: if it cannot be used. A URL that may hold a password is not repeated in the message.
    """
    if not isinstance(url, str) or not url:
        msg = f"{name} must be a URL such as 'https://api.example.com/v1', not {url!r}"
        raise ConfigurationError(msg)
    if not (url.isascii() and url.isprintable()) or " " in url:
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


@lru_cache(maxsize=64)  # errors are not kept
def _check(url: str, name: str) -> None:
    """Check a base URL that was checked before, as often as not; see `_split`."""
    _split(url, name)


@lru_cache(maxsize=64)
def _joined(base: str, path: str, query: tuple[tuple[str, object], ...]) -> str:
    parts = _split(base, "base_url")
    values = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **dict(query)}
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, urlencode(values), ""))


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, with the port if the URL names one."""
    return urlsplit(url).netloc.lower()


@lru_cache(maxsize=64)
def is_private_link(url: str) -> bool:
    """Return whether what is sent to *url* is safe from eavesdroppers: over https, or to a server on this machine."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
