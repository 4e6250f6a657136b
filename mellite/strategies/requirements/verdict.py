"""The verdict of a requirement: whether it passed, the reason, the score, and the error of a broken check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import field, frozen

from ...values.errors import InvalidRequest
from ...values.shortened import shortened

if TYPE_CHECKING:
    from ...thunk.thunk import AnyThunk

__all__ = [
    "PASSED",
    "ChunkVerdict",
    "ValidationResult",
    "as_chunk_verdict",
    "as_verdict",
    "failed",
    "is_score",
    "plain_bool",
]

#: The verdict on a chunk. A check may also return a bool or a ValidationResult (pass or fail) or None (unknown).
ChunkVerdict: TypeAlias = Literal["pass", "fail", "unknown"]


def plain_bool(value: object) -> bool | None:
    """Return `value` if it is a bool, numpy's included; else None, because truthiness is not a verdict."""
    if isinstance(value, bool):
        return value
    return bool(value) if type(value).__name__ in ("bool_", "bool") and hasattr(value, "__bool__") else None


def _passed(value: object) -> bool:
    passed = plain_bool(value)
    if passed is None:
        msg = f"ValidationResult(passed=...) takes True or False, not {value!r}"
        raise InvalidRequest(msg, parameter="passed")
    return passed


@frozen
class ValidationResult:
    """The verdict of one requirement on one output. Truthy if it passed.

    Args:
        passed: whether the output is acceptable.
        reason: the reason, in words that help a model to do better.
        score: how good the output is, if the check gives a score; higher is better.
        error: the exception of a check that gave no verdict; such a verdict never passes.
        thunk: the judge's answer, with its usage and cost; None if no model was asked.

    Raises:
        InvalidRequest: if ``passed`` is not a bool, or is True together with an error.

    Example:
        >>> bool(ValidationResult(False, "too long"))
        False
    """

    passed: bool = field(converter=_passed)
    reason: str | None = None
    score: float | None = None
    error: Exception | None = field(default=None, eq=False)
    thunk: AnyThunk | None = field(default=None, kw_only=True, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.passed and self.error is not None:
            msg = f"a verdict with an error does not pass; the error is {self.error!r}"
            raise InvalidRequest(msg, parameter="error")

    def __bool__(self) -> bool:
        return self.passed


#: The verdict of a check that has nothing to add to its pass.
PASSED: Final = ValidationResult(passed=True)


def failed(
    reason: str | None = None,
    score: float | None = None,
    *,
    error: Exception | None = None,
    thunk: AnyThunk | None = None,
) -> ValidationResult:
    """Return a verdict that does not pass."""
    return ValidationResult(passed=False, reason=reason, score=score, error=error, thunk=thunk)


def is_score(value: object) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def as_verdict(value: object) -> ValidationResult:
    """Return what a check gave as a verdict.

    Raises:
        InvalidRequest: if `value` is neither a bool nor a ValidationResult.
    """
    if value is True:  # common: decided first
        return PASSED
    if isinstance(value, ValidationResult):
        return value
    passed = plain_bool(value)
    if passed is None:
        msg = f"a check gives True, False or a ValidationResult, not {shortened(repr(value))}"
        raise InvalidRequest(msg)
    return ValidationResult(passed)


def as_chunk_verdict(value: object) -> tuple[ChunkVerdict, ValidationResult | None]:
    """Return what a check of a chunk gave as a verdict, with its result if there is more to say.

    Raises:
        InvalidRequest: if `value` is not a verdict.
    """
    if value is None or value == "unknown":
        return "unknown", None
    if value == "pass":
        return "pass", None
    if value == "fail":
        return "fail", failed()
    if isinstance(value, ValidationResult):
        return ("pass" if value.passed else "fail"), value
    passed = plain_bool(value)
    if passed is None:
        msg = (
            "a check of a chunk gives 'pass', 'fail' or 'unknown', True, False, None or a ValidationResult, "
            f"not {shortened(repr(value))}"
        )
        raise InvalidRequest(msg)
    return ("pass", None) if passed else ("fail", failed())
