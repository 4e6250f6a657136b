"""Take the body of a request, decompressed where its client has compressed it, and within a bound."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..values.errors import InvalidProviderOutput, InvalidRequest, MissingExtra, OutputTooLarge
from ..wire.content_encoding import BodyDecoder

__all__ = ["LARGEST", "body_of"]

#: The largest body of a request, in bytes: as much as OpenAI takes, for conversations with pictures.
LARGEST: Final = 64 * 1024 * 1024


async def body_of(request: web.BaseRequest, encoding: str) -> bytes:
    """Return the body of a request.

    Args:
        request: the request, whose body nobody has touched.
        encoding: its ``content-encoding``; empty for none.

    Raises:
        InvalidRequest: with status 413 for a body that is too large, 415 for an encoding that is not understood here,
            and 400 for one that the body does not have, or that breaks off.
    """
    try:
        body = await request.read()
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


def _too_large() -> InvalidRequest:
    msg = f"the body has more than {LARGEST:,} bytes"
    return InvalidRequest(msg, status=413, parameter="body")
