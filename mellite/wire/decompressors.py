"""One face for the decompressors of gzip, deflate, Zstandard and Brotli: bounded steps, and an end that is noticed.

The last two come from packages that are loaded when a body first needs them.
"""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from typing import Any, Final, Protocol

from ..values.errors import MissingExtra

__all__ = ["BrotliDecompressor", "Decompressor", "ZlibDecompressor", "ZstdDecompressor"]

# A frame that needs a larger window than 8 MiB is refused before that memory is taken; the content coding allows no
# more: https://www.rfc-editor.org/rfc/rfc9659.
_ZSTD_WINDOW_LOG: Final = 23

# Brotli counts its output in blocks that grow, and stops after the one in which it passes the limit: 96 KiB with this.
_BROTLI_STEP: Final = 64 * 1024


class Decompressor(Protocol):
    """Undoes one compressed member, step by step."""

    @property
    def eof(self) -> bool:
        """Whether the member is over."""
        ...

    @property
    def pending(self) -> bool:
        """Whether `decompress` gives more without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the member."""
        ...

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more bytes, and return at most so many decompressed ones.

        Raises:
            ValueError: if the bytes are not such data.
        """
        ...


class ZlibDecompressor:
    """Gzip, zlib's own format and bare deflate data.

    Args:
        window_bits: zlib's code for the container.
    """

    __slots__ = ("_inner", "pending")

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self.pending = False

    @property
    def eof(self) -> bool:
        """Whether the member is over."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more bytes; see `Decompressor.decompress`."""
        try:
            piece = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        # After a full piece there may be more of it inside.
        self.pending = bool(self._inner.unconsumed_tail) or len(piece) == most
        return piece


class ZstdDecompressor:
    """One frame of Zstandard.

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
        """Whether the frame is over."""
        eof: bool = self._inner.eof
        return eof

    @property
    def pending(self) -> bool:
        """Whether there is more without more input."""
        needs_input: bool = self._inner.needs_input
        return not needs_input

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end of the frame."""
        unused: bytes = self._inner.unused_data
        return unused

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more bytes; see `Decompressor.decompress`."""
        try:
            piece: bytes = self._inner.decompress(data, most)
        except self._error as error:
            raise ValueError(str(error)) from None
        return piece


class BrotliDecompressor:
    """Brotli. What follows its end is an error, as Brotli has no members.

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
        """Whether the data is over, and all of it given."""
        finished: bool = self._inner.is_finished()
        return finished and not self.pending

    @property
    def unused_data(self) -> bytes:
        """Nothing: the bytes after the end are an error."""
        return b""

    def decompress(self, data: bytes, most: int, /) -> bytes:
        """Take more bytes; see `Decompressor.decompress`."""
        try:
            piece: bytes = self._inner.process(data, output_buffer_limit=min(most, _BROTLI_STEP))
        except self._error as error:
            raise ValueError(str(error)) from None
        self.pending = bool(piece)  # only an empty piece says that nothing is left inside
        return piece


def _module(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"an answer is compressed with {extra}, though that was not asked for: pip install 'mellite[{extra}]'"
        raise MissingExtra(msg) from error
