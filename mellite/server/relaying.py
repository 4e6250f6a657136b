"""Hand an answer on to its client piece by piece, well or, on purpose, with a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from ..wire.client_connections import reset
from .faults import cut_short

if TYPE_CHECKING:
    from aiohttp import web

    from ..wire.http import HttpResponse

__all__ = ["Relay"]

_AT_ONCE: Final = 256 * 1024  # the most bytes that are sent without waiting for the client to take them
_PATIENCE: Final = 3600.0  # seconds that a stalled answer is kept open
_SLOW: Final = 0.05  # seconds before each piece of a slow answer


class Relay:
    """Hands on one answer.

    Args:
        out: the answer to the client, whose head is sent.
        request: what the client asked.
        content_type: of the answer.
    """

    def __init__(self, out: web.StreamResponse, request: web.BaseRequest, content_type: str) -> None:
        self._out = out
        self._request = request
        self._type = content_type

    async def hand_on(self, response: HttpResponse, fault: str | None) -> None:
        """Hand on all pieces, each when it is there, and the end.

        Args:
            response: the answer.
            fault: what goes wrong: ``cut``, ``reset``, ``stall``, ``slow``; None for nothing.

        Raises:
            MelliteError: if the answer breaks off.
            TimeoutError: if nothing more of it comes.
        """
        if fault == "cut":
            await self._cut(response)
            return
        read, write = response.read, self._out.write
        count = 0
        while piece := await read():
            if fault == "slow":
                await anyio.sleep(_SLOW)
            if fault in ("reset", "stall"):
                if count or not piece[1:]:
                    break
                piece = piece[: len(piece) // 2]
            if len(piece) <= _AT_ONCE:
                await write(piece)
            else:  # in parts, so that a slow client does not have all of it in memory
                for start in range(0, len(piece), _AT_ONCE):
                    await write(piece[start : start + _AT_ONCE])
            count += 1
        if fault == "stall":
            await anyio.sleep(_PATIENCE)
        if fault == "reset":
            reset(self._request.transport)
            return
        await self._out.write_eof()

    async def _cut(self, response: HttpResponse) -> None:
        """End well before the end of the answer."""
        pieces = []
        while piece := await response.read():
            pieces.append(piece)
        left = len(cut_short(b"".join(pieces), self._type))
        for piece in pieces:
            if left <= 0:
                break
            await self._out.write(piece[:left])
            left -= len(piece)
        await self._out.write_eof()

    def break_off(self) -> None:
        """Close the connection in the middle of the answer."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()
