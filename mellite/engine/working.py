"""The desk that runs on a worker: takes calls in, has hundreds in flight, and hands back their outcomes.

The desk knows nothing of Dask or Ray, which only call its methods, all of them in one event loop. Calls come in with
`give`, answers are fetched with `take`, and `cancel` is a channel of its own. If nobody fetches for a while, the client
is gone, and all that runs is cancelled.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pydoc import locate
from typing import Any, Final, NamedTuple, final

import anyio

from .. import loops
from ..backends.wrappers.wrapper import batches_of
from ..loops.places import stood_in
from ..values.backend_streams import name_of
from ..values.errors import AuthenticationError, BackendError, CannotTravel, MelliteError
from ..values.events import Event
from ..values.text_answer import TextAnswer
from ..values.told_errors import error_line, error_text
from .travelling import Arrived, packed, unpacked

__all__ = ["VERSION", "Desk", "Given", "Record", "error_in", "version"]

#: After so many seconds without a client, nobody wants the answers.
_PATIENCE: Final = 30.0

#: How long a fetch waits for more answers, once there is one, in seconds; and how many it takes at once.
_LINGER: Final = 0.004
_MOST: Final = 256


#: Where the version is: a client has `pydoc.locate` look there on a worker, of which it does not know yet what it has.
VERSION: Final = f"{__name__.partition('.')[0]}.__version__"


def version() -> str | None:
    """Return the version of mellite in this process; None if there is none."""
    found = locate(VERSION)
    return None if found is None else str(found)


class Given(NamedTuple):
    """A packet of calls for a worker.

    Args:
        shared: what the calls refer to and the worker does not have yet, as numbers and bytes.
        calls: for each call its number, that of its backend, and the request as bytes.
    """

    shared: Sequence[tuple[int, bytes]]
    calls: Sequence[tuple[int, int, bytes]]


class Record(NamedTuple):
    """The outcome of a call on a worker.

    Args:
        number: that of the call.
        events: all events of it.
        text: the text, if the answer is one text and no more.
        error: what was raised, as bytes for `error_in`.
        took: how long it took, in seconds.
    """

    number: int
    events: list[Event]
    text: str | None
    error: bytes | None
    took: float


@final
class Desk:
    """A place on a worker that makes calls for one map.

    Args:
        patience: after so many seconds in which nobody has fetched answers, all calls are cancelled.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._arrived = Arrived()
        self._running: dict[int, loops.Loop] = {}
        self._settled: deque[Record] = deque()
        self._is_ready: anyio.Event | None = None
        self._lacking: dict[int, AuthenticationError | None] = {}
        self._watch: loops.Loop | None = None
        self._seen = time.monotonic()
        self._is_closed = False

    async def give(self, data: bytes) -> None:
        """Begin calls.

        Args:
            data: a packed `Given`.
        """
        given = Given(*unpacked(data))
        self._seen = time.monotonic()
        if self._watch is None:
            self._watch = loops.current()
            self._watch.spawn(self._watch_client, _nothing)
        for number, pickled in given.shared:
            self._add(number, pickled)
        for number, backend, request in given.calls:
            loop = self._running[number] = loops.current()
            loop.spawn(partial(self._call, number, backend, request), partial(self._over, number))

    def _add(self, number: int, pickled: bytes) -> None:
        try:
            self._arrived.add(number, pickled)
        except Exception as error:  # each call that refers to it fails with this
            said = error_text(error)
            msg = f"a worker cannot read what was sent to it: {said}; it needs the same modules as the client"
            self._arrived.note_failure(number, CannotTravel(msg))

    async def take(self, wait: float) -> bytes:
        """Wait for answers and return them as a packed list of `Record`; an empty one after some seconds.

        Args:
            wait: so many.
        """
        self._seen = time.monotonic() + wait
        if not self._settled:
            self._is_ready = anyio.Event()
            with anyio.move_on_after(wait):
                await self._is_ready.wait()
            self._is_ready = None
            if self._settled and self._running:
                await anyio.sleep(_LINGER)
        self._seen = time.monotonic()
        taken = [self._settled.popleft() for _ in range(min(_MOST, len(self._settled)))]
        return packed([tuple(record) for record in taken])

    async def cancel(self, numbers: Sequence[int]) -> None:
        """Stop calls."""
        for number in numbers:
            loop = self._running.pop(number, None)
            if loop is not None:
                loop.cancel()

    async def close(self) -> None:
        """Stop everything: nothing is wanted any more."""
        self._is_closed = True
        await self.cancel(list(self._running))
        self._settled.clear()
        if self._is_ready is not None:
            self._is_ready.set()
        if self._watch is not None:
            self._watch.cancel()

    # One call

    async def _call(self, number: int, backend: int, request: bytes) -> None:
        stood_in.set(True)
        began = time.monotonic()
        events: list[Event] = []
        text: str | None = None
        error: Exception | None = None
        try:
            asked = self._arrived.backend(backend)
            lacking = await self._lacks(backend, asked)
            if lacking is not None:
                raise lacking
            source = batches_of(asked, self._arrived.request(request))
            try:
                async for batch in source:
                    if type(batch) is TextAnswer:
                        text, events = batch.text, batch.events()
                    else:
                        events += batch
            finally:
                await source.aclose()
        except Exception as failure:
            error = failure
        if self._running.pop(number, None) is None:
            return  # it was cancelled, and what the backend made of that is nobody's business
        told = None if error is None else _error_bytes(error)
        self._settled.append(Record(number, events, text, told, time.monotonic() - began))
        if self._is_ready is not None:
            self._is_ready.set()

    def _over(self, number: int) -> None:
        self._running.pop(number, None)

    async def _lacks(self, number: int, backend: Any) -> AuthenticationError | None:
        """Return the error of a backend whose key this worker does not have."""
        if number not in self._lacking:
            self._lacking[number] = await _lacking_key(backend)
        return self._lacking[number]

    async def _watch_client(self) -> None:
        """Stop everything once the client has not asked for long."""
        while not self._is_closed:
            await anyio.sleep(self._patience / 10)
            if time.monotonic() - self._seen > self._patience:
                await self.cancel(list(self._running))


