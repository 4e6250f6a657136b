"""Take items one by one out of whatever the caller gave: a list, a generator, one that waits, one that never ends."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Protocol, final

from .. import loops
from ..values.errors import InvalidRequest

__all__ = ["NOT_YET", "OVER", "Feed", "feed_of"]

NOT_YET: Any = object()
"""There is no item now; one is on its way."""

OVER: Any = object()
"""There are no more items."""


class Feed(Protocol):
    """Where items come from, one by one."""

    def take(self) -> Any:
        """Return the next item, `NOT_YET` or `OVER`.

        Raises:
            Exception: what the caller's iterable raises.
        """
        ...

    def stop(self) -> None:
        """Take no more; from any thread."""
        ...


def feed_of(items: object, wake: Callable[[], None], loop: Callable[[], loops.Loop], ahead: int) -> Feed:
    """Return the feed of what a caller gave.

    Args:
        items: any iterable or async iterable.
        wake: called when an item has come that there was not yet.
        loop: gives the loop to run an async iterable in.
        ahead: how many items to take from an async iterable before they are asked for.

    Raises:
        InvalidRequest: for what is not an iterable.
    """
    if isinstance(items, AsyncIterable):
        return _Awaited(items, wake, loop(), ahead)
    if not isinstance(items, Iterable) or isinstance(items, (str, bytes)):
        msg = f"'items' must be an iterable or async iterable of thunks and runs, not {type(items).__name__}"
        raise InvalidRequest(msg, parameter="items")
    return _Plain(items)


@final
class _Plain:
    """The items of a plain iterable, which is asked when one is needed."""

    __slots__ = ("_iterator",)

    def __init__(self, items: Iterable[Any]) -> None:
        self._iterator: Iterator[Any] | None = iter(items)

    def take(self) -> Any:
        if self._iterator is None:
            return OVER
        try:
            return next(self._iterator)
        except StopIteration:
            self._iterator = None
            return OVER

    def stop(self) -> None:
        self._iterator = None


@final
class _Awaited:
    """The items of an async iterable, taken by a task of its own, a few ahead of whoever wants them."""

    __slots__ = ("_ahead", "_error", "_is_over", "_items", "_loop", "_ready", "_room", "_wake")

    def __init__(self, items: AsyncIterable[Any], wake: Callable[[], None], loop: loops.Loop, ahead: int) -> None:
        self._items: AsyncIterable[Any] | None = items
        self._wake = wake
        self._loop = loop
        self._ahead = ahead
        self._ready: deque[Any] = deque()
        self._room: loops.Waiter | None = None
        self._error: Exception | None = None
        self._is_over = False
        if loop.is_here():
            loop.spawn(self._run, self._ended)
        else:
            loop.call_soon(loop.spawn, self._run, self._ended)

    async def _run(self) -> None:
        items, self._items = self._items, None
        iterator: AsyncIterator[Any] | None = None
        try:
            iterator = aiter(items) if items is not None else None
            while iterator is not None and not self._is_over:
                self._ready.append(await anext(iterator))
                self._wake()
                while len(self._ready) >= self._ahead and not self._is_over:
                    self._room = room = self._loop.waiter()
                    if len(self._ready) < self._ahead:  # taken in another thread meanwhile
                        break
                    await room.wait()
        except StopAsyncIteration:
            pass  # all of it has been taken
        except Exception as error:
            self._error = error
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                with loops.move_on_after(1, shield=True):
                    await close()

    def _ended(self) -> None:
        self._is_over = True
        self._wake()

    def take(self) -> Any:
        if self._ready:
            item = self._ready.popleft()
            room = self._room
            if room is not None:
                self._room = None
                room.wake()
            return item
        if not self._is_over and not self._loop.is_closed():
            return NOT_YET
        error, self._error = self._error, None
        if error is not None:
            raise error
        return OVER

    def stop(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._ready.clear()
            self._loop.call_soon(self._loop.cancel)
