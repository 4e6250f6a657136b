"""The events of a stream with validation: chunks, checks, thinking, retries, errors, and the end."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from attrs import field, frozen

from ...thunk.thunk import AnyThunk
from ...values.chunking import Chunk
from ..requirements import ChunkVerdict, Requirement, ValidationResult

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
    "ThinkingEvent",
    "ToolInputEvent",
]


@frozen
class Failure:
    """The reason why an attempt failed: a requirement that was not met, or a generation that went wrong.

    Args:
        requirement: the requirement; None if the generation itself failed.
        result: the verdict, with the reason; its ``error`` is the exception of the check or the generation, if any.
        chunk: the chunk that failed; None if the whole answer did.
        attempt: the number of the attempt, counted from 1.
    """

    requirement: Requirement | None
    result: ValidationResult
    chunk: Chunk | None = field(default=None, kw_only=True)
    attempt: int = field(default=1, kw_only=True)

    @property
    def reason(self) -> str:
        """The verdict's reason, or else the description of the requirement."""
        return self.result.reason or (self.requirement.description if self.requirement is not None else "it failed")

    @property
    def error(self) -> Exception | None:
        """The exception of the check or the generation, if any."""
        return self.result.error


@frozen
class _Event:
    #: The kind of event, as a word.
    type: ClassVar[str]


@frozen
class ChunkEvent(_Event):
    """A chunk that passed all requirements. The first of an attempt has ``chunk.start == 0``."""

    type = "chunk"
    chunk: Chunk
    attempt: int = field(default=1, kw_only=True)


@frozen
class QuickCheckEvent(_Event):
    """A requirement has judged a chunk, cut by the chunking of the requirement if it has one."""

    type = "quick-check"
    requirement: Requirement
    verdict: ChunkVerdict
    chunk: Chunk = field(kw_only=True)
    result: ValidationResult | None = field(default=None, kw_only=True)
    attempt: int = field(default=1, kw_only=True)


@frozen
class ThinkingEvent(_Event):
    """More of the model's thinking, which is not checked."""

    type = "thinking"
    text: str
    attempt: int = field(default=1, kw_only=True)


@frozen
class ToolInputEvent(_Event):
    """More of the raw JSON of a tool call's arguments, which is not checked."""

    type = "tool-input"
    name: str
    text: str
    id: str = field(kw_only=True)
    attempt: int = field(default=1, kw_only=True)


@frozen
class DoneEvent(_Event):
    """The answer is complete, and no chunk failed. The checks of the whole answer come next."""

    type = "done"
    thunk: AnyThunk
    attempt: int = field(default=1, kw_only=True)


@frozen
class FullValidationEvent(_Event):
    """The verdicts on a whole answer, in the order of the requirements; None for a check that was not needed."""

    type = "full-validation"
    validations: tuple[ValidationResult | None, ...]
    attempt: int = field(default=1, kw_only=True)


@frozen
class RetryEvent(_Event):
    """An attempt failed, and the next one begins, with a new text.

    Args:
        failures: the failures of the previous attempt.
        attempt: the number of the attempt that begins.
    """

    type = "retry"
    failures: tuple[Failure, ...]
    attempt: int = field(default=2, kw_only=True)


@frozen
class ErrorEvent(_Event):
    """A failed generation: it broke off, or its answer does not parse as the output type."""

    type = "error"
    error: Exception
    attempt: int = field(default=1, kw_only=True)


@frozen
class CompletedEvent(_Event):
    """The end of the stream; always the last event.

    Args:
        success: whether an answer met all requirements.
        failures: the failures of all attempts.
        error: the error of the last attempt, unless a requirement failed it.
        attempts: the number of attempts.
    """

    type = "completed"
    success: bool
    failures: tuple[Failure, ...] = field(default=(), kw_only=True)
    error: Exception | None = field(default=None, kw_only=True)
    attempts: int = field(default=1, kw_only=True)


#: The events that ``s.events()`` yields.
StreamEvent: TypeAlias = (
    ChunkEvent
    | QuickCheckEvent
    | ThinkingEvent
    | ToolInputEvent
    | DoneEvent
    | FullValidationEvent
    | RetryEvent
    | ErrorEvent
    | CompletedEvent
)
