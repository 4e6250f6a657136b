"""Stock requirements on the text: length, texts that must or must not occur, patterns, a choice of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field, frozen

from ....values.errors import InvalidRequest
from ....values.shortened import shortened
from ..requirement import Requirement
from ..verdict import PASSED, ValidationResult, failed

if TYPE_CHECKING:
    from ....thunk.thunk import AnyThunk

__all__ = ["contains", "length", "not_contains", "one_of", "regex"]


def length(*, min: int | None = None, max: int | None = None, unit: Literal["chars", "words"] = "chars") -> Requirement:
    """Require at least `min` and at most `max` characters or words. A stream that gets too long fails at once.

    Args:
        min: the least number that passes.
        max: the greatest number that passes.
        unit: what to count; words are separated by white space.

    Raises:
        InvalidRequest: if both limits are missing, or no text could meet them.

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


@define(unsafe_hash=True)
class _TooLong:
    """A check of chunks. One made by `fresh` counts along with one text; this one counts the whole text each time."""

    max: int
    words: bool = field(kw_only=True)
    _counting: bool = field(default=False, kw_only=True, alias="counting")
    _count: int = field(default=0, init=False, eq=False)
    _in_word: bool = field(default=False, init=False, eq=False)

    def fresh(self) -> _TooLong:
        return _TooLong(self.max, words=self.words, counting=True)

    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        if not self.words:
            if len(partial) <= self.max:  # common: with nothing to count
                return None
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
    """Require that all of these texts occur in the answer.

    Raises:
        InvalidRequest: if no text is given, or one is empty.

    Example:
        >>> contains("Paris").description
        "The answer contains 'Paris'."
    """
    _check_texts("contains", texts)
    return Requirement(f"The answer contains {_listed(texts)}.", _Contains(texts, ignore_case=ignore_case))


def not_contains(*texts: str, ignore_case: bool = False) -> Requirement:
    """Require that none of these texts occurs in the answer. A stream in which one appears fails at once.

    Raises:
        InvalidRequest: if no text is given, or one is empty.

    Example:
        >>> not_contains("as an AI", ignore_case=True).description
        "The answer does not contain 'as an AI'."
    """
    _check_texts("not_contains", texts)
    check = _ContainsNone(texts, ignore_case=ignore_case)
    appears = _Appears(texts, ignore_case=ignore_case)
    return Requirement(f"The answer does not contain {_listed(texts, 'or')}.", check, check_chunk=appears)


@frozen
class _Texts:
    texts: tuple[str, ...]
    ignore_case: bool = field(kw_only=True)
    _wanted: tuple[tuple[str, str], ...] = field(init=False)
    _longest: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        wanted = tuple([(text.casefold() if self.ignore_case else text, text) for text in self.texts])
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_longest", max(len(text) for text, _ in wanted))

    def found(self, text: str, *, present: bool) -> list[str]:
        """Return those of the texts that are present in `text`, or those that are not."""
        if self.ignore_case:
            text = text.casefold()
        return [given for wanted, given in self._wanted if (wanted in text) is present]


@frozen
class _Contains(_Texts):
    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        missing = self.found(thunk.value or "", present=False)
        return failed(f"it does not contain {_listed(missing)}") if missing else PASSED

    # Earlier versions pickled a method of each name as the check.

    @property
    def absent(self) -> _ContainsNone:
        return _ContainsNone(self.texts, ignore_case=self.ignore_case)

    @property
    def appears(self) -> _Appears:
        return _Appears(self.texts, ignore_case=self.ignore_case)


@frozen
class _ContainsNone(_Texts):
    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        found = self.found(thunk.value or "", present=True)
        return failed(f"it contains {_listed(found)}") if found else PASSED


@frozen
class _Appears(_Texts):
    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        # The chunks before did not contain it, so it ends in this one. Case folding never shortens a text.
        text = partial[-(len(chunk) + self._longest) :]
        folded = text.casefold() if self.ignore_case else text
        for wanted, _ in self._wanted:
            if wanted in folded:
                return failed(f"it contains {_listed(self.found(text, present=True))}")
        return None


#: How many characters before a new chunk are searched for a forbidden pattern; the whole text is searched at the end.
_WINDOW: Final = 256

#: Parts of a pattern that look at the text after a match: more text may undo a match at the end.
_LOOKS_AHEAD: Final = re.compile(r"\$|\\[zZbB]|\(\?[=!]")


