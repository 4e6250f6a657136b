"""The floor: aiohttp and msgspec used by hand, without types, retries, or errors told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

if TYPE_CHECKING:  # the environments of the peers do not have it
    import httpx2

HEADERS = {"authorization": "Bearer x", "content-type": "application/json"}


def _body(model: str, *, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi."}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


async def bare_call(session: aiohttp.ClientSession, base: str, model: str) -> str:
    """Make one unary call and return the text."""
    url = f"{base}/chat/completions"
    async with session.post(url, data=_body(model, stream=False), headers=HEADERS) as response:
        decoded = msgspec.json.decode(await response.read())
    content: str = decoded["choices"][0]["message"]["content"]
    return content


async def bare_stream(session: aiohttp.ClientSession, base: str, model: str) -> list[str]:
    """Read one stream and return its deltas."""
    parts: list[str] = []
    rest = b""
    url = f"{base}/chat/completions"
    async with session.post(url, data=_body(model, stream=True), headers=HEADERS) as response:
        async for piece in response.content.iter_any():
            rest = _take_deltas(rest + piece, parts)
    return parts


async def bare_httpx2_stream(client: httpx2.AsyncClient, base: str, model: str) -> list[str]:
    """Read one stream with httpx2 and return its deltas."""
    parts: list[str] = []
    rest = b""
    url = f"{base}/chat/completions"
    async with client.stream("POST", url, content=_body(model, stream=True), headers=HEADERS) as response:
        async for piece in response.aiter_bytes():
            rest = _take_deltas(rest + piece, parts)
    return parts


def _take_deltas(data: bytes, parts: list[str]) -> bytes:
    """Append the deltas of all whole events to `parts`; return what is left."""
    decode = msgspec.json.decode
    at = 0
    while (end := data.find(b"\n\n", at)) >= 0:
        if data.startswith(b"data: {", at):
            choices = decode(data[at + 6 : end])["choices"]
            if choices and (content := choices[0]["delta"].get("content")):
                parts.append(content)
        at = end + 2
    return data[at:]
