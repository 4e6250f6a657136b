"""The mcp package, imported when the first connection is made: it takes half a second."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ...values.errors import MissingExtra

if TYPE_CHECKING:
    import mcp

__all__ = ["client_of", "imported", "version"]


def imported() -> ModuleType:
    """Return the mcp package.

    Raises:
        MissingExtra: if it is not installed.
    """
    try:
        import mcp
    except ModuleNotFoundError as error:
        if error.name not in {"mcp", "mcp_types"}:
            raise
        msg = "MCP servers need the mcp package: pip install 'mellite[mcp]'"
        raise MissingExtra(msg) from error
    return mcp


def client_of(streams: AbstractAsyncContextManager[Any], mode: Literal["legacy", "auto"]) -> mcp.Client:
    """Make a client over some streams, with no cache: the lists of a connection are those at its beginning."""
    import mcp

    ours = mcp.Implementation(name="mellite", version=version())
    return mcp.Client(streams, mode=mode, cache=None, client_info=ours)


def version() -> str:
    """Return the version of mellite, as it is told to the other side."""
    try:
        return metadata.version("mellite")
    except metadata.PackageNotFoundError:  # run from its sources
        return "0"
