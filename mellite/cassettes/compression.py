"""Cassette files compressed with gzip or LZ4: recognized by their ending, decompressed in bounded memory."""

from __future__ import annotations

import gzip
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from ..values.errors import InvalidCassette, InvalidProviderOutput, MissingExtra, OutputTooLarge
from ..wire.content_encoding import BodyDecoder

__all__ = ["ENDINGS", "Compression", "compress", "compression_of", "expand"]

Compression: TypeAlias = Literal["gzip", "lz4"]

#: The ending of a file's name -> how the file is compressed.
ENDINGS: Final[dict[str, Compression]] = {".gz": "gzip", ".lz4": "lz4"}

_PIECE: Final = 1024 * 1024
_ENDINGS: Final = tuple(ENDINGS)


def compression_of(path: str) -> Compression | None:
    """Return how a file is compressed, by the ending of its name; None if it is not.

    Example:
        >>> compression_of("123.txt.gz"), compression_of("123.txt")
        ('gzip', None)
    """
    if not path.endswith(_ENDINGS):  # as nearly all files, and every test reads one
        return None
    return next(name for ending, name in ENDINGS.items() if path.endswith(ending))


def compress(data: bytes, compression: Compression | None) -> bytes:
    """Compress the bytes of a file. No time is stored, so the same bytes always give the same result.

    Raises:
        MissingExtra: for LZ4 without the package lz4.

    Example:
        >>> expand(compress(b"hello", "gzip"), "gzip")
        b'hello'
    """
    if compression is None:
        return data
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    compressed: bytes = _lz4().compress(data, content_checksum=True)
    return compressed


def expand(
    data: bytes, compression: Compression | None, *, path: str | None = None, limit: int = 256 * 1024 * 1024
) -> bytes:
    """Decompress a file.

    Args:
        data: the bytes of the whole file.
        compression: how it is compressed; None returns the bytes as they are.
        path: the file, for errors.
        limit: the most bytes to decompress to, since a small file can hold very many.

    Raises:
        InvalidCassette: if the data are damaged, end too soon, or come to more than `limit` bytes.
        MissingExtra: for LZ4 without the package lz4.
    """
    if compression is None:
        return data
    name = "the cassette" if path is None else f"cassette {path!r}"
    try:
        return _gunzip(data, limit) if compression == "gzip" else _unlz4(data, limit)
    except OutputTooLarge as error:
        msg = f"{name} comes to more than {limit:,} bytes when it is decompressed; at most that many are read"
        raise InvalidCassette(msg, path=path) from error
    except (InvalidProviderOutput, RuntimeError, ValueError, EOFError) as error:
        reason = str(error).removeprefix("the answer's ").removeprefix("the answer ")
        msg = f"{name} is damaged: its {compression} data cannot be decompressed: {reason}"
        raise InvalidCassette(msg, path=path) from error


def _gunzip(data: bytes, limit: int) -> bytes:
    if not data:
        msg = "it is empty"
        raise EOFError(msg)
    decoder = BodyDecoder("gzip", limit=limit)
    whole = b"".join(decoder.feed(data))
    decoder.end()
    return whole


def _unlz4(data: bytes, limit: int) -> bytes:
    decoder = _lz4().LZ4FrameDecompressor()
    pieces: list[bytes] = []
    total = 0
    rest = data
    while not decoder.eof:
        piece: bytes = decoder.decompress(rest, max_length=_PIECE)
        rest = b""
        total += len(piece)
        if total > limit:
            msg = f"more than {limit} bytes"
            raise OutputTooLarge(msg)
        if not piece and not decoder.eof and decoder.needs_input:
            msg = "it ends too soon"
            raise EOFError(msg)
        pieces.append(piece)
    if decoder.unused_data:
        msg = "there is more after its end"
        raise ValueError(msg)
    return b"".join(pieces)


def _lz4() -> Any:
    try:
        return import_module("lz4.frame")
    except ImportError as error:
        msg = "cassettes in LZ4 need the package lz4: pip install 'mellite[lz4]'"
        raise MissingExtra(msg) from error
