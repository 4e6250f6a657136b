"""The engine of ``map(on="batch")``: calls are gathered into batches, and settle when those have ended."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from copy import copy
from functools import partial
from typing import Any, Final, cast, final

import anyio
from attrs import define, field

from ... import loops
from ...archive.journal.file import is_journal
from ...archive.journal.keys import asked_of
from ...archive.journal.records import read_journal
from ...backends.live import LiveBackend
from ...strategies.sampling import BudgetForcing, RepairSampling, Strategy
from ...thunk.observing import Interceptor, Opener
from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, MelliteError, TransportError
from ...values.events import Event
from ...wire.http import HttpRequest
from .answers import answer_events
from .ledger import BatchCall, Ledger, Part
from .lines import Result, custom_id_of
from .making import Desk, error_in
from .places import checked_backend
from .spooling import Spool

__all__ = ["OnBatch"]

#: How many calls wait for each other, at most: so many are in memory.
_WINDOW: Final = 10_000

#: When all items are taken, a batch is made once no more calls have come for so long, in seconds.
_QUIET: Final = 0.1

#: How often to look how far a batch is, in seconds: at first, and at most; and how much less often each time.
_SOON: Final = 2.0
_SELDOM: Final = 60.0
_SLOWER: Final = 1.5

#: How long a service may be out of reach before its batches count as failed, in seconds: they go on meanwhile.
_PATIENCE: Final = 3600.0

#: The HTTP status from which on an answer is a refusal.
_REFUSED: Final = 400

#: The longest to wait until a service has taken note that a batch is not wanted, in seconds.
_LEAVING: Final = 10.0


@define(eq=False)
class _Waiting:
    """A call that waits for its result."""

    id: str
    backend: LiveBackend
    http: HttpRequest
    call: BatchCall
    model: str | None
    ready: anyio.Event = field(factory=anyio.Event)
    result: Result | None = None
    error: MelliteError | None = None


@define(eq=False)
class _Watched:
    """A batch that is looked at from time to time."""

    part: Part
    next_look: float
    interval: float = _SOON
    failing_since: float | None = None


@final
class OnBatch:
    """Has calls made by the batch services of their providers."""

    is_here = False
    workers = 0
    trouble: Exception | None = None

    def __init__(self) -> None:
        self._room = _WINDOW
        self._journal: str | None = None
        self._work: _Work | None = None
        self._is_over = False

    def begin(
        self,
        concurrency: int,
        limits: Interceptor | None,
        wake: Callable[[], None],  # noqa: ARG002 - nothing changes
    ) -> tuple[Interceptor, ...]:
        """Return what takes calls to batches, and the limits."""
        self._room = max(_WINDOW, concurrency)
        between = _Between(self)
        return (between,) if limits is None else (between, limits)

    @property
    def room(self) -> int:
        """How many items may be begun and not settled: far more than are in flight elsewhere."""
        return self._room

    def keep_in(self, journal: str | None) -> None:
        """Note where the ids of batches are kept: in the directory of a journal; None for nowhere."""
        self._journal = journal

    def check_value(self, value: object, name: str) -> None:
        """Refuse a strategy whose calls need the answers of others: a batch each would take days.

        Raises:
            InvalidRequest: naming it.
        """
        each = value if isinstance(value, Strategy) else None
        while each is not None:
            if isinstance(each, (RepairSampling, BudgetForcing)):
                kind = type(each).__name__
                msg = f"{kind} cannot run on batches: each of its calls needs the answer before it; use on='local'"
                raise InvalidRequest(msg, parameter=name)
            each = each.inner

    def check(self, thunk: AnyThunk) -> None:
        """Refuse what cannot be part of a batch.

        Raises:
            InvalidRequest: for a run, a prompt with a thunk that has not settled, and a provider without a service.
            CannotTravel: for a backend that does not ask a provider.
        """
        checked_backend(thunk)

    def no_more(self) -> None:
        """Note that all items are taken."""
        self._is_over = True
        if self._work is not None:
            self._work.no_more()

    def close(self) -> None:
        """Let go of the batches: without a journal they are cancelled, as nobody could fetch them."""
        if self._work is not None:
            self._work.close()

    async def linger(self) -> None:
        """Do nothing: `close` is enough."""

    def linger_in_thread(self) -> None:
        """Do nothing: `close` is enough."""

    async def resolve(self, http: HttpRequest, generation: Any) -> Result:
        """Return the result of a call, once its batch has ended."""
        if self._work is None:
            self._work = _Work(self._journal, self._room, is_over=self._is_over)
            if self._is_over:  # said in another thread, maybe while this was made
                self._work.no_more()
        return await self._work.resolve(http, generation)


@final
class _Between(Interceptor):
    """Stands between a thunk and its backend."""

    def __init__(self, engine: OnBatch) -> None:
        self._engine = engine

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Return the events of an answer out of a batch; those of a run's own steps are refused before."""
        backend = generation.call.backend
        if not isinstance(backend, LiveBackend):
            return proceed(generation)
        return self._answer(generation, backend)

    async def _answer(self, generation: Any, backend: LiveBackend) -> AsyncGenerator[Event, None]:
        resolve = partial(self._engine.resolve, generation=generation)
        events = answer_events(backend.route, generation.request, resolve)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


