"""Recorded traffic: text cassettes and HTTP cassettes, replaying and matching them; no vendor, no thunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .codecs import Body
    from .files import cassette_path
    from .http import load_cassette, read_cassette
    from .interactions import (
        Cassette,
        HttpInteraction,
        RecordedRequest,
        RecordedResponse,
        WebSocketClose,
        WebSocketConnection,
        WebSocketEvent,
        WebSocketInteraction,
        WebSocketOpen,
    )
    from .matching import Difference, Snapshot, differences, snapshot
    from .recorder import ReplayTransport
    from .redaction import Redaction
    from .scripted import ScriptedTransport
    from .text import Sidecar, TextCassette, TextDirectory, djb2_key
    from .vcr import Imported, import_vcr

__all__ = [
    "Body",
    "Cassette",
    "Difference",
    "HttpInteraction",
    "Imported",
    "RecordedRequest",
    "RecordedResponse",
    "Redaction",
    "ReplayTransport",
    "ScriptedTransport",
    "Sidecar",
    "Snapshot",
    "TextCassette",
    "TextDirectory",
    "WebSocketClose",
    "WebSocketConnection",
    "WebSocketEvent",
    "WebSocketInteraction",
    "WebSocketOpen",
    "cassette_path",
    "differences",
    "djb2_key",
    "import_vcr",
    "load_cassette",
    "read_cassette",
    "snapshot",
]

_HOME = {
    "Body": "codecs",
    "Cassette": "interactions",
    "Difference": "matching",
    "HttpInteraction": "interactions",
    "Imported": "vcr",
    "RecordedRequest": "interactions",
    "RecordedResponse": "interactions",
    "Redaction": "redaction",
    "ReplayTransport": "recorder",
    "ScriptedTransport": "scripted",
    "Sidecar": "text",
    "Snapshot": "matching",
    "TextCassette": "text",
    "TextDirectory": "text",
    "WebSocketClose": "interactions",
    "WebSocketConnection": "interactions",
    "WebSocketEvent": "interactions",
    "WebSocketInteraction": "interactions",
    "WebSocketOpen": "interactions",
    "cassette_path": "files",
    "differences": "matching",
    "djb2_key": "text",
    "import_vcr": "vcr",
    "load_cassette": "http",
    "read_cassette": "http",
    "snapshot": "matching",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        msg = f"module 'mellite.cassettes' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
