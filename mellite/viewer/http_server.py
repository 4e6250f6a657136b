"""The viewer's server: serves the page, its files, JSON, and live events to those who have the token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from ..values.errors import MelliteError
from ..values.provider_json import JsonObject
from ..wire.client_connections import REQUEST_SECONDS, SEND_SECONDS, WatchedServer
from .api import Reply, reply_to, unreadable
from .growing_texts import Grown, news
from .guarding import HEADERS, Guard
from .json_texts import as_ascii
from .page import TYPES, page_file, served_page
from .rows import Changes, Source

__all__ = ["ViewServer"]

#: How often to look for what is new, in seconds: a viewed journal writes what grows ten times a second.
_PERIOD: Final = 0.1

#: After so many looks without anything new, say that the connection lives.
_QUIET: Final = 150

_JSON: Final = "application/json"


class ViewServer:
    """A server on this machine that shows a source.

    Args:
        source: what is shown.
        request_seconds: seconds that the head of a request may take.
        send_seconds: seconds for which a reader may take nothing of what waits for it.

    Attributes:
        url: the address with the token, as in ``http://127.0.0.1:8080/TOKEN/``.
    """

    def __init__(
        self, source: Source, *, request_seconds: float = REQUEST_SECONDS, send_seconds: float = SEND_SECONDS
    ) -> None:
        self._source = source
        self._request_seconds = request_seconds
        self._send_seconds = send_seconds
        self._token = secrets.token_urlsafe(32)
        self._runner: web.ServerRunner | None = None
        self._preparing: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self, port: int = 0) -> str:
        """Listen on the loopback interface, and return the address with the token.

        Raises:
            OSError: if the port is taken.
        """
        self._turn, self._stopping = asyncio.Lock(), asyncio.Event()
        server = WatchedServer(
            self._handle, request_seconds=self._request_seconds, send_seconds=self._send_seconds, refusal=_refusal
        )
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await server.listen(runner, port)
        port = runner.addresses[0][1]
        self._guard = Guard(self._token, port)
        self.url = f"http://127.0.0.1:{port}/{self._token}/"
        return self.url

    async def stop(self) -> None:
        """Close all connections. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._stopping.set()
            await runner.cleanup()
            if self._preparing is not None:
                await self._preparing

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        status = self._guard.refusal(path, {name.lower(): value for name, value in request.headers.items()})
        if status is not None:
            return _answer(status, b"", "text/plain")
        if request.method not in ("GET", "HEAD"):
            return _answer(405, b"", "text/plain", Allow="GET, HEAD")
        parts = [unquote(part, errors="replace") for part in path.split("/")[2:]]
        if not parts:  # the address without its last slash, from which the files of the page would not be found
            return _answer(308, b"", "text/plain", Location=f"/{self._token}/")
        if parts == ["api", "events"] and request.method == "GET":
            return await self._events(request)
        if parts[0] == "api":
            reply = await self._asked(parts[1:], dict(parse_qsl(query, keep_blank_values=True)))
            return _answer(reply.status, as_ascii(reply.body), _JSON)
        return _static(parts)

    async def _asked(self, path: list[str], query: Mapping[str, str]) -> Reply:
        async with self._turn:
            reply = await asyncio.to_thread(reply_to, self._source, path, query)
        if self._preparing is None and path == ["calls"]:
            self._preparing = asyncio.create_task(asyncio.to_thread(self._source.prepare))
        return reply

    async def _events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send each call that begins or settles, and the texts of those that go on, until the reader goes away."""
        out = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        with suppress(ConnectionResetError):  # the reader has gone
            await out.prepare(request)
            await self._send_events(out)
        return out

    async def _send_events(self, out: web.StreamResponse) -> None:
        """Send what changes until the server stops."""
        mark, quiet, problem = "", 0, ""
        said: Mapping[str, Grown] = {}
        while not self._stopping.is_set():
            async with self._turn:
                changes = await asyncio.to_thread(self._changes, mark)
            if isinstance(changes, str):
                if changes != problem:
                    await out.write(_event("problem", {"error": changes}))
                mark, problem = "", changes
                await self._pause()
                continue
            problem = ""
            lines = [_event("call", row.as_json()) for row in changes.calls]
            for id, grown in changes.growing.items():
                told = news(said.get(id), grown)
                if told is not None:
                    lines.append(_event(told[0], {"id": id, **told[1]}))
            said = changes.growing
            if not mark:
                lines.append(_event("ready", {"kind": self._source.kind}))
            mark, quiet = changes.mark, 0 if lines else quiet + 1
            if quiet >= _QUIET:
                lines, quiet = [b": nothing new\n\n"], 0
            if lines:
                await out.write(b"".join(lines))
            await self._pause()

    def _changes(self, mark: str) -> Changes | str:
        """Return what has changed since a mark, or why that cannot be found out now."""
        try:
            return self._source.changes(mark)
        except (MelliteError, OSError) as error:
            return unreadable(self._source, error)

    async def _pause(self) -> None:
        """Wait until it is time to look again, or the server stops."""
        try:
            async with asyncio.timeout(_PERIOD):
                await self._stopping.wait()
        except TimeoutError:
            return


def _refusal(_: int, message: str) -> JsonObject:
    return {"error": message}


def _event(name: str, value: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), as_ascii(value))


def _static(parts: list[str]) -> web.Response:
    """Return the page or one of its files."""
    if parts == [""]:
        return _answer(200, served_page().encode(), "text/html")
    body = page_file(parts[1]) if len(parts) == 2 and parts[0] == "files" else None
    if body is None:
        return _answer(404, b"", "text/plain")
    return _answer(200, body.encode(), TYPES[parts[1].rpartition(".")[2]])


def _answer(status: int, body: bytes, kind: str, **more: str) -> web.Response:
    charset = None if kind == _JSON else "utf-8"
    return web.Response(status=status, body=body, content_type=kind, charset=charset, headers={**HEADERS, **more})
