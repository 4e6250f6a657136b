"""Stream with validation: chunks as they arrive, each checked; stopped the moment it goes wrong, tried again.

    async with mellite.stream(thunk, requirements=[...], chunking="sentences", attempts=3) as s:
        async for chunk in s:
            print(chunk, end="")
    if s.success: ...

A generation is cancelled with its first failure, so that nothing is generated or paid for that no longer matters.
"""

from __future__ import annotations

from ...values.public_names import publish
from .events import (
    ChunkEvent,
    CompletedEvent,
    DoneEvent,
    ErrorEvent,
    Failure,
    FullValidationEvent,
    QuickCheckEvent,
    RetryEvent,
    StreamEvent,
    ThinkingEvent,
    ToolInputEvent,
)
from .handle import StreamEvents, ValidatedStream, stream

__all__ = [
    "ChunkEvent",
    "CompletedEvent",
    "DoneEvent",
    "ErrorEvent",
    "Failure",
    "FullValidationEvent",
    "QuickCheckEvent",
    "RetryEvent",
    "StreamEvent",
    "StreamEvents",
    "ThinkingEvent",
    "ToolInputEvent",
    "ValidatedStream",
    "stream",
]

publish(globals(), "mellite.streaming")
