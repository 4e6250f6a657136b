"""Decompress HTTP bodies in bounded pieces, and notice bodies that end too soon.

HTTP clients accept compressed data that stops early, and inflate a small body to any size. So transports return
bodies as they arrived, and they are decompressed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..values.errors import InvalidProviderOutput, OutputTooLarge
from .decompressors import BrotliDecompressor, Decompressor, ZlibDecompressor, ZstdDecompressor

__all__ = ["BodyDecoder"]

_PIECE: Final = 64 * 1024  # the most bytes to take out of a decompressor in one step
_SLICE: Final = 16 * 1024  # the most to put in: zlib copies its unused input at every step
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's codes for the containers
_NAMES: Final = ("gzip", "deflate", "br", "zstd")
_WITH_MEMBERS: Final = frozenset({"gzip", "zstd"})


class BodyDecoder:
    """A decoder for one HTTP body with a given ``content-encoding``.

    Args:
        content_encoding: the value of the header; None and empty stand for ``identity``.
        limit: the most bytes of the decoded body, or None for any number.

    Attributes:
        identity: whether the body is not encoded, so that the decoder can be skipped.

    Raises:
        InvalidProviderOutput: for an encoding other than gzip, deflate, br, zstd and identity, or for several at once;
            mellite asks for neither.

    Example:
        >>> import gzip
        >>> decoder = BodyDecoder("gzip")
        >>> b"".join(decoder.feed(gzip.compress(b"hello")))
        b'hello'
        >>> decoder.end()
    """

    __slots__ = ("_encoding", "_given", "_held", "_inflater", "_started", "identity", "limit")

    def __init__(self, content_encoding: str | None = None, *, limit: int | None = None) -> None:
        self._encoding = _single(content_encoding)
        self.identity = self._encoding == "identity"
        self.limit = limit
        self._given = 0
        self._inflater: Decompressor | None = None
        self._started = False
        self._held = b""  # the start of the data, while too short to tell which format it has

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes of the body; yield the result in pieces of at most 64 KiB.

        Each piece is made when it is asked for, so a body that inflates a thousandfold is never in memory as a whole.
        Exhaust the iterator before the next call.

        Raises:
            InvalidProviderOutput: if the bytes do not have the encoding's format.
            MissingExtra: for br and zstd without their packages.
            OutputTooLarge: if the body decodes to more than `limit` bytes, after the pieces below the limit.
        """
        pieces = iter((data,)) if self.identity else self._inflate(data)
        for piece in pieces:
            if piece:
                self._given += len(piece)
                if self.limit is not None and self._given > self.limit:
                    msg = f"the answer is larger than {self.limit:,} bytes; if that is right, raise the limit"
                    raise OutputTooLarge(msg)
                yield piece

    def end(self) -> None:
        """Mark the end of the body.

        Raises:
            InvalidProviderOutput: if the compressed data has not ended: something is missing.
        """
        if self._held or self._inflater is not None:
            msg = f"the answer's {self._encoding} data ends too soon after {self._given:,} decoded bytes"
            raise InvalidProviderOutput(msg, retryable=True)

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            yield from self._inflate_slice(bytes(view[start : start + _SLICE]))

    def _inflate_slice(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._inflater is None:
                if data:
                    data = self._begin(data)
                if self._inflater is None:
                    return
            inflater = self._inflater
            try:
                piece = inflater.decompress(data, _PIECE)
            except ValueError:
                piece = None
            if piece is None:
                msg = f"the answer is not {self._encoding} data, as it says, from byte {self._given:,} of the result on"
                raise InvalidProviderOutput(msg)
            yield piece
            data = b""
            if inflater.eof:
                self._inflater = None
                data = inflater.unused_data
            elif not inflater.pending:
                return

    def _begin(self, data: bytes) -> bytes:
        """Start to decompress a member once its format is known; return the bytes to decompress."""
        data = self._held + data
        self._held = b""
        if self._started:  # a member is complete: padding may follow, and in gzip and zstd another member
            data = data.lstrip(b"\0")
            if not data:
                return b""
            if self._encoding not in _WITH_MEMBERS:
                msg = f"the answer goes on after the end of its {self._encoding} data"
                raise InvalidProviderOutput(msg)
        if self._encoding == "deflate" and len(data) < 2:
            self._held = data
            return b""
        self._inflater = self._made(data)
        self._started = True
        return data

    def _made(self, data: bytes) -> Decompressor:
        """Make a decompressor for a member that begins with *data*."""
        if self._encoding == "br":
            return BrotliDecompressor()
        if self._encoding == "zstd":
            return ZstdDecompressor()
        if self._encoding == "gzip":
            return ZlibDecompressor(_GZIP)
        # "deflate" means the zlib format, but some servers send bare deflate data:
        # https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
        wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return ZlibDecompressor(_ZLIB if wrapped else _RAW)


def _single(content_encoding: str | None) -> str:
    names = [name.strip().lower().removeprefix("x-") for name in (content_encoding or "").split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return "identity"
    if len(names) == 1 and names[0] in _NAMES:
        return names[0]
    msg = f"the answer's content-encoding is {content_encoding!r}, but only gzip or deflate was asked for"
    raise InvalidProviderOutput(msg)
