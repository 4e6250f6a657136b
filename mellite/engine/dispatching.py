"""Deal the calls of a map out to workers, several at a time, and hand back what they came to; no Dask and no Ray in it.

`Dispatch` lives in the event loop of a crew (`mellite.engine.crews`), which says what workers there are and reaches a
desk on each. Thunks ask from any thread and wait in their own loops. A worker that is lost gives all its calls back,
with `WorkerLost`.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Final, final

from .. import loops
from ..loops import forking
from ..values.errors import AuthenticationError, ConnectionLost, MelliteError, WorkerMismatch
from ..values.request import Request
from ..values.telling import log
from ..values.told_errors import error_line
from .crews import Crew, DeskThere, WorkerLost
from .travelling import Travelling, packed, unpacked
from .working import Given, Record, error_in, version

__all__ = ["Call", "Dispatch"]

#: How many calls go in one packet at most.
_MOST: Final = 128

#: How long a desk waits for answers before it says that there are none, in seconds.
_WAIT: Final = 5.0

#: How often to look what workers there are, in seconds.
_EVERY: Final = 0.5

#: How long the first workers are waited for once one is there, in seconds.
_GRACE: Final = 10.0

#: How long saying goodbye may take, in seconds.
_GOODBYE: Final = 2.0

#: The longest to wait until workers that are of the map alone have ended, in seconds.
_ENDING: Final = 10.0


@final
class Call:
    """One call on its way; its thunk waits for `waiter`, and then looks at `record` or `error`."""

    __slots__ = ("backend", "error", "number", "record", "request", "seat", "waiter")

    def __init__(self, number: int, backend: int, request: bytes, waiter: loops.Waiter) -> None:
        self.number = number
        self.backend = backend
        self.request = request
        self.waiter = waiter
        self.seat: _Seat | None = None
        self.record: Record | None = None
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Have the thunk raise this."""
        self.error = error
        self.waiter.wake()


@final
class _Seat:
    """A worker at work, with the calls that it has."""

    __slots__ = ("address", "calls", "cancels", "desk", "is_lost", "outbox", "shared", "tasks", "waiter")

    def __init__(self, address: str, desk: DeskThere) -> None:
        self.address = address
        self.desk = desk
        self.calls: dict[int, Call] = {}
        self.outbox: deque[Call] = deque()
        self.cancels: list[int] = []
        self.shared = 0  # how much of what is shared it has
        self.tasks: list[loops.Loop] = []
        self.waiter: loops.Waiter | None = None  # of its sender
        self.is_lost = False

    def wake(self) -> None:
        """Wake the sender."""
        if self.waiter is not None:
            self.waiter.wake()