@final
class _Work:
    """Makes batches of the calls that wait, and gives them their results; in a task of its own."""

    def __init__(self, journal: str | None, window: int, *, is_over: bool) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="mellite-batch-") if journal is None else None
        self._ledger = Ledger(journal or cast("Any", self._temporary).name)
        self._desk = Desk(self._ledger)
        self._window = window
        self._is_over = is_over
        self._is_closed = False
        self._parked: dict[str, _Waiting] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._watched: dict[str, _Watched] = {}
        self._next: dict[str, int] = {}  # key -> the how-manieth call with it the next one is
        self._free = _free_in(self._ledger, journal)
        self._last_parked = 0.0
        self._broken: Exception | None = None
        self._news = anyio.Event()
        self._loop = loops.current()
        self._loop.spawn(self._run, self._ended)

    # From elsewhere

    def no_more(self) -> None:
        """Note that all items are taken; from any thread."""
        self._is_over = True
        self._loop.call_soon(self._tell)

    def close(self) -> None:
        """End; from any thread."""
        self._is_closed = True
        self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._news.set()

    # From the calls

    async def resolve(self, http: HttpRequest, generation: Any) -> Result:
        """Return the result of a call, once its batch has ended.

        Raises:
            MelliteError: why there is none.
        """
        if self._broken is not None:
            raise self._broken
        call, request = generation.call, generation.request
        key = asked_of(call.backend, request, call.lineage).key
        free = self._free.get(key)
        known = free.pop(0) if free else None
        nth = self._next.get(key, self._ledger.next_nth(key))
        if known is None:
            self._next[key] = nth + 1
        id = custom_id_of(key, nth) if known is None else known
        metadata = {name: value for name, value in request.metadata.items() if name != "lineage"}
        about = BatchCall(id=id, key=key, nth=nth, metadata=metadata)
        one = self._waiting[id] = _Waiting(id, call.backend, http, about, request.model)
        if known is None:
            self._parked[id] = one
            self._last_parked = loops.clock()()
        else:
            self._watch(self._ledger.parts[self._ledger.ids[id]], one.backend)
        self._news.set()
        try:
            await one.ready.wait()
        finally:
            self._waiting.pop(id, None)
            self._parked.pop(id, None)
            self._news.set()
        if one.error is not None:
            raise one.error
        if one.result is None:
            msg = "a call of a batch was woken without a result"
            raise RuntimeError(msg)
        return one.result

    # The task

    async def _run(self) -> None:
        try:
            while not self._is_closed:
                self._news = anyio.Event()
                await self._make_batches()
                wait = await self._look_around()
                with anyio.move_on_after(wait):
                    await self._news.wait()
        except Exception as error:  # of a disk that is full, for instance: whoever waits has to hear of it
            self._broken = error
            self._fail(list(self._waiting.values()), error)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVING):
                await self._leave()

    def _ended(self) -> None:
        self._ledger.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _now(self) -> float:
        return loops.clock()()

    def _watch(self, part: Part, backend: LiveBackend) -> None:
        if part.name not in self._watched:
            self._desk.asks_with(part, backend)
            self._watched[part.name] = _Watched(part, self._now())

    async def _make_batches(self) -> None:
        """Make batches of the calls that wait, if it is time."""
        is_quiet = self._is_over and self._now() - self._last_parked >= _QUIET
        if not self._parked or not (is_quiet or len(self._parked) >= self._window // 2):
            return
        parked, self._parked = list(self._parked.values()), {}
        spool = Spool(self._desk)
        parts: list[Part] = []
        for one in parked:
            try:
                full = spool.add(one.call, one.backend, one.http, one.model)
            except MelliteError as error:
                self._fail([one], error)
                continue
            parts += [] if full is None else [full]
        parts += spool.rest()
        for part in parts:
            waiting = self._waiting_in(part)
            if not waiting:
                continue
            self._watch(part, waiting[0].backend)
            self._watched[part.name].next_look = self._now()
        for one in parked:  # the request is in a file now
            one.http = HttpRequest(one.http.method, one.http.url)

    def _waiting_in(self, part: Part) -> list[_Waiting]:
        ids = self._ledger.ids
        return [one for one in self._waiting.values() if ids.get(one.id) == part.name]

    async def _look_around(self) -> float | None:
        """Look at the batches whose time has come; return how long nothing has to be done, None for ever."""
        for watched in list(self._watched.values()):
            if watched.next_look > self._now():
                continue
            part = watched.part
            try:
                await self._step(watched)
                watched.failing_since = None
            except MelliteError as error:
                if self._bears(watched, error):
                    continue
                del self._watched[part.name]
                self._fail(self._waiting_in(part), error)
        now = self._now()
        times = [watched.next_look - now for watched in self._watched.values()]
        if self._parked and self._is_over:
            times.append(self._last_parked + _QUIET - now)
        return None if not times else max(0.0, min(times))

    def _bears(self, watched: _Watched, error: MelliteError) -> bool:
        """Tell whether to look at a batch again later, although its service could not be asked; if so, set when."""
        now = self._now()
        since = watched.failing_since = now if watched.failing_since is None else watched.failing_since
        may_pass = isinstance(error, TransportError) or error.retryable
        if watched.part.id is None or not may_pass or now - since >= _PATIENCE:
            return False
        watched.next_look = now + (watched.interval if error.retry_after is None else error.retry_after)
        watched.interval = min(_SELDOM, watched.interval * _SLOWER)
        return True

    async def _step(self, watched: _Watched) -> None:
        part = watched.part
        if self._temporary is not None and not self._waiting_in(part):
            del self._watched[part.name]
            await self._desk.cancel(part)
            return
        if part.id is None:
            await self._desk.make(part)
            watched.next_look = self._now() + min(watched.interval, 0.05)
            return
        if part.ended is None:
            look = await self._desk.look(part)
            if look.state == "running":
                wait = watched.interval if look.wait is None else look.wait
                watched.interval = min(_SELDOM, watched.interval * _SLOWER)
                watched.next_look = self._now() + wait
                return
        broken: MelliteError | None = None
        try:
            await self._desk.fetch(part)
        except MelliteError as error:  # the lines that are here count
            broken = error
        self._hand_out(part, broken)
        del self._watched[part.name]

    def _hand_out(self, part: Part, broken: MelliteError | None) -> None:
        for result in self._ledger.results(part):
            one = self._waiting.get(result.custom_id)
            if one is None:
                continue
            one.error = error_in(part, result)
            one.result = result
            if one.error is not None or result.status >= _REFUSED:
                self._ledger.take(one.id)  # what was answered well, the journal keeps
            one.ready.set()
        left = [one for one in self._waiting_in(part) if not one.ready.is_set()]
        for one in left:
            if broken is None:
                self._ledger.take(one.id)
            one.error = copy(broken) if broken is not None else error_in(part, None)
            one.ready.set()

    def _fail(self, calls: list[_Waiting], error: Exception) -> None:
        for one in calls:
            if not one.ready.is_set():
                one.error = copy(error) if isinstance(error, MelliteError) else MelliteError(f"no batch: {error!r}")
                one.ready.set()

    async def _leave(self) -> None:
        if self._temporary is None:
            return
        for watched in self._watched.values():
            try:
                await self._desk.cancel(watched.part)
            except MelliteError:  # nobody is left to hear of it
                continue


def _free_in(ledger: Ledger, journal: str | None) -> dict[str, list[str]]:
    """Return, by the key of what they ask, the ids of the calls in batches whose answers nobody has yet."""
    free: dict[str, list[str]] = {}
    if journal is None or not ledger.exists:
        return free
    known = read_journal(journal).index.by_key if is_journal(journal) else {}
    for part in ledger.parts.values():
        for call in ledger.calls(part):
            kept = known.get((call.key, call.nth))
            if call.id not in ledger.taken and not (kept is not None and kept.is_settled and kept.state == "done"):
                free.setdefault(call.key, []).append(call.id)
    return free
