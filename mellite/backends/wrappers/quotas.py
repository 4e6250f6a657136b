"""Rate, Budget and Concurrency: limits as values, which several backends share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, final

from ...loops.places import Limit
from ...loops.rates import Meter
from ...values.errors import InvalidRequest
from ...values.finite_numbers import is_finite
from ...values.public_names import publish
from .clocks import SYSTEM, Clock, checked_clock

__all__ = ["Budget", "Concurrency", "Rate"]


@final
class Rate:
    """A limit on requests and tokens per minute, shared by all backends that are given this object.

    Args:
        requests_per_minute: how many requests; None to learn it from the headers of the answers.
        tokens_per_minute: how many tokens, prompts and answers together; likewise.
        clock: has ``now()``, ``wall()`` and ``async sleep(seconds)``; the system clock by default.

    Raises:
        InvalidRequest: for a number that is not above 0.

    Example:
        >>> import mellite
        >>> shared = Rate(requests_per_minute=60, tokens_per_minute=10_000)
        >>> one, two = [mellite.RateLimit(mellite.backends.Constant(text), shared) for text in ("one", "two")]
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        _check_positive("requests_per_minute", requests_per_minute)
        _check_positive("tokens_per_minute", tokens_per_minute)
        self._clock = checked_clock(clock)
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._meter = Meter(requests_per_minute, tokens_per_minute, clock=self._clock, is_system=self._clock is SYSTEM)

    @property
    def requests_per_minute(self) -> float | None:
        """The limit on requests, as given."""
        return self._requests

    @property
    def tokens_per_minute(self) -> float | None:
        """The limit on tokens, as given."""
        return self._tokens

    @property
    def clock(self) -> Clock:
        """The clock."""
        return self._clock

    @property
    def meter(self) -> Meter:
        """The counter that makes callers wait."""
        return self._meter

    @property
    def waiting(self) -> int:
        """The number of generations that are waiting now."""
        return self._meter.waiting

    def __reduce__(self) -> tuple[Any, ...]:
        return _rate, (self._requests, self._tokens, None if self._clock is SYSTEM else self._clock)

    def __repr__(self) -> str:
        return f"Rate(requests_per_minute={self._requests!r}, tokens_per_minute={self._tokens!r})"


def _rate(requests: float | None, tokens: float | None, clock: Clock | None) -> Rate:
    return Rate(requests_per_minute=requests, tokens_per_minute=tokens, clock=clock)


@final
class Budget:
    """The most that may be spent in total.

    Args:
        usd: the most USD; None for no bound.
        tokens: the most tokens; None for no bound.

    Raises:
        InvalidRequest: for a negative number.

    Example:
        >>> Budget(usd="2.50")
        Budget(usd=Decimal('2.50'), tokens=None)
    """

    def __init__(self, *, usd: Decimal | float | str | None = None, tokens: int | None = None) -> None:
        try:
            amount = None if usd is None or isinstance(usd, bool) else Decimal(str(usd))
        except ArithmeticError:
            amount = Decimal("nan")
        if usd is not None and (amount is None or not (amount.is_finite() and amount >= 0)):
            msg = f"'usd' must be a number of USD from 0 on, or None for no bound, not {usd!r}"
            raise InvalidRequest(msg, parameter="usd")
        if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
            msg = f"'tokens' must be a whole number from 0 on, or None for no bound, not {tokens!r}"
            raise InvalidRequest(msg, parameter="tokens")
        self._usd = amount
        self._tokens = tokens

    @property
    def usd(self) -> Decimal | None:
        """The most USD."""
        return self._usd

    @property
    def tokens(self) -> int | None:
        """The most tokens."""
        return self._tokens

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Budget):
            return NotImplemented
        return (self._usd, self._tokens) == (other._usd, other._tokens)

    def __hash__(self) -> int:
        return hash((self._usd, self._tokens))

    def __repr__(self) -> str:
        return f"Budget(usd={self._usd!r}, tokens={self._tokens!r})"


@final
class Concurrency:
    """A limit on simultaneous generations, shared by all backends that have this object as ``max_concurrency``.

    Args:
        most: the maximum.

    Raises:
        InvalidRequest: for anything but a whole number of at least 1.

    Example:
        >>> import mellite
        >>> shared = Concurrency(8)
        >>> backends = [mellite.backend(f"openai:{model}", max_concurrency=shared) for model in ("gpt-5", "gpt-5-mini")]
    """

    def __init__(self, most: int) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            msg = f"a Concurrency is a whole number of at least 1, not {most!r}"
            raise InvalidRequest(msg, parameter="most")
        self._limit = Limit(most)

    @property
    def most(self) -> int:
        """The maximum."""
        return self._limit.most

    @property
    def limit(self) -> Limit:
        """The counter that makes callers wait."""
        return self._limit

    def __reduce__(self) -> tuple[Any, ...]:
        return Concurrency, (self.most,)

    def __repr__(self) -> str:
        return f"Concurrency({self.most})"


def _check_positive(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value > 0 and is_finite(value)):
        msg = f"{name!r} must be a number above 0, or None to learn it from the answers, not {value!r}"
        raise InvalidRequest(msg, parameter=name)


publish(globals(), "mellite", "Budget", "Concurrency", "Rate")
