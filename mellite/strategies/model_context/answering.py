"""Run one tool for an MCP client, and write what came of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...values.errors import ToolDefect
from ...values.json_texts import well_formed
from ...values.messages import Audio, Image, Media, Text, ToolCall, ToolValue
from ...values.provider_json import Json
from ...values.secrets.shapes import masked
from ...values.told_errors import error_text
from ..agent.calling import run_calls

if TYPE_CHECKING:
    import mcp_types

    from ...values.function_tools import Tool

__all__ = ["answer"]


async def answer(
    tools: Mapping[str, Tool[..., Any]], name: str, arguments: Mapping[str, Json]
) -> mcp_types.CallToolResult:
    """Run a tool; whatever goes wrong is in the result, in words for the model."""
    try:
        (called,) = await run_calls([ToolCall("served", name, dict(arguments))], tools)
    except ToolDefect as defect:
        return _written(ToolValue("error", _words(defect)))
    if called.result is None:
        return _written(
            ToolValue("error", f"the call of {name!r} was put off by its approval, which cannot be done here")
        )
    return _written(called.result.result)


def _words(defect: ToolDefect) -> str:
    error = defect.__cause__
    said = "" if error is None else masked(error_text(error))
    return f"the tool {defect.tool!r} failed: {type(error).__name__}: {said:.500}"


def _written(value: ToolValue) -> mcp_types.CallToolResult:
    """Write the result of a tool: text, JSON as text and as structured content, parts, or an error."""
    import mcp_types

    if value.type == "content":
        return mcp_types.CallToolResult(content=[_block(part) for part in value.value])
    said = well_formed(value.value)  # the mcp package ends the server where it cannot write a message
    text = said if isinstance(said, str) else _json(said)
    block = mcp_types.TextContent(text=text)
    if value.type == "json" and isinstance(said, dict):
        return mcp_types.CallToolResult(content=[block], structured_content=said)
    return mcp_types.CallToolResult(content=[block], is_error=value.type == "error")


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _block(part: Text | Media) -> mcp_types.ContentBlock:
    import mcp_types

    if isinstance(part, Text):
        return mcp_types.TextContent(text=well_formed(part.text))
    media_type = part.media_type or "application/octet-stream"
    if part.data is None:
        uri = part.url or ""
        return mcp_types.ResourceLink(uri=uri, name=part.filename or uri, mime_type=part.media_type)
    data = base64.b64encode(part.data).decode()
    if isinstance(part, Image):
        return mcp_types.ImageContent(data=data, mime_type=media_type)
    if isinstance(part, Audio):
        return mcp_types.AudioContent(data=data, mime_type=media_type)
    uri = f"file:///{part.filename or 'result'}"
    contents = mcp_types.BlobResourceContents(uri=uri, mime_type=media_type, blob=data)
    return mcp_types.EmbeddedResource(resource=contents)
