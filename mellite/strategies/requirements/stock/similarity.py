"""Stock requirement: the answer is similar to a reference text (the extra `similarity`)."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from numbers import Real
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import field, frozen

from ....values.errors import InvalidRequest, MissingExtra
from ....values.shortened import shortened
from ..requirement import Requirement, let_go
from ..verdict import ValidationResult, failed, is_score

if TYPE_CHECKING:
    from ....thunk.thunk import AnyThunk

__all__ = ["Measure", "similar", "similarity"]

#: The highest that a measure may give: that of equal texts is 1, and for some that compute a little more.
_MOST: Final = 1.0001

#: How to compare two texts; a function returns a number from 0 to 1.
Measure: TypeAlias = "Literal['characters', 'words', 'word-set'] | Callable[[str, str], float]"


def similarity(first: str, second: str, measure: Measure = "characters") -> float:
    """Return how similar two texts are, from 0 (nothing in common) to 1 (equal).

    Args:
        first: one text.
        second: the other text.
        measure: ``characters`` counts the characters to insert and delete; ``words`` does so after sorting the words,
            so that their order does not count; ``word-set`` compares the sets of words; a function of both texts
            returns the similarity itself.

    Raises:
        MissingExtra: if rapidfuzz is not installed, unless the measure is a function.
        InvalidRequest: for an unknown measure.

    Example:
        >>> similarity("the cat sat", "sat the cat", "words")
        1.0
    """
    return _score_of(measure)(first, second)


def similar(reference: str, at_least: float = 0.8, *, measure: Measure = "characters") -> Requirement:
    """Require an answer similar to `reference`; the similarity becomes the score of the verdict.

    Args:
        reference: the text to compare with.
        at_least: the lowest similarity that passes, from 0 to 1.
        measure: how to compare; see `similarity`.

    Raises:
        MissingExtra: if rapidfuzz is not installed, unless the measure is a function.
        InvalidRequest: for an unknown measure, or a bound outside 0 to 1.

    Example:
        >>> similar("Paris", 0.9).description
        "The answer is similar to 'Paris' (0.9 or more of 1)."
    """
    if not isinstance(reference, str):
        msg = f"similar compares with a str, not {type(reference).__name__}"
        raise InvalidRequest(msg, parameter="reference")
    if not is_score(at_least):
        msg = f"at_least is a similarity from 0 to 1, not {at_least!r}"
        raise InvalidRequest(msg, parameter="at_least")
    _score_of(measure)
    shown = repr(shortened(reference, 60))
    return Requirement(
        f"The answer is similar to {shown} ({at_least} or more of 1).", _Similar(reference, at_least, measure=measure)
    )


@frozen
class _Similar:
    reference: str
    at_least: float
    measure: Measure = field(kw_only=True)

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        found: object = _score_of(self.measure)(thunk.value or "", self.reference)
        if not isinstance(found, Real) or not found <= _MOST:  # NaN is not, either
            if isawaitable(found):
                let_go(found)
            msg = f"a measure gives a number from 0 to 1, not {shortened(repr(found))}"
            raise InvalidRequest(msg, parameter="measure")
        score = float(found)
        if score >= self.at_least:
            return ValidationResult(passed=True, score=score)
        return failed(f"its similarity is {score:.2f}, less than {self.at_least}", score)


def _score_of(measure: Measure) -> Callable[[str, str], float]:
    if callable(measure):
        return measure
    try:
        from rapidfuzz import fuzz
    except ImportError as error:
        msg = "comparing texts needs rapidfuzz: pip install 'mellite[similarity]', or pass a function as the measure"
        raise MissingExtra(msg) from error
    known = {"characters": fuzz.ratio, "words": fuzz.token_sort_ratio, "word-set": fuzz.token_set_ratio}
    if not isinstance(measure, str) or measure not in known:
        msg = f"a measure is {', '.join(map(repr, known))} or a function, not {measure!r}"
        raise InvalidRequest(msg, parameter="measure")
    compare = known[measure]
    return lambda first, second: compare(first, second) / 100
