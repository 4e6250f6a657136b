#!/usr/bin/env bash
# mcp 2.3.0: what a tool of a stdio server prints is sent to the client after the session, as if it were protocol.
#
# A stdio server speaks its protocol on standard output, so the package keeps what handlers print away from it while the
# server runs. One would conclude that a print() in a tool does no harm. But Python buffers what is printed to a pipe,
# and the package gives file descriptor 1 back before that buffer is flushed: the text arrives at the client behind the
# last message, as a line that is not JSON-RPC. A server must flush standard output itself before it returns, or send it
# elsewhere while tools run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mcp==2.3.0
cat > "$folder/server.py" <<'PY'
from mcp.server.mcpserver import MCPServer

server = MCPServer("prints")


@server.tool()
def look(path: str) -> str:
    print("looking at", path)
    return "found"


server.run("stdio")
PY
cat > "$folder/client.py" <<'PY'
import json
import subprocess
import sys

server = subprocess.Popen(
    [sys.executable, "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
)


def send(method, **message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, **message}) + "\n")
    server.stdin.flush()


started = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
send("initialize", id=1, params=started)
lines = [server.stdout.readline()]
send("notifications/initialized")
send("tools/call", id=2, params={"name": "look", "arguments": {"path": "notes.txt"}})
lines.append(server.stdout.readline())
server.stdin.close()
behind = server.stdout.read()
server.wait()
answer = json.loads(lines[1])["result"]["content"][0]["text"]
print("the tool's answer:", answer)
print("on standard output behind it:", repr(behind))
assert answer == "found", lines
assert behind == "looking at notes.txt\n", behind
PY
cd "$folder"
env -u PYTHONUNBUFFERED "$folder/venv/bin/python" client.py
