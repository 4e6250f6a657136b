"""The awaitable that `thunk.cancel()` returns: await it until the generation has settled, or drop it."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .pump import Pump

__all__ = ["Cancellation"]


@final
class Cancellation(Awaitable[None]):
    """A cancellation that has been asked for already; await it to wait until the generation has settled.

    Not a coroutine, so that dropping it gives no warning. It may be awaited several times, and in any loop.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Echo
        >>> thunk = Echo().generate("Hello.")
        >>> asked = thunk.cancel("not needed")
        >>> async def wait():
        ...     await asked
        >>> asyncio.run(wait())
        >>> thunk.state
        'cancelled'
    """

    __slots__ = ("_pump",)

    def __init__(self, pump: Pump | None) -> None:
        self._pump = pump  # None: it has settled

    def __await__(self) -> Generator[object, None, None]:
        pump = self._pump
        if pump is None or pump.outcome is not None or pump.is_inside():  # inside, it would wait for itself
            return
        yield from pump.wait_settled().__await__()

    def __repr__(self) -> str:
        settled = self._pump is None or self._pump.outcome is not None
        return f"<Cancellation {'settled' if settled else 'asked for'}>"
