#!/usr/bin/env bash
# mcp: a tool's argument that is declared as anything but plain `str` is parsed as JSON first, when it is a text. With
# `content: str | None = None` a tool that writes a file cannot write `{"a": 1}` or `[1]` ("Input should be a valid string",
# for a string), and the text `null` becomes None, without an error: a file is emptied. `str | list[str]` makes a list
# of a text, `Any` a dict. The schema says that strings are welcome; `content: str` takes all of them, and so the same tool
# breaks when its argument becomes optional. The fastmcp package parses nothing. Declare `str` with a default of "".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q mcp==2.3.0 fastmcp==4.2.3 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
import logging
from importlib.metadata import version
from typing import Any

import fastmcp
import mcp
from mcp.server import MCPServer

logging.disable()
TEXTS = ("plain", '{"a": 1}', "[1]", "null", "12")


def must(content: str) -> str:
    return repr(content)


def may(content: str | None = None) -> str:
    return repr(content)


def several(content: str | list[int]) -> str:
    return repr(content)


def anything(content: Any) -> str:
    return repr(content)


def outcome(result, text):
    """What the tool saw of a text: the text, something else, or nothing, as the call was refused."""
    if result.is_error:
        return "refused"
    return "as it is" if result.content[0].text == repr(text) else result.content[0].text


async def main():
    theirs, other = MCPServer("official"), fastmcp.FastMCP("other")
    for tool in (must, may, several, anything):
        theirs.tool()(tool)
        other.tool(tool)
    print("mcp", version("mcp"), "fastmcp", version("fastmcp"))
    async with mcp.Client(theirs) as client, fastmcp.Client(other) as second:
        for tool in (must, may, several, anything):
            name = tool.__name__
            seen = {text: outcome(await client.call_tool(name, {"content": text}), text) for text in TEXTS}
            print(name, seen)
            for text in TEXTS:
                result = await second.call_tool(name, {"content": text}, raise_on_error=False)
                assert outcome(result, text) == "as it is", "fastmcp parses texts now"
            expected = {
                "must": {},
                "may": {'{"a": 1}': "refused", "[1]": "refused", "null": "None"},
                "several": {'{"a": 1}': "refused", "[1]": "[1]", "null": "refused"},
                "anything": {'{"a": 1}': "{'a': 1}", "[1]": "[1]", "null": "None"},
            }[name]
            assert seen == dict.fromkeys(TEXTS, "as it is") | expected, "texts are taken in another way now"


asyncio.run(main())
PYTHON
v/bin/python seen.py
