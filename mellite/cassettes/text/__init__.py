"""Text cassettes: recorded answers in files named by a key of provider, model and prompt."""

from __future__ import annotations

from .directory import TextCassette, TextDirectory, djb2_key
from .sidecar import Sidecar

__all__ = ["Sidecar", "TextCassette", "TextDirectory", "djb2_key"]
