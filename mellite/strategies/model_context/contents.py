"""Contents of MCP messages as parts of ours: text, images, sound, files; results of tools as JSON where they are."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ...values.errors import InvalidProviderOutput, InvalidRequest
from ...values.messages import Audio, Document, Image, Media, Text, Video
from ...values.provider_json import Json

if TYPE_CHECKING:
    import mcp_types

__all__ = ["part_of", "read_part", "result_of", "text_of"]


def result_of(result: mcp_types.CallToolResult) -> Json:
    """Return what a tool gave: JSON if it is structured, a str if it is one text, parts otherwise.

    A structured result comes twice, as JSON and as text for clients that know no JSON. Where the text says something
    else, or there are pictures, both are in the parts.
    """
    parts = [part_of(block) for block in result.content]
    texts = [part.text for part in parts if isinstance(part, Text)]
    if result.structured_content is None:
        if not parts:
            return ""
        return texts[0] if parts == [Text(text) for text in texts[:1]] else tuple(parts)
    said = _says_the_same(texts, result.structured_content)
    if said and len(texts) == len(parts):
        return result.structured_content
    return tuple(parts if said and texts else [Text(_json(result.structured_content)), *parts])


def _says_the_same(texts: Sequence[str], structured: Json) -> bool:
    """Return whether some texts, which may be none, say no more than a structured value does.

    Results that are not objects travel in one: as its only value, and as one text for each item if it is a list.
    """
    values = [_read(text) for text in texts]
    if not values or values == [structured]:
        return True
    if not isinstance(structured, Mapping) or len(structured) != 1:
        return False
    (inner,) = structured.values()
    items = inner if isinstance(inner, list) else [inner]
    return [inner] in (values, list(texts)) or items in (values, list(texts))


def _read(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def text_of(result: mcp_types.CallToolResult) -> str:
    """Return what a failed call says, for the model."""
    parts = [part_of(block) for block in result.content]
    text = "\n".join([part.text for part in parts if isinstance(part, Text)])
    if not text and result.structured_content is not None:
        return _json(result.structured_content)
    return text or "the tool failed, and did not say why"


def part_of(block: mcp_types.ContentBlock) -> Text | Media:
    """Return the part for one block of content.

    Raises:
        InvalidProviderOutput: if its data is not base64.
    """
    if block.type == "text":
        return Text(block.text)
    if block.type == "resource":
        return read_part(block.resource)
    if block.type == "resource_link":
        about = f"{block.name}: {block.uri}" + (f" ({block.description})" if block.description else "")
        return Text(about, provider_metadata=_from(str(block.uri)))
    return _media(Image if block.type == "image" else Audio, block.data, block.mime_type)


def read_part(contents: mcp_types.TextResourceContents | mcp_types.BlobResourceContents) -> Text | Media:
    """Return the part for the contents of a resource, or of a part of one.

    Raises:
        InvalidProviderOutput: if its data is not base64.
    """
    uri = str(contents.uri)
    text: str | None = getattr(contents, "text", None)
    if text is not None:
        return Text(text, provider_metadata=_from(uri))
    media_type = contents.mime_type or "application/octet-stream"
    kinds: Mapping[str, type[Media]] = {"image": Image, "audio": Audio, "video": Video}
    kind = kinds.get(media_type.partition("/")[0], Document)
    name = posixpath.basename(unquote(urlsplit(uri).path)) or None
    return _media(kind, getattr(contents, "blob", ""), media_type, name, _from(uri))


def _from(uri: str) -> Mapping[str, Mapping[str, Any]]:
    return {"mcp": {"uri": uri}}


def _media(
    kind: type[Media],
    data: str,
    media_type: str,
    filename: str | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> Media:
    try:
        read = kind.from_base64(data, media_type=media_type)
    except InvalidRequest as error:
        msg = f"the MCP server sent {media_type} that cannot be read: {error}"
        raise InvalidProviderOutput(msg) from None
    return kind(read.data, media_type=media_type, filename=filename, provider_metadata=metadata)
