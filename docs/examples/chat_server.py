"""Chat over HTTP with Starlette: the answer is sent as it is written, and stops when the client leaves.

Offline, from its cassette:     python docs/examples/chat_server.py [PORT]
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/chat_server.py
Ask:  curl -N localhost:8000/chat -d '{"messages": [{"role": "user", "content": "Count the months."}]}'
"""

import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import mellite
from mellite import Message, ModelOutputThunk
from mellite.errors import MelliteError

CASSETTE = Path(__file__).parent / "cassettes" / "chat_server.json"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    """Open what all requests share. A recorded answer is sent once, in the time in which it came."""
    async with mellite.cassettes.use(CASSETTE, match="pool", speed=1) as transport:
        yield {"backend": mellite.backend("openai:gpt-4o-mini", transport=transport)}


async def chat(request: Request) -> Response:
    """Answer with server-sent events: a `delta` for each piece of text, then `done` or `failed`."""
    try:
        messages = [Message(part["role"], part["content"]) for part in (await request.json())["messages"]]
        thunk = request.state.backend.generate(messages, system="Be brief.", max_tokens=500)
    except (KeyError, TypeError, ValueError, MelliteError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return StreamingResponse(events(thunk), media_type="text/event-stream")


async def events(thunk: ModelOutputThunk[str]) -> AsyncIterator[str]:
    """Write the events of one answer. When the client leaves, Starlette ends this, and this the model."""
    try:
        async for delta in thunk:
            yield event("delta", delta)
        yield event("done", thunk.finish_reason)
    except MelliteError as error:
        yield event("failed", str(error))
    finally:
        if thunk.state == "running":
            thunk.cancel("the client left")
            print(f"the client left after {len(thunk.partial)} characters", flush=True)


def event(name: str, data: object) -> str:
    """Write one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
