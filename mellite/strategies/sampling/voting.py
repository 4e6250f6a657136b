"""Majority vote and minimum Bayes risk: choose the answer that agrees most with the others."""

from __future__ import annotations

import inspect
from bisect import insort
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Any, Final, Literal, TypeAlias

import anyio.lowlevel
from attrs import evolve, field, frozen

from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, SamplingError
from ...values.finite_numbers import is_finite
from ...values.signatures import write_signature
from ...values.told_errors import error_line
from .agreement import closeness, number_in, same_text, word_overlap
from .best_of_n import ALL_AT_ONCE, Fixed
from .round import Judged, Round
from .sample import AnySample, Sample, StopReason

__all__ = ["Key", "MajorityVote", "MinimumBayesRisk", "Similarity"]

#: What makes two answers the same vote; see `MajorityVote`.
Key: TypeAlias = Literal["exact", "numeric"] | Callable[[str], Any] | Callable[[str, str], Any]

#: How alike two answers are, from 0 to 1; see `MinimumBayesRisk`.
Similarity: TypeAlias = Literal["words", "exact", "numeric"] | Callable[[str, str], float | Awaitable[float]]

#: The least similarity of two answers that count as the same vote.
_SAME: Final = 0.5

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_SIMILARITIES: Final[dict[str, Callable[[str, str], float]]] = {
    "exact": same_text,
    "numeric": closeness,
    "words": word_overlap,
}


def _key(key: Key | None) -> Key:
    return "exact" if key is None else key


@frozen
class MajorityVote(Fixed):
    """Generate n answers at once and take the most frequent one; in a tie, the one whose first vote is earliest.

    Only answers that pass the requirements vote. Once the missing votes cannot change the outcome, they are cancelled.
    The other arguments are those of `Strategy`.

    Args:
        n: the number of votes.
        key: what makes two answers the same vote. ``exact`` or None: equal parsed values, or equal texts without
            surrounding white space. ``numeric``: the same last number; an answer without a number does not vote. A
            function of the text: the vote that it returns, None for no vote. A function of two texts: whether they are
            the same, or how alike they are (the same from 0.5 on); each answer is compared with the first of each
            group.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Scripted
        >>> thunk = Scripted(["It is 42.", "41", "42.0"]).generate("What is 6 times 7?")
        >>> result = asyncio.run(MajorityVote(3, key="numeric").sample(thunk))
        >>> result.value, [sample.score for sample in result.samples]
        ('It is 42.', [2.0, 1.0, 2.0])
    """

    key: Key = field(default="exact", converter=_key, kw_only=True)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.key not in ("exact", "numeric") and not callable(self.key):
            msg = f"'key' must be 'exact', 'numeric' or a function of texts, not {self.key!r}"
            raise InvalidRequest(msg, parameter="key")

    async def _draw(self, round: Round, thunk: AnyThunk) -> None:
        round.state = _Ballot(self.key)
        await super()._draw(round, thunk)

    def _weighed(self, round: Round, sample: AnySample) -> Judged:
        ballot: _Ballot = round.state
        return round.judged(sample, ballot.vote) if sample.passed else sample

    def _decided(self, round: Round, sample: AnySample) -> StopReason | None:
        ballot: _Ballot = round.state
        if round.missing and ballot.is_decided(round.missing, round.unfinished):
            return "decided"
        return None

    async def _choose(self, round: Round) -> AnySample | None:
        ballot: _Ballot = round.state
        for group in ballot.groups:
            for sample in group.votes:
                round.note(_scored(sample, float(len(group.votes))))
        best = ballot.ranked()
        return best[0].votes[0] if best else None


class _Group:
    """Samples that gave the same answer, in the order of their lineage."""

    __slots__ = ("example", "votes")

    def __init__(self, sample: AnySample) -> None:
        self.example: str = sample.thunk.value or ""
        self.votes = [sample]

    def add(self, sample: AnySample) -> None:
        insort(self.votes, sample, key=lambda vote: vote.lineage)

    @property
    def rank(self) -> tuple[int, tuple[int, ...]]:
        """The sort key of the group: more votes first, then the earlier first vote."""
        return -len(self.votes), self.votes[0].lineage


