"""Answer and record: what providers say to their own clients word for word, any other answer as its client sees it."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from ..cassettes.opening import CassetteTransport, use
from ..wire.http import HttpRequest, HttpResponse, Transport
from ..wire.transports.default import default_transport
from .generating import GeneratingTransport
from .passing import PassingTransport, provider_for
from .paths import call_of

__all__ = ["RecordingTransport"]


class RecordingTransport:
    """A transport that records what is answered, added to what the cassette has.

    Args:
        path: the file of the cassette.
        answering: answers what is not passed on; None if everything is.
        provider: who is asked where it speaks the protocol of the client, as `mellite.backend` takes it; None for the
            maker of each protocol.
        passes: whether providers are asked at all.
        even_in_ci: whether to record even with ``CI=true``.

    Raises:
        RecordingForbidden: with ``CI=true``, unless `even_in_ci`.
        InvalidCassette: if the file is there and damaged.
    """

    offline: Final = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        answering: Transport | None,
        *,
        provider: str | None = None,
        passes: bool = False,
        even_in_ci: bool = False,
    ) -> None:
        self._cassette: CassetteTransport = use(path, mode="all", even_in_ci=even_in_ci)
        self._answering = answering
        self._provider = provider
        self._passes = passes
        self._network = default_transport()
        self._passing = PassingTransport(self._cassette.over(lambda: self._network), provider)

    @property
    def answering(self) -> Transport | None:
        """What answers that is not passed on; None if everything is."""
        return self._answering

    @property
    def own_url(self) -> str:
        """The address of the server that asks, which is refused as a provider; empty before it listens."""
        return self._passing.own_url

    @own_url.setter
    def own_url(self, url: str) -> None:
        self._passing.own_url = url
        if isinstance(self._answering, GeneratingTransport):
            self._answering.own_url = url

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer, and record the answer; see `Transport.open`."""
        answering = self._answering
        if answering is None or (self._passes and self._is_passed(request)):
            return await self._passing.open(request, timeout=timeout)
        return await self._cassette.over(lambda: answering).open(request, timeout=timeout)

    def _is_passed(self, request: HttpRequest) -> bool:
        parts = urlsplit(request.url)
        call = call_of(parts.path, parts.query)
        return call is not None and provider_for(call, self._provider) is not None

    async def aclose(self) -> None:
        """End the recording, and close what answers.

        Raises:
            CassetteError: if something could not be stored.
        """
        for each in (self._answering, self._network):
            close = getattr(each, "aclose", None)
            if close is not None:
                await close()
        await self._cassette.aclose()
