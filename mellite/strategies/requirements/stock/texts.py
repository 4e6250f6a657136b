"""Stock requirements on the text: its length, what it contains or must not contain, patterns, a choice of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field, frozen

from ....values.errors import InvalidRequest
from ..requirement import Requirement
from ..verdict import PASSED, ValidationResult, failed

if TYPE_CHECKING:
    from ....thunk.thunk import AnyThunk

__all__ = ["contains", "length", "not_contains", "one_of", "regex"]


def length(*, min: int | None = None, max: int | None = None, unit: Literal["chars", "words"] = "chars") -> Requirement:
    """At least and at most so many characters or words; too long is noticed while it streams.

    Args:
        min: the shortest that is acceptable.
        max: the longest that is acceptable.
        unit: what to count; words are what white space separates.

    Raises:
        InvalidRequest: if neither is given, or they exclude every text.

    Example:
        >>> length(max=20, unit="words").description
        'The answer has at most 20 words.'
    """
    limits = [value for value in (min, max) if value is not None]
    wrong = [value for value in limits if isinstance(value, bool) or not isinstance(value, int) or value < 0]
    if wrong or not limits or (min is not None and max is not None and min > max):
        msg = f"length takes min, max or both, whole numbers from 0 with min <= max, not min={min!r}, max={max!r}"
        raise InvalidRequest(msg, parameter="max" if min is None else "min")
    if unit not in ("chars", "words"):
        msg = f"length counts 'chars' or 'words', not {unit!r}"
        raise InvalidRequest(msg, parameter="unit")
    noun = "characters" if unit == "chars" else "words"
    bounds = [f"at least {min}" if min is not None else "", f"at most {max}" if max is not None else ""]
    limits_in_words = f"The answer has {' and '.join(filter(None, bounds))} {noun}."
    check = _Length(min=min, max=max, words=unit == "words")
    return Requirement(limits_in_words, check, check_chunk=None if max is None else _TooLong(max, words=check.words))


@frozen(kw_only=True)
class _Length:
    min: int | None
    max: int | None
    words: bool

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        text = thunk.value or ""
        count = len(text.split()) if self.words else len(text)
        noun = "words" if self.words else "characters"
        if self.max is not None and count > self.max:
            return failed(f"it has {count} {noun}, more than {self.max}")
        if self.min is not None and count < self.min:
            return failed(f"it has {count} {noun}, fewer than {self.min}")
        return PASSED


@define
class _TooLong:
    """Counts along with one text; called without `fresh` it counts the whole text each time."""

    max: int
    words: bool = field(kw_only=True)
    _counting: bool = field(default=False, init=False)
    _count: int = field(default=0, init=False)
    _in_word: bool = field(default=False, init=False)

    def fresh(self) -> _TooLong:
        counter = _TooLong(self.max, words=self.words)
        counter._counting = True
        return counter

    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        if not self.words:
            count = len(partial)
        elif self._counting:
            count = self._count = self._count + self._words_in(chunk)
        else:
            count = len(partial.split())
        if count <= self.max:
            return None
        noun = "words" if self.words else "characters"
        return failed(f"it is longer than {self.max} {noun}")

    def _words_in(self, chunk: str) -> int:
        if not chunk:
            return 0
        begun = len(chunk.split()) - (self._in_word and not chunk[0].isspace())
        self._in_word = not chunk[-1].isspace()
        return begun


def contains(*texts: str, ignore_case: bool = False) -> Requirement:
    """All of these texts are in the answer.

    Raises:
        InvalidRequest: if there is none, or an empty one.

    Example:
        >>> contains("Paris").description
        "The answer contains 'Paris'."
    """
    _check_texts("contains", texts)
    return Requirement(f"The answer contains {_listed(texts)}.", _Contains(texts, ignore_case=ignore_case))


def not_contains(*texts: str, ignore_case: bool = False) -> Requirement:
    """None of these texts is in the answer; one that appears is noticed while it streams.

    Raises:
        InvalidRequest: if there is none, or an empty one.

    Example:
        >>> not_contains("as an AI", ignore_case=True).description
        "The answer does not contain 'as an AI'."
    """
    _check_texts("not_contains", texts)
    check = _Contains(texts, ignore_case=ignore_case)
    return Requirement(f"The answer does not contain {_listed(texts, 'or')}.", check.absent, check_chunk=check.appears)


@frozen
class _Contains:
    texts: tuple[str, ...]
    ignore_case: bool = field(kw_only=True)
    _wanted: tuple[tuple[str, str], ...] = field(init=False)
    _longest: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        wanted = tuple([(text.casefold() if self.ignore_case else text, text) for text in self.texts])
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_longest", max(len(text) for text, _ in wanted))

    def _found(self, text: str, *, present: bool) -> list[str]:
        if self.ignore_case:
            text = text.casefold()
        return [given for wanted, given in self._wanted if (wanted in text) is present]

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        missing = self._found(thunk.value or "", present=False)
        return failed(f"it does not contain {_listed(missing)}") if missing else PASSED

    def absent(self, thunk: AnyThunk) -> ValidationResult:
        found = self._found(thunk.value or "", present=True)
        return failed(f"it contains {_listed(found)}") if found else PASSED

    def appears(self, chunk: str, partial: str) -> ValidationResult | None:
        # A text that was not there before ends in this chunk; folding case makes no text shorter.
        found = self._found(partial[-(len(chunk) + self._longest) :], present=True)
        return failed(f"it contains {_listed(found)}") if found else None


#: How far back a forbidden pattern is looked for while streaming, in characters; the whole text is searched at the end.
_WINDOW: Final = 256

#: What a match can depend on text behind it with: then one at the end of the text may still become none.
_LOOKS_AHEAD: Final = re.compile(r"\$|\\[zZbB]|\(\?[=!]")


def regex(pattern: str | re.Pattern[str], *, forbid: bool = False, full: bool = False) -> Requirement:
    r"""A regular expression is found in the answer; or, with `forbid`, is not, which is noticed while it streams.

    Python's ``re`` can take exponential time for some patterns, such as ``(a+)+$``, and cannot be interrupted then:
    use patterns of your own, none that you were sent.

    Args:
        pattern: a str or a compiled pattern.
        forbid: whether it must not be found. While streaming, a match of up to 256 characters and the chunk is seen; a
            pattern that looks ahead must not look past the next character.
        full: whether the whole answer has to match.

    Raises:
        InvalidRequest: if it is no regular expression of str.

    Example:
        >>> regex(r"https?://\S+", forbid=True).description
        "The answer has no match of the regular expression 'https?://\\\\S+'."
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        msg = f"{pattern!r} is no regular expression: {error}"
        raise InvalidRequest(msg, parameter="pattern") from error
    if not isinstance(compiled.pattern, str):
        msg = f"the regular expression must be of str, not of bytes: {compiled.pattern!r}"
        raise InvalidRequest(msg, parameter="pattern")
    check = _Pattern(compiled, full=full)
    if forbid:
        words = f"The answer has no match of the regular expression {compiled.pattern!r}."
        return Requirement(words, check.absent, check_chunk=None if full else check.appears)
    verb = "matches" if full else "has a match of"
    return Requirement(f"The answer {verb} the regular expression {compiled.pattern!r}.", check)


