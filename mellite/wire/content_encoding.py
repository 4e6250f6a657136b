"""Undo the compression of an HTTP body, in bounded pieces and to the very end.

HTTP clients pass a body whose compressed data stops too early without a word, and inflate a small one without bound.
So the transports hand on raw bytes, and this is where they are decompressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..values.errors import InvalidProviderOutput, OutputTooLarge
from .decompressors import BrotliDecompressor, Decompressor, ZlibDecompressor, ZstdDecompressor

__all__ = ["BodyDecoder"]

_PIECE: Final = 64 * 1024  # the most that one step of decompression may give
_SLICE: Final = 16 * 1024  # the most that one step may take: zlib copies what it leaves over, again and again
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's codes for the containers
_NAMES: Final = ("gzip", "deflate", "br", "zstd")
_WITH_MEMBERS: Final = frozenset({"gzip", "zstd"})


class BodyDecoder:
    """Decodes one HTTP body according to its ``content-encoding``.

    Args:
        content_encoding: the header as it came; None and empty stand for ``identity``.
        limit: the most bytes of the decoded body, or None for any number.

    Attributes:
        identity: whether there is nothing to undo, so that the decoder may as well be left out.

    Raises:
        InvalidProviderOutput: for an encoding other than gzip, deflate, br, zstd and identity, or several on top of
            each other; they were not asked for.

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
        self._held = b""  # what has come of a header too short to tell what it is

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body; give what they decode to, in pieces of at most 64 KiB.

        The pieces are made as they are asked for, so a body that inflates a thousandfold never lies in memory whole.
        Take all of them before feeding more.

        Raises:
            InvalidProviderOutput: if the bytes are not what the encoding says.
            MissingExtra: for br and zstd without their packages.
            OutputTooLarge: if the body decodes to more than `limit` bytes. The pieces below the limit came before.
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
        """The body is over.

        Raises:
            InvalidProviderOutput: if the compressed data is not: something is missing.
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
                msg = f"the answer is no {self._encoding} data, as it says, from byte {self._given:,} of the result on"
                raise InvalidProviderOutput(msg)
            yield piece
            data = b""
            if inflater.eof:
                self._inflater = None
                data = inflater.unused_data
            elif not inflater.pending:
                return

    def _begin(self, data: bytes) -> bytes:
        """Start on a member of the body if enough has come to tell what it is; give the bytes left to decode."""
        data = self._held + data
        self._held = b""
        if self._started:  # after a whole member there may be padding, or with some another member
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
        """A decompressor for what begins with these bytes."""
        if self._encoding == "br":
            return BrotliDecompressor()
        if self._encoding == "zstd":
            return ZstdDecompressor()
        if self._encoding == "gzip":
            return ZlibDecompressor(_GZIP)
        # By the book deflate is the zlib format; some servers send the bare data.
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
