"""Recorded traffic: text cassettes and HTTP cassettes, replaying and matching them; no vendor, no thunk."""

from __future__ import annotations

from .codecs import Body
from .files import cassette_path
from .http import load_cassette, read_cassette
from .interactions import (
    Cassette,
    HttpInteraction,
    Interaction,
    RecordedRequest,
    RecordedResponse,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
)
from .matching import Difference, Snapshot, differences, snapshot
from .recorder import Cut, ReplayTransport
from .redaction import REDACTED, Redaction
from .scripted import ScriptedTransport
from .text import Sidecar, TextCassette, TextDirectory, djb2_key

__all__ = [
    "REDACTED",
    "Body",
    "Cassette",
    "Cut",
    "Difference",
    "HttpInteraction",
    "Interaction",
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
    "load_cassette",
    "read_cassette",
    "snapshot",
]
