"""The open journal of a run: sits between a program and its backends, and keeps what comes back."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar, final
from uuid import UUID, uuid4

from anyio.lowlevel import checkpoint
from attrs import frozen

from ...cassettes.recording.turnstile import Turnstile
from ...loops.turns import TURNS
from ...thunk import observing
from ...thunk.observing import Activity, Interceptor, Observer
from ...values.errors import InvalidRequest, JournalDiverged
from ...values.pictured import Pictured
from ...values.public_names import publish
from .book import Book
from .claims import Claims
from .divergence import difference, expected, nearest
from .entering import begun_line
from .file import Durability, JournalFile
from .forking_off import ForkAt, fork_of
from .growing import Growth
from .index import Call
from .json_values import as_raw
from .judged import checked_body, sampled_body
from .keys import Asked
from .lines import Line, State, damaged
from .living import Taking
from .records import Interrupted, Record, interrupted_in, records_of
from .replaying import Replays, replays_of
from .resolving import resolve
from .runs import Runs
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from ...thunk.observing import Generation, Opener, ToolRunner
    from ...values.events import Event
    from ...values.messages import ToolCall, ToolResult
    from ...values.portrait import Portrait
    from ...values.provider_json import Json

__all__ = ["Errors", "Journal", "OnDivergence"]

T = TypeVar("T")

#: What becomes of calls that failed in a way that may pass, or were cancelled.
Errors: TypeAlias = Literal["again", "replay"]

#: What becomes of a program that asks for something else than before.
OnDivergence: TypeAlias = Literal["live", "raise"]


@frozen
class _Question:
    """A call that is asked live: what, the how-manieth, in which step of which run, and what is known of it."""

    asked: Asked
    nth: int
    place: tuple[str, int]
    known: Call | None


@final
class Journal(Observer, Interceptor, Pictured):
    """The journal of a run; made by `mellite.journal`.

    Attributes:
        path: its directory.
        parent: the directory of the journal it was forked from; None if it is not a fork.
        divergence: where the program first departed from the journal; None if it has not.
    """

    def __init__(
        self,
        path: str,
        *,
        durability: Durability,
        fork_at: ForkAt | None,
        into: str | None,
        errors: Errors,
        on_divergence: OnDivergence,
    ) -> None:
        self.path = path
        self.divergence: JournalDiverged | None = None
        self._settings = (durability, errors)
        self._fork = (fork_at, into)
        self._on_divergence: OnDivergence = on_divergence
        self._leave: Callable[[], None] | None = None
        self._replayed = self._live = 0
        self._file: JournalFile | None = None

    # The block

    def __enter__(self) -> Self:
        if self._leave is not None:
            msg = f"the journal {self.path!r} is open already"
            raise InvalidRequest(msg)
        fork_at, into = self._fork
        if fork_at is not None:
            self.path = fork_of(self.path, fork_at, into)
            self._fork = (None, None)  # opened again, it is the fork that goes on
        durability, errors = self._settings
        self._file = file = JournalFile(self.path, durability)
        try:
            self._begin(file, errors)
        except BaseException:
            file.close()
            self._file = None
            raise
        self._leave = observing.enter(self)
        return self

    def _begin(self, file: JournalFile, errors: Errors) -> None:
        self._replayed = self._live = 0
        self.divergence = None
        self._book = book = Book(file)
        self._claims = claims = Claims()
        self._runs = runs = Runs(book, claims)
        self._tools = ToolCalls(book, claims, runs)
        self._turnstile = Turnstile()
        self._growth = Growth(file.directory)
        self._replays: Replays = replays_of(file.index, errors=errors)
        self._numbers: dict[str, int] = {}  # of calls, by the id of their generation
        self._told_before = set(file.index.checked)
        self._chosen_before = {file.index.line(place).key for place in file.index.sampled}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
        if self._file is not None:
            self._growth.forget()
            self._file.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @property
    def is_open(self) -> bool:
        """Whether the block is still open."""
        return self._leave is not None

    # What is known

    @property
    def parent(self) -> str | None:
        """The directory of the journal this was forked from; None if it is not a fork."""
        return None if self._file is None else self._file.head.get("parent")

    @property
    def replayed(self) -> int:
        """The number of model and tool calls answered from the journal in this block."""
        return self._replayed + (self._tools.replayed if self._file is not None else 0)

    @property
    def live(self) -> int:
        """The number of model and tool calls really made in this block."""
        return self._live + (self._tools.live if self._file is not None else 0)

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """The run-once calls whose outcome is unknown, because they had begun; settle them with `resolve`."""
        return () if self._file is None else interrupted_in(self._file.index)

    @property
    def calls(self) -> tuple[Record, ...]:
        """All calls in the journal, in the order of their numbers."""
        return () if self._file is None else records_of(self._file.index)

    def recent(self, seconds: float) -> list[tuple[float, Record]]:
        """Return the model calls of the last `seconds`, each with its age in seconds.

        The age counts from when the call settled; if nothing came of it, from when the journal ended.
        """
        if self._file is None:
            return []
        index, now = self._file.index, time.time()
        found: list[tuple[float, Record]] = []
        for call in index.calls.values():
            age = max(0.0, now - (call.settled or index.latest) / 1_000_000)
            if call.of == "call" and age < seconds:
                found.append((age, Record(call, index)))
        return found

    def resolve(self, call_id: int | str, result: Any) -> None:
        """Settle a run-once call whose outcome is unknown.

        Args:
            call_id: its number, as in `interrupted`.
            result: the value to take as what the tool or function returned; for a tool also a `ToolResult`.

        Raises:
            InvalidRequest: if there is no such call, its outcome is known, or the block is over.
        """
        resolve(self._opened(), call_id, result)

    # What repeats

    def now(self, key: str | None = None) -> datetime:
        """Return the time, in UTC; on a replay, the time of the first run.

        Args:
            key: tells apart values that are requested in no fixed order, as by concurrent tasks.
        """
        return self._value("now", key, lambda: datetime.now(UTC).isoformat(), datetime.fromisoformat)

    def random(self, key: str | None = None) -> float:
        """Return a random number from 0.0 up to 1.0; the same on a replay. See `now`."""
        return self._value("random", key, random.random, float)

    def uuid(self, key: str | None = None) -> UUID:
        """Return a random UUID; the same on a replay. See `now`."""
        return self._value("uuid", key, lambda: str(uuid4()), UUID)

    def _value(self, name: str, key: str | None, make: Callable[[], Json], read: Callable[[Any], T]) -> T:
        book = self._opened()
        nth = self._claims.count(name, key or "")
        place = book.index.values.get((name, key or "", nth))
        if place is None:
            value = make()
            book.write(Line("value", name=name, key=key or "", nth=nth, body=as_raw(value)))
            return read(value)
        try:
            return read(book.index.body(place))
        except (AttributeError, TypeError, ValueError) as error:
            raise damaged(book.index.path, place[0], f"it holds no value for {name}()") from error

    def _opened(self) -> Book:
        """Return what writes.

        Raises:
            InvalidRequest: if the block has not begun, or is over.
        """
        if self._leave is None:
            msg = f"the journal {self.path!r} is not open: this is for inside of its `with` block"
            raise InvalidRequest(msg)
        return self._book

    @property
    def parts(self) -> tuple[Book, Claims] | None:
        """The writer and the counter for functions under `mellite.recorded`; None outside the block."""
        return None if self._leave is None else (self._book, self._claims)

    # Calls of models

    def started(self, activity: Activity) -> None:
        """Note that a generation has been started."""
        if activity.kind == "generation" and self._leave is not None and _is_next(self):
            self._claims.driven(activity.subject)

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Return the events of a call from the journal, or else from the backend, and keep those."""
        if self._leave is None:  # of a task that outlives the block
            return proceed(generation)
        activity = observing.current()
        asked, nth = self._claims.opened(generation)
        place = self._runs.place_of(activity if activity is not None and activity.kind == "generation" else None)
        known = self._book.index.by_key.get((asked.key, nth))
        if known is not None and self._replays.claim(known):
            return self._given_again(known, generation, activity)
        return self._asked(generation, proceed, _Question(asked, nth, place, known))

    def _given_again(self, call: Call, generation: Any, activity: Activity | None) -> AsyncGenerator[Event, None]:
        body = self._book.index.told(call.answered)
        generation.generation_id = body["id"]
        self._note(call.number, generation, activity)
        self._replayed += 1
        return self._replays.stream(call, generation, body)

    def _note(self, number: int, generation: Generation, activity: Activity | None) -> None:
        self._numbers[generation.generation_id] = number
        self._runs.began(activity, generation.generation_id)

    async def _asked(self, generation: Any, proceed: Opener, question: _Question) -> AsyncGenerator[Event, None]:
        asked, known = question.asked, question.known
        lineage = list(generation.call.lineage)
        if known is None and self._replays.unclaimed:
            request = {"who": asked.who, "frame": asked.frame, "messages": list(asked.messages), "lineage": lineage}
            await self._compare(request, question.place)
        number = self._book.next_number() if known is None else known.number
        self._note(number, generation, observing.current())
        begun = self._book.begin(self._line(number, question, lineage))
        self._live += 1
        end = partial(self._end, begun)
        taking = Taking(
            generation,
            self._book.packing,
            end,
            synced=self._book.synced,
            turnstile=self._turnstile,
            grown=partial(self._growth.tell, number),
        )
        stream = taking.stream(proceed)
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()

    def _line(self, number: int, question: _Question, lineage: list[int]) -> Line:
        """Return the line that tells that a call begins."""
        run, step = question.place
        return begun_line(self._book, number, question.asked, question.nth, lineage=tuple(lineage), run=run, step=step)

    def _end(self, call: Call, state: State, body: dict[str, Json], *, retryable: bool = False) -> None:
        self._book.settle(call, body, state, retryable=retryable)

    async def _compare(self, request: dict[str, Json], place: tuple[str, int]) -> None:
        """Find out whether the program asks for something else than before.

        Raises:
            JournalDiverged: if it does, and that is to be an error.
        """
        if self.divergence is not None and self._on_divergence == "live":
            return
        for _ in range(TURNS):  # what other tasks ask for at the same moment
            await checkpoint()
        unclaimed = self._replays.unclaimed
        index = self._book.index
        call = nearest(expected(list(unclaimed.values())), index, request, *place)
        if call is None:
            return
        diff = difference(index.request(call), self._book.packing.clean(request))
        msg = (
            f"the program asks for something else than the journal {self.path!r} has: call {call.number} was expected, "
            f"and this differs:\n{diff}"
        )
        error = JournalDiverged(msg, path=self.path, call=call.number, diff=diff)
        if self.divergence is None:
            self.divergence = error
        if self._on_divergence == "raise":
            raise error

    # Calls of tools

    async def call_tool(self, call: ToolCall, proceed: ToolRunner) -> ToolResult:
        """Return the result of a call from the journal, or else run it, and keep the result."""
        return await (proceed(call) if self._leave is None else self._tools.call(call, proceed))

    async def run_tool(self, call: ToolCall, proceed: Callable[[], Awaitable[Any]], *, once: bool) -> Any:
        """Run the code of a tool; a run-once tool at most once.

        Raises:
            OutcomeUnknown: if it is run-once, and may have run.
        """
        return await (proceed() if self._leave is None else self._tools.run(call, proceed, once=once))

    # What is judged

    def validated(self, activity: Activity | None, thunk: Any, verdicts: Sequence[object]) -> None:
        """Keep the verdicts on a call."""
        del activity
        number = self._numbers.get(thunk.generation.generation_id or "")
        if self._leave is not None and number is not None and number not in self._told_before:
            self._book.write(Line("checked", number, body=as_raw(checked_body(verdicts))))

    def settled(self, activity: Activity) -> None:
        """Keep which sample was chosen; drop what is finished."""
        if self._leave is None:
            return
        match activity.kind:
            case "generation":
                self._claims.settled(activity.subject)
            case "run":
                self._runs.over(activity)
            case "sampling" if activity.result is not None:
                key, body = sampled_body(activity.result, self._numbers)
                if key not in self._chosen_before:
                    self._chosen_before.add(key)
                    self._book.write(Line("sampled", key=key, body=as_raw(body)))
            case _:
                pass

    def __repr__(self) -> str:
        return f"<Journal {self.path!r}, {self.replayed} replayed, {self.live} live>"

    def _portrait(self) -> Portrait:
        from .portraying import portrait_of_journal

        return portrait_of_journal(
            self.path,
            self.calls,
            state="open" if self.is_open else "" if self._file is None else "closed",
            answered=(self.replayed, self.live),
            parent=self.parent,
            interrupted=len(self.interrupted),
            divergence=self.divergence,
        )


def _is_next(journal: Journal) -> bool:
    """Tell whether this journal is asked before all others that stand in between: else a call may not come to it."""
    force = observing.in_force()
    asked = () if force is None else force.interceptors
    streams = [each for each in asked if type(each).stream is not Interceptor.stream]
    return bool(streams) and streams[-1] is journal


publish(globals(), "mellite", "Journal")