@final
class Dispatch:
    """The calls of a map, and the workers that make them.

    Args:
        crew: the workers.
        concurrency: how many calls a worker may have.
        wake: called from the loop of the crew whenever `room` or `trouble` changes.

    Attributes:
        trouble: why no calls can be made any more.
    """

    def __init__(self, crew: Crew, concurrency: int, wake: Callable[[], None]) -> None:
        self._crew = crew
        self._concurrency = concurrency
        self._wake = wake
        self._travelling = Travelling()
        self._lock = forking.lock()  # guards that
        self._numbers = itertools.count()
        self._waiting: deque[Call] = deque()
        self._is_nudged = False
        self._home: loops.Loop | None = None
        self._seats: dict[str, _Seat] = {}
        self._seating: dict[str, loops.Loop] = {}
        self._refused: set[str] = set()
        self._is_ready = self._is_closed = self._is_gone = False
        self._lingering: list[loops.Waker] = []
        self._look: loops.Waiter | None = None
        self._ending: threading.Thread | None = None
        self.trouble: Exception | None = None

    # From any thread

    @property
    def workers(self) -> int:
        """How many workers are at work."""
        return len(self._seats)

    @property
    def room(self) -> int:
        """How many calls may be on their way; 0 until the workers are there."""
        if self.trouble is not None:
            return 1
        return max(1, len(self._seats)) * self._concurrency if self._is_ready else 0

    def launch(self) -> None:
        """Look for the workers."""
        Context().run(self._crew.launch, self._begin, self.fail)

    def check(self, backend: object) -> int:
        """Return the number of a backend; see `Travelling.backend`."""
        with self._lock:
            return self._travelling.backend(backend)

    def ask(self, backend: object, request: Request) -> Call:
        """Send a call off; its `Call.waiter` is woken when it is back. Called in the task that then waits for that.

        Raises:
            CannotTravel: if it cannot be sent.
            MelliteError: if no calls can be made any more.
        """
        if self.trouble is not None:
            raise self.trouble
        with self._lock:
            number = self._travelling.backend(backend)
            data = self._travelling.request(request)
        call = Call(next(self._numbers), number, data, loops.waiter())
        self._waiting.append(call)
        if not self._is_nudged:
            self._is_nudged = True
            self._have_called(self._deal)
        return call

    def withdraw(self, call: Call) -> None:
        """Stop a call whose result is no longer wanted."""
        self._have_called(self._withdraw, call)

    def fail(self, error: Exception) -> None:
        """End everything: this is why no calls can be made."""
        if self.trouble is None and not self._is_closed:
            self.trouble = error
            self._have_called(self._fail_all, error)
            self._wake()

    def close(self) -> None:
        """Stop everything; again, it does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._have_called(self._shut)

    async def linger(self) -> None:
        """Wait, after `close`, until the workers have been told, though not for long."""
        waiter = loops.waiter()
        with self._goodbye(waiter) as is_awaited, loops.move_on_after(_GOODBYE, shield=True):
            if is_awaited:
                await waiter.wait()
        ending = self._ending
        if ending is not None:
            with loops.move_on_after(_ENDING + 1, shield=True):
                await loops.run_in_thread(partial(ending.join, _ENDING))

    def linger_in_thread(self) -> None:
        """Do as `linger` does, blocking the thread."""
        waiter = loops.ThreadWaiter()
        with self._goodbye(waiter) as is_awaited:
            if is_awaited:
                waiter.block(_GOODBYE)
        if self._ending is not None:
            self._ending.join(_ENDING)

    @contextmanager
    def _goodbye(self, waiter: loops.Waker) -> Generator[bool]:
        self._lingering.append(waiter)
        try:
            yield self._home is not None and not self._is_gone
        finally:
            if waiter in self._lingering:
                self._lingering.remove(waiter)

    def _have_called(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called in the loop of the crew, if it has begun, and with nothing of this context."""
        if self._home is not None:
            Context().run(self._home.call_soon, function, *arguments)

    # In the loop of the crew, from here on

    def _begin(self) -> None:
        self._home = loops.current()
        if self._is_closed:
            self._leave()
        else:
            loops.current().spawn(self._serve, _nothing)

    async def _serve(self) -> None:
        """Look for workers, again and again."""
        try:
            addresses = await self._crew.addresses()
            if not addresses:
                log.warning("engine.waiting", "no worker is there yet: the map waits for one", engine=self._crew.name)
            while not addresses and not self._is_closed:
                await self._pause(_EVERY)
                addresses = await self._crew.addresses()
            await self._check_versions(addresses)
            expected = len(addresses)
            for address in addresses:
                self._sit_down(address)
            with loops.move_on_after(_GRACE):
                while len(self._seats) < expected and self._seating:
                    await self._pause(_GRACE)
            self._is_ready = True
            self._wake()
            while not self._is_closed:
                await self._pause(_EVERY)
                self._compare(await self._crew.addresses())
        except Exception as error:
            self.fail(error if isinstance(error, MelliteError) else _gone(self._crew.name, error))

    async def _pause(self, seconds: float) -> None:
        """Wait until something changes, or so long."""
        self._look = loops.waiter()
        with loops.move_on_after(seconds):
            await self._look.wait()
        self._look = None

    def _stir(self) -> None:
        if self._look is not None:
            self._look.wake()

    async def _check_versions(self, addresses: Collection[str]) -> None:
        """Refuse workers with another version.

        Raises:
            WorkerMismatch: naming both.
        """
        for address in addresses:
            error = await self._mismatch(address)
            if error is not None:
                raise error

    async def _mismatch(self, address: str) -> WorkerMismatch | None:
        here, there = version(), await self._crew.version(address)
        if here == there:
            return None
        has = "no mellite" if there is None else f"mellite {there}"
        msg = f"worker {address} has {has}, and this process has {here}: install the same version on both"
        return WorkerMismatch(msg, here=here, there=there)

    def _compare(self, addresses: Collection[str]) -> None:
        """Take on workers that have come, and give up those that are gone."""
        for address in [each for each in self._seating if each not in addresses]:
            self._seating.pop(address).cancel()
        for seat in [each for each in self._seats.values() if each.address not in addresses]:
            self._lose(seat)
        for address in addresses:
            if address not in self._seats and address not in self._seating and address not in self._refused:
                self._sit_down(address)

    def _sit_down(self, address: str) -> None:
        loop = self._seating[address] = loops.current()
        loop.spawn(partial(self._set_up, address), partial(self._set_up_over, address))

    async def _set_up(self, address: str) -> None:
        """Begin to work with a worker."""
        try:
            error = await self._mismatch(address)
            if error is not None:
                self._refused.add(address)
                log.warning("engine.refused", "a worker is left out: %s", error, engine=self._crew.name)
                return
            seat = _Seat(address, await self._crew.desk(address))
        except Exception as trouble:  # it was lost meanwhile, or will be looked at again
            log.warning("engine.lost", "a worker could not be set up", raised=trouble, engine=self._crew.name)
            return
        if self._is_closed:
            return
        self._seats[address] = seat
        for run in (self._send, self._receive):
            loop = loops.current()
            seat.tasks.append(loop)
            loop.spawn(partial(self._attend, seat, run), _nothing)
        self._deal()
        self._wake()

    def _set_up_over(self, address: str) -> None:
        self._seating.pop(address, None)
        self._stir()

    async def _attend(self, seat: _Seat, run: Callable[[_Seat], object]) -> None:
        try:
            await run(seat)  # type: ignore[misc]  # either of the two below
        except Exception as error:
            if not self._is_closed:
                log.warning("engine.lost", "a worker was lost", raised=error, engine=self._crew.name)
                self._lose(seat)

    def _lose(self, seat: _Seat) -> None:
        """Give the calls of a worker back."""
        if seat.is_lost:
            return
        seat.is_lost = True
        if self._seats.get(seat.address) is seat:
            del self._seats[seat.address]
        for task in seat.tasks:
            task.cancel()
        calls = list(seat.calls.values())
        seat.calls.clear()
        for call in calls:
            call.fail(WorkerLost(f"worker {seat.address} was lost while it had the call", retryable=True))
        self._wake()

    # Calls

    def _deal(self) -> None:
        """Give each call that waits to the worker that has the fewest."""
        self._is_nudged = False
        waiting, seats = self._waiting, list(self._seats.values())
        while waiting and seats:
            seat = min(seats, key=_load)
            if len(seat.calls) >= self._concurrency:
                return
            call = waiting.popleft()
            call.seat = seat
            seat.calls[call.number] = call
            seat.outbox.append(call)
            seat.wake()

    def _withdraw(self, call: Call) -> None:
        seat = call.seat
        if seat is None:
            if call in self._waiting:
                self._waiting.remove(call)
            return
        if seat.calls.pop(call.number, None) is None:
            return
        if call in seat.outbox:
            seat.outbox.remove(call)
        else:
            seat.cancels.append(call.number)
            seat.wake()
        self._deal()

    async def _send(self, seat: _Seat) -> None:
        while True:
            if seat.cancels:
                cancels, seat.cancels = seat.cancels, []
                await seat.desk.cancel(cancels)
            elif seat.outbox:
                calls = [seat.outbox.popleft() for _ in range(min(_MOST, len(seat.outbox)))]
                shared = self._travelling.since(seat.shared)
                seat.shared += len(shared)
                given = Given(shared, [(call.number, call.backend, call.request) for call in calls])
                await seat.desk.give(packed(tuple(given)))
            else:
                seat.waiter = loops.waiter()
                await seat.waiter.wait()
                seat.waiter = None

    async def _receive(self, seat: _Seat) -> None:
        while True:
            records = unpacked(await seat.desk.take(_WAIT))
            for fields in records:
                record = Record(*fields)
                call = seat.calls.pop(record.number, None)
                if call is not None:
                    self._settle(call, record)
            if records:
                self._deal()

    def _settle(self, call: Call, record: Record) -> None:
        if record.error is not None:
            call.error = error = error_in(record.error)
            if isinstance(error, AuthenticationError) and error.kind == "missing":
                self.fail(error)  # no other call would have a key, either
        call.record = record
        call.waiter.wake()

    def _fail_all(self, error: Exception) -> None:
        calls = [*self._waiting, *[call for seat in self._seats.values() for call in seat.calls.values()]]
        self._waiting.clear()
        for seat in self._seats.values():
            seat.calls.clear()
        for call in calls:
            call.fail(error)

    # The end

    def _shut(self) -> None:
        self._stir()
        for loop in self._seating.values():
            loop.cancel()
        loops.current().spawn(self._say_goodbye, self._leave)

    def _leave(self) -> None:
        self._ending = self._crew.leave()
        self._is_gone = True
        for waiter in list(self._lingering):
            waiter.wake()

    async def _say_goodbye(self) -> None:
        seats = list(self._seats.values())
        self._seats.clear()
        for seat in seats:
            for task in seat.tasks:
                task.cancel()
        with loops.move_on_after(_GOODBYE):
            for seat in seats:
                try:
                    await seat.desk.close()
                except Exception as error:  # it is gone already
                    log.debug("engine.lost", "a worker was gone at the end", raised=error, engine=self._crew.name)
        for call in self._waiting:
            call.fail(WorkerLost("the map is over"))


def _load(seat: _Seat) -> int:
    return len(seat.calls)


def _nothing() -> None:
    """Do nothing: nobody waits for the end of the task."""


def _gone(name: str, error: Exception) -> ConnectionLost:
    failed = ConnectionLost(f"the scheduler of {name} cannot be reached: {error_line(error)}")
    failed.__cause__ = error
    return failed
