"""The verdict of a requirement: passed or not, why, how good, and what went wrong with the check itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import field, frozen

from ...values.errors import InvalidRequest

if TYPE_CHECKING:
    from ...thunk.thunk import AnyThunk

__all__ = ["PASSED", "ChunkVerdict", "ValidationResult", "as_chunk_verdict", "as_verdict", "failed", "plain_bool"]

#: What a check of a chunk may say; a bool or a ValidationResult mean pass or fail, None means unknown.
ChunkVerdict: TypeAlias = Literal["pass", "fail", "unknown"]


def plain_bool(value: object) -> bool | None:
    """The bool that a value is, numpy's included; None for anything else: that something is there is no verdict."""
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
    """The verdict of one requirement on one output; true in a condition if it passed.

    Args:
        passed: whether the output is acceptable.
        reason: why, in words that a model can use to do better.
        score: how good it is, if the check says so; higher is better.
        error: what a check raised instead of giving a verdict; never together with ``passed``.
        thunk: what a judge answered, with its usage and cost; None where no model was asked.

    Raises:
        InvalidRequest: if ``passed`` is no bool, or an error came with a pass.

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


#: Nothing to say against it.
PASSED: Final = ValidationResult(passed=True)


def failed(reason: str | None = None, score: float | None = None, **more: Any) -> ValidationResult:
    """A verdict that does not pass; `more` are the error and the thunk."""
    return ValidationResult(passed=False, reason=reason, score=score, **more)


def as_verdict(value: object) -> ValidationResult:
    """The verdict that a check gave.

    Raises:
        InvalidRequest: if it is neither a bool nor a ValidationResult.
    """
    if isinstance(value, ValidationResult):
        return value
    passed = plain_bool(value)
    if passed is None:
        msg = f"a check gives True, False or a ValidationResult, not {_shown(value)}"
        raise InvalidRequest(msg)
    return ValidationResult(passed)


def as_chunk_verdict(value: object) -> tuple[ChunkVerdict, ValidationResult | None]:
    """The verdict that a check of a chunk gave.

    Raises:
        InvalidRequest: if it is none.
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
            f"not {_shown(value)}"
        )
        raise InvalidRequest(msg)
    return ("pass", None) if passed else ("fail", failed())


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
