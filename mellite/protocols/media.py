"""Images, audio and files in messages: types, sizes, base64, data URLs. Nothing is fetched."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Final

from ..values.errors import InvalidRequest
from ..values.messages import Media

__all__ = ["IMAGE_TYPES", "LARGEST", "base64_of", "data_url", "media_type_of", "web_url"]

#: The picture types that every provider takes.
IMAGE_TYPES: Final = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})

#: The largest file that is sent, in bytes before base64.
LARGEST: Final = 20 * 1024 * 1024


def media_type_of(part: Media, accepted: Collection[str], *, who: str) -> str:
    """Return the media type of a part, if it is one of those accepted.

    Args:
        who: the protocol's name, for the error.

    Raises:
        InvalidRequest: if it has none, or another.
    """
    media_type = (part.media_type or "").partition(";")[0].strip().lower()
    if media_type not in accepted:
        kinds = ", ".join(sorted(accepted))
        given = repr(media_type) if media_type else "an unknown one; say media_type=..."
        msg = f"{who} takes {type(part).__name__} parts of the types {kinds}, not {given}"
        raise InvalidRequest(msg, parameter="messages")
    return media_type


def base64_of(part: Media, *, who: str) -> str:
    """Return the bytes of a part as base64.

    Raises:
        InvalidRequest: if there are none (only a URL), or they are empty or more than `LARGEST`.
    """
    data = part.data
    name = type(part).__name__
    if data is None:
        msg = f"{who} takes {name} parts as bytes, not by URL; mellite fetches nothing, so read it first"
        raise InvalidRequest(msg, parameter="messages")
    if not data or len(data) > LARGEST:
        msg = f"{who} takes {name} parts of 1 to {LARGEST:,} bytes; this one has {len(data):,}"
        raise InvalidRequest(msg, parameter="messages")
    return base64.b64encode(data).decode("ascii")


def data_url(part: Media, accepted: Collection[str], *, who: str) -> str:
    """Return the part as a ``data:`` URL.

    Raises:
        InvalidRequest: for a type that is not accepted, and for what `base64_of` refuses.
    """
    return f"data:{media_type_of(part, accepted, who=who)};base64,{base64_of(part, who=who)}"


def web_url(part: Media, *, who: str) -> str | None:
    """Return the URL for the provider to fetch, or None if the part is its bytes.

    Raises:
        InvalidRequest: if it is neither http(s) nor a data URL: a path of this machine means nothing to a provider.
    """
    url = part.url
    if url is None:
        return None
    if not url.startswith(("https://", "http://", "data:")):
        scheme = url.partition(":")[0][:20]
        msg = (
            f"{who} takes {type(part).__name__} parts whose URL begins with https:// or data:, not {scheme!r}; "
            f"for a file use {type(part).__name__}.from_path(...)"
        )
        raise InvalidRequest(msg, parameter="messages")
    return url
