"""One client object per event loop, made on first use and closed with its loop.

The client of an HTTP library belongs to a loop. What a loop closes by itself at its end is an async generator that has
been started (`asyncio.run` and trio both do: https://peps.python.org/pep-0525/#finalization), so each client is held by
one whose ``finally`` closes it.

`ClientPerLoop.find`, `start` and `aclose` are called in the loop that they are about. Other loops may do so meanwhile,
each with its own key, and a client may be let go from anywhere, also by the garbage collector; hence no lock.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import AsyncGeneratorType
from typing import Final, Generic, TypeVar, cast

from . import forking
from .detection import Loop, Waiter, current
from .time_limits import move_on_after

__all__ = ["ClientPerLoop", "release"]

C = TypeVar("C")

#: How long closing a client may take, in seconds; then its connections are left to the end of the loop.
_CLOSING_TIME = 2.0


class ClientPerLoop(Generic[C]):
    """A client for each event loop that it is used in.

    A client is closed at the end of its loop, by `aclose`, or when this object is dropped, whichever comes first.

    Args:
        make: makes a client; called inside the loop.
        close: closes one; called inside its loop, shielded from cancellation.
        discard: lets go of one whose loop was closed without a clean-up; called outside of that loop.
    """

    __slots__ = ("__weakref__", "_close", "_discard", "_held", "_make", "_noticing")

    def __init__(
        self, make: Callable[[], C], close: Callable[[C], Awaitable[None]], discard: Callable[[C], None]
    ) -> None:
        self._make = make
        self._close = close
        self._discard = discard
        self._held: dict[object, _Held[C]] = {}
        self._noticing = False

    def __reduce__(self) -> tuple[object, ...]:
        """A copy or a pickle has no client yet, and makes its own."""
        return ClientPerLoop, (self._make, self._close, self._discard)

    def find(self, loop: object) -> C | None:
        """Return the client of a loop, if there is one already; `loop` is the loop itself or trio's token."""
        held = self._held.get(loop)
        return None if held is None or held.is_inherited() else held.client

    async def start(self, loop: object) -> C:
        """Make the client of `loop`, which must be the running one, and drop those of loops that were closed."""
        for key, one in list(self._held.items()):
            if one.loop.is_closed():
                self._held.pop(key, None)
                one.let_go()
        held = _Held(self._make(), current(), self._close, self._discard)
        self._held[loop] = held
        if not self._noticing:
            # From here on the registry of finalizers holds the clients, too. Held by this object alone, they would be
            # destroyed with it, unclosed, if it were part of a garbage cycle.
            self._noticing = True
            weakref.finalize(self, _abandon, self._held).atexit = False
        await held.be_kept(self._held, loop)  # never suspends, so no second client can slip in between
        return held.client

    async def aclose(self, loop: object) -> None:
        """Close all clients: that of `loop`, the running one, before it returns; others as soon as their loops can."""
        here = self._held.get(loop)
        here = None if here is None or here.is_inherited() else self._held.pop(loop)
        others = list(self._held.values())
        self._held.clear()
        for one in others:
            one.let_go()
        if here is not None:
            await here.finish()


#: Clients of the processes before this one. Kept for ever: see `mellite.loops.forking`.
_inherited: Final[list[object]] = []


class _Held(Generic[C]):
    """A client, and the generator by which its loop closes it."""

    def __init__(
        self, client: C, loop: Loop, close: Callable[[C], Awaitable[None]], discard: Callable[[C], None]
    ) -> None:
        self.client = client
        self.loop = loop
        self._close = close
        self._discard = discard
        self._closing: list[Waiter] | None = None  # who waits until it is closed; None until that begins
        self._closed = False
        self._discarded = False
        self._take_back: Callable[[], None] | None = None
        self._keeper: AsyncGeneratorType[None, None] | None = None

    async def be_kept(self, held: dict[object, _Held[C]], loop: object) -> None:
        itself = weakref.WeakMethod(self.let_go)
        self._take_back = self.loop.when_closed(lambda: _call(itself()))
        self._keeper = cast("AsyncGeneratorType[None, None]", _keep(self, held, loop))
        await anext(self._keeper)

    async def close(self) -> None:
        """Close the client, once; a second caller waits until that is done."""
        with move_on_after(_CLOSING_TIME, shield=True):
            if self._closing is None:
                waiting = self._closing = []
                _call(self._take_back)
                try:
                    await self._close(self.client)
                finally:
                    self._closed = True
                    for one in waiting:
                        one.wake()
            elif not self._closed:
                waiter = self.loop.waiter()
                self._closing.append(waiter)
                await waiter.wait()

    async def finish(self) -> None:
        """Close the client, and then the generator, which the loop may be closing at the same time."""
        await self.close()
        if self._keeper is not None and not self._keeper.ag_running:
            await self._keeper.aclose()  # has nothing left to wait for, so the loop never finds it running

    def is_closing(self) -> bool:
        """Whether it was asked to close before the loop does it."""
        return self._closing is not None

    def is_inherited(self) -> bool:
        """Whether the client belongs to a process before this one."""
        return self.loop.process != forking.process.number

    def let_go(self) -> None:
        """Close the client from anywhere, also from inside the garbage collector."""
        if self.is_inherited():
            _inherited.append(self)
        elif self.loop.is_closed():
            if self._closing is None and not self._discarded:
                self._discarded = True
                self._discard(self.client)
        else:
            self.loop.call_soon(self._finish_soon)

    def _finish_soon(self) -> None:
        try:
            self.loop.spawn(self.finish, _nothing)
        except RuntimeError:  # the loop is on its way out, and closes the generator itself
            return


def _nothing() -> None:
    pass


def _call(function: Callable[[], None] | None) -> None:
    if function is not None:
        function()


def release(stream: object) -> None:
    """Close the socket below a stream or transport whose loop was closed by hand.

    Such a stream can no longer close it. A socket that cannot be reached is left to the garbage collector.

    Args:
        stream: a transport of asyncio's, in TLS or not, or a stream of anyio's or httpcore's around one.
    """
    for name in ("_stream", "transport_stream", "_transport", "_ssl_protocol", "_transport"):
        stream = getattr(stream, name, stream)
    lost = getattr(stream, "_call_connection_lost", None)
    if lost is not None and getattr(stream, "_sock", None) is not None:
        with contextlib.suppress(RuntimeError):  # its waiters can no longer be told
            lost(None)


async def _keep(one: _Held[C], held: dict[object, _Held[C]], loop: object) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        if held.get(loop) is one:
            del held[loop]
        if not one.is_closing():
            one.loop.note_end()
        await one.close()


def _abandon(held: dict[object, _Held[C]]) -> None:
    """Let go of all clients: their owner was dropped."""
    for one in list(held.values()):
        one.let_go()
