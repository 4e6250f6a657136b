#!/usr/bin/env bash
# httpcore2 2.16.2: an HTTP/2 response that is closed early is never cancelled at the server.
#
# Over HTTP/1.1 a client that stops reading closes the connection, and the server notices. Over HTTP/2 the connection
# is shared, and RST_STREAM is what says "I want no more of this one" (RFC 9113, section 8.1). One would expect httpx2,
# asked to close a streamed response in the middle, to send it. It sends nothing: the server is not told, and goes on as
# far as the window of the stream lets it. Behind a language model that is text which somebody pays for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q httpx2==2.16.2 httpcore2==2.16.2 h2==4.4.1 anyio==4.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import asyncio

import h2.config
import h2.connection
import h2.events
import httpx2

seen = []


async def serve(reader, writer):
    """Answer a request with one piece of data, keep the stream open, and note what the client sends after that."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    writer.write(server.data_to_send())
    while data := await reader.read(65536):
        for event in server.receive_data(data):
            seen.append(type(event).__name__)
            if isinstance(event, h2.events.RequestReceived):
                server.send_headers(event.stream_id, [(":status", "200")])
                server.send_data(event.stream_id, b"one piece")
        writer.write(server.data_to_send())
    writer.close()


async def main():
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(http1=False, http2=True, trust_env=False) as client:
        async with client.stream("GET", f"http://127.0.0.1:{port}/") as response:
            async for piece in response.aiter_raw():
                break
        protocol = response.http_version
        until_closed = list(seen)
        # A second request on the same connection: whatever was sent for the first one has arrived before it.
        async with client.stream("GET", f"http://127.0.0.1:{port}/") as response:
            async for _ in response.aiter_raw():
                break
        since = seen[len(until_closed):]
    listening.close()
    await listening.wait_closed()
    await asyncio.sleep(0)
    print(protocol, piece)
    print("the server had seen when the response was closed:", until_closed)
    print("and then, up to the next request:", since[: since.index("RequestReceived") + 1])
    assert protocol == "HTTP/2", protocol
    assert "StreamReset" not in seen, seen
    assert seen.count("RequestReceived") == 2, seen


asyncio.run(main())
PY
