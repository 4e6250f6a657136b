"""Take the body of a request, decompressed where its client has compressed it, and within a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

from ..values.errors import InvalidProviderOutput, InvalidRequest, MissingExtra, OutputTooLarge
from ..wire.content_encoding import BodyDecoder

if TYPE_CHECKING:
    from aiohttp import StreamReader

__all__ = ["LARGEST", "body_of"]

#: The largest body of a request, in bytes: as much as OpenAI takes, for conversations with pictures.
LARGEST: Final = 64 * 1024 * 1024


async def body_of(request: web.BaseRequest, encoding: str, *, patience: float) -> bytes:
    """Return the body of a request.

    Args:
        request: the request, whose body nobody has touched.
        encoding: its ``content-encoding``; empty for none.
        patience: seconds for which nothing of it may come.

    Raises:
        InvalidRequest: with status 408 for a body that stops coming, 413 for one that is too large, 415 for an encoding
            that is not understood here, and 400 for one that the body does not have, or that breaks off.
    """
    if (request.content_length or 0) > LARGEST:
        raise _too_large()
    try:
        body = await _received(request, patience)
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except web.RequestPayloadError as error:
        msg = f"the body of the request breaks off: {error}"
        raise InvalidRequest(msg, status=400, parameter="body") from error
    if not body or not encoding:
        return body
    try:
        decoder = BodyDecoder(encoding, limit=LARGEST)
    except InvalidProviderOutput:
        msg = f"the content-encoding {encoding!r:.80} is not understood here: send the body as it is, or with gzip"
        raise InvalidRequest(msg, status=415, parameter="content-encoding") from None
    try:
        found = b"".join(decoder.feed(body))
        decoder.end()
    except OutputTooLarge:
        raise _too_large() from None
    except MissingExtra as error:
        raise InvalidRequest(str(error), status=415, parameter="content-encoding") from error
    except InvalidProviderOutput as error:
        msg = f"the body of the request has not the content-encoding {encoding!r:.80} that it claims"
        raise InvalidRequest(msg, status=400, parameter="body") from error
    return found


async def _received(request: web.BaseRequest, patience: float) -> bytes:
    """Return the body as it was sent.

    Raises:
        InvalidRequest: if it stops coming, or is too large.
    """
    content = request.content
    if content.is_eof():  # all of it came with the head
        return await request.read()
    if request.headers.get("expect", "").lower() == "100-continue" and request.version >= (1, 1):
        _continue(request)
    pieces, size = [], 0
    while piece := await _piece(content, patience):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise _too_large()
    return b"".join(pieces)


def _continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body, unless it sends it already."""
    if request.transport is not None and not request.content.total_bytes:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _piece(content: StreamReader, patience: float) -> bytes:
    """Return what has come of a body, waiting for it if nothing has; ``b""`` at its end.

    Raises:
        InvalidRequest: if nothing comes.
    """
    while True:
        before = content.total_bytes
        with anyio.move_on_after(patience):
            return await content.readany()
        if content.total_bytes == before:  # else it came while this process stood still
            msg = f"the body of the request stopped coming: nothing for {patience:g} s"
            raise InvalidRequest(msg, status=408, parameter="body")


def _too_large() -> InvalidRequest:
    msg = f"the body has more than {LARGEST:,} bytes"
    return InvalidRequest(msg, status=413, parameter="body")
