"""HTTP/1.1 on both loops: one strict, small client of our own, with llhttp as its parser."""

from __future__ import annotations

from .transport import Http1Transport

__all__ = ["Http1Transport"]
