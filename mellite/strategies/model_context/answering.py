"""Run one tool for an MCP client, and write what came of it."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...loops import fail_after
from ...loops.threads import run_in_thread
from ...protocols.json_values import json_text
from ...values.errors import InvalidRequest, ToolFailure
from ...values.messages import Audio, Image, Media, Text, ToolResult, ToolValue
from ...values.provider_json import Json
from ...values.secrets.shapes import masked
from ...values.shapes import Mismatch
from ...values.spelling import did_you_mean

if TYPE_CHECKING:
    import mcp_types

    from ...values.function_tools import Tool

__all__ = ["answer"]


async def answer(
    tools: Mapping[str, Tool[..., Any]], name: str, arguments: Mapping[str, Json]
) -> mcp_types.CallToolResult:
    """Run a tool; whatever goes wrong is in the result, in words for the model."""
    tool = tools.get(name)
    if tool is None:
        said = did_you_mean(name, tools)
        return _written(ToolValue("error", f"there is no tool {name!r}; {said}"))
    try:
        args, kwargs = tool.bind(arguments)
    except Mismatch as error:
        return _written(ToolValue("error", f"the arguments of {name!r} do not fit: {error}"))
    try:
        with fail_after(tool.timeout):
            value = await _called(tool, args, kwargs)
        return _written(ToolResult("", name, value).result)
    except TimeoutError:
        words = f"the tool {name!r} took longer than {tool.timeout} s"
    except (ToolFailure, InvalidRequest) as error:
        words = str(error)
    except Exception as error:
        words = f"the tool {name!r} failed: {type(error).__name__}: {error}"
    return _written(ToolValue("error", masked(words)))


async def _called(tool: Tool[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if tool.is_async:
        return await tool.function(*args, **kwargs)
    value = await run_in_thread(tool.function, *args, **kwargs)
    return await value if inspect.isawaitable(value) else value


def _written(value: ToolValue) -> mcp_types.CallToolResult:
    """Write the result of a tool: text, JSON as text and as structured content, parts, or an error."""
    import mcp_types

    if value.type == "content":
        return mcp_types.CallToolResult(content=[_block(part) for part in value.value])
    text = value.value if isinstance(value.value, str) else json_text(value.value, what="the result of the tool")
    block = mcp_types.TextContent(text=text)
    structured = json.loads(text) if value.type == "json" else None
    if isinstance(structured, dict):
        return mcp_types.CallToolResult(content=[block], structured_content=structured)
    return mcp_types.CallToolResult(content=[block], is_error=value.type == "error")


def _block(part: Text | Media) -> mcp_types.ContentBlock:
    import mcp_types

    if isinstance(part, Text):
        return mcp_types.TextContent(text=part.text)
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
