"""Several attempts at one answer: hold back what says nothing yet, drop what failed, and tell of it.

An answer may begin again until text, thinking, tool input or a tool call has been passed on. Until then the events of
an attempt are held back, so that those of one that failed can be dropped.

`Trial` stands between a pushed generation and its pump until something is said, and no longer: a delta never passes
through it. In a task, `until_something` reads so far.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias, final

from attrs import evolve

from ...values.backend_streams import name_of
from ...values.errors import BackendError, MelliteError
from ...values.events import (
    Event,
    RawChunk,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
)
from ...values.fold import fold
from ...values.text_answer import Batch, Made, TextAnswer
from ...values.told_errors import error_line

__all__ = ["Attempts", "Others", "Reader", "Trial", "says_something", "until_something"]

#: Events that say nothing yet: after them, an answer may begin again.
_QUIET: Final = frozenset({ResponseStart, RawChunk, StepStart, TextStart, TextEnd, ReasoningStart, ReasoningEnd})
_DELTAS: Final = frozenset({TextDelta, ReasoningDelta})


class Reader(Protocol):
    """What is told of attempts beside their events; a `mellite.thunk.pump.Pump` is one."""

    def begin_reading(self, *, over: bool = False) -> None:
        """Note that the first event of an attempt is there."""
        ...

    def take_in(self, events: Sequence[Event]) -> None:
        """Take events of a generation that is being stopped."""
        ...


def says_something(events: Sequence[Event]) -> bool:
    """Tell whether there is text, thinking, tool input, a call or the end among events."""
    for event in events:
        kind = type(event)
        if kind not in _QUIET and (kind not in _DELTAS or event.text):  # type: ignore[union-attr]
            return True
    return False


@final
class Attempts:
    """What became of the attempts before, and what the one under way has given so far.

    Args:
        reader: is told of the attempts, if anybody is.
        quiet: what the first one has given so far.

    Attributes:
        failed: how many failed.
        quiet: what the one under way has given, none of which says anything.
    """

    __slots__ = ("_failures", "_last", "_reader", "_sent", "failed", "quiet")

    def __init__(self, reader: Reader | None = None, quiet: Sequence[Event] = ()) -> None:
        self._reader = reader
        self._sent = 0  # requests of those that failed
        self._failures: tuple[Exception, ...] = ()
        self._last: tuple[Exception, list[Event], int, tuple[Exception, ...]] | None = None
        self.failed = 0
        self.quiet = list(quiet)

    def begun(self) -> None:
        """Note that the first event of an attempt is there."""
        if self._reader is not None:
            self._reader.begin_reading(over=True)

    def broken_off(self) -> None:
        """Hand what was held back to the reader: the generation is being stopped."""
        if self._reader is not None and self.quiet:
            self._reader.take_in(self.marked(self.quiet))

    def note(self, failure: Exception, backend: object) -> None:
        """Note that an attempt failed, and that another one follows."""
        quiet, self.quiet = self.quiet, []
        self._last = (failure, quiet, self._sent, self._failures)
        self.failed += 1
        self._sent += next((each.attempts for each in quiet if type(each) is ResponseStart and each.attempts), 1)
        inner = next((each.failures for each in quiet if type(each) is ResponseStart and each.failures), ())
        self._failures = (*self._failures, *inner, _kept(failure, quiet, backend))

    def take_back(self) -> Exception | None:
        """Return to the failure that was noted last, as if nothing had followed it; None if there is none."""
        if self._last is None:
            return None
        failure, self.quiet, self._sent, self._failures = self._last
        self.failed -= 1
        self._last = None
        return failure

    def told(self, first: Batch | None) -> Iterator[Batch]:
        """Give what was held back, and the first batch that says something, with what is known of those before."""
        if type(first) is TextAnswer:  # its events are all that there are
            yield TextAnswer(first.text, Made(self._marked_later(first))) if self.failed else first
        elif self.quiet or first is not None:
            events: Sequence[Event] = () if first is None else first
            yield self.marked([*self.quiet, *events])

    def _marked_later(self, answer: TextAnswer) -> Callable[[], list[Event]]:
        return lambda: self.marked(answer.events())

    def marked(self, events: Sequence[Event]) -> list[Event]:
        """Return events that tell of the attempts before."""
        marked = list(events)
        if not self.failed:
            return marked
        for index, event in enumerate(marked):
            if type(event) is ResponseStart:
                failures = (*self._failures, *(event.failures or ()))
                marked[index] = evolve(event, attempts=self._sent + (event.attempts or 1), failures=failures)
                return marked
        return [ResponseStart(attempts=self._sent + 1, failures=self._failures), *marked]


#: Returns what follows the first attempt, of which so much was held back, for a task.
Others: TypeAlias = Callable[[AsyncGenerator[Batch, None], Sequence[Event]], AsyncGenerator[Batch, None]]


@final
class Trial:
    """The first attempt, while it is pushed: between what pushes and the pump; see `mellite.wire.sink.Sink`.

    It is the flight of the pump, and the sink of the flight inside. Once something has been said, that one pushes to
    the pump directly.

    Args:
        pump: takes the events.
        others: returns the rest of this attempt, and all that may follow, for a task.

    Attributes:
        flight: the attempt on its way.
        generation: the one that it is a part of.
        is_sent: whether it was sent at once.
    """

    __slots__ = ("_held", "_is_past", "_others", "_pump", "flight", "generation", "is_sent")

    def __init__(self, pump: Any, others: Others) -> None:
        self._pump: Any = pump  # None once nothing more comes
        self._others: Others | None = others
        self._held: list[Event] = []
        self._is_past = False  # something has been said
        self.flight: Any = None
        self.generation = pump.generation
        self.is_sent = False

    # From the flight inside.

    def push(self, events: Sequence[Event]) -> bool:
        """Hold events back until they say something; return whether more are wanted now."""
        if not says_something(events):
            if not self._held:
                self._pump.begin_reading(over=True)
            self._held += events
            return True
        pump = self._pump
        held = self._let_go()
        wanted: bool = pump.push([*held, *events] if held else events)
        return wanted

    def _let_go(self) -> list[Event]:
        """Have the flight push to the pump from now on; return what was held back."""
        self._is_past = True
        self.flight.hand_over(self._pump)
        self._forget()
        return self._taken()

    def _forget(self) -> None:
        """Forget the pump, whose flight this may be: together they would be a cycle, left to the collector."""
        self._pump = None
        self._others = None

    def begin_reading(self, *, over: bool = False) -> None:
        """Hand on that the first event of an attempt is there."""
        self._pump.begin_reading(over=over)

    def take_in(self, events: Sequence[Event]) -> None:
        """Hand on events of a generation that is being stopped, after those that were held back."""
        self._pump.take_in([*self._taken(), *events])

    def end(self) -> None:
        """Hand on that all has come."""
        pump = self._pump
        held = self._let_go()
        if held:
            pump.push(held)
        pump.end()

    def end_with_text(self, answer: TextAnswer) -> None:
        """Hand on an answer that is one text, with all its events."""
        pump = self._pump
        self._is_past = True
        self._pump = self._others = None  # see `_forget`; nothing more is pushed that a sink would have to take
        pump.end_with_text(answer)

    def go_on(self, rest: AsyncGenerator[Batch, None]) -> None:
        """Leave what follows to a task, with all attempts that may be needed."""
        self._pump.go_on(self._followed(rest))

    def break_off(self, why: BaseException) -> bool:
        """Hand on that the program is being ended."""
        pump = self._pump
        self._forget()
        is_raised: bool = pump.break_off(why)
        return is_raised

    # From the pump.

    async def send(self) -> None:
        """Send what has not been sent, in a task; see `mellite.thunk.pushed.Flight`."""
        await self.flight.send()
        self.is_sent = self.flight.is_sent

    def resume(self) -> None:
        """Go on, after more was pushed than was wanted."""
        self.flight.resume()

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return the rest, to be pulled by a task; push no more."""
        return self._followed(self.flight.rest())

    def _followed(self, rest: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
        """Return the rest of the attempt, which is pushed no more, with all others that may be needed."""
        others, self._others, self.flight = self._others, None, None
        return rest if others is None else others(rest, self._taken())

    def abort(self) -> None:
        """Stop, and close what is open."""
        if self._held:
            self._pump.take_in(self._let_go())
        self.flight.abort()

    def hand_over(self, sink: Any) -> None:
        """Push to another sink from now on."""
        if self._is_past:
            self.flight.hand_over(sink)
        else:
            self._pump = sink

    def _taken(self) -> list[Event]:
        held, self._held = self._held, []
        return held


async def until_something(
    attempts: Attempts, source: AsyncGenerator[Batch, None]
) -> tuple[Exception | None, Batch | None]:
    """Read until something is said; return why nothing was, or what was. What says nothing is held back."""
    try:
        async for batch in source:
            if not attempts.quiet:
                attempts.begun()
            if type(batch) is TextAnswer or says_something(batch):
                return None, batch
            attempts.quiet += batch
    except Exception as error:
        return error, None
    except BaseException:
        attempts.broken_off()
        raise
    return None, None


def _kept(failure: Exception, quiet: list[Event], backend: object) -> Exception:
    """Return an error to keep for long: with all that is known of its attempt, and without the frames of code."""
    if isinstance(failure, MelliteError):
        error = failure
    else:
        error = BackendError(f"backend {name_of(backend)} raised {error_line(failure)}")
        error.__cause__ = failure
    known = fold(quiet)
    for name, value in (
        ("usage", known.usage),
        ("provider", known.start.provider),
        ("model", known.start.model),
        ("request_id", known.start.request_id),
    ):
        if getattr(error, name) is None:
            setattr(error, name, value)
    below: BaseException | None = error
    seen: set[int] = set()
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        below.__traceback__ = None
        below = below.__cause__ or below.__context__
    return error
