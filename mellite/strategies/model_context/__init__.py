"""Tools, prompts and resources of MCP servers, and mellite's tools as a server (https://modelcontextprotocol.io)."""

from __future__ import annotations

from ...values.public_names import publish
from .connection import Connection, connect
from .offers import Prompt, PromptArgument, Resource
from .serving import serve

__all__ = ["Connection", "Prompt", "PromptArgument", "Resource", "connect", "serve"]

publish(globals(), "mellite.mcp")
