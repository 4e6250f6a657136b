"""How much of what was sent to a client its program has not read yet: exactly, where this machine tells.

TCP tells a sender nothing of a slow reader but that its window opens again, in steps of 64 KiB to megabytes between
programs of one machine. Linux shows the sockets of both ends there, and what is unread in each.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["unread_bytes"]

#: The connections over IPv4, and those that one end made with a socket of IPv6; see ``man 5 proc_net``.
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

#: How a line of these tables goes on behind the two addresses: with the state and the two queues.
_UNREAD: Final = r" [0-9A-F]{2} [0-9A-F]{8}:([0-9A-F]{8}) "


def unread_bytes(ours: socket.socket) -> int | None:
    """Return how many bytes that were written to a socket its client, on this machine, has not read.

    Returns:
        None where the system does not tell.
    """
    if sys.platform != "linux" or ours.family != socket.AF_INET:
        return None
    with suppress(OSError):
        on_their_side = _received(ours.getpeername(), ours.getsockname())
        if on_their_side is not None:
            return _sent(ours.fileno()) + on_their_side
    return None


def _sent(descriptor: int) -> int:
    """Return how many bytes are in the send queue of a socket: not sent yet, or not acknowledged."""
    import fcntl
    import termios

    (size,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    return int(size)


def _received(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return how many bytes wait in the receive queue of the client's socket."""
    line = re.compile(f"{_shown(client)} [0-9A-F]*{_shown(server)}{_UNREAD}")
    for table in _TABLES:
        if found := line.search(table.read_text("ascii")):
            return int(found[1], 16)
    return None


def _shown(address: tuple[str, int]) -> str:
    """Return an address as the tables have it, without what IPv6 puts in front."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
