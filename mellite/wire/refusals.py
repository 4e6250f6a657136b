"""Turn an HTTP error answer into the error to raise, with advice on what is usually wrong with the URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ..values.errors import MelliteError, UnknownProviderError
from .framing import SseDecoder
from .http import shown_url
from .protocol import Protocol
from .response import BodyReader

__all__ = ["advice", "refusal", "said_in"]

_LARGEST: Final = 1024 * 1024  # bytes of an error answer to read
_NOT_FOUND: Final = (404, 405)
_MOVED: Final = (301, 302, 303, 307, 308)
_OTHERWISE: Final = range(100, 400)
_VERSION: Final = re.compile(r"/v\d[a-z0-9]*(?=/|$)")
_STREAMED: Final = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")


async def refusal(reader: BodyReader, protocol: Protocol[Any], *, url: str, path: str, provider: str) -> MelliteError:
    """Read an error answer and return the error to raise for it.

    Args:
        reader: the reader of the answer, whose status is not a success.
        protocol: the protocol of the request.
        url: the URL of the request.
        path: the part of the URL that mellite put after the base URL.
        provider: the provider's name.
    """
    response = reader.response
    status = response.status
    if status in _OTHERWISE:
        return _no_answer(status, response.headers, shown_url(url))
    body = said_in(await reader.start(_LARGEST))
    error = protocol.classify(status, response.headers, body)
    if status in _NOT_FOUND:
        said = str(getattr(error, "provider_message", ""))
        elsewhere = protocol.elsewhere.format(provider=provider)
        # A server that says the model does not exist knows the URL.
        ways = [] if "model" in said.lower() else advice(url, path, elsewhere=elsewhere)
        told = f"{error}".rstrip(". ")
        error.args = (f"{told}; the URL was {shown_url(url)}{'; ' if ways else ''}{', or '.join(ways)}",)
    return error


def _no_answer(status: int, headers: Mapping[str, str], url: str) -> UnknownProviderError:
    if status in _MOVED:
        msg = (
            f"HTTP {status}: the server sends the request elsewhere, which mellite does not follow, as the key "
            f"would go there too; if it is right, change the base URL to fit {headers.get('location')!r}"
        )
        return UnknownProviderError(msg)
    from http import HTTPStatus

    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    said = f"HTTP {status} ({phrase})" if phrase else f"HTTP {status}"
    msg = (
        f"{said} is not an answer to a request such as this; something before the server, a cache or a proxy, may have "
        f"given it in its place; the URL was {url}"
    )
    return UnknownProviderError(msg)


def said_in(body: bytes) -> bytes:
    r"""Return the data of the error event if an error body is a stream of events, else the body itself.

    Example:
        >>> said_in(b'event: error\ndata: {"message": "overloaded"}\n\n')
        b'{"message": "overloaded"}'
    """
    if not body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_STREAMED):
        return body
    decoder = SseDecoder()
    events = [event for event in decoder.feed(body + b"\n\n") if event.raw.strip() not in (b"", b"[DONE]")]
    errors = [event for event in events if event.event == "error" or b'"error"' in event.raw]
    if errors or events:
        return (errors or events)[0].raw
    return decoder.stray.strip().removeprefix(b"error:").strip() or body


def advice(url: str, path: str, *, elsewhere: str = "") -> list[str]:
    """Return what to change about a URL that a server does not know, as the parts of a sentence.

    Args:
        url: the URL of the request.
        path: the part that mellite put after the base URL, as in ``/chat/completions``.
        elsewhere: what else to try, if no part of the URL is doubled.

    Example:
        >>> advice("http://localhost:8000/v1/v1/chat/completions", "/chat/completions")
        ["leave one '/v1' out of the base URL, as it stands there twice"]
    """
    asked = urlsplit(url).path
    if path.strip("/") and "{" not in path and asked.count(path) > 1:
        return [f"leave {path!r} out of the base URL, as mellite adds it"]
    versions = _VERSION.findall(asked)
    if len(versions) > 1 and versions[0] == versions[1]:
        return [f"leave one {versions[0]!r} out of the base URL, as it stands there twice"]
    missing = [] if versions else ["most servers want '/v1' at the end of the base URL"]
    return [*missing, elsewhere] if elsewhere else missing
