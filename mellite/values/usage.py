"""The tokens that an answer took: inclusive totals, and a split of them that does not overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from attrs import field, fields_dict, frozen

from .provider_json import Json
from .public_names import publish
from .telling_fields import fields_that_say_something

__all__ = ["COUNTS", "GIVEN_COUNTS", "Spent", "Usage", "spent"]


class Spent(NamedTuple):
    """The tokens of a call, as limits count them.

    Attributes:
        total: all that it took; None if that is not known.
        output: those of the answer.
    """

    total: int | None
    output: int | None


@frozen(kw_only=True)
class Usage:
    """Tokens used: inclusive totals and a split that does not overlap. Unknown is None, never 0.

    ``non_cached_input_tokens + cache_read_input_tokens + cache_write_input_tokens == input_tokens``, and
    ``reasoning_tokens`` is a part of ``output_tokens``. Where both are known and no total is given, ``total_tokens`` is
    their sum.

    Args:
        raw: the provider's own usage object, unchanged.

    Example:
        >>> used = Usage.of(input_tokens=5, output_tokens=2, cache_read_input_tokens=1)
        >>> used.total_tokens, used.non_cached_input_tokens
        (7, 4)
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    non_cached_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    raw: Mapping[str, Json] | None = field(default=None, repr=False)

    __rich_repr__ = fields_that_say_something

    def __attrs_post_init__(self) -> None:
        # A backend of one's own gives the two; budgets, limits and stop conditions count by the total.
        asked, answered = self.input_tokens, self.output_tokens
        if self.total_tokens is None and isinstance(asked, int) and isinstance(answered, int):
            object.__setattr__(self, "total_tokens", asked + answered)

    @classmethod
    def of(
        cls,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        total_tokens: int | None = None,
        cache_read_input_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        reasoning_apart: bool | None = None,
        raw: Mapping[str, Json] | None = None,
    ) -> Usage:
        """Make a usage from inclusive totals; compute a missing total or split.

        Args:
            reasoning_apart: whether the provider counts thinking apart from `output_tokens`; None if hosts differ. If a
                total is given, it decides.

        Example:
            >>> Usage.of(input_tokens=5, output_tokens=2, reasoning_tokens=9, total_tokens=16).output_tokens
            11
            >>> Usage.of(input_tokens=5, output_tokens=9, reasoning_tokens=9, total_tokens=14).output_tokens
            9
        """
        if output_tokens is not None and reasoning_tokens:
            spent = total_tokens - (input_tokens or 0) if total_tokens else None
            if _is_apart(output_tokens, reasoning_tokens, spent, said=reasoning_apart):
                output_tokens += reasoning_tokens
            reasoning_tokens = min(reasoning_tokens, output_tokens)
        if total_tokens is None and (input_tokens is not None or output_tokens is not None):
            total_tokens = (input_tokens or 0) + (output_tokens or 0)
        non_cached = None
        if input_tokens is not None:
            non_cached = max(0, input_tokens - (cache_read_input_tokens or 0) - (cache_write_input_tokens or 0))
        return cls(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=total_tokens,
            non_cached_input_tokens=non_cached,
            cache_read_input_tokens=cache_read_input_tokens,
            cache_write_input_tokens=cache_write_input_tokens,
            reasoning_tokens=reasoning_tokens,
            raw=raw,
        )

    @property
    def is_zero(self) -> bool:
        """Whether every count is 0 or unknown."""
        return not (self.input_tokens or self.output_tokens or self.total_tokens)

    def replacing(self, earlier: Usage | None) -> Usage:
        """Return this usage, or `earlier` if there is one and this one is all zero.

        Some hosts end a stream with a usage of zeros, which says nothing and must not wipe out a real report.

        Example:
            >>> Usage(input_tokens=0).replacing(Usage(input_tokens=5)).input_tokens
            5
            >>> Usage(input_tokens=7).replacing(Usage(input_tokens=5)).input_tokens
            7
        """
        return earlier if earlier is not None and self.is_zero else self

    def counts(self) -> dict[str, int | None]:
        """Return the counts by name; unknown ones are None."""
        return {name: getattr(self, name) for name in COUNTS}

    def __add__(self, other: Usage) -> Usage:
        """Add two usages. A count stays None only where both are. The raw objects are dropped.

        Example:
            >>> (Usage(input_tokens=5) + Usage(input_tokens=1, output_tokens=2)).total_tokens
            8
        """
        if not isinstance(other, Usage):
            return NotImplemented
        sums: dict[str, Any] = {}
        for name in COUNTS:
            ours, theirs = getattr(self, name), getattr(other, name)
            sums[name] = None if ours is None and theirs is None else (ours or 0) + (theirs or 0)
        if sums["total_tokens"] is not None:
            sums["total_tokens"] = self._known_total() + other._known_total()
        return Usage(**sums)

    def _known_total(self) -> int:
        """Return the total, or as much of it as is known."""
        if self.total_tokens is not None:
            return self.total_tokens
        return (self.input_tokens or 0) + (self.output_tokens or 0)


#: The counts of a usage, by name.
COUNTS: Final = tuple(name for name in fields_dict(Usage) if name != "raw")

#: Those of them that `Usage.of` takes; the other one is worked out.
GIVEN_COUNTS: Final = tuple(name for name in COUNTS if name != "non_cached_input_tokens")


def spent(usage: Usage) -> Spent:
    """Return the tokens that a call took of a limit.

    Example:
        >>> spent(Usage.of(input_tokens=10, output_tokens=5)).total
        15
    """
    return Spent(usage.total_tokens, usage.output_tokens)


def _is_apart(output: int, reasoning: int, spent: int | None, *, said: bool | None) -> bool:
    """Return whether to add thinking to the output, where `spent` tokens of the total are not input."""
    if spent in (output, output + reasoning):
        return spent != output
    if said is not None:
        return said
    return reasoning > output and (spent is None or spent > output + reasoning)


publish(globals(), "mellite", "Usage")
