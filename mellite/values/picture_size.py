"""Read the width and height of a picture from the first bytes of its file."""

from __future__ import annotations

from typing import Final

__all__ = ["size_of"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return the width and height in pixels of a PNG, GIF, JPEG or WebP picture; None if they are not found.

    Example:
        >>> size_of(b"GIF89a" + (640).to_bytes(2, "little") + (480).to_bytes(2, "little"))
        (640, 480)
    """
    if data.startswith(_PNG) and len(data) >= 24:
        return _big(data, 16, 4), _big(data, 20, 4)
    if data[:4] == b"GIF8" and len(data) >= 10:
        return _little(data, 6), _little(data, 8)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return _jpeg(data) if data[:2] == b"\xff\xd8" else None


def _big(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "big")


def _little(data: bytes, start: int, length: int = 2) -> int:
    return int.from_bytes(data[start : start + length], "little")


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + _little(data, 24, 3), 1 + _little(data, 27, 3)
    if kind == b"VP8L":  # 14 bits each
        bits = _little(data, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return (_little(data, 26) & 0x3FFF, _little(data, 28) & 0x3FFF) if kind == b"VP8 " else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the one that begins a frame."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(data, at + 7, 2), _big(data, at + 5, 2)
        at += 1 if marker == 0xFF else 2 + _big(data, at + 2, 2)
    return None
