"""See the connections of event loops that open their sockets in C, for which Python has no audit events.

Used by `mellite.pytest_plugin`, which refuses connections while a test replays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
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
    with ExitStack() as stack:
        loop = _uvloop()
        if loop is not None:
            for method, host in _HOSTS.items():
                stack.enter_context(_wrapped(loop, method, host, refuse))
        yield


def _uvloop() -> type | None:
    """Return the class of uvloop's loops; None where it is not installed."""
    if find_spec("uvloop") is not None:
        with suppress(ImportError):  # built for another Python
            loop: type = import_module("uvloop").Loop
            return loop
    return None


@contextmanager
def _wrapped(loop: type, name: str, host: Callable[..., object], refuse: Callable[[object], None]) -> Generator[None]:
    original: Method = getattr(loop, name)

    async def method(self: object, *args: object, **options: object) -> object:
        refuse(host(*args, **options))
        return await original(self, *args, **options)

    inherited = name not in vars(loop)
    setattr(loop, name, method)
    try:
        yield
    finally:
        if inherited:
            delattr(loop, name)
        else:
            setattr(loop, name, original)


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
