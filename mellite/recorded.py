"""Read every answer in an HTTP cassette as a settled thunk, whatever was asked and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from .backends.live import LiveBackend
from .cassettes.http import load_cassette
from .cassettes.interactions import Cassette, HttpInteraction
from .cassettes.matching import decoded
from .cassettes.recorder import ReplayTransport
from .errors import MelliteError
from .providers.recorded import question_of, route_of
from .wire.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from .thunk import ModelOutputThunk

__all__ = ["replay_all"]


def replay_all(path: str | PathLike[str]) -> Iterator[tuple[str, ModelOutputThunk[Any] | None]]:
    """Read each recorded answer through the protocol that its request spoke.

    Args:
        path: the file of the cassette.

    Yields:
        The URL of each interaction, and its settled thunk: done, or failed with the error that the answer stands for.
        None in the place of the thunk where mellite does not know the protocol.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged.

    Example:
        >>> for url, thunk in replay_all("mellite/demo_cassettes/chat.json"):
        ...     print(url, thunk.value)
        https://api.openai.com/v1/chat/completions The Amazon, the Nile and the Danube.
    """
    for interaction in load_cassette(path).interactions:
        if isinstance(interaction, HttpInteraction):
            yield interaction.request.url, _thunk(interaction)
        else:
            known = interaction.open or interaction.connection
            yield (known.url if known is not None else None) or "", None


def _thunk(interaction: HttpInteraction) -> ModelOutputThunk[Any] | None:
    is_json, body = decoded(interaction.request.body.characters)
    route = route_of(interaction.request.url, body) if is_json and isinstance(body, dict) else None
    if route is None:
        return None
    backend = LiveBackend(route.with_(model=route.model or "unknown"), transport=_Answer(interaction))
    thunk = backend.generate(question_of(body))
    try:
        thunk.result()
    except MelliteError as error:
        if error is not thunk.error:  # an error of reading is a value here; any other is not
            raise
    return thunk


class _Answer:
    """A transport that gives one recorded answer to whatever is asked."""

    def __init__(self, interaction: HttpInteraction) -> None:
        self._interaction = interaction

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer; see `Transport.open`."""
        recorded = self._interaction.request
        replay = ReplayTransport(Cassette((self._interaction,)))
        body = recorded.body.data
        return await replay.open(
            HttpRequest(recorded.method, recorded.url, headers=recorded.headers, body=body, context=request.context),
            timeout=timeout,
        )
