"""Streams with validation: chunks are checked as they arrive; a failure stops the generation and starts another.

    async with mellite.stream(thunk, requirements=[...], chunking="sentences", attempts=3) as s:
        async for chunk in s:
            print(chunk, end="")
    if s.success: ...

The first failure cancels the generation, so that you do not pay for text that is thrown away.
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
from .handle import StreamEvents, ValidatedStream
from .opening import stream

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
