"""The HTTP status and the JSON with which a request is refused, in the words of the protocol that its client speaks."""

from __future__ import annotations

import math
from typing import Final

from ..values.errors import (
    AuthenticationError,
    CassetteError,
    ConfigurationError,
    GenerationCancelled,
    MelliteError,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    RequestError,
    TransportError,
)
from ..values.provider_json import JsonObject
from .dialects import DIALECTS

__all__ = ["error_body", "retry_headers", "status_of"]

#: What a class of errors is as an HTTP status, where no provider gave one; the first that fits counts.
_STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (CassetteError, 404),  # clients try again after 409 and 5xx, and nothing would be found then, either
    (PayloadTooLarge, 413),
    (AuthenticationError, 401),
    (QuotaExceeded, 429),
    (RateLimited, 429),
    (RequestError, 400),
    (ConfigurationError, 400),
    (GenerationCancelled, 499),
    (TimeoutError, 504),
    (TransportError, 502),
)
_LEAST: Final = 400
_MOST: Final = 599


def status_of(error: Exception) -> int:
    """Return the status for an error: that of the provider, or the one that fits its class.

    Example:
        >>> status_of(RateLimited("Slow down."))
        429
    """
    status = getattr(error, "status", None)
    if isinstance(status, int) and _LEAST <= status <= _MOST:
        return status
    return next((each for kind, each in _STATUSES if isinstance(error, kind)), 500)


def error_body(protocol: str, status: int, message: str, *, code: str | None = None) -> JsonObject:
    """Return the JSON that comes with an error status in one protocol; OpenAI's for an unknown one.

    Args:
        protocol: the protocol of the client.
        status: the HTTP status.
        message: what is told.
        code: the code of the error, for protocols that have one.
    """
    body = DIALECTS.get(protocol, DIALECTS["openai-chat"]).error_body(status, message)
    if code is not None and "code" in (body.get("error") or ()) and body["error"]["code"] is None:
        body["error"]["code"] = code
    return body


def retry_headers(error: Exception) -> dict[str, str]:
    """Return the header that says when to try again, if the error says it."""
    after = error.retry_after if isinstance(error, MelliteError) else None
    return {} if after is None else {"retry-after": str(math.ceil(after))}