@frozen
class _Pattern:
    pattern: re.Pattern[str]
    full: bool = field(kw_only=True)

    def _search(self, text: str) -> re.Match[str] | None:
        return self.pattern.fullmatch(text) if self.full else self.pattern.search(text)

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        if self._search(thunk.value or ""):
            return PASSED
        return failed(f"it does not match {self.pattern.pattern!r}")

    def absent(self, thunk: AnyThunk) -> ValidationResult:
        verdict = self._verdict(self._search(thunk.value or ""))
        return PASSED if verdict is None else verdict  # not `or`: a verdict that does not pass is false

    def appears(self, chunk: str, partial: str) -> ValidationResult | None:
        found = self.pattern.search(partial, max(0, len(partial) - len(chunk) - _WINDOW))
        if found and found.end() == len(partial) and _LOOKS_AHEAD.search(self.pattern.pattern):
            return None
        return self._verdict(found)

    def _verdict(self, found: re.Match[str] | None) -> ValidationResult | None:
        if found is None:
            return None
        return failed(f"it contains {_short(found.group())}, which matches {self.pattern.pattern!r}")


def one_of(options: Sequence[str], *, ignore_case: bool = False) -> Requirement:
    """The answer is one of these, white space around it aside; one that cannot become any is noticed while it streams.

    Raises:
        InvalidRequest: if there are no options, or one is empty.

    Example:
        >>> one_of(["yes", "no"]).description
        "The answer is 'yes' or 'no', and nothing else."
    """
    if isinstance(options, str) or not isinstance(options, Sequence):
        msg = f"one_of takes a list of texts, not {options!r}"
        raise InvalidRequest(msg, parameter="options")
    _check_texts("one_of", options)
    check = _OneOf(tuple(options), ignore_case=ignore_case)
    return Requirement(f"The answer is {_listed(options, 'or')}, and nothing else.", check, check_chunk=check.possible)


@frozen
class _OneOf:
    options: tuple[str, ...]
    ignore_case: bool = field(kw_only=True)

    def _folded(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        text = self._folded((thunk.value or "").strip())
        if any(self._folded(option.strip()) == text for option in self.options):
            return PASSED
        return self._neither(thunk.value or "")

    def possible(self, chunk: str, partial: str) -> ValidationResult | None:
        if chunk.isspace():
            return None
        text = self._folded(partial.lstrip())
        for option in self.options:
            wanted = self._folded(option.strip())
            if wanted.startswith(text) or wanted == text.rstrip():
                return None
        return self._neither(partial)

    def _neither(self, text: str) -> ValidationResult:
        return failed(f"{_short(text.strip())} is not {_listed(self.options, 'or')}")


def _check_texts(name: str, texts: Sequence[object]) -> None:
    wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
    if wrong or not texts:
        msg = f"{name} takes texts that are not empty" + (f", not {wrong[0]!r}" if wrong else "; give at least one")
        raise InvalidRequest(msg, parameter="texts")


def _listed(texts: Sequence[str], last: str = "and") -> str:
    shown = [_short(text) for text in texts]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