class _Ballot:
    """The votes so far."""

    def __init__(self, key: Key) -> None:
        self.groups: list[_Group] = []
        self._by_key: dict[Hashable, _Group] = {}
        self._most = 0
        self._key = key
        self._compares = callable(key) and _compares(key)

    def ranked(self) -> list[_Group]:
        """Return the groups, the winning one first."""
        return sorted(self.groups, key=lambda group: group.rank)

    def vote(self, sample: AnySample) -> Judged:
        """Count the vote of a sample."""
        key = self._key
        if callable(key):
            return self._by_function(sample, key)
        try:
            self._by_answer(sample, _answer_of(sample.thunk, key))
        except (TypeError, ValueError, RecursionError) as error:  # the parsed value cannot be written as JSON
            return evolve(sample, error=error)
        return sample

    def _by_function(self, sample: AnySample, key: Callable[..., Any]) -> Judged:
        text = sample.thunk.value or ""
        try:
            if self._compares:
                return self._by_comparing(sample, key, text)
            found = key(text)
            if inspect.isawaitable(found):
                return self._by_waiting(sample, found)
            self._by_answer(sample, found)
        except Exception as error:
            return evolve(sample, error=error)
        return sample

    async def _by_waiting(self, sample: AnySample, found: Awaitable[Any]) -> AnySample:
        try:
            self._by_answer(sample, await found)
        except Exception as error:
            return evolve(sample, error=error)
        return sample

    def _by_comparing(self, sample: AnySample, same: Callable[[str, str], Any], text: str) -> Judged:
        groups = iter(self.groups)
        for group in groups:
            found = same(group.example, text)
            if inspect.isawaitable(found):
                return self._by_comparing_later(sample, same, groups, group, found)
            if _is_alike(found):
                self._count(sample, group)
                return sample
        self._count(sample, None)
        return sample

    async def _by_comparing_later(
        self,
        sample: AnySample,
        same: Callable[[str, str], Any],
        groups: Iterator[_Group],
        group: _Group | None,
        found: Any,
    ) -> AnySample:
        # While this waits, other samples may append groups; the iterator reaches these as well.
        text = sample.thunk.value or ""
        try:
            while group is not None and not _is_alike(await found if inspect.isawaitable(found) else found):
                group = next(groups, None)
                found = same(group.example, text) if group is not None else None
            self._count(sample, group)
        except Exception as error:
            return evolve(sample, error=error)
        return sample

    def _by_answer(self, sample: AnySample, answer: Hashable) -> None:
        if answer is not None:
            self._by_key[answer] = self._count(sample, self._by_key.get(answer))

    def _count(self, sample: AnySample, group: _Group | None) -> _Group:
        if group is not None:
            group.add(sample)
        else:
            group = _Group(sample)
            self.groups.append(group)
        self._most = max(self._most, len(group.votes))
        return group

    def is_decided(self, missing: int, unfinished: Callable[[], list[tuple[int, ...]]]) -> bool:
        """Tell whether `missing` more votes cannot change the winner; `unfinished` gives the lineages among them."""
        if self._most < missing or not self.groups:
            return False
        ranked = self.ranked()
        ahead, first = len(ranked[0].votes), ranked[0].votes[0].lineage
        second = ranked[1] if len(ranked) > 1 else None
        most = missing + (len(second.votes) if second is not None else 0)
        if ahead != most:
            return ahead > most
        # The missing votes can at most make a tie with the second group, which the earlier first vote wins.
        earliest = min(unfinished(), default=None)
        return all(lineage > first for lineage in (earliest, second.votes[0].lineage if second else None) if lineage)


def _is_alike(found: Any) -> bool:
    return bool(found >= _SAME if isinstance(found, float) else found)


