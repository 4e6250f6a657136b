"""Attach files to a prompt: pictures, sound, films and documents, told apart by what is in them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..values.errors import InvalidRequest
from ..values.messages import Audio, Document, Image, Media, Video
from .standard_input import given_bytes

__all__ = ["FROM_INPUT", "attached", "media_type_of"]

#: What stands for standard input in place of a file.
FROM_INPUT: Final = "-"

#: How the files of a type begin. The first that fits counts.
_BEGINNINGS: Final = tuple(
    (re.compile(pattern, re.DOTALL), media_type)
    for pattern, media_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"BM....\0\0\0\0", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb"....ftyp(avif|avis)", "image/avif"),
        (rb"....ftyp(heic|heix|mif1|msf1)", "image/heic"),
        (rb"%PDF-", "application/pdf"),
        (rb"ID3|\xff[\xf2\xf3\xfa\xfb]", "audio/mpeg"),
        (rb"\xff[\xf1\xf9]", "audio/aac"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24}.[\x80\x01]?theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"FORM....AIF[FC]", "audio/aiff"),
        (rb"....ftypM4[AB]", "audio/mp4"),
        (rb"....ftypqt", "video/quicktime"),
        (rb"....ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3", "video/webm"),
    )
)

#: Packed documents, such as those of offices, which only their names tell apart.
_PACKED: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")

#: Texts that are not of a type ``text/...``.
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/yaml"})

_KINDS: Final = {"image": Image, "audio": Audio, "video": Video}


def attached(names: Sequence[str]) -> list[Media]:
    """Return the files, in order; "-" is standard input, and an URL is one that the provider fetches.

    Raises:
        InvalidRequest: for a file that cannot be read, or is of no known type.
    """
    if names.count(FROM_INPUT) > 1:
        msg = "standard input can be attached once only"
        raise InvalidRequest(msg)
    return [_linked(name) if name.startswith(("https://", "http://")) else _read(name) for name in names]


def media_type_of(data: bytes, name: str = "") -> str | None:
    r"""Return the MIME type of a file by its content; its name only tells texts and packed documents apart.

    Example:
        >>> media_type_of(b"%PDF-1.7", "a.txt"), media_type_of(b"a,b", "a.csv"), media_type_of(b"a\0b", "a.txt")
        ('application/pdf', 'text/csv', None)
    """
    for beginning, media_type in _BEGINNINGS:
        if beginning.match(data):
            return media_type
    named = mimetypes.guess_type(name)[0] or ""
    if data.startswith(_PACKED):
        return named if named.startswith("application/") else None
    if not _is_text(data):
        return None
    return named if named.startswith("text/") or named in _TEXTS else "text/plain"


def _is_text(data: bytes) -> bool:
    if not data or b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read(name: str) -> Media:
    if name == FROM_INPUT:
        shown, file, data = "standard input", None, given_bytes()
    else:
        path = Path(name)
        try:
            shown, file, data = repr(name), path.name, path.read_bytes()
        except (OSError, ValueError) as error:
            msg = f"cannot read {name!r}: {getattr(error, 'strerror', None) or error}"
            raise InvalidRequest(msg, parameter="attachment") from error
    media_type = media_type_of(data, file or "")
    if media_type is None:
        what = "is empty" if not data else "is not a picture, sound, film or document that can be told by its content"
        msg = f"cannot attach {shown}: it {what}"
        raise InvalidRequest(msg, parameter="attachment")
    return _kind(media_type)(data, media_type=media_type, filename=file)


def _linked(url: str) -> Media:
    """Return what lies at an URL, by its name: nothing is fetched to look at it."""
    media_type = mimetypes.guess_type(urlsplit(url).path)[0]
    if media_type is None:
        msg = f"cannot tell from its name what lies at {url!r}, and nothing is fetched: attach it as a file"
        raise InvalidRequest(msg, parameter="attachment")
    return _kind(media_type)(url=url, media_type=media_type)


def _kind(media_type: str) -> type[Media]:
    return _KINDS.get(media_type.partition("/")[0], Document)
