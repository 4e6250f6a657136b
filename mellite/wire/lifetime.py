"""One client object per event loop: made on first use there, closed when that loop ends.

The client of an HTTP library belongs to a loop. A started async generator is what a loop closes at its end by itself
(`asyncio.run` and trio both do), so each client is held by one whose ``finally`` closes it.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from attrs import define

from .. import loops

__all__ = ["ClientPerLoop"]

C = TypeVar("C")

#: How long closing a client may take, in seconds; then its connections are left to the end of the loop.
_CLOSING_TIME = 2.0


class ClientPerLoop(Generic[C]):
    """Keeps a client for each event loop it is used in.

    A client is closed at the end of its loop, by `aclose`, or when this object is dropped, whichever comes first.

    Args:
        make: makes a client; called inside the loop.
        close: closes one; called inside its loop, shielded from cancellation.
    """

    __slots__ = ("__weakref__", "_close", "_held", "_make", "_noticing")

    def __init__(self, make: Callable[[], C], close: Callable[[C], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: dict[object, _Held[C]] = {}
        self._noticing = False

    def find(self, loop: object) -> C | None:
        """The client of this loop, if there is one already; `loop` is the loop itself or trio's token."""
        held = self._held.get(loop)
        return None if held is None else held.client

    async def start(self, loop: object) -> C:
        """Make the client of this loop, which must be the running one."""
        for key, held in list(self._held.items()):
            if held.loop.is_closed():  # closed without its clean-up, which nothing can make up for now
                self._held.pop(key, None)
        client = self._make()
        keeper = _keep(client, self._close, self._held, loop)
        self._held[loop] = _Held(client, loops.current(), keeper)
        if not self._noticing:
            # From here on the registry of finalizers, not only this object, holds the clients: being part of a
            # garbage cycle must not destroy them unclosed.
            self._noticing = True
            weakref.finalize(self, _abandon, self._held).atexit = False
        await anext(keeper)  # never suspends, so no second client can slip in between
        return client

    async def aclose(self, loop: object) -> None:
        """Close all clients: that of `loop`, the running one, before it returns; others as soon as their loops can."""
        here = self._held.pop(loop, None)
        others = list(self._held.values())
        self._held.clear()
        for one in others:
            one.loop.call_soon(one.close_soon)
        if here is not None:
            await here.keeper.aclose()


@define(eq=False)
class _Held(Generic[C]):
    client: C
    loop: loops.Loop
    keeper: AsyncGenerator[None, None]

    def close_soon(self) -> None:
        try:
            self.loop.spawn(functools.partial(_finish, self.keeper), _nothing)
        except RuntimeError:  # the loop is on its way out, and closes the keeper itself
            return


def _nothing() -> None:
    pass


async def _finish(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


async def _keep(
    client: C, close: Callable[[C], Awaitable[None]], held: dict[object, _Held[C]], loop: object
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        known = held.get(loop)
        if known is not None and known.client is client:
            del held[loop]
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            await close(client)


def _abandon(held: dict[object, _Held[C]]) -> None:
    """The owner is gone. This may run anywhere, also inside the garbage collector."""
    for one in list(held.values()):
        one.loop.call_soon(one.close_soon)
