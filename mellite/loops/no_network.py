"""Refuse every connection to another machine for the time of a block, whichever library or loop makes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, nullcontext
from ipaddress import ip_address
from typing import Any, Final

from .connections import watched

__all__ = ["NetworkBlocked", "no_network", "stays_here"]

#: Why the network is blocked, the hosts that may be reached nevertheless, and what was refused. The last entry counts.
_blocked: Final[list[tuple[str, frozenset[str], list[str], Callable[[object], bool]]]] = []

#: Whether the audit hook is in place.
_hooked: Final[list[bool]] = []

#: Audit events that name an address or a host; https://docs.python.org/3/library/audit_events.html.
_ADDRESSES: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})


class NetworkBlocked(OSError):
    """A test tried to reach another machine, which is not allowed."""


@contextmanager
def no_network(
    why: str, allowed: Collection[str], refused: list[str], stays: Callable[[object], bool] | None = None
) -> Generator[None]:
    """Refuse every connection to another machine, and every look-up of its name, in all threads.

    An audit hook sees Python's sockets; it stays in place for the rest of the process and does nothing unless
    something is blocked. `watched` sees the connections that loops open without those sockets.
    """
    if not _hooked:
        _hooked.append(True)  # an audit hook cannot be removed; https://peps.python.org/pep-0578/
        sys.addaudithook(_audit)
    block = (why, frozenset(allowed), refused, stays or stays_here)
    with nullcontext() if _blocked else watched(_refuse):
        _blocked.append(block)
        try:
            yield
        finally:
            _blocked.remove(block)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _blocked:
        return
    if event in _ADDRESSES and isinstance(args[1], tuple):
        _refuse(args[1][0])
    elif event in _NAMES:
        _refuse(args[0])


def _refuse(host: object) -> None:
    """Refuse to reach a host, unless that is allowed.

    Raises:
        NetworkBlocked: with the reason.
    """
    why, allowed, refused, stays = _blocked[-1]
    host = host.decode("ascii", "replace") if isinstance(host, bytes) else host  # anyio looks names up as bytes
    if not stays(host) and host not in allowed:
        msg = f"this test may not reach {host}: {why}"
        if msg not in refused:
            refused.append(msg)
        raise NetworkBlocked(msg)


def stays_here(host: object) -> bool:
    """Whether a host is this machine, as far as can be told without a look-up."""
    if host is None or host in ("", "localhost"):
        return True
    try:
        return ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False
