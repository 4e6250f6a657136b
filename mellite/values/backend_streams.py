"""What every room needs of any backend: its name, and the iterator of its stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .errors import BackendError
from .type_names import a_type_name

__all__ = ["iterator_of", "name_of"]


def name_of(backend: object) -> str:
    """Return what to call a backend in messages and logs."""
    describe = getattr(backend, "describe", None)
    return str(describe()) if callable(describe) else type(backend).__name__


def iterator_of(stream: Any, backend: object) -> AsyncIterator[Any]:
    """Return the async iterator of what the ``stream`` of *backend* gave, as ``async for`` would take it.

    Raises:
        BackendError: if there is none.
    """
    if hasattr(stream, "__aiter__"):
        stream = stream.__aiter__()
    if not hasattr(stream, "__anext__"):
        if hasattr(stream, "close"):
            stream.close()  # a coroutine would warn that it was never awaited
        msg = (
            f"{name_of(backend)}.stream gave {a_type_name(type(stream))}, not an async iterator of events; write it as "
            "`async def stream(self, request)` with `yield`"
        )
        raise BackendError(msg)
    iterator: AsyncIterator[Any] = stream
    return iterator
