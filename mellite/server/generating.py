"""Answer requests by a backend of mellite's: read what a client asks, drive a thunk, write its events as it expects."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import evolve

from ..backends.asking import generate
from ..backends.by_name import backend
from ..backends.live import LiveBackend
from ..protocols.answer_blocks import AnswerWriter, json_line
from ..providers.catalog import split
from ..thunk.iterators import Events
from ..thunk.thunk import AnyThunk
from ..values.errors import IncompleteStream, InvalidRequest, MelliteError, OutputValidationError
from ..values.options import HttpOptions
from ..values.provider_json import JsonObject
from ..wire.http import HttpRequest, HttpResponse
from .dialects import DIALECTS, Asked, asked, decoded, writer_of
from .itself import MARKS, is_provider, refuse_itself
from .only_theirs import refuse_several_answers, refuse_what_is_only_theirs
from .output_types import with_output_type
from .passing import provider_for
from .paths import Call, call_of
from .refusals import error_body, status_of
from .remembered import RememberedResponses

__all__ = ["GeneratingTransport"]

_METHOD: Final = "POST"
_RESPONSES: Final = "openai-responses"
_GONE: Final = "the client went away"


class GeneratingTransport:
    """A transport that answers by a backend, in the words of the vendor whose API is asked.

    Args:
        asked_one: who is asked; anything with ``stream(request)``. Where it names a model, that one is asked, whatever
            the client says.
        spec: how the backend is called, if it is a provider's: a client that speaks another protocol of this provider
            is answered over that one, so that nothing has to be translated.

    Attributes:
        name: who is asked, as in ``openai:gpt-4o``.
        own_url: the address of the server that asks, which is refused as a provider; empty before it listens.
    """

    #: No key is needed to ask it: the backend has its own.
    offline: Final = True

    def __init__(self, asked_one: Any, *, spec: str | None = None) -> None:
        self._backend = asked_one
        self._spec = spec
        self._others: dict[str, Any] = {}
        describe = getattr(asked_one, "describe", None)
        self.name = str(describe()) if callable(describe) else type(asked_one).__name__
        self._names_model = ":" in self.name
        self._remembered = RememberedResponses()
        self.own_url = ""

    def __repr__(self) -> str:
        return f"GeneratingTransport({self._backend!r})"

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:  # noqa: ARG002 - the backend has clocks
        """Ask the backend, and wait for the first of its answer.

        Raises:
            MelliteError: if the request cannot be read, or the backend fails before it says anything.
        """
        parts = urlsplit(request.url)
        call = call_of(parts.path, parts.query)
        if call is None or call.protocol not in DIALECTS:
            msg = f"no backend can be asked by {request.method} {parts.path}"
            raise InvalidRequest(msg, status=404)
        if request.method != _METHOD:
            msg = f"{parts.path} is asked by {_METHOD}, not by {request.method}"
            raise InvalidRequest(msg, status=405)
        body = decoded(request.body)
        if call.protocol == _RESPONSES:
            body = self._remembered.completed(body)
        found = asked(call, body)
        marks = {name: request.headers[name] for name in MARKS if name in request.headers}
        thunk = self._thunk(call, found, marks)
        answer = GeneratedAnswer(thunk, self._writer(call, found), call, streams=found.streams)
        if call.protocol == _RESPONSES:
            answer.on_end = partial(self._remember, body)
        try:
            await answer.begin()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def _remember(self, body: JsonObject, answer: JsonObject) -> None:
        self._remembered.note(answer["id"], body, answer["output"])

    def _thunk(self, call: Call, found: Asked, marks: Mapping[str, str]) -> AnyThunk:
        request = found.request
        changes: dict[str, Any] = {} if found.streams else {"options": evolve(request.options, stream=False)}
        if self._names_model:
            changes["model"] = None
        refuse_several_answers(request)
        chosen = self._backend_for(call)
        live = isinstance(chosen, LiveBackend)
        if live:
            refuse_itself(chosen.route.endpoint, self.own_url)
            if marks and not is_provider(chosen.route.endpoint):
                changes["http"] = HttpOptions(headers=marks)
        if not live or chosen.route.protocol.id != call.protocol:
            request = with_output_type(call.protocol, request)
            if live:
                refuse_what_is_only_theirs(request, self.name)
        return generate(chosen, evolve(request, **changes))

    def _backend_for(self, call: Call) -> Any:
        """Return the backend, or the one that asks the same provider in the protocol of the client."""
        if self._spec is None:
            return self._backend
        if call.protocol not in self._others:
            name, (own, model) = provider_for(call, self._spec), split(self._spec)
            other = name is not None and name != own
            self._others[call.protocol] = backend(f"{name}:{model or ''}") if other else self._backend
        return self._others[call.protocol]

    def _writer(self, call: Call, found: Asked) -> AnswerWriter:
        return writer_of(call, found, id=secrets.token_hex(12))

    async def aclose(self) -> None:
        """Close the backends."""
        for each in {id(one): one for one in (self._backend, *self._others.values())}.values():
            close = getattr(each, "aclose", None)
            if close is not None:
                await close()


class GeneratedAnswer(HttpResponse):
    """The answer of a backend, written while it comes.

    Args:
        thunk: the generation.
        writer: writes its events.
        call: what was asked.
        streams: whether it is handed on as it comes, or in one piece at the end.

    Attributes:
        on_end: is called with the whole answer when it has ended well.
    """

    __slots__ = ("_call", "_events", "_next", "_over", "_streams", "_thunk", "_writer", "on_end")

    def __init__(self, thunk: AnyThunk, writer: AnswerWriter, call: Call, *, streams: bool) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": writer.stream_type if streams else writer.whole_type}
        self._thunk = thunk
        self._writer = writer
        self._call = call
        self._streams = streams
        self._events: Events = thunk.events()
        self._next = b""
        self._over = False
        self.on_end: Callable[[JsonObject], None] | None = None

    async def begin(self) -> None:
        """Wait for the first piece; an error before it can still become a status.

        Raises:
            MelliteError: if the backend fails before that.
        """
        self._next = await (self._piece() if self._streams else self._whole())

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the backend has clocks of its own
        """Return the next piece; ``b""`` at the end."""
        data, self._next = self._next, b""
        if data or self._over:
            return data
        try:
            return await self._piece()
        except MelliteError as error:
            self._over = True
            body = error_body(self._call.protocol, status_of(error), str(error), code=error.code)
            return self._writer.failure(error, body)

    async def _piece(self) -> bytes:
        """Return what the next events add to the stream.

        Raises:
            MelliteError: if the generation fails.
        """
        while not self._over:
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                self._over = True
            except OutputValidationError:  # the answer is whole, and the client asked for it as it is
                self._over = True
            else:
                data = self._writer.write(event)
                if data:
                    return data
        if self._writer.finish is None:
            msg = "the backend ended its answer without a Finish event"
            raise IncompleteStream(msg)
        if self.on_end is not None:
            self.on_end(self._writer.whole())
            self.on_end = None
        return b""

    async def _whole(self) -> bytes:
        while await self._piece():
            pass
        return json_line(self._writer.whole())

    async def aclose(self) -> None:
        """End the answer; a generation that is on its way is cancelled."""
        self._over = True
        await self._thunk.cancel_generation(_GONE)
