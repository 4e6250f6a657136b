"""Prompts and resources, which an MCP server offers beside its tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from ...values.errors import InvalidProviderOutput

if TYPE_CHECKING:
    import mcp
    import mcp_types

__all__ = ["Offers", "Prompt", "PromptArgument", "Resource", "offers_of"]

#: How many pages a list may have; a server that always names another is not asked for ever.
_MOST_PAGES: Final = 1000


@frozen
class PromptArgument:
    """An argument of a prompt; its value is a text."""

    name: str
    description: str = ""
    required: bool = field(default=False, kw_only=True)


@frozen
class Prompt:
    """A prompt that a server offers; ``await connection.prompt(name, ...)`` fills it in.

    Example:
        >>> Prompt("review", arguments=(PromptArgument("code", required=True),)).arguments[0].name
        'code'
    """

    name: str
    description: str = ""
    arguments: tuple[PromptArgument, ...] = field(default=(), kw_only=True)


@frozen
class Resource:
    """A resource of a server; ``await connection.resource(uri)`` reads it.

    Args:
        uri: the URI to read it by.
        name: its name for people and models.
        description: what it contains.
        media_type: its MIME type, if the server says.
        size: its size in bytes, if the server says.

    Example:
        >>> Resource("file:///notes.txt", "notes").uri
        'file:///notes.txt'
    """

    uri: str
    name: str = ""
    description: str = field(default="", kw_only=True)
    media_type: str | None = field(default=None, kw_only=True)
    size: int | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Offers:
    """The offers of a server when the connection began."""

    name: str
    instructions: str
    tools: tuple[mcp_types.Tool, ...]
    prompts: tuple[Prompt, ...]
    resources: tuple[Resource, ...]


async def offers_of(client: mcp.Client) -> Offers:
    """Ask a server for its lists, all pages of each. A list that it does not announce is empty, tools excepted."""
    has = client.server_capabilities
    info = client.server_info
    tools = await _all(client.list_tools, "tools")
    prompts = await _all(client.list_prompts, "prompts") if has.prompts is not None else []
    resources = await _all(client.list_resources, "resources") if has.resources is not None else []
    return Offers(
        name=info.name if info is not None else "",
        instructions=client.instructions or "",
        tools=tuple(tools),
        prompts=tuple([_prompt(each) for each in prompts]),
        resources=tuple([_resource(each) for each in resources]),
    )


async def _all(page: Callable[..., Awaitable[Any]], what: str) -> list[Any]:
    from mcp import MCPError
    from mcp_types import METHOD_NOT_FOUND

    found: list[Any] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        try:
            answer = await page(cursor=cursor)
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND and cursor is None:
                return []
            raise
        found += getattr(answer, what)
        cursor = answer.next_cursor
        if not cursor:
            return found
    msg = f"the MCP server does not come to the end of its {what}: {_MOST_PAGES} pages, and it names another"
    raise InvalidProviderOutput(msg)


def _prompt(one: mcp_types.Prompt) -> Prompt:
    arguments = [
        PromptArgument(each.name, each.description or "", required=bool(each.required)) for each in one.arguments or ()
    ]
    return Prompt(one.name, one.description or "", arguments=tuple(arguments))


def _resource(one: mcp_types.Resource) -> Resource:
    about = one.description or ""
    return Resource(str(one.uri), one.name, description=about, media_type=one.mime_type, size=one.size)
