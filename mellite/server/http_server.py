"""The server: takes requests from clients of any vendor, and sends the answers piece by piece, as they arrive."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web

from ..cassettes.replaying.answer import RecordedAnswer
from ..values.errors import ConfigurationError, ConnectionLost, InvalidRequest, MelliteError
from ..values.told_errors import error_line
from ..wire.client_connections import REQUEST_SECONDS, SEND_SECONDS, Connection, WatchedServer
from ..wire.http import HttpRequest, HttpResponse, Transport
from .at_once import Framing
from .bodies import LARGEST, body_of
from .faults import Fault, Faults
from .guard import Guard, granted, is_preflight
from .itself import marked, refuse_round_trip
from .listing import Beside
from .paths import Call, call_of, key_of, lookup_of
from .refusals import error_body, retry_headers, status_of
from .relaying import Relay
from .served import Served
from .sockets import Sockets

__all__ = ["ModelServer"]

_LONGEST_NAME: Final = 80
_GOOGLES_KEY: Final = "x-goog-api-key"
_GOOGLES: Final = ("gemini", "google")
_DROPPED: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})

#: What is told of each request when its answer is over.
Listener: TypeAlias = Callable[[Served], None]


class ModelServer:
    """A server on this machine that speaks as model providers do.

    Args:
        source: what answers.
        hosts: names by which it may be asked, beside those of this machine.
        faults: what goes wrong on purpose.
        listener: is told of each request when its answer is over.
        request_seconds: seconds that the head of a request may take, and for which its body may pause.
        send_seconds: seconds for which a client may take nothing of its answer.

    Attributes:
        requests: those that have come, in order.
        url: the address, as in ``http://127.0.0.1:8080``.
    """

    def __init__(
        self,
        source: Transport,
        *,
        hosts: Collection[str] = (),
        faults: Faults | None = None,
        listener: Listener | None = None,
        request_seconds: float = REQUEST_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self.source = source
        self._guard = Guard(hosts)
        self._faults = faults or Faults()
        self._listener = listener
        self._request_seconds = request_seconds
        self._send_seconds = send_seconds
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._sockets = Sockets(source)
        self._framing = Framing(_DROPPED)
        self._beside = Beside(source)
        self._mark = f"mellite-{secrets.token_hex(8)}"
        self.requests: list[Served] = []
        self.url = ""

    async def start(self, port: int = 0) -> str:
        """Listen on the loopback interface, and return the address, as in ``http://127.0.0.1:8080``.

        Raises:
            OSError: if the port is taken.
        """
        server = WatchedServer(
            self._handle,
            request_seconds=self._request_seconds,
            send_seconds=self._send_seconds,
            refusal=partial(error_body, ""),
            largest=LARGEST,
            auto_decompress=False,  # `body_of` does it
        )
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        await server.listen(runner, port)
        self._server, self._runner = server, runner
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        source: Any = self.source
        if hasattr(source, "own_url"):
            source.own_url = self.url
        return self.url

    async def stop(self) -> None:
        """Close all connections, and then what answers.

        Raises:
            CassetteError: if something could not be recorded.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        close = getattr(self.source, "aclose", None)
        if close is not None:
            await close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.monotonic()
        served = Served(method=request.method, path=request.raw_path)
        if self._listener is None:
            self.requests.append(served)  # to be looked at; whoever listens keeps what it needs
        try:
            response = await self._answered(request, served)
            if not response.prepared and served.status != HTTPStatus.FORBIDDEN:
                response.headers.update(_granted(request))
            if not request.content.is_eof():
                response.force_close()  # the rest of a body that nobody reads may never come
            return response
        except ConnectionError:
            raise  # the client has gone, or has been sent away
        except Exception as error:  # a fault of mellite's, or of a backend: the client is not left without a word
            served.error = error_line(error)
            if served.status is not None:
                raise  # in the middle of an answer
            return _refused(served, None, 500, served.error)
        finally:
            if isinstance(request.protocol, Connection) and request.protocol.dropped:
                served.error = request.protocol.dropped
            served.seconds = time.monotonic() - began
            if self._listener is not None:
                self._listener(served)

    async def _answered(self, request: web.BaseRequest, served: Served) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        call = call_of(path, query)
        served.protocol = "" if call is None else call.protocol
        refusal = self._guard.refusal(headers)
        if refusal is not None:
            return _refused(served, call, 403, refusal)
        try:
            refuse_round_trip(headers, self._mark)
        except ConfigurationError as error:
            return _failed(request, served, call, error)
        marks = marked(headers, self._mark)
        headers.update(marks)
        if "upgrade" in headers.get("connection", "").lower():
            if call is not None and headers.get("upgrade", "").lower() == "websocket" and self._sockets.takes(call):
                return await self._sockets.serve(request, call, served, marks=marks)
            return _refused(served, call, 426, "no other protocol is spoken here: ask by POST", upgrade="HTTP/1.1")
        looks = request.method == "HEAD" or (request.method == "GET" and path.strip("/") == "")
        if looks or is_preflight(request.method, headers):
            served.status = 200
            return web.Response(text="mellite\n")
        try:
            body = await body_of(request, headers.pop("content-encoding", ""), patience=self._request_seconds)
        except InvalidRequest as error:
            return _failed(request, served, call, error)
        served.body = body
        fault = self._faults.draw()
        status = None if fault is None else fault.status
        if status is not None:
            return _refused(served, call, status, f"a fault on purpose: {status}")
        try:
            asked = self._asked(request, call, headers, body)
            found = self._beside.answer(asked) if call is None else None
            if found is not None:
                served.status = 200
                return web.json_response(found)
            response = await self.source.open(asked)
        except (MelliteError, TimeoutError) as error:
            return _failed(request, served, call, error)
        try:
            return await self._relayed(request, response, served, fault)
        finally:
            await response.aclose()

    def _asked(
        self, request: web.BaseRequest, call: Call | None, headers: Mapping[str, str], body: bytes
    ) -> HttpRequest:
        """Return what the source is asked: as at the vendor's, where it is known who that is."""
        path, _, query = request.raw_path.partition("?")
        lookup = lookup_of(path, query, headers) if call is None else None
        if call is not None:
            url = call.url
        elif lookup is not None:
            url = self._beside.address(lookup, headers["host"])
        else:
            url = f"http://{headers['host']}{request.raw_path}"
        key = key_of(query)
        if key and _GOOGLES_KEY not in headers and (call.protocol if call else lookup and lookup.vendor) in _GOOGLES:
            headers = {**headers, _GOOGLES_KEY: key}
        return HttpRequest(request.method, url, headers=headers, body=body, context={"client": _client(headers)})

    async def _relayed(
        self, request: web.BaseRequest, response: HttpResponse, served: Served, fault: Fault | None
    ) -> web.StreamResponse:
        """Hand on an answer."""
        served.status = response.status
        shared = _granted(request)
        if fault is None and not shared and isinstance(response, RecordedAnswer):
            at_once = self._framing.response(response, request)
            if at_once is not None:
                await at_once.prepare(request)
                return at_once
        kept = {name: value for name, value in response.headers.items() if name not in _DROPPED} | shared
        out = web.StreamResponse(status=response.status, headers=kept)
        if request.version >= (1, 1):
            out.enable_chunked_encoding()
        else:
            out.force_close()
        await out.prepare(request)
        relay = Relay(out, request, kept.get("content-type", ""))
        try:
            await relay.hand_on(response, None if fault is None else fault.kind)
        except (MelliteError, TimeoutError) as error:
            served.error = str(error)
            relay.break_off()
        return out


def _granted(request: web.BaseRequest) -> dict[str, str]:
    """Return what lets the page of an allowed origin read an answer."""
    if "origin" not in request.headers:
        return {}
    return granted({name.lower(): value for name, value in request.headers.items()})


def _client(headers: Mapping[str, str]) -> str:
    """Return who asks, in its own words, for a cassette: so that it is compared as other people's clients are."""
    return headers.get("user-agent", "").partition(" ")[0][:_LONGEST_NAME] or "unknown"


def _refused(
    served: Served, call: Call | None, status: int, message: str, code: str | None = None, **headers: str
) -> web.Response:
    served.status, served.error = status, message
    body = error_body("" if call is None else call.protocol, status, message, code=code)
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)


def _failed(
    request: web.BaseRequest, served: Served, call: Call | None, error: MelliteError | TimeoutError
) -> web.StreamResponse:
    """Tell the client that there is no answer: by a status, or as the recorded connection broke."""
    if isinstance(error, ConnectionLost) and request.transport is not None:
        served.error = str(error)
        request.transport.abort()
        raise ConnectionResetError(str(error))
    response = _refused(served, call, status_of(error), str(error), getattr(error, "code", None))
    response.headers.update(retry_headers(error))
    if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["allow"] = "POST"
    return response
