"""Where the calls of a map are made: the interface of an engine, the one of this process, and who is called what."""

from __future__ import annotations

from typing import Final, Protocol, final

from ..thunk.observing import Interceptor
from ..thunk.thunk import AnyThunk
from ..values.errors import InvalidRequest
from ..values.spelling import did_you_mean

__all__ = ["Engine", "engine_named"]


class Engine(Protocol):
    """Where the calls are made. Made for one map, which calls it from the thread that reads the map, but for `close`.

    Attributes:
        is_here: whether the calls are made in this process, so that the map itself holds the limits that it was given;
            else the engine does.
    """

    is_here: bool

    def check(self, thunk: AnyThunk) -> None:
        """Refuse what cannot be generated there, before anything of it is sent.

        Raises:
            CannotTravel: if it cannot be sent there.
            InvalidRequest: for what this engine does not do.
        """
        ...

    def interceptors(self) -> tuple[Interceptor, ...]:
        """Return what stands between each thunk and its backend."""
        ...

    def close(self) -> None:
        """Note that the map is over, and nothing of it is wanted any more; called once, from any thread."""
        ...


@final
class Local:
    """Makes the calls in this process."""

    is_here = True

    def check(self, thunk: AnyThunk) -> None:
        """Do nothing: nothing has to travel."""

    def interceptors(self) -> tuple[Interceptor, ...]:
        """Return nothing: a thunk asks its own backend."""
        return ()

    def close(self) -> None:
        """Do nothing: the map cancels what it began."""


#: Name -> what makes the engine.
_ENGINES: Final = {"local": Local}


def engine_named(on: object) -> Engine:
    """Return a new engine.

    Raises:
        InvalidRequest: for what is none, with the nearest.
    """
    made = _ENGINES.get(on) if isinstance(on, str) else None
    if made is None:
        known = sorted(_ENGINES)
        said = did_you_mean(on, known) if isinstance(on, str) else f"it is one of {', '.join(known)}"
        msg = f"'on' names no engine of this version: {on!r:.60}; {said}"
        raise InvalidRequest(msg, parameter="on")
    return made()
