"""Recorded traffic: recording, matching and replaying text cassettes and HTTP cassettes; no vendor, no thunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..wire.transports.scripted import ScriptedTransport as ScriptedTransport
    from .bodies import Body as Body
    from .clients.patching import Patch as Patch, patch as patch
    from .files.disk import cassette_path as cassette_path
    from .files.read import load_cassette as load_cassette, read_cassette as read_cassette
    from .files.vcr import Imported as Imported, import_vcr as import_vcr
    from .interactions import (
        Cassette as Cassette,
        HttpInteraction as HttpInteraction,
        RecordedRequest as RecordedRequest,
        RecordedResponse as RecordedResponse,
        WebSocketClose as WebSocketClose,
        WebSocketConnection as WebSocketConnection,
        WebSocketEvent as WebSocketEvent,
        WebSocketInteraction as WebSocketInteraction,
        WebSocketOpen as WebSocketOpen,
    )
    from .modes import Selection as Selection
    from .opening import CassetteTransport as CassetteTransport, use as use
    from .recording.transport import RecordTransport as RecordTransport
    from .recording.writer import CassetteWriter as CassetteWriter
    from .replaying.canonical import Snapshot as Snapshot, snapshot as snapshot
    from .replaying.matching import Difference as Difference, differences as differences
    from .replaying.sockets import ReplaySockets as ReplaySockets
    from .replaying.transport import ReplayTransport as ReplayTransport
    from .secrets.redaction import Redaction as Redaction
    from .text.directory import TextCassette as TextCassette, TextDirectory as TextDirectory, djb2_key as djb2_key
    from .text.sidecar import Sidecar as Sidecar
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "..wire.transports.scripted": "ScriptedTransport",
            ".bodies": "Body",
            ".clients.patching": "Patch patch",
            ".files.disk": "cassette_path",
            ".files.read": "load_cassette read_cassette",
            ".files.vcr": "import_vcr",
            ".interactions": "Cassette HttpInteraction RecordedRequest RecordedResponse",
            ".opening": "CassetteTransport use",
            ".recording.transport": "RecordTransport",
            ".recording.writer": "CassetteWriter",
            ".replaying.sockets": "ReplaySockets",
            ".replaying.transport": "ReplayTransport",
            ".secrets.redaction": "Redaction",
            ".text.directory": "TextCassette TextDirectory djb2_key",
            ".text.sidecar": "Sidecar",
        },
        unlisted={  # for authors of tools that read, compare or select cassettes themselves
            ".files.vcr": "Imported",
            ".interactions": "WebSocketClose WebSocketConnection WebSocketEvent WebSocketInteraction WebSocketOpen",
            ".modes": "Selection",
            ".replaying.canonical": "Snapshot snapshot",
            ".replaying.matching": "Difference differences",
        },
    )
