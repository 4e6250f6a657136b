"""An MCP server without the mcp package, which starts in a moment and can do everything wrong.

Run as ``python plain_server.py [HABIT]``. It answers one request after the other; what it is not to answer, it forgets.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HABIT = sys.argv[1] if len(sys.argv) > 1 else "good"
PIXEL = base64.b64encode(b"\x89PNG a pixel").decode()
TOOLS = (
    *("echo", "where", "hang", "cancelled", "die", "exit", "fail", "refuse", "picture", "sound", "file", "embedded"),
    *("link", "structured", "other", "list", "nothing", "broken", "odd.name", "leak", "deep"),
)
#: Of which little is left where only ASCII letters are allowed.
ALIKE = ("天气", "时间", "a.b", "a_b", "a.b")
PAGE = 4

cancelled: list[object] = []


def text(words: str) -> dict[str, Any]:
    """One text as the content of a result."""
    return {"content": [{"type": "text", "text": words}]}


def embedded(**contents: str) -> dict[str, Any]:
    """One embedded resource as the content of a result."""
    return {"content": [{"type": "resource", "resource": contents}]}


RESULTS: dict[str, dict[str, Any]] = {
    "fail": {**text("the disk is full"), "isError": True},
    "leak": {**text(f"bad key {os.environ.get('THE_KEY')}"), "isError": True},
    "picture": {
        "content": [
            {"type": "text", "text": "Look:"},
            {"type": "image", "data": PIXEL, "mimeType": "image/png"},
        ]
    },
    "sound": {"content": [{"type": "audio", "data": PIXEL, "mimeType": "audio/wav"}]},
    "file": embedded(uri="file:///a%20b/report.pdf", mimeType="application/pdf", blob=PIXEL),
    "embedded": embedded(uri="file:///notes.txt", text="Remember the milk."),
    "link": {"content": [{"type": "resource_link", "uri": "file:///big.bin", "name": "big", "description": "A lot."}]},
    "structured": {**text('{"degrees": 22}'), "structuredContent": {"degrees": 22}},
    "other": {**text("It is mild."), "structuredContent": {"degrees": 22}},
    "list": {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "structuredContent": {"result": ["a", "b"]},
    },
    "nothing": {"content": []},
    "broken": {"content": [{"type": "image", "data": "!!!", "mimeType": "image/png"}]},
    "odd.name": text("called by its own name"),
    "deep": {**text("[" * 100_000), "structuredContent": {"degrees": 22}},
}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a tool; None for no answer."""
    if name == "echo":
        return text(arguments["text"])
    if name == "where":
        return text(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "pid": os.getpid()}))
    if name == "cancelled":
        return text(json.dumps(cancelled))
    if name == "hang":
        return None
    if name == "die":
        print("out of memory, said sk-abcdefghijklmnopqrstuvwxyz", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "exit":
        sys.exit(0)
    return RESULTS[name] if name in RESULTS else text(name)


def page(items: Sequence[Any], key: str, cursor: str | None) -> dict[str, Any]:
    """One page of a list."""
    start = int(cursor or 0)
    more = start + PAGE < len(items) or HABIT == "endless"
    return {key: list(items[start : start + PAGE]), **({"nextCursor": str(start + PAGE)} if more else {})}


def tools() -> list[Any]:
    """All tools."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    names = ALIKE if HABIT == "alike" else TOOLS
    return [{"name": name, "description": f"The tool {name}.", "inputSchema": schema} for name in names]


def prompt(name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """A prompt, filled in."""
    said = {"type": "text", "text": f"{name}: {json.dumps(arguments)}"}
    return {
        "messages": [
            {"role": "user", "content": said},
            {"role": "assistant", "content": {"type": "image", "data": PIXEL, "mimeType": "image/png"}},
        ]
    }


def read(uri: str) -> dict[str, Any]:
    """What is below a URI."""
    return {"contents": [{"uri": uri, "text": "Remember the milk."}, {"uri": f"{uri}/x.png", "blob": PIXEL}]}


CAPABILITIES = {"tools": {}, "prompts": {}, "resources": {}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None for no answer.

    Raises:
        LookupError: for an unknown method.
    """
    if method == "initialize":
        info = {"name": "plain", "version": "1"}
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {} if HABIT == "poor" else CAPABILITIES,
            "serverInfo": info,
            "instructions": "Be brief.",
        }
    if method == "tools/list" and HABIT != "poor":
        return page(tools(), "tools", params.get("cursor"))
    if method == "prompts/list":
        arguments = [{"name": "code", "required": True}]
        prompts = [{"name": f"p{number}", "arguments": arguments} for number in range(6)]
        return page(prompts, "prompts", params.get("cursor"))
    if method == "resources/list":
        resources = [{"uri": f"file:///{number}", "name": f"r{number}", "size": 3} for number in range(6)]
        return page(resources, "resources", params.get("cursor"))
    if method == "prompts/get":
        return prompt(params["name"], params.get("arguments") or {})
    if method == "resources/read":
        return read(params["uri"])
    if method == "tools/call":
        return call(params["name"], params.get("arguments") or {})
    raise LookupError(method)


def respond(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to one message, if it gets one."""
    method, params = message["method"], message.get("params") or {}
    if method == "notifications/cancelled":
        cancelled.append(params["requestId"])
    if "id" not in message or HABIT == "deaf":
        return None
    if params.get("name") == "refuse":
        return {"error": {"code": -32000, "message": "the database is locked"}}
    if params.get("uri") == "file:///none":
        return {"error": {"code": -32002, "message": "no such resource"}}
    if HABIT == "modern":
        if method == "initialize":
            data = {"supported": ["2026-07-28"], "requested": params["protocolVersion"]}
            return {"error": {"code": -32022, "message": "too old", "data": data}}
        if method == "server/discover":
            more = {"ttlMs": 0, "cacheScope": "public"}
            return {"result": {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, **more}}
    try:
        result = answer(method, params)
    except LookupError:
        return {"error": {"code": -32601, "message": "no such method"}}
    if result is not None and HABIT == "modern":
        result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
    return None if result is None else {"result": result}


def main() -> None:
    """Answer what comes on stdin until it is closed."""
    if HABIT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if HABIT == "deaf" and len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(str(os.getpid()), encoding="utf-8")
    if HABIT == "noisy":
        print("Welcome to the server!", flush=True)
    first = True
    for line in sys.stdin:
        message = json.loads(line)
        if first and message["method"] != "initialize" and HABIT != "modern":
            sys.exit("expected initialize")  # as servers made with the Rust SDK before 3 do
        first = False
        said = respond(message)
        if said is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
    while HABIT == "stubborn":
        signal.pause()


if __name__ == "__main__":
    main()