def _nothing() -> None:
    """Do nothing: nobody waits for the watch."""


async def _lacking_key(backend: Any) -> AuthenticationError | None:
    auth = getattr(getattr(backend, "route", None), "auth", None)
    if auth is None or getattr(_transport_of(backend), "offline", False) is True:
        return None
    try:
        await auth.ready()
    except AuthenticationError as error:
        if error.kind != "missing":
            return None  # told by the call itself
        msg = (
            f"a worker has no key for {name_of(backend)}: {error}. Keys never travel: set it in the environment of "
            "the workers, and start the map again"
        )
        return AuthenticationError(msg, kind="missing", retryable=True)
    except Exception:
        return None  # likewise
    return None


def _transport_of(backend: Any) -> Any:
    asked = getattr(backend, "transport_now", None)
    return None if asked is None else asked()


# Errors on their way

_DEEPEST: Final = 8


def _error_bytes(error: BaseException) -> bytes:
    """Return an error and what caused it as bytes, since a pickle of an error has no cause."""
    chain: list[bytes] = []
    at: BaseException | None = error
    while at is not None and len(chain) < _DEEPEST:
        chain.append(_one_error(at))
        at = at.__cause__
    return pickle.dumps(chain)


def _one_error(error: BaseException) -> bytes:
    """Return an error as bytes; one that does not survive that as a `BackendError` that says what it was."""
    try:
        data = pickle.dumps(error)
        if isinstance(error, MelliteError) or error_text(pickle.loads(data)) == error_text(error):  # noqa: S301 - made just now
            return data
    except Exception as trouble:
        return _told(error, trouble)
    return _told(error, None)


def _told(error: BaseException, trouble: Exception | None) -> bytes:
    why = "" if trouble is None else f" (which cannot travel: {error_text(trouble)})"
    return pickle.dumps(BackendError(f"{error_line(error)}{why}"))


def error_in(data: bytes) -> Exception:
    """Return the error that a worker has sent, with what caused it."""
    found: list[BaseException] = []
    for each in pickle.loads(data):  # noqa: S301 - from our own worker
        try:
            found.append(pickle.loads(each))  # noqa: S301 - likewise
        except Exception as error:  # its class is of a module that only the worker has
            found.append(BackendError(f"a worker raised an error that cannot be read here: {error_text(error)}"))
    for raised, cause in pairwise(found):
        raised.__cause__ = cause
    first = found[0]
    return first if isinstance(first, Exception) else BackendError(error_line(first))
