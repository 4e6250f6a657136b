"""Read the answer to a call out of a batch as if it had just come: with the route's own reader of answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import final

from attrs import evolve

from ...values.empty import EMPTY
from ...values.events import Event, ResponseStart
from ...values.request import Request
from ...wire.answering import Answering
from ...wire.http import HttpRequest, HttpResponse
from ...wire.route import Route
from .lines import Result
from .places import request_in_batch

__all__ = ["TIER", "answer_events"]

#: What the metadata of an answer say of how it was served, and what its price goes by.
TIER = "batch"

#: Gives the result of a call, once it is there, for the request as it would have been sent.
Resolve = Callable[[HttpRequest], Awaitable[Result]]


async def answer_events(route: Route, request: Request, resolve: Resolve) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer out of a batch, as the route yields those of its own.

    Args:
        route: the route of the call.
        request: what is asked.
        resolve: gives the result.

    Raises:
        MelliteError: that of the answer, or what `resolve` raises.
    """
    answering = Answering(route, request_in_batch(request), _OutOfBatch(resolve)).pull()
    try:
        async for event in answering:
            yield evolve(event, service_tier=TIER) if type(event) is ResponseStart else event
    finally:
        await answering.aclose()


@final
class _OutOfBatch:
    """A transport whose answers come out of batches."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:  # noqa: ARG002
        """Wait for the result of a request, and return it as its answer."""
        return _Answer(await self._resolve(request))


@final
class _Answer(HttpResponse):
    """The answer in a result."""

    __slots__ = ("_body",)

    def __init__(self, result: Result) -> None:
        self.status = result.status
        ids = EMPTY if result.request_id is None else {"x-request-id": result.request_id}
        self.headers = {"content-type": "application/json", **ids}
        self._body = result.body

    async def read(self, timeout: float | None = None) -> bytes:  # noqa: ARG002 - all of it is here
        body, self._body = self._body, b""
        return body

    def whole(self, most: int) -> bytes | None:
        return None if len(self._body) > most else self._body

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
