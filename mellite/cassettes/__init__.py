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
    from .journal import CassetteWriter
    from .matching import Difference, Snapshot, differences, snapshot
    from .modes import Selection
    from .recorder import ReplayTransport
    from .recording import RecordTransport
    from .redaction import Redaction
    from .scripted import ScriptedTransport
    from .sidecars import Sidecar
    from .sockets import ReplaySockets
    from .text import TextCassette, TextDirectory, djb2_key
    from .using import CassetteTransport, use
    from .vcr import Imported, import_vcr

__all__ = [
    "Body",
    "Cassette",
    "CassetteTransport",
    "CassetteWriter",
    "Difference",
    "HttpInteraction",
    "Imported",
    "RecordTransport",
    "RecordedRequest",
    "RecordedResponse",
    "Redaction",
    "ReplaySockets",
    "ReplayTransport",
    "ScriptedTransport",
    "Selection",
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
    "use",
]

_HOME = {
    "Body": "codecs",
    "Cassette": "interactions",
    "CassetteTransport": "using",
    "CassetteWriter": "journal",
    "Difference": "matching",
    "HttpInteraction": "interactions",
    "Imported": "vcr",
    "RecordTransport": "recording",
    "RecordedRequest": "interactions",
    "RecordedResponse": "interactions",
    "Redaction": "redaction",
    "ReplaySockets": "sockets",
    "ReplayTransport": "recorder",
    "ScriptedTransport": "scripted",
    "Selection": "modes",
    "Sidecar": "sidecars",
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
    "use": "using",
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
