"""What happens in a stream with validation: chunks, checks, thinking, retries, errors, and how it ended."""

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
    """Why an attempt failed: a requirement that was not met, or a generation that went wrong.

    Args:
        requirement: which one; None where the generation itself failed.
        result: its verdict, with the reason, and what went wrong with the check or the generation in ``error``.
        chunk: the chunk that failed; None where the whole answer did.
        attempt: in which attempt, counted from 1.
    """

    requirement: Requirement | None
    result: ValidationResult
    chunk: Chunk | None = field(default=None, kw_only=True)
    attempt: int = field(default=1, kw_only=True)

    @property
    def reason(self) -> str:
        """Why, in words: the verdict's reason, or else what was required."""
        return self.result.reason or (self.requirement.description if self.requirement is not None else "it failed")

    @property
    def error(self) -> Exception | None:
        """What a check raised, or what the generation failed with."""
        return self.result.error


@frozen
class _Event:
    #: What kind of event it is, as a word.
    type: ClassVar[str]


@frozen
class ChunkEvent(_Event):
    """A chunk that no requirement has failed; one with ``chunk.start == 0`` begins an attempt."""

    type = "chunk"
    chunk: Chunk
    attempt: int = field(default=1, kw_only=True)


@frozen
class QuickCheckEvent(_Event):
    """A requirement has judged a chunk; it may be a chunk of its own chunking."""

    type = "quick-check"
    requirement: Requirement
    verdict: ChunkVerdict
    chunk: Chunk = field(kw_only=True)
    result: ValidationResult | None = field(default=None, kw_only=True)
    attempt: int = field(default=1, kw_only=True)


@frozen
class ThinkingEvent(_Event):
    """More of the model's thinking; it is not checked."""

    type = "thinking"
    text: str
    attempt: int = field(default=1, kw_only=True)


@frozen
class ToolInputEvent(_Event):
    """More of the raw JSON of a tool call's arguments; it is not checked."""

    type = "tool-input"
    name: str
    text: str
    id: str = field(kw_only=True)
    attempt: int = field(default=1, kw_only=True)


@frozen
class DoneEvent(_Event):
    """The answer is complete, and no chunk of it failed; the requirements on the whole of it come next."""

    type = "done"
    thunk: AnyThunk
    attempt: int = field(default=1, kw_only=True)


@frozen
class FullValidationEvent(_Event):
    """The verdicts on the whole answer, in the order of the requirements; None for a check that was not needed."""

    type = "full-validation"
    validations: tuple[ValidationResult | None, ...]
    attempt: int = field(default=1, kw_only=True)


@frozen
class RetryEvent(_Event):
    """An attempt failed, and another one begins: the text starts anew.

    Args:
        failures: why the one before failed.
        attempt: the number of the one that begins.
    """

    type = "retry"
    failures: tuple[Failure, ...]
    attempt: int = field(default=2, kw_only=True)


@frozen
class ErrorEvent(_Event):
    """A generation went wrong: it broke off, or its answer does not parse."""

    type = "error"
    error: Exception
    attempt: int = field(default=1, kw_only=True)


@frozen
class CompletedEvent(_Event):
    """The end, and always the last event.

    Args:
        success: whether an answer met all requirements.
        failures: of all attempts.
        error: what made the last attempt fail, if it was no requirement.
        attempts: how many there were.
    """

    type = "completed"
    success: bool
    failures: tuple[Failure, ...] = field(default=(), kw_only=True)
    error: Exception | None = field(default=None, kw_only=True)
    attempts: int = field(default=1, kw_only=True)


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
