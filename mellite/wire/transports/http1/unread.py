"""Check whether a socket has something unread: bytes, or its end."""

from __future__ import annotations

import select
from collections.abc import Callable

__all__ = ["watch"]


def watch(descriptor: int) -> Callable[[], bool]:
    """Return a function that says, at once, whether anything is there to be read from an open socket.

    Args:
        descriptor: of the socket, which must be open whenever the function is called.
    """
    if not hasattr(select, "poll"):  # Windows
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)  # its end and errors are always told
    return lambda: bool(poll.poll(0))
