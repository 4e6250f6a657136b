"""Send only so many requests and tokens in any minute, and wait with the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, final

from ... import loops
from ...loops.rates import Booking, Meter
from ...protocols.error_answers import rate_limits
from ...values.empty import EMPTY
from ...values.errors import ConnectError, InvalidRequest, RateLimited, RequestError, TotalTimeout
from ...values.events import Event, Finish, ResponseStart, StepFinish
from ...values.public_names import publish
from ...values.request import Request
from ...values.telling import log
from ...values.text_answer import Batch, TextAnswer
from ...values.usage import Spent, Usage, spent
from .clocks import SYSTEM, Clock
from .quotas import Rate
from .relays import Watch, Watching
from .wrapper import innermost, timeouts_of, transport_of, with_time_left

__all__ = ["RateLimit"]

_BYTES_A_TOKEN: Final = 3.5  # of English in UTF-8; other languages have more bytes and more tokens
_OF_A_MESSAGE: Final = 8  # tokens
_ENDS: Final = frozenset({Finish, StepFinish})
_OF_A_FILE: Final = 1000  # tokens, of a picture or a page


class RateLimit(Watching):
    """A backend that limits the requests and tokens it sends to another one in any minute; excess calls queue.

    The minute slides, and a request counts from when it is sent. Until its usage is known, its tokens are estimated
    from the prompt's length and ``max_tokens``. A limit that is not given is learned from the response headers that
    OpenAI, Anthropic, Azure, Groq and others send; until the first ones arrive, one request goes at a time. A request
    larger than the limit goes alone. ``Timeouts(total=)`` includes the wait, which can be cancelled. Replayed cassettes
    never wait.

    Args:
        backend: the backend to ask.
        rate: a limit shared with other backends, instead of its own.
        requests_per_minute: how many requests; None to learn it.
        tokens_per_minute: how many tokens, prompts and answers together; None to learn it.
        clock: has ``now()``, ``wall()`` and ``async sleep(seconds)``; the system clock by default.

    Raises:
        InvalidRequest: for a number that is not above 0, or if both a `rate` and own limits are given.
        ConfigurationError: if `backend` is not a backend.

    Example:
        >>> import mellite
        >>> backend = RateLimit(mellite.backends.Echo(), requests_per_minute=60, tokens_per_minute=10_000)
        >>> backend.generate("Hello.").result()
        'Hello.'
    """

    def __init__(
        self,
        backend: Any,
        rate: Rate | None = None,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(backend)
        if rate is None:
            rate = Rate(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, clock=clock)
        elif not isinstance(rate, Rate):
            msg = f"'rate' must be a mellite.Rate, not {type(rate).__name__}; write requests_per_minute={rate!r:.40}"
            raise InvalidRequest(msg, parameter="rate")
        elif not (requests_per_minute is None and tokens_per_minute is None and clock is None):
            msg = "a shared rate has limits and a clock of its own: give them to mellite.Rate(...)"
            raise InvalidRequest(msg, parameter="rate")
        self._rate = rate
        self._meter = rate.meter
        self._asked = innermost(backend)
        route = getattr(self._asked, "route", None)
        self._longest = None if route is None else route.options.max_tokens  # of an answer, if a call says nothing
        self._most = getattr(self._asked, "max_concurrency", None)  # generations under way

    @property
    def rate(self) -> Rate:
        """The limit."""
        return self._rate

    def _enter(self, request: Request) -> Watch | None:
        if getattr(transport_of(self._asked), "offline", False) is True:
            return _NOTHING
        meter = self._meter
        prompt = _guess(request) if meter.counts_tokens else 0.0
        booking = meter.take_if_free(prompt, self._longest_answer(request), most=self._most)
        return None if booking is None else _Watch(meter, booking, self)

    async def _admit(self, request: Request) -> tuple[Watch, Request]:
        """Wait for a place in the minute.

        Raises:
            TotalTimeout: if that takes longer than the generation may.
        """
        clock, meter = self._rate.clock, self._meter
        began = clock.now()
        timeouts = timeouts_of(self._backend, request)
        total = None if timeouts is None else timeouts.total
        answer = self._longest_answer(request)
        name = self.describe()
        said = "%s: a request waits for the rate limit"
        log.debug("limit.waiting", said, name, backend=name, waiting=meter.waiting + 1)
        booking: Booking | None = None
        with loops.move_on_after(total if clock is SYSTEM else None):
            until = None if total is None else began + total
            booking = await meter.take(_guess(request), answer, most=self._most, until=until)
        waited = clock.now() - began
        if booking is not None:
            log.debug("limit.passed", "%s: it went after %.3g s", name, waited, backend=name, wait_s=waited)
            return _Watch(meter, booking, self), with_time_left(self._backend, request, waited)
        msg = (
            f"the answer was not complete within {total:g} s: the rate limit did not let it go before; raise "
            "Timeouts(total=...), or the limit"
        )
        raise TotalTimeout(msg)

    def _longest_answer(self, request: Request) -> int | None:
        """Return how long the answer may be."""
        most = request.options.max_tokens
        return self._longest if most is None else most

    def _arguments(self) -> Mapping[str, object]:
        return {"rate": self._rate}


@final
class _Watch(Watch):
    """Reads off an answer what the meter wants to know."""

    __slots__ = ("_booking", "_has_begun", "_meter", "_wrapper")

    def __init__(self, meter: Meter, booking: Booking, wrapper: RateLimit) -> None:
        self._wrapper = wrapper
        self._meter = meter
        self._booking = booking
        self._has_begun = False

    def look(self, batch: Batch) -> None:
        """Look at some events."""
        if type(batch) is TextAnswer:
            headers, attempts, used = batch.brief()
            if not self._has_begun:
                self._begin_with(headers, attempts)
            if used is not None:
                self._note(used)
            return
        if not self._has_begun or (batch and type(batch[-1]) in _ENDS):
            self._look_at_all(batch)

    def see_whole(self, answer: TextAnswer) -> None:
        """Look at an answer that came at once."""
        headers, attempts, used = answer.brief()
        if not self._has_begun:
            self._begin_with(headers, attempts)
        self._meter.settle(self._booking, used)

    def _look_at_all(self, events: Sequence[Event]) -> None:
        if not self._has_begun and events:
            self._begin(events[0])
        for event in events:
            if type(event) in _ENDS and event.usage is not None:  # type: ignore[union-attr]
                self._note(spent(event.usage))  # type: ignore[union-attr]

    def _begin(self, first: Event) -> None:
        if type(first) is ResponseStart:
            self._begin_with(first.headers or EMPTY, first.attempts or 1)
        else:
            self._begin_with(EMPTY, 1)

    def _begin_with(self, headers: Mapping[str, str], attempts: int) -> None:
        self._has_begun = True
        told = told_by(headers) if headers else {}
        if told or self._meter.wants_head(self._booking):
            self._meter.note_head(self._booking, told)
        if attempts > 1:
            self._meter.note_more(attempts - 1)

    def _note(self, used: Spent) -> None:
        self._meter.note_usage(self._booking, used.total, used.output)

    def failed(self, error: Exception) -> None:
        """Take note of how it failed."""
        if isinstance(error, RateLimited) and error.retry_after is not None:
            self._meter.pause(error.retry_after)
            name, wait = self._wrapper.describe(), error.retry_after
            said = "%s: nothing is sent for %.3g s, as the provider asks"
            log.info("limit.paused", said, name, wait, backend=name, wait_s=wait, request_id=error.request_id)
        elif isinstance(error, ConnectError) or (isinstance(error, RequestError) and not self._has_begun):
            self._meter.settle(self._booking, was_sent=False)
        usage = getattr(error, "usage", None)
        if isinstance(usage, Usage):
            self._note(spent(usage))

    def over(self) -> None:
        """Take note that nothing follows."""
        if self._booking.is_open:
            self._meter.settle(self._booking)

    def __del__(self) -> None:
        if self._booking.is_open:  # the loop of the generation was closed under it
            self.over()


#: Watches nothing: what is replayed counts for no limit.
_NOTHING: Final = Watch()


def _guess(request: Request) -> float:
    """Return how many tokens a request may have, roughly."""
    length, files = 0, 0
    for part in chain(request.system, *[message.content for message in request.messages]):
        text = getattr(part, "text", None)
        if type(text) is not str:
            if hasattr(part, "data") or hasattr(part, "url"):
                files += 1
                continue
            text = repr(part)
        length += len(text) if text.isascii() else _bytes(text)
    for tool in request.tools:
        length += _bytes(repr(tool))
    return length / _BYTES_A_TOKEN + _OF_A_MESSAGE * len(request.messages) + _OF_A_FILE * files


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


_PLAIN: Final = {"requests": "requests", "tokens": "tokens", "requests-minute": "requests", "tokens-minute": "tokens"}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = re.compile(r"\d{1,12}(?:\.\d{1,6})?")


def told_by(headers: Mapping[str, str]) -> dict[str, tuple[float | None, float | None, float]]:
    """Return what headers tell of the limits of a minute: how much in all, how much is left, when all of it is.

    Example:
        >>> told_by({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"})
        {'requests': (60.0, 59.0, 60.0)}
    """
    found: dict[str, tuple[float | None, float | None, float]] = {}
    if "ratelimit" not in " ".join(headers):  # as of most servers: the names are not looked at one by one
        return found
    for name, said in rate_limits(headers).items():
        kind = _PLAIN.get(name)
        if kind is not None:
            found[kind] = (_number(said.get("limit")), _number(said.get("remaining")), _span(said.get("reset", "")))
    return found


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _span(text: str) -> float:
    """Return a time span such as "1m30s", "120ms" or "45", in seconds; a minute for anything else, such as a date."""
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return float(sum([float(number) * _UNITS[unit] for number, unit in parts]))
    number = _number(text)
    return 60.0 if number is None else number


publish(globals(), "mellite", "RateLimit")
