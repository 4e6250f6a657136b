"""Which requests of a process are caught, and how the methods that send them are swapped for a while."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Final

from attrs import frozen

from ...wire.transports.default import UNCAUGHT
from ..opening import CassetteTransport

__all__ = ["Catch", "Swap", "swapped"]

_NOTHING: Final = object()


@frozen
class Catch:
    """The cassette that answers, and whose requests it answers.

    Args:
        cassette: the cassette.
        hosts: the hosts whose requests are caught, as in ``api.example.com`` or ``*.example.com``; None for all.
    """

    cassette: CassetteTransport
    hosts: Collection[str] | None = None

    def takes(self, host: str) -> bool:
        """Whether a request to a host is caught. What is sent for a request that was caught already is not."""
        if UNCAUGHT.get():
            return False
        host = host.lower().strip("[]")
        return self.hosts is None or any(fnmatchcase(host, each.lower()) for each in self.hosts)


@frozen(kw_only=True)
class Swap:
    """A method of a class, and what to put in its place."""

    owner: type
    name: str
    function: Callable[..., Any]


@contextmanager
def swapped(swaps: Iterable[Swap]) -> Generator[None]:
    """Put functions in the place of methods until the block ends, in all threads."""
    before: list[tuple[Swap, object]] = []
    try:
        for swap in swaps:
            before.append((swap, vars(swap.owner).get(swap.name, _NOTHING)))
            setattr(swap.owner, swap.name, swap.function)
        yield
    finally:
        for swap, was in reversed(before):
            if was is _NOTHING:
                delattr(swap.owner, swap.name)
            else:
                setattr(swap.owner, swap.name, was)
