"""The connections of one loop: kept while they are good, bounded in number, handed out first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, final

from ....loops import Waiter, current, in_trio_task, waiter
from .incoming import CutOff, Incoming
from .origins import Origin, Proxy

__all__ = ["Connection", "Pool", "PushingConnection"]

#: Seconds that an unused connection is kept. Servers of providers close theirs after 60 s and more.
KEEP_ALIVE: Final = 30.0

_CLOSED: Final = "the transport was closed"


class Connection(Protocol):
    """A connection to one origin, for one exchange at a time; see `AsyncioConnection` and `TrioConnection`.

    Attributes:
        is_expired: whether the time set by `watch` has passed, and nothing came.
    """

    origin: Origin
    proxy: Proxy | None
    incoming: Incoming | None
    idle_since: float
    is_usable: bool
    is_expired: bool

    async def send(self, head: bytes, body: bytes, incoming: Incoming, timeout: float | None) -> None:
        """Write a request; its answer fills `incoming`."""
        ...

    async def wait(self, timeout: float | None) -> None:
        """Wait until more of the answer has come, or its end."""
        ...

    def call_back(self, notify: Callable[[], None]) -> None:
        """Call *notify* from now on, where bytes arrive: no task of the caller's has to wait for them."""
        ...

    def leave(self) -> None:
        """Call back no more: a task waits from now on."""
        ...

    def watch(self, deadline: float | None) -> None:
        """Set when to call back although nothing came, by the loop's clock; None for never."""
        ...

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function in the next turn of the loop."""
        ...

    def pause(self) -> None:
        """Read no further from the socket."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def rest(self, now: float) -> bool:
        """Get ready for the next exchange; return False where there must be none."""
        ...

    def is_fresh(self) -> bool:
        """Whether nothing has come since it was given back."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class PushingConnection(Connection, Protocol):
    """A connection that sends without waiting."""

    def post(self, head: bytes, body: bytes, incoming: Incoming) -> None:
        """Write a request without waiting; its answer fills `incoming`."""
        ...


@final
class _Place:
    """One who waits for a place, and what became of that."""

    __slots__ = ("connection", "is_granted", "origin", "waiter")

    def __init__(self, origin: Origin, waiter: Waiter) -> None:
        self.origin = origin
        self.waiter = waiter
        self.is_granted = False
        self.connection: Connection | None = None


@final
class Pool:
    """Connections of one loop, used only in its thread.

    A place is a right to have one connection open. Whoever has taken one gives it back with `give_back` or `drop`,
    exactly once.

    Args:
        connect: opens a connection to an origin, within seconds, if any are named.
        clock: the loop's time, in seconds.
        limit: how many connections there may be; further ones wait, in the order in which they came.

    Attributes:
        pushes: whether its connections send without waiting; see `PushingConnection`.
    """

    __slots__ = ("_clock", "_connect", "_idle", "_is_closed", "_limit", "_loop", "_open", "_places", "_queue", "pushes")

    def __init__(
        self,
        connect: Callable[[Origin, float | None], Awaitable[Connection]],
        clock: Callable[[], float],
        limit: int,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._limit = limit
        self._places = 0  # taken: by connections in use, at rest or being made
        self._idle: dict[str, list[Connection]] = {}  # the one used last stands last
        self._open: set[Connection] = set()  # in use
        self._queue: deque[_Place] = deque()
        self._is_closed = False
        self._loop = current()
        self.pushes = not in_trio_task()

    async def take(
        self, origin: Origin, *, within: float | None = None, fresh: bool = False
    ) -> tuple[Connection, bool]:
        """Take a connection, kept or new; wait where all places are taken.

        Args:
            within: how long making a new one may take, in seconds; the waiting does not count.
            fresh: whether a kept one will not do.

        Returns:
            The connection, and whether it was used before.

        Raises:
            OSError: if no connection could be made.
        """
        connection = None if fresh else self.kept(origin)
        if connection is not None:
            return connection, True
        if self._is_closed:
            raise CutOff(_CLOSED)
        if not self._queue and (self._places < self._limit or self._make_room()):
            self._places += 1
            return await self._new(origin, within), False
        connection = await self._wait(origin)
        if connection is not None:
            if connection.is_fresh():
                return connection, True
            self._open.discard(connection)
            connection.abort()
        return await self._new(origin, within), False

    def kept(self, origin: Origin) -> Connection | None:
        """Return the connection to an origin that rested last, if one is still good and nobody waits for it."""
        resting = None if self._queue else self._idle.get(origin.key)
        while resting:
            connection = resting.pop()
            if not resting:
                del self._idle[origin.key]
            if self._clock() - connection.idle_since < KEEP_ALIVE and connection.is_fresh():
                self._open.add(connection)
                return connection
            connection.abort()
            self._places -= 1
        return None

    def _make_room(self) -> bool:
        """Close the connection that has rested longest; return whether there was one."""
        oldest = min((resting[0] for resting in self._idle.values()), key=lambda one: one.idle_since, default=None)
        if oldest is None:
            return False
        self._forget(oldest)
        oldest.abort()
        self._places -= 1
        return True

    def _forget(self, connection: Connection) -> None:
        resting = self._idle[connection.origin.key]
        resting.remove(connection)
        if not resting:
            del self._idle[connection.origin.key]

    async def _new(self, origin: Origin, within: float | None) -> Connection:
        """Open a connection for a place that has been taken."""
        try:
            connection = await self._connect(origin, within)
        except BaseException:
            self._free_place()
            raise
        if self._is_closed:
            connection.abort()
            self._free_place()
            raise CutOff(_CLOSED)
        self._open.add(connection)
        return connection

    async def _wait(self, origin: Origin) -> Connection | None:
        """Wait for a place; return the connection that comes with it, if one does.

        Raises:
            CutOff: if the pool is closed meanwhile.
        """
        place = _Place(origin, waiter())
        self._queue.append(place)
        try:
            await place.waiter.wait()
        except BaseException:
            if place.connection is not None:
                self.give_back(place.connection)
            elif place.is_granted:
                self._free_place()
            elif not self._is_closed:
                self._queue.remove(place)
            raise
        if not place.is_granted:
            raise CutOff(_CLOSED)
        return place.connection

    def give_back(self, connection: Connection) -> None:
        """Take back a connection after an exchange: for the next in the queue, or to rest."""
        if self._is_closed or not connection.rest(self._clock()):
            self.drop(connection)
            return
        self._open.discard(connection)
        if self._queue:
            if self._queue[0].origin.key == connection.origin.key:
                self._open.add(connection)
                self._grant(connection)
            else:
                connection.abort()
                self._grant(None)
            return
        resting = self._idle.setdefault(connection.origin.key, [])
        if resting and connection.idle_since - resting[0].idle_since >= KEEP_ALIVE:
            self._places -= 1
            resting.pop(0).abort()  # one for each that comes: after a burst, none stays for ever
        resting.append(connection)

    def drop_soon(self, connection: Connection) -> None:
        """Drop a connection from anywhere, also from ``__del__``."""
        self._loop.call_soon(self.drop, connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection, and give its place to the next in the queue."""
        self._open.discard(connection)
        connection.abort()
        self._free_place()

    def _free_place(self) -> None:
        if self._queue:
            self._grant(None)
        else:
            self._places -= 1

    def _grant(self, connection: Connection | None) -> None:
        """Hand a place on to the first in the queue, with the connection that comes with it."""
        place = self._queue.popleft()
        place.is_granted = True
        place.connection = connection
        place.waiter.wake()

    def close(self) -> None:
        """Close every connection; what is still read, and what waits for a place, ends with an error."""
        self._is_closed = True
        for connection in [*self._open, *(each for resting in self._idle.values() for each in resting)]:
            if connection.incoming is not None:
                connection.incoming.end(CutOff(_CLOSED))
            connection.abort()
        self._places -= sum(map(len, self._idle.values()))
        self._idle.clear()
        for place in self._queue:
            place.waiter.wake()
        self._queue.clear()
