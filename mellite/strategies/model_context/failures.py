"""Turn exceptions of the mcp package into errors of mellite's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from ...values.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    RateLimited,
    UnknownProviderError,
)
from ...wire.transports.mcp_client import NO_ANSWER
from .groups import leaves

if TYPE_CHECKING:
    from mcp import MCPError

    from .target import Target

__all__ = ["explained"]

#: What mcp says where a connection has ended under a request; servers use its code for errors of their own.
_CLOSED: Final = "Connection closed"

#: Codes of JSON-RPC and MCP for a request that names something that is not there, or has the wrong parameters.
_BAD_REQUEST: Final = frozenset({-32602, -32002})


async def explained(target: Target, error: Exception) -> MelliteError:
    """Return the error of ours for an exception out of the mcp package; without secrets, and with a program's words.

    It has no ``__cause__``: what mcp raises holds requests and their headers.
    """
    from mcp import MCPError

    cause = next(leaves(error))
    if isinstance(cause, MelliteError):
        return cause
    if isinstance(cause, MCPError):
        return await _answered(target, cause)
    if isinstance(cause, OSError):
        return ConnectError(f"the MCP server {target.label} cannot be started: {_of_system(cause)}")
    kind = "" if type(cause) is RuntimeError else f"{type(cause).__name__}: "
    words = target.masked(f"{kind}{cause}")
    return InvalidProviderOutput(f"the MCP server {target.label} does not keep to the protocol: {words:.1000}")


def _of_system(error: OSError) -> str:
    text = error.strerror or type(error).__name__
    return f"{text}: {error.filename!r}" if isinstance(error.filename, str) else text


async def _answered(target: Target, error: MCPError) -> MelliteError:
    if error.message == _CLOSED:
        last = await target.last_words()
        ended = f"the MCP server {target.label} has ended" + (f"; its last words:\n{last}" if last else "")
        return ConnectionLost(ended, ending="cut")
    text = target.masked(error.message) or f"error {error.code}"
    said = f"the MCP server {target.label} says: {text}"
    status = error.data.get("status") if isinstance(error.data, Mapping) else None
    if status == NO_ANSWER and isinstance(status, int):
        return ConnectError(f"the MCP server {target.label} gave no answer: {text}")
    if status in (401, 403):
        kind: Literal["invalid", "insufficient-permissions"] = (
            "invalid" if status == 401 else "insufficient-permissions"
        )
        return AuthenticationError(said, status=status, kind=kind, provider_message=text)
    if status == 429:
        return RateLimited(said, status=status, retry_after=_seconds(error.data), provider_message=text)
    if error.code in _BAD_REQUEST:
        return InvalidRequest(said, provider_message=text, code=str(error.code))
    known = status if isinstance(status, int) else None
    return UnknownProviderError(said, status=known, provider_message=text, code=str(error.code))


def _seconds(data: Mapping[str, Any]) -> float | None:
    try:
        return float(data["retry_after"])
    except (KeyError, TypeError, ValueError):
        return None