def _scored(sample: AnySample, score: float) -> AnySample:
    return Sample(
        sample.thunk,
        sample.validations,
        error=sample.error,
        score=score,
        verdict=sample.verdict,
        checked=sample.checked,
    )


def _compares(key: Callable[..., Any]) -> bool:
    """Tell whether a function compares two texts, rather than turning one into a vote."""
    try:
        parameters = inspect.signature(key).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    needed = [each for each in parameters if each.default is each.empty and each.kind in _POSITIONAL]
    return len(needed) == 2


def _answer_of(thunk: AnyThunk, key: str) -> Hashable:
    text = thunk.value or ""
    if key == "numeric":
        return number_in(text)
    parsed = thunk.parsed_repr
    if parsed is None or isinstance(parsed, str):
        return text.strip()
    try:
        hash(parsed)
    except TypeError:  # a dict or a list: equal ones give the same JSON with sorted keys
        import msgspec

        return msgspec.json.encode(parsed, order="sorted", enc_hook=repr)
    return type(parsed), parsed


@frozen
class MinimumBayesRisk(Fixed):
    """Generate n answers at once and take the one that is most similar to all others; in a tie, the first.

    A vote for answers that are rarely equal, such as prose. Only answers that pass the requirements take part. The
    other arguments are those of `Strategy`.

    Args:
        n: the number of answers to choose from.
        similarity: how alike two answers are. ``words``: the share of words in common. ``exact``: 1 or 0. ``numeric``:
            how close their last numbers are. A function, sync or async, of an answer and another one to compare it
            with; it is called for every ordered pair.

    Raises:
        SamplingError: from `sample`, if your similarity raises or returns no finite number.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Scripted
        >>> thunk = Scripted(["the cat sat", "a dog ran", "the cat sat down"]).generate("What happened?")
        >>> asyncio.run(MinimumBayesRisk(3).sample(thunk)).value
        'the cat sat'
    """

    similarity: Similarity = field(default="words", kw_only=True)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not callable(self.similarity) and self.similarity not in _SIMILARITIES:
            msg = f"'similarity' must be 'words', 'exact', 'numeric' or a function of texts, not {self.similarity!r}"
            raise InvalidRequest(msg, parameter="similarity")

    async def _choose(self, round: Round) -> AnySample | None:
        passed = [sample for sample in round.ordered() if sample.passed]
        if not passed:
            return None
        texts = [sample.thunk.value or "" for sample in passed]
        means = await _means(texts, self.similarity)
        scored = [round.note(_scored(sample, mean)) for sample, mean in zip(passed, means, strict=True)]
        return max(scored, key=lambda sample: sample.score or 0.0)


async def _means(texts: list[str], similarity: Similarity) -> list[float]:
    """Return for each text its mean similarity to the others; 1.0 for a single text."""
    others = len(texts) - 1
    if not others:
        return [1.0]
    sums = [0.0] * len(texts)
    for at, text in enumerate(texts):
        for against, other in enumerate(texts):
            if callable(similarity):
                sums[at] += await _alike(similarity, text, other) if at != against else 0.0
            elif against > at:  # the stock measures are symmetric
                value = _SIMILARITIES[similarity](text, other)
                sums[at] += value
                sums[against] += value
        await anyio.lowlevel.checkpoint()  # a thousand texts are a million pairs: let other tasks run
    return [total / others for total in sums]


async def _alike(similarity: Callable[[str, str], Any], text: str, other: str) -> float:
    name = getattr(similarity, "__name__", repr(similarity))
    try:
        found = similarity(text, other)
        value = await found if inspect.isawaitable(found) else found
        if is_finite(value):
            return float(value)
    except Exception as error:
        msg = f"the similarity {name} raised {error_line(error)}"
        raise SamplingError(msg) from error
    msg = f"the similarity {name} gave {value!r}; it must give a finite number"
    raise SamplingError(msg)


write_signature(MajorityVote, ALL_AT_ONCE)
write_signature(MinimumBayesRisk, ALL_AT_ONCE)
