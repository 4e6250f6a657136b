"""Serve tools of ours to MCP clients, over stdin and stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast, final

import anyio

from ...loops import run_in_thread
from ...values.errors import InvalidRequest
from ...values.function_tools import Tool, tool_of
from .answering import answer
from .groups import without_group
from .package import imported, version

if TYPE_CHECKING:
    import mcp_types
    from mcp.server import Server

__all__ = ["serve"]


async def serve(tools: Iterable[Tool[..., Any] | Callable[..., Any]], *, name: str = "mellite") -> None:
    """Serve tools to the MCP client that started this program, until it closes stdin.

    Exceptions of tools, arguments that do not fit and unknown names are reported to the client as errors of the call.
    Sync functions run in threads. Meanwhile stdout belongs to the client: anything else printed there goes to stderr.

    Args:
        tools: tools, or functions to make tools of.
        name: what the server calls itself.

    Raises:
        InvalidRequest: for anything that is not a tool or has no function to run, and for two tools of one name.
        MissingExtra: if the mcp package is not installed.
    """
    ending = _Ending()
    server = _server(_by_name(tools), name, ending)
    try:
        await _run(server, ending)
    except BaseExceptionGroup as group:
        raise without_group(group) from None
    if ending.exit is not None:
        raise ending.exit


async def _run(server: Server[Any], ending: _Ending) -> None:
    from mcp.server.stdio import stdio_server

    with _stdin() as lines, ending.scope:
        async with stdio_server(cast("Any", lines)) as (reading, writing):
            try:
                await server.run(reading, writing, server.create_initialization_options())
            finally:
                sys.stdout.flush()  # while it is away from the client, who would get it at the end of the program


def _by_name(tools: Iterable[Any]) -> dict[str, Tool[..., Any]]:
    found: dict[str, Tool[..., Any]] = {}
    if not isinstance(tools, Iterable):
        msg = f"the tools to serve are a list, as in serve([search]), not {tools!r:.200}"
        raise InvalidRequest(msg, parameter="tools")
    for each in tools:
        made = tool_of(each)
        if not isinstance(made, Tool):
            msg = f"a tool to serve needs a function to run; {made!r:.200} has none"
            raise InvalidRequest(msg, parameter="tools")
        if made.name in found:
            msg = f"two tools have the name {made.name!r}; give one another with tool(..., name=...)"
            raise InvalidRequest(msg, parameter="tools")
        found[made.name] = made
        _ = made.input_schema  # what is wrong with a parameter is told now, not to the client
    return found


@final
class _Ending:
    """The end of a server by a tool that raises `SystemExit`.

    Raised in the task of the call, it would end an asyncio loop at once, before the mcp package could close what it has
    open: the program would wait for a thread of it, and its client for an answer.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.exit: SystemExit | None = None

    async def end(self, exit: SystemExit) -> NoReturn:
        self.exit = exit
        self.scope.cancel()
        await anyio.sleep_forever()  # the cancellation ends this call, too
        raise exit


def _server(tools: Mapping[str, Tool[..., Any]], name: str, ending: _Ending) -> Server[Any]:
    """Make the server of the mcp package. Its lower one: the other withholds what tools raise."""
    imported()
    import mcp_types
    from mcp.server import Server

    async def list_tools(_context: Any, _params: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(
            tools=[
                mcp_types.Tool(name=each.name, description=each.description, input_schema=dict(each.input_schema))
                for each in tools.values()
            ]
        )

    async def call_tool(_context: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
        try:
            return await answer(tools, params.name, params.arguments or {})
        except SystemExit as exit:
            await ending.end(exit)

    return Server(name, version=version(), on_list_tools=list_tools, on_call_tool=call_tool)


@final
class _Lines:
    """The lines of stdin, read in a thread that does not hold the end of the program.

    The mcp package reads them in one that does: a server that is cancelled, by Ctrl-C or otherwise, stays until its
    client sends something.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb", closefd=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        line = await run_in_thread(self._file.readline)
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", "replace")


@contextmanager
def _stdin() -> Generator[_Lines]:
    """Take stdin away from the rest of the program, which reads an empty one meanwhile."""
    descriptor = sys.stdin.fileno()
    ours = os.dup(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, descriptor)
        os.close(nothing)
        yield _Lines(ours)
    finally:
        os.dup2(ours, descriptor)  # `ours` stays open: the thread may be reading
