"""Answer from memory or from a file what was asked before in the same words."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from typing import Any, Final, Protocol, final
from weakref import finalize

from attrs import evolve

from ...loops import forking
from ...values.backend_streams import name_of
from ...values.errors import InvalidRequest, MelliteError
from ...values.event_json import events_of, events_written
from ...values.events import Event, Finish, ResponseStart
from ...values.message_json import written
from ...values.paths import path_of
from ...values.public_names import publish
from ...values.request import Request
from ...values.telling import log
from ...values.text_answer import Batch, Made, TextAnswer
from ...wire.http import HttpRequest
from .clocks import SYSTEM, Clock, checked_clock
from .relays import Watch, Watching
from .wrapper import Unsent, events_in, innermost

__all__ = ["Cached"]

_MOST: Final = 10_000  # answers in memory
_PLACES: Final = 256  # that requests go to, whose names are made once
_PATIENCE: Final = 5.0  # seconds that one process waits for another one that writes
_GOOD: Final = frozenset({"stop", "length", "tool-calls", "content-filter"})


class Cached(Watching):
    """A backend that caches whole answers of another one, and replays them for the same request.

    Requests are the same if provider, model, base URL, everything sent and the thunk's *lineage* are (copies of a thunk
    are meant to differ); keys do not count. Answers that broke off, failed or were cancelled are not kept. A replayed
    answer comes in the same pieces, with ``thunk.generation.replayed``.

    Args:
        backend: the backend to ask.
        path: an SQLite file, which several processes may share; None for memory.
        ttl: how long an answer is valid, in seconds; None for ever.
        clock: has ``now()``, ``wall()`` and ``async sleep(seconds)``; the system clock by default.

    Raises:
        InvalidRequest: for a `ttl` that is not a number above 0.
        ConfigurationError: if `backend` is not a backend.

    Example:
        >>> from mellite.backends import Scripted
        >>> backend = Cached(Scripted(["the first answer", "the second answer"]))
        >>> [backend.generate("Hello.").result() for _ in range(2)]
        ['the first answer', 'the first answer']
    """

    def __init__(
        self,
        backend: Any,
        path: str | os.PathLike[str] | None = None,
        *,
        ttl: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(backend)
        number = isinstance(ttl, (int, float)) and not isinstance(ttl, bool)
        if ttl is not None and not (number and 0 < ttl < math.inf):
            msg = f"'ttl' must be a number of seconds above 0, or None for ever, not {ttl!r}"
            raise InvalidRequest(msg, parameter="ttl")
        self._path = None if path is None else path_of(path)
        self._asked = innermost(backend)
        self._ttl = ttl
        self._clock = checked_clock(clock)
        self._store: _Store = _Memory() if self._path is None else _File(self._path)

    def _enter(self, request: Request) -> Watch | Unsent:
        """Return the answer that is kept; else what keeps the one that comes."""
        route = getattr(self._asked, "route", None)
        key = _key(self._backend, route, request)
        now = self._clock.wall()
        kept = None if key is None else self._store.find(key, -math.inf if self._ttl is None else now - self._ttl)
        if kept is None:
            return _Keeping(self._store, key, now)
        if route is not None:
            route.forget_ahead()
        return Unsent(_given(_again(kept)))

    async def aclose(self) -> None:
        """Close the file and whatever the inner backend holds open; both may be used again afterwards."""
        self._store.close()
        await super().aclose()

    def _arguments(self) -> Mapping[str, object]:
        given: dict[str, object] = {"path": self._path, "ttl": self._ttl}
        return given if self._clock is SYSTEM else {**given, "clock": self._clock}


async def _given(answer: Batch) -> AsyncGenerator[Batch, None]:
    yield answer


@final
class _Keeping(Watch):
    """Keeps an answer, once all of it has come."""

    __slots__ = ("_at", "_events", "_key", "_store", "_whole")

    def __init__(self, store: _Store, key: str | None, at: float) -> None:
        self._store = store
        self._key = key
        self._at = at
        self._events: list[Event] = []
        self._whole: TextAnswer | None = None

    def look(self, batch: Batch) -> None:
        """Keep events in mind."""
        if self._key is None:
            return
        if type(batch) is TextAnswer:  # all of it, again with what came before
            self._whole = batch
        else:
            self._events += batch

    def ended(self) -> None:
        """Keep the answer."""
        if self._whole is not None:
            self.see_whole(self._whole)
        elif self._key is not None and _is_whole(self._events):
            self._store.keep(self._key, self._at, self._events)

    def see_whole(self, answer: TextAnswer) -> None:
        """Keep the answer."""
        if self._key is not None:
            self._store.keep(self._key, self._at, answer)


def _is_whole(events: Sequence[Event]) -> bool:
    last = events[-1] if events else None
    return type(last) is Finish and last.reason in _GOOD


def _again(kept: Batch) -> Batch:
    """Return an answer that says that it was kept."""
    if type(kept) is TextAnswer:
        return TextAnswer(kept.text, Made(lambda: _marked(kept.events())))
    return _marked(events_in(kept))


def _marked(events: Sequence[Event]) -> list[Event]:
    for index, event in enumerate(events):
        if type(event) is ResponseStart:
            again = evolve(event, replayed=True, attempts=0, failures=None)
            return [*events[:index], again, *events[index + 1 :]]
    return [ResponseStart(replayed=True, attempts=0), *events]


# What the same request is


def _key(backend: Any, route: Any, request: Request) -> str | None:
    """Return what names a request; None for one that cannot be told from others."""
    try:
        asked = _described(backend, request) if route is None else _sent(route, request)
    except MelliteError:  # told by whoever is asked
        return None
    return hashlib.sha256(f"{request.metadata.get('lineage') or ()}\n".encode() + asked).hexdigest()


def _sent(route: Any, request: Request) -> bytes:
    """Return what is sent over a route, and where to, without a key."""
    http: HttpRequest = route.compiled_ahead(request).http
    return _where(route.provider, route.protocol.id, http.url) + http.body


@lru_cache(maxsize=_PLACES)
def _where(provider: str, protocol: str, url: str) -> bytes:
    return f"{provider}\n{protocol}\n{url.partition('?')[0]}\n".encode("utf-8", "surrogatepass")


def _described(backend: Any, request: Request) -> bytes:
    """Return what a backend without a route is asked."""
    asked = {
        "provider": f"{type(backend).__module__}.{type(backend).__qualname__}",
        "backend": name_of(backend),
        "model": request.model,
        "system": [part.text for part in request.system],
        "messages": [written(message) for message in request.messages],
        "tools": request.tools,
        "tool_choice": request.tool_choice,
        "options": request.options.given(),
        "provider_options": dict(request.provider_options),
        "output": request.output,
    }
    return json.dumps(asked, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")


# Where answers are kept


class _Store(Protocol):
    def find(self, key: str, since: float) -> Batch | None:
        """Return an answer that was kept since a moment."""
        ...

    def keep(self, key: str, at: float, answer: Batch) -> None:
        """Keep an answer."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@final
