"""Connect to whichever address of a host answers first, on asyncio and uvloop: happy eyeballs, RFC 8305.

Not by the loops' own means: asyncio loses the socket of a call that is cancelled as it connects (seen up to 3.13.0),
and uvloop tries one address after the other.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeAlias

from ...broken import how_it_broke
from .origins import HAPPY_EYEBALLS

__all__ = ["first_connected"]

#: Family, type, protocol, canonical name and socket address, as `socket.getaddrinfo` gives them.
Address: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def first_connected(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to a host; of several addresses, to the one that answers first.

    Each address gets a head start before the next one; one that fails gives it up at once.

    Raises:
        OSError: if the host is not found, or none of its addresses takes a connection.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(_alternating(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    if len(waiting) == 1:
        return await _connected(loop, waiting.popleft())
    failures: dict[str, OSError] = {}
    tries: dict[asyncio.Task[socket.socket], str] = {}
    try:
        while waiting or tries:
            if waiting:
                address = waiting.popleft()
                tries[loop.create_task(_connected(loop, address))] = str(address[4][0])
            left = HAPPY_EYEBALLS if waiting else None
            done, _ = await asyncio.wait(tries, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                where = tries.pop(task)
                try:
                    return task.result()
                except OSError as error:
                    failures[where] = error.with_traceback(None)
        raise _none_of(failures)
    finally:
        failures.clear()  # what is raised would hold this frame, and this frame it
        for task in tries:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                task.result().close()  # it won, too


def _alternating(addresses: Iterable[Address]) -> list[Address]:
    """Sort addresses so that the families take turns; within a family they stay in the order of the system."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [each for each in chain.from_iterable(zip_longest(*families.values())) if each is not None]


async def _connected(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """Connect to one address."""
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(0)
        await loop.sock_connect(connecting, where)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _none_of(failures: dict[str, OSError]) -> OSError:
    """Return what tells why no address took a connection; one error where all failed in the same way."""
    errors: Sequence[OSError] = list(failures.values())
    if not errors:
        return OSError("the host has no address")
    if len({error.errno for error in errors}) == 1:
        return errors[0]
    told = (f"{where}: {how_it_broke(error)}" for where, error in failures.items())
    return OSError(f"none of its addresses takes a connection ({'; '.join(told)})")
