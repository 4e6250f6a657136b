"""An MCP server of the mcp package over streamable HTTP; it prints the port that it listens on."""

from __future__ import annotations

import json
import socket
import sys

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

server = MCPServer("over-http")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def authorization(context: Context) -> str:
    """Tell who asks."""
    return str((context.headers or {}).get("authorization"))


@server.tool()
def fail() -> str:
    """Fail, with a reason."""
    raise ToolError("no such city")


@server.tool()
async def hang() -> str:
    """Wait for ever; say to the terminal when that was cancelled."""
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        print("cancelled", flush=True)
        raise


@server.custom_route("/busy", methods=["POST"])
async def busy(_request: Request) -> Response:
    """Have no time."""
    return PlainTextResponse("come back later", 429, {"retry-after": "7"})


@server.custom_route("/locked", methods=["POST"])
async def locked(request: Request) -> Response:
    """Let nobody in, and say who was not let in."""
    return JSONResponse({"detail": f"who is {request.headers.get('authorization')}?"}, 401)


def long(number: int) -> Response:
    """A long result, as an event."""
    result = {"content": [{"type": "text", "text": "long" * 1_000_000}]}
    event = json.dumps({"jsonrpc": "2.0", "id": number, "result": result})
    return Response(f"event: message\ndata: {event}\n\n", media_type="text/event-stream")


@server.custom_route("/old", methods=["POST"])
async def old(request: Request) -> Response:
    """Know the protocol of 2025 only, and answer calls with events."""
    message = json.loads(await request.body())
    if message["method"] == "initialize":
        result = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "old", "version": "1"},
        }
    elif message["method"] == "tools/list":
        result = {"tools": [{"name": "long", "inputSchema": {"type": "object"}}]}
    elif message["method"] == "tools/call":
        return long(message["id"])
    elif "id" not in message:
        return Response(status_code=202)
    else:
        return PlainTextResponse("Bad Request: no session", 400)
    return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})


def main() -> None:
    """Serve until the process is ended."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    anyio.run(lambda: uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    sys.exit(main())