class _Memory:
    """The answers that were used last."""

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._kept: OrderedDict[str, tuple[float, Batch]] = OrderedDict()

    def find(self, key: str, since: float) -> Batch | None:
        """Return an answer that was kept since a moment."""
        if key not in self._kept:  # of two threads that ask for the same, both may send it anyhow
            return None
        with self._lock:
            at, answer = self._kept.get(key, (-math.inf, None))
            if answer is None or at <= since:
                return None
            self._kept.move_to_end(key)
            return answer

    def keep(self, key: str, at: float, answer: Batch) -> None:
        """Keep an answer."""
        with self._lock:
            self._kept[key] = (at, answer)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def close(self) -> None:
        """Keep what is kept."""


#: Connections of the processes before this one. Kept for ever: closed here, they would end the locks over there.
_inherited: Final[list[sqlite3.Connection]] = []


def _prepare(connection: sqlite3.Connection) -> None:
    """Make a database ready for answers.

    Raises:
        sqlite3.Error: if it is none.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, kept_at REAL NOT NULL, events TEXT NOT NULL)"
    )


def _release(connection: sqlite3.Connection, process: int, lock: AbstractContextManager[bool]) -> None:
    """Close a connection that was opened in some process, once nobody uses it."""
    with lock:
        if process == forking.process.number:
            connection.close()
        else:
            _inherited.append(connection)


@final
class _File:
    """An SQLite database. What goes wrong with it is said once, and costs no answer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = forking.lock()
        self._process = -1
        self._connection: sqlite3.Connection | None = None
        self._release: finalize[..., _File] | None = None  # also called where this is dropped, and as the program ends
        self._has_complained = False

    def _open(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None or self._process != forking.process.number:  # SQLite's must not cross a fork
            with suppress(FileExistsError):  # closing what SQLite has open here, too, would take its locks away
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False, isolation_level=None)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            if self._connection is not None and self._release is not None:
                self._release.detach()
                _inherited.append(self._connection)
            self._connection, self._process = connection, forking.process.number
            self._release = finalize(self, _release, connection, self._process, self._lock)
        return connection

    def find(self, key: str, since: float) -> Batch | None:
        """Return an answer that was kept since a moment."""
        try:
            with self._lock:
                row = self._open().execute("SELECT kept_at, events FROM answers WHERE key = ?", (key,)).fetchone()
            return None if row is None or row[0] <= since else events_of(json.loads(row[1]))
        except (sqlite3.Error, OSError, ValueError, TypeError, MelliteError) as error:
            self._complain(error)
            return None

    def keep(self, key: str, at: float, answer: Batch) -> None:
        """Keep an answer."""
        try:
            text = json.dumps(events_written(events_in(answer)), separators=(",", ":"))
            with self._lock:
                self._open().execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, at, text))
        except (sqlite3.Error, OSError, ValueError, TypeError, MelliteError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            said = "the cache %s cannot be used, and everything is asked anew: %s"
            log.warning("cache.failed", said, self._path, error, path=self._path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            release, self._release, self._connection = self._release, None, None
        if release is not None:
            release()


publish(globals(), "mellite", "Cached")
