"""Decompress the bodies that other recorders stored compressed, as their headers say; see `inflated`."""

from __future__ import annotations

from typing import Final

from ...values.errors import InvalidProviderOutput, MissingExtra, OutputTooLarge
from ...wire.content_encoding import BodyDecoder
from .cassetter import Refuse
from .disk import MAX_BYTES

__all__ = ["FRAMING", "inflated"]

#: Headers that describe how a body was sent, and are no longer true of a stored one.
FRAMING: Final = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})

#: How compressed data begins, for formats with a magic number: https://www.rfc-editor.org/rfc/rfc1952 and rfc8878.
_MAGIC: Final = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}

#: How many characters are looked at to tell text from bytes.
_LOOKED_AT: Final = 100_000


def inflated(body: bytes, headers: dict[str, str], where: str, refuse: Refuse) -> bytes:
    """Decompress a body, and remove ``content-encoding`` from `headers`.

    A body that was decompressed before it was stored is returned as it is. If the package for its encoding is not
    installed, body and header stay as they are.

    Args:
        body: the stored bytes.
        headers: those of its message, by lower-case name; changed.
        where: the place of the body, for the error.
        refuse: raises the error for a body that is damaged.

    Example:
        >>> import gzip
        >>> headers = {"content-encoding": "gzip"}
        >>> inflated(gzip.compress(b"Hello."), headers, "the body", print), headers
        (b'Hello.', {})
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if not body or encoding not in ("gzip", "x-gzip", "deflate", "br", "zstd"):
        return body
    magic = _MAGIC.get(encoding)
    if not body.startswith(magic) if magic is not None else _is_text(body):
        headers.pop("content-encoding", None)  # the recorder decompressed the body and kept the header
        return body
    decoder = BodyDecoder(encoding, limit=MAX_BYTES)
    try:
        whole = b"".join(decoder.feed(body))
        decoder.end()
    except MissingExtra:
        return body
    except (InvalidProviderOutput, OutputTooLarge) as error:
        refuse(where, f"{encoding} data", f"what is damaged: {error}")
    headers.pop("content-encoding", None)
    return whole


def _is_text(data: bytes) -> bool:
    """Whether bytes are readable text in UTF-8, which compressed data of more than a few bytes never are."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(character >= " " or character in "\t\r\n" for character in text[:_LOOKED_AT])
