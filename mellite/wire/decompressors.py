"""One interface for the decompressors of gzip, deflate, Zstandard and Brotli, with bounded steps and a known end.

The packages for Zstandard and Brotli are imported when a body first needs them.
"""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from typing import Any, Final, Protocol

from ..values.errors import MissingExtra

__all__ = ["BrotliDecompressor", "Decompressor", "ZlibDecompressor", "ZstdDecompressor"]

# A frame with a window of more than 8 MiB is refused before the memory is allocated. The content coding allows no
# more: https://www.rfc-editor.org/rfc/rfc9659
_ZSTD_WINDOW_LOG: Final = 23

# Brotli writes output in growing blocks and stops after the block that passes its limit: at 96 KiB with this one.
_BROTLI_STEP: Final = 64 * 1024


class Decompressor(Protocol):
    """A decompressor for one compressed member."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ...

    @property
    def pending(self) -> bool:
        """Whether `decompress` may return more without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the member."""
        ...

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more input; return at most *most* decompressed bytes.

        Raises:
            ValueError: if the input does not have the format.
        """
        ...


class ZlibDecompressor:
    """A decompressor for gzip, the zlib format or bare deflate data.

    Args:
        window_bits: zlib's code for the format.
    """

    __slots__ = ("_inner", "pending")

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self.pending = False

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more input; see `Decompressor.decompress`."""
        try:
            piece = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        # zlib may hold back output after a full piece, even if it has consumed all input.
        self.pending = bool(self._inner.unconsumed_tail) or len(piece) == most
        return piece


class ZstdDecompressor:
    """A decompressor for one Zstandard frame.

    Raises:
        MissingExtra: before Python 3.14 without the package backports.zstd.
    """

    __slots__ = ("_error", "_inner")

    def __init__(self) -> None:
        module = _module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "zstd")
        options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._inner = module.ZstdDecompressor(options=options)
        self._error: type[Exception] = module.ZstdError

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        eof: bool = self._inner.eof
        return eof

    @property
    def pending(self) -> bool:
        """Whether `decompress` may return more without more input."""
        needs_input: bool = self._inner.needs_input
        return not needs_input

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the frame."""
        unused: bytes = self._inner.unused_data
        return unused

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more input; see `Decompressor.decompress`."""
        try:
            piece: bytes = self._inner.decompress(data, most)
        except self._error as error:
            raise ValueError(str(error)) from None
        return piece


class BrotliDecompressor:
    """A decompressor for Brotli. Bytes after the end are an error, as Brotli data has no members.

    Raises:
        MissingExtra: without the package brotli.
    """

    __slots__ = ("_error", "_inner", "pending")

    def __init__(self) -> None:
        module = _module("brotli", "brotli")
        self._inner = module.Decompressor()
        self._error: type[Exception] = module.error
        self.pending = False

    @property
    def eof(self) -> bool:
        """Whether the data has ended and all of it was returned."""
        finished: bool = self._inner.is_finished()
        return finished and not self.pending

    @property
    def unused_data(self) -> bytes:
        """Always empty: bytes after the end are an error."""
        return b""

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more input; see `Decompressor.decompress`."""
        try:
            piece: bytes = self._inner.process(data, output_buffer_limit=min(most, _BROTLI_STEP))
        except self._error as error:
            raise ValueError(str(error)) from None
        self.pending = bool(piece)  # only an empty piece tells that no output is held back
        return piece


def _module(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"an answer is compressed with {extra}, though that was not asked for: pip install 'mellite[{extra}]'"
        raise MissingExtra(msg) from error
