"""Backends, which answer requests: live providers, text cassettes, and fakes for tests. Each is imported when used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .by_name import BackendOptions as BackendOptions
    from .fake import Constant as Constant, Echo as Echo, Failing as Failing, Scripted as Scripted
    from .live import LiveBackend as LiveBackend
    from .text_cassette import TextCassetteBackend as TextCassetteBackend
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            ".by_name": "BackendOptions",
            ".fake": "Constant Echo Failing Scripted",
            ".live": "LiveBackend",
            ".text_cassette": "TextCassetteBackend",
        },
    )
