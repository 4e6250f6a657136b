"""See the connections of event loops that open their sockets in C, for which Python has no audit events.

Used by `mellite.pytest_plugin`, which refuses connections while a test replays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

__all__ = ["watched"]

Method = Callable[..., Awaitable[object]]


@contextmanager
def watched(refuse: Callable[[object], None]) -> Generator[None]:
    """Tell `refuse` of every host that such a loop is about to connect to or to look up, until the block ends.

    Imports uvloop where it is installed, because one that is imported later would go unseen. Changes a class of
    uvloop's, so that blocks must not overlap.

    Args:
        refuse: takes a host's name or address; what it raises reaches the caller of the loop.
    """
    loop = _uvloop()
    if loop is None:
        yield
        return
    own = {name: method for name, method in vars(loop).items() if name in _HOSTS}
    for name, host in _HOSTS.items():
        setattr(loop, name, _telling(getattr(loop, name), host, refuse))
    try:
        yield
    finally:
        for name in _HOSTS:
            if name in own:
                setattr(loop, name, own[name])
            else:
                delattr(loop, name)


@cache
def _uvloop() -> type | None:
    """Return the class of uvloop's loops; None where it is not installed."""
    if find_spec("uvloop") is not None:
        with suppress(ImportError):  # built for another Python
            loop: type = import_module("uvloop").Loop
            return loop
    return None


def _telling(original: Method, host: Callable[..., object], refuse: Callable[[object], None]) -> Method:
    """Return a method that first tells *refuse* of the host that the arguments name."""

    async def method(self: object, *args: object, **options: object) -> object:
        refuse(host(*args, **options))
        return await original(self, *args, **options)

    return method


def _of_address(address: object) -> object:
    """Return the host of a socket's address; None for a path on this machine."""
    return address[0] if isinstance(address, tuple) else None


# The parameters are called as those of the methods, which may be given by name.


def _connected(protocol_factory: object, host: object = None, *args: object, **options: object) -> object:  # noqa: ARG001
    return host


def _asked_for(host: object, *args: object, **options: object) -> object:  # noqa: ARG001
    return host


def _sent_to(
    protocol_factory: object,  # noqa: ARG001
    local_addr: object = None,  # noqa: ARG001
    remote_addr: object = None,
    **options: object,  # noqa: ARG001
) -> object:
    return _of_address(remote_addr)


def _of_socket(sock: object, address: object) -> object:  # noqa: ARG001
    return _of_address(address)


#: The methods that lead to another machine -> which host their arguments name; as `asyncio.AbstractEventLoop` has them.
_HOSTS: Final[dict[str, Callable[..., object]]] = {
    "create_connection": _connected,
    "create_datagram_endpoint": _sent_to,
    "getaddrinfo": _asked_for,
    "sock_connect": _of_socket,
}
