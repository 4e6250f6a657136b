"""Images, documents, films and sounds as Converse's blocks: formats, bytes or S3, and names of documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from ...values.errors import InvalidRequest
from ...values.messages import Audio, Document, Image, Media, Video
from ...values.provider_json import JsonObject
from ..media import base64_of, media_type_of
from ..request_fields import Fields

__all__ = ["WHO", "MediaBlocks", "media_read"]

WHO: Final = "Bedrock Converse"

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"

#: Class -> the block's name, and the formats it takes by media type.
_KINDS: Final[tuple[tuple[type[Media], str, Mapping[str, str]], ...]] = (
    (Image, "image", {f"image/{name}": name for name in ("gif", "jpeg", "png", "webp")}),
    (
        Document,
        "document",
        {
            "application/msword": "doc",
            "application/pdf": "pdf",
            "application/vnd.ms-excel": "xls",
            f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
            f"{_OFFICE}.wordprocessingml.document": "docx",
            "text/csv": "csv",
            "text/html": "html",
            "text/markdown": "md",
            "text/plain": "txt",
        },
    ),
    (
        Video,
        "video",
        {
            "video/3gpp": "three_gp",
            "video/mp4": "mp4",
            "video/mpeg": "mpeg",
            "video/quicktime": "mov",
            "video/webm": "webm",
            "video/x-flv": "flv",
            "video/x-matroska": "mkv",
            "video/x-ms-wmv": "wmv",
        },
    ),
    (
        Audio,
        "audio",
        {
            "audio/aac": "aac",
            "audio/flac": "flac",
            "audio/m4a": "m4a",
            "audio/mp3": "mp3",
            "audio/mp4": "mp4",
            "audio/mpeg": "mp3",
            "audio/ogg": "ogg",
            "audio/opus": "opus",
            "audio/wav": "wav",
            "audio/webm": "webm",
            "audio/x-m4a": "m4a",
            "audio/x-matroska": "mka",
            "audio/x-wav": "wav",
        },
    ),
)

_LONGEST_NAME: Final = 200


class MediaBlocks:
    """Makes the blocks of one request; in it each document has a name of its own."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def block(self, part: object, *, of_tool: bool = False) -> JsonObject:
        """Write a part as a block.

        Args:
            part: the part.
            of_tool: whether the part stands in a tool's result, where sounds may not.

        Raises:
            InvalidRequest: for a type that Converse does not take, and for a URL other than ``s3://`` or ``data:``.
        """
        found = next((row for row in _KINDS if isinstance(part, row[0])), None)
        if found is None or not isinstance(part, Media) or (of_tool and found[1] == "audio"):
            place, kinds = (
                ("results of tools", "Text, Image, Document and Video") if of_tool else ("messages", "others")
            )
            msg = f"{WHO} {place} take parts of the types {kinds}, not {type(part).__name__}"
            raise InvalidRequest(msg, parameter="messages")
        _, name, formats = found
        if part.url is not None and part.url.startswith("data:"):
            part = type(part).from_base64(part.url, media_type=part.media_type, filename=part.filename)
        content: JsonObject = {"format": formats[media_type_of(part, formats, who=WHO)]}
        facts = (part.provider_metadata or {}).get("bedrock") or {}
        if name == "document":
            content["name"] = self._name(part, content["format"])
            content.update({key: facts[key] for key in ("citations", "context") if key in facts})
        if part.url is not None and part.url.startswith("s3://"):
            location = {"uri": part.url}
            if "bucketOwner" in facts:
                location["bucketOwner"] = facts["bucketOwner"]
            content["source"] = {"s3Location": location}
        else:
            content["source"] = {"bytes": base64_of(part, who=WHO)}
        return {name: content}

    def _name(self, part: Media, form: str) -> str:
        """Return a file's name without its ending, in the characters that Bedrock takes, and different each time."""
        name = re.sub(r"[^a-zA-Z0-9\s()\[\]-]", "-", PurePath(part.filename or "").stem)
        name = " ".join(name.split())[:_LONGEST_NAME] or f"document {form}"
        number, unique = 1, name
        while unique in self._names:
            number += 1
            unique = f"{name[: _LONGEST_NAME - 8]} ({number})"
        self._names.add(unique)
        return unique


def media_read(block: Fields) -> Media | None:
    """Take the media of a block that a client has written; None if it is a block of another kind.

    Raises:
        InvalidRequest: for a format that Converse does not have, and for what is not base64.
    """
    for kind, name, formats in _KINDS:
        content = block.inner(name)
        if content is None:
            continue
        form = content.needed("format")
        media_type = next((each for each, written in formats.items() if written == form), None)
        if media_type is None:
            raise content.wrong(form, "format", f"one of {', '.join(dict.fromkeys(formats.values()))}")
        title = content.text("name")
        filename = None if title is None else f"{title}.{form}"
        source = content.inner("source") or Fields({}, content.place("source"))
        facts = content.rest()
        place = source.inner("s3Location")
        if place is not None:
            owner = place.text("bucketOwner")
            facts |= {} if owner is None else {"bucketOwner": owner}
            noted = {"bedrock": facts} if facts else None
            return kind(url=place.needed("uri"), media_type=media_type, filename=filename, provider_metadata=noted)
        data = kind.from_base64(source.needed("bytes")).data
        noted = {"bedrock": facts} if facts else None
        return kind(data, media_type=media_type, filename=filename, provider_metadata=noted)
    return None
