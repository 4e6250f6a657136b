"""Ask a batch service over mellite's own transports: with the key of a backend, again where that helps, politely."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import IO, Final, cast, final

import anyio
import msgspec

from ...backends.live import LiveBackend
from ...protocols.error_answers import retry_after
from ...values.empty import EMPTY
from ...values.errors import ConnectError, InvalidProviderOutput, MelliteError, ProviderError, TransportError
from ...values.options import Timeouts
from ...values.provider_json import JsonObject
from ...values.request import Request
from ...wire.auth.keys import Scrubber
from ...wire.bounds import AnswerBounds
from ...wire.error_context import Informing
from ...wire.http import HttpRequest, shown_url
from ...wire.refusals import refusal
from ...wire.response import BodyReader, open_response

__all__ = ["Answered", "Sender"]

_TIMEOUTS: Final = Timeouts(first_byte=300.0, idle=120.0, total=None)
_BOUNDS: Final = AnswerBounds(max_bytes=None, max_values=None)
_ATTEMPTS: Final = 6
_LONGEST_WAIT: Final = 60.0
_OK: Final = range(200, 300)
_PARTIAL: Final = 206

#: Headers of a backend's calls that are none of a batch service's: they are about the body.
_OF_THE_BODY: Final = frozenset({"content-type", "content-length", "accept"})


@final
class Answered:
    """An answer in one piece.

    Attributes:
        headers: its headers, by lower-case name.
        body: its body.
        url: what was asked, for errors.
    """

    __slots__ = ("body", "headers", "url")

    def __init__(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        self.headers = headers
        self.body = body
        self.url = url

    def json(self) -> JsonObject:
        """Return the body as a JSON object.

        Raises:
            InvalidProviderOutput: if it is none.
        """
        try:
            found = msgspec.json.decode(self.body, type=dict[str, object])
        except msgspec.MsgspecError as error:
            msg = f"{shown_url(self.url)} answered no JSON object: {error}"
            raise InvalidProviderOutput(msg) from error
        return cast("JsonObject", found)

    @property
    def wait(self) -> float | None:
        """How long the service asks to wait before it is asked again, in seconds."""
        return retry_after(self.headers)


@final
class Sender:
    """Sends requests with the key and over the transport of a backend.

    Args:
        backend: whose key and transport.
        model: a model that it may be asked for, as the headers of a call may depend on that.
    """

    def __init__(self, backend: LiveBackend, model: str | None) -> None:
        self._backend = backend
        self._model = model

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = EMPTY,
        repeats: bool = True,
        keyless: bool = False,
    ) -> Answered:
        """Send a request and read its answer.

        Args:
            method: the method.
            url: the URL.
            body: the body.
            headers: further headers.
            repeats: whether it may be sent again when nobody knows whether it has arrived.
            keyless: whether the key stays here.

        Raises:
            MelliteError: as a call of the backend does.
        """
        async with self._answer(method, url, body, headers, repeats=repeats, keyless=keyless) as reader:
            return Answered(reader.response.headers, await reader.rest(), url)

    async def download(self, url: str, file: IO[bytes]) -> None:
        """Write the lines of a file to one that has the first of them, and may have none; only whole lines.

        A broken download goes on where it broke.

        Raises:
            MelliteError: as `ask` does, with what had come until then in the file.
        """
        broken = 0
        while True:
            before = file.tell()
            try:
                await self._download(url, file)
            except TransportError:
                if file.tell() > before:
                    broken = 0
                    continue
                broken += 1
                if broken >= _ATTEMPTS:
                    raise
                await anyio.sleep(_backoff(broken))
            else:
                return

    async def _download(self, url: str, file: IO[bytes]) -> None:
        kept = file.tell()
        headers = {"accept-encoding": "identity", **({"range": f"bytes={kept}-"} if kept else {})}
        async with self._answer("GET", url, b"", headers, repeats=True, keyless=False) as reader:
            passed_over = 0 if reader.response.status == _PARTIAL else kept
            rest = b""
            while piece := await reader.read():
                reader.waiting = None
                if passed_over:
                    passed_over, piece = max(0, passed_over - len(piece)), piece[passed_over:]
                lines, newline, after = piece.rpartition(b"\n")
                if newline:
                    file.write(rest + lines + newline)
                    rest = after
                else:
                    rest += after
            if rest:  # the last line has no newline
                file.write(rest + b"\n")

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, repeats: bool, keyless: bool
    ) -> AsyncGenerator[BodyReader]:
        route = self._backend.route
        with Informing(route.provider, self._model, route.auth) as known:
            reader = await self._opened(known, HttpRequest(method, url, headers=headers, body=body), repeats, keyless)
            try:
                yield reader
            except BaseException:
                await reader.abandon()
                raise
            await reader.response.aclose()

    async def _opened(
        self,
        known: Informing,
        request: HttpRequest,
        repeats: bool,  # noqa: FBT001
        keyless: bool,  # noqa: FBT001
    ) -> BodyReader:
        failures = 0
        while True:
            try:
                return await self._open_once(known, request, keyless=keyless)
            except MelliteError as error:
                failures += 1
                if failures >= _ATTEMPTS or not _may_pass(error, repeats=repeats):
                    raise
                asked = error.retry_after
            await anyio.sleep(min(_LONGEST_WAIT, _backoff(failures) if asked is None else asked))

    async def _open_once(self, known: Informing, request: HttpRequest, *, keyless: bool) -> BodyReader:
        route, transport = self._backend.route, self._backend.transport_now()
        own: Mapping[str, str] = EMPTY
        if not keyless:
            if not route.auth.is_ready():
                await route.auth.ready()
            own, known.scrubber = self._headers()
        headers = {**own, "accept": "*/*", **request.headers}
        http = HttpRequest(request.method, request.url, headers=headers, body=request.body)
        shown = shown_url(http.url)
        reader = await open_response(partial(transport.open, http), _TIMEOUTS, shown=shown, bounds=_BOUNDS)
        known.response = reader.response
        if reader.response.status in _OK:
            return reader
        try:
            raise await refusal(reader, route.protocol, url=http.url, path="", provider=route.provider)
        finally:
            await reader.response.aclose()

    def _headers(self) -> tuple[Mapping[str, str], Scrubber]:
        """Return the headers that a call of the backend has, with the key, and what removes that from texts."""
        call = self._backend.route.compiled(Request.of("x", model=self._model, stream=False))
        found = {name: value for name, value in call.http.headers.items() if name not in _OF_THE_BODY}
        return found, call.scrubber


def _may_pass(error: MelliteError, *, repeats: bool) -> bool:
    """Tell whether it makes sense to send a request again."""
    if isinstance(error, TransportError):
        return repeats or isinstance(error, ConnectError)
    return isinstance(error, ProviderError) and error.retryable


def _backoff(failures: int) -> float:
    return min(_LONGEST_WAIT, 0.5 * 2.0**failures) * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
