"""Backends: who answers. Live providers, cassettes, and fakes for tests; each loads when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cassette import TextCassetteBackend
    from .fake import Constant, Echo, Failing, Scripted
    from .live import LiveBackend

__all__ = ["Constant", "Echo", "Failing", "LiveBackend", "Scripted", "TextCassetteBackend"]

_HOME = {
    "Constant": "fake",
    "Echo": "fake",
    "Failing": "fake",
    "LiveBackend": "live",
    "Scripted": "fake",
    "TextCassetteBackend": "cassette",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        msg = f"module 'mellite.backends' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
