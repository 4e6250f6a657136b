"""One tool of an MCP server, as the handler of a tool of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeVar, final

from ...values.errors import InvalidRequest, MelliteError, ToolFailure
from ...values.json_texts import well_formed
from ...values.provider_json import Json
from .contents import result_of, text_of

if TYPE_CHECKING:
    import mcp
    import mcp_types

__all__ = ["RemoteTool"]

T = TypeVar("T")


class Ask(Protocol):
    """Asks the server, by a connection."""

    async def __call__(self, what: Callable[[mcp.Client], Awaitable[T]], asked: str) -> T:
        """Return its answer; `asked` says for errors what is asked for."""
        ...


@final
class RemoteTool:
    """A tool at a server.

    Copies are the same tool. A pickle keeps its name, not the connection.

    Args:
        name: what the server calls it.
        server: the server's name, for errors.
        masked: takes secrets out of texts.
        check: raises an error where the connection cannot be used.
        ask: asks the server.
    """

    __slots__ = ("_ask", "_check", "_masked", "_name", "_server")

    def __init__(
        self, name: str, server: str, *, masked: Callable[[str], str], check: Callable[[], object], ask: Ask
    ) -> None:
        self._name = name
        self._server = server
        self._masked = masked
        self._check = check
        self._ask = ask

    async def call(self, arguments: Mapping[str, Json]) -> Json:
        """Have the server run the tool.

        Raises:
            ToolFailure: if the tool or the server failed, with the words of either, for the model.
            InvalidRequest: if the block of the connection is over.
        """
        self._check()
        try:
            result = await self._ask(self._put(arguments), f"a call of {self._name!r}")
            if not result.is_error:
                return result_of(result)
            words = self._masked(text_of(result))
        except MelliteError as error:
            raise ToolFailure(str(error)) from error
        raise ToolFailure(words)

    def _put(self, arguments: Mapping[str, Json]) -> Callable[[mcp.Client], Awaitable[mcp_types.CallToolResult]]:
        sent = well_formed(arguments)  # the mcp package ends the connection where it cannot write a message
        return lambda client: client.call_tool(self._name, sent)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Unconnected, (self._name, self._server))


@final
class _Unconnected:
    """A tool that came out of a pickle: which connection it belonged to, nobody can tell."""

    def __init__(self, name: str, server: str) -> None:
        self._name = name
        self._server = server

    async def call(self, _arguments: Mapping[str, Json]) -> NoReturn:
        """Refuse to run it."""
        msg = f"the tool {self._name!r} of the MCP server {self._server} was pickled, and has no connection: "
        raise InvalidRequest(msg + "connect again and take the tool from there")
