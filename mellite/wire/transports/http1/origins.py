"""The origin of a request: the host that it names, and the proxy on the way, if any."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from ....values.errors import ConfigurationError
from ...http import DEFAULT_HEADERS, HttpRequest

__all__ = ["FROM_ENVIRONMENT", "HAPPY_EYEBALLS", "Origin", "Proxy", "head_of", "proxy_of", "split", "without_password"]

#: Stands for the proxies that the environment names.
FROM_ENVIRONMENT: Final = "environment"

#: Seconds until the next address of a host is tried, too: RFC 8305, section 5.
HAPPY_EYEBALLS: Final = 0.25

_PORTS: Final = {"http": 80, "https": 443}


@frozen(kw_only=True)
class Origin:
    """A server: scheme, host and port, as connections are kept apart by them.

    Args:
        named: host and, where it is not the usual one, port, as the host header has them.
        key: what connections to it are kept under.
    """

    scheme: str
    host: str
    port: int
    named: str
    key: str

    @property
    def is_tls(self) -> bool:
        """Whether it is spoken to in TLS."""
        return self.scheme == "https"


@frozen(kw_only=True)
class Proxy:
    """A proxy for HTTP: CONNECT for what is TLS, requests with whole URLs for what is not.

    Args:
        authorization: the header that says who asks; never shown.
        shown: its URL without credentials, for messages.
    """

    scheme: str
    host: str
    port: int
    authorization: str | None = field(repr=False)
    shown: str

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Read the URL of a proxy.

        Raises:
            ConfigurationError: for a scheme other than http and https, and for what is not a URL.
        """
        whole = url if "://" in url else f"http://{url}"
        shown = re.sub(r"^(\w+://)?.*@", r"\1...@", whole, flags=re.DOTALL)  # a password may hold a slash
        try:
            parts = urlsplit(whole)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in _PORTS or not parts.hostname:
            msg = (
                f"the proxy {shown!r} cannot be used: its URL must begin with http:// or https:// and name a host; "
                "set proxy=None, or NO_PROXY for this host, to go without"
            )
            raise ConfigurationError(msg)
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(scheme=parts.scheme, host=parts.hostname, port=port, authorization=authorization, shown=shown)


def proxy_of(origin: Origin, proxy: str | None) -> Proxy | None:
    """Return the proxy on the way to an origin, if there is one.

    Args:
        proxy: its URL, None for none, or `FROM_ENVIRONMENT`: then HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY
            decide, read as Python's standard library reads them.

    Raises:
        ConfigurationError: if its URL cannot be used.
    """
    if proxy is None:
        return None
    if proxy != FROM_ENVIRONMENT:
        return Proxy.of(proxy)
    if not any(name[-6:].lower() == "_proxy" for name in os.environ):
        return None  # common: as the standard library finds, without importing its HTTP client
    from urllib import request as standard

    proxies = standard.getproxies_environment()
    url = proxies.get(origin.scheme) or proxies.get("all")
    bypass: Callable[[str, dict[str, str]], bool] = vars(standard)["proxy_bypass_environment"]  # typeshed lacks it
    if not url or bypass(f"{origin.host}:{origin.port}", proxies):
        return None
    return Proxy.of(url)


@lru_cache(maxsize=64)  # of URLs that a backend asks for again and again
def split(url: str) -> tuple[Origin, str]:
    """Return where a checked URL leads, and what is asked of that server, as it was written."""
    begin = url.index("://") + 3
    at = url.find("/", begin)
    if at < 0:
        at = url.find("?", begin)
        if at < 0:
            return _origin(url), "/"
    elif (query := url.find("?", begin, at)) >= 0:
        at = query
    target = url[at:]
    return _origin(url[:at]), target if target[0] == "/" else f"/{target}"


@lru_cache(maxsize=512)  # of scheme, host and port: nothing in it is secret
def _origin(url: str) -> Origin:
    """Read scheme, host and port of a checked URL without path or query."""
    scheme, _, named = url.lower().partition("://")
    host, port = named, _PORTS[scheme]
    if named[-1] != "]" and ":" in named:
        host, _, written = named.rpartition(":")
        port = int(written)
    if port == _PORTS[scheme]:
        named = host
    return Origin(scheme=scheme, host=host.strip("[]"), port=port, named=named, key=f"{scheme}://{named}")


def head_of(request: HttpRequest, origin: Origin, target: str, proxy: Proxy | None = None) -> bytes:
    """Write the head of a request. The request has been checked: no value can begin a line of its own."""
    written = request.written
    if written is None or proxy is not None or request.headers != written.headers:
        return _head(request, origin, target, proxy)
    head = written.head
    if head is None:
        whole = _head(request, origin, target, None)
        head = written.head = whole[: whole.rindex(b": ") + 2]
    return b"%b%d\r\n\r\n" % (head, len(request.body))


def _head(request: HttpRequest, origin: Origin, target: str, proxy: Proxy | None) -> bytes:
    if proxy is not None:
        target = f"http://{origin.named}{target}"
    headers, body = request.headers, request.body
    host = headers["host"] if "host" in headers else origin.named  # noqa: SIM401 - one call less
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {host}"]
    lines += [f"{name}: {value}" for name, value in {**DEFAULT_HEADERS, **headers}.items() if name != "host"]
    if "content-length" not in headers and (body or request.method not in ("GET", "HEAD", "DELETE")):
        lines += [f"content-length: {len(body)}"]
    if proxy is not None and proxy.authorization is not None:
        lines += [f"proxy-authorization: {proxy.authorization}"]
    return "\r\n".join([*lines, "\r\n"]).encode("ascii")


def without_password(proxy: str | None) -> str | None:
    """Return the URL of a proxy without the user and password in it.

    Example:
        >>> without_password("http://me:secret@proxy.test:3128")
        'http://proxy.test:3128'
    """
    return None if proxy is None else re.sub(r"^(\w+://)?.*@", r"\1", proxy, flags=re.DOTALL)