def regex(pattern: str | re.Pattern[str], *, forbid: bool = False, full: bool = False) -> Requirement:
    r"""Require that a regular expression matches, or with `forbid` that it does not. A forbidden match stops a stream.

    Python's ``re`` takes exponential time for some patterns, such as ``(a+)+$``, and cannot be interrupted. Use only
    patterns that you trust.

    Args:
        pattern: a str or a compiled pattern.
        forbid: require that there is no match. While streaming, a match is found if it begins in the new chunk or in
            the 256 characters before, and if the pattern looks at most one character ahead.
        full: require that the pattern matches the whole answer.

    Raises:
        InvalidRequest: if `pattern` is not a valid regular expression of str.

    Example:
        >>> regex(r"https?://\S+", forbid=True).description
        "The answer has no match of the regular expression 'https?://\\\\S+'."
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        msg = f"{pattern!r} is not a regular expression: {error}"
        raise InvalidRequest(msg, parameter="pattern") from error
    if not isinstance(compiled.pattern, str):
        msg = f"the regular expression must be of str, not of bytes: {compiled.pattern!r}"
        raise InvalidRequest(msg, parameter="pattern")
    if forbid:
        words = f"The answer has no match of the regular expression {compiled.pattern!r}."
        check_chunk = None if full else _MatchAppears(compiled, full=full)
        return Requirement(words, _MatchesNowhere(compiled, full=full), check_chunk=check_chunk)
    verb = "matches" if full else "has a match of"
    words = f"The answer {verb} the regular expression {compiled.pattern!r}."
    return Requirement(words, _Pattern(compiled, full=full))


@frozen
class _Regex:
    pattern: re.Pattern[str]
    full: bool = field(kw_only=True)

    def search(self, text: str) -> re.Match[str] | None:
        """Return the match that decides, if there is one."""
        return self.pattern.fullmatch(text) if self.full else self.pattern.search(text)

    def forbidden(self, found: re.Match[str]) -> ValidationResult:
        """Return the verdict on a match that must not be."""
        return failed(f"it contains {_short(found.group())}, which matches {self.pattern.pattern!r}")


@frozen
class _Pattern(_Regex):
    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        return PASSED if self.search(thunk.value or "") else failed(f"it does not match {self.pattern.pattern!r}")

    # Likewise.

    @property
    def absent(self) -> _MatchesNowhere:
        return _MatchesNowhere(self.pattern, full=self.full)

    @property
    def appears(self) -> _MatchAppears:
        return _MatchAppears(self.pattern, full=self.full)


@frozen
class _MatchesNowhere(_Regex):
    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        found = self.search(thunk.value or "")
        return PASSED if found is None else self.forbidden(found)


@frozen
class _MatchAppears(_Regex):
    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        found = self.pattern.search(partial, max(0, len(partial) - len(chunk) - _WINDOW))
        if found is None or (found.end() == len(partial) and _LOOKS_AHEAD.search(self.pattern.pattern)):
            return None
        return self.forbidden(found)


def one_of(options: Sequence[str], *, ignore_case: bool = False) -> Requirement:
    """Require one of these answers, ignoring outer white space. A stream that can become none of them fails at once.

    Raises:
        InvalidRequest: if `options` is empty, or has an empty text.

    Example:
        >>> one_of(["yes", "no"]).description
        "The answer is 'yes' or 'no', and nothing else."
    """
    if isinstance(options, str) or not isinstance(options, Sequence):
        msg = f"one_of takes a list of texts, not {options!r}"
        raise InvalidRequest(msg, parameter="options")
    _check_texts("one_of", options)
    check = _OneOf(tuple(options), ignore_case=ignore_case)
    check_chunk = _MayBecomeOneOf(check.options, ignore_case=ignore_case)
    return Requirement(f"The answer is {_listed(options, 'or')}, and nothing else.", check, check_chunk=check_chunk)


@frozen
class _Options:
    options: tuple[str, ...]
    ignore_case: bool = field(kw_only=True)

    def folded(self, text: str) -> str:
        """Return a text as it is compared."""
        return text.casefold() if self.ignore_case else text

    def neither(self, text: str) -> ValidationResult:
        """Return the verdict on a text that is none of the options."""
        return failed(f"{_short(text.strip())} is not {_listed(self.options, 'or')}")


@frozen
class _OneOf(_Options):
    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        text = self.folded((thunk.value or "").strip())
        if any(self.folded(option.strip()) == text for option in self.options):
            return PASSED
        return self.neither(thunk.value or "")

    @property
    def possible(self) -> _MayBecomeOneOf:  # likewise
        return _MayBecomeOneOf(self.options, ignore_case=self.ignore_case)


@frozen
class _MayBecomeOneOf(_Options):
    def __call__(self, chunk: str, partial: str) -> ValidationResult | None:
        if chunk.isspace():
            return None
        text = self.folded(partial.lstrip())
        for option in self.options:
            wanted = self.folded(option.strip())
            if wanted.startswith(text) or wanted == text.rstrip():
                return None
        return self.neither(partial)


def _check_texts(name: str, texts: Sequence[object]) -> None:
    wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
    if wrong or not texts:
        msg = f"{name} takes texts that are not empty" + (f", not {wrong[0]!r}" if wrong else "; give at least one")
        raise InvalidRequest(msg, parameter="texts")


def _listed(texts: Sequence[str], last: str = "and") -> str:
    shown = [_short(text) for text in texts]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _short(text: str) -> str:
    return repr(shortened(text, 60))
