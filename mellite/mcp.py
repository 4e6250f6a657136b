"""Tools of MCP servers for models to call, and mellite's tools as an MCP server."""

from .strategies import model_context as _room
from .strategies.model_context import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
