"""Tell the log that a request is sent: method, host and model, and nothing of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from ..values.telling import log
from .http import HttpRequest

__all__ = ["tell_of", "tell_of_wait"]


def tell_of(http: HttpRequest) -> None:
    """Write a record. Called only where ``log.is_detailed``."""
    known: Mapping[str, object] = http.context
    host, provider, model = urlsplit(http.url).hostname, known.get("provider"), known.get("model")
    said = "%s:%s: %s to %s, %d bytes"
    log.debug(
        "request.sent",
        said,
        provider,
        model,
        http.method,
        host,
        len(http.body),
        provider=provider,
        model=model,
        method=http.method,
        host=host,
        bytes=len(http.body),
    )


def tell_of_wait(provider: str) -> None:
    """Log that a request is not sent yet, because as many generations run as may."""
    log.debug("limit.waiting", "%s: a request waits for its turn", provider, provider=provider)
