"""Requirements: checks on an output, whole or while it streams, and the verdicts they give."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import field, frozen

from .errors import InvalidRequest

if TYPE_CHECKING:
    from .thunk import ModelOutputThunk

__all__ = ["ChunkVerdict", "Requirement", "ValidationResult"]

#: What a check of a chunk may say; a bool or a ValidationResult mean pass or fail, None means unknown.
ChunkVerdict: TypeAlias = Literal["pass", "fail", "unknown"]


@frozen
class ValidationResult:
    """The verdict of one requirement on one output; true in a condition if it passed.

    Args:
        passed: whether the output is acceptable.
        reason: why, in words that a model can use to do better.
        score: how good it is, if the check says so; higher is better.
        error: what a check raised instead of giving a verdict; never together with ``passed``.

    Example:
        >>> bool(ValidationResult(False, "too long"))
        False
    """

    passed: bool
    reason: str | None = None
    score: float | None = None
    error: Exception | None = field(default=None, eq=False)

    def __bool__(self) -> bool:
        return self.passed


@frozen
class Requirement:
    """A check on an output, with its description in words.

    Args:
        description: what is required, as one would tell a model.
        check: ``check(thunk)`` or ``check(thunk, context)``, told by its signature, sync or async; gives a bool or a
            `ValidationResult`. An exception in it is a verdict with ``error``, never a pass.
        check_chunk: ``check_chunk(chunk, partial)``, sync or async, for checking while it streams; gives "pass",
            "fail" or "unknown", or a bool, a `ValidationResult`, or None for unknown.
        timeout: how long a check may take, in seconds; longer is a verdict with ``error``.

    Raises:
        InvalidRequest: if neither check nor check_chunk is given, or the timeout is not positive.

    Example:
        >>> short = Requirement("at most ten words", lambda thunk: len(thunk.value.split()) <= 10)
        >>> short.description
        'at most ten words'
    """

    description: str
    check: Callable[..., bool | ValidationResult | Awaitable[bool | ValidationResult]] | None = None
    check_chunk: Callable[[str, str], Any] | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
