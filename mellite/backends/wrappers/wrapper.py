"""The base of all wrappers: they pass on what is not theirs, and are pickled by their arguments.

The events of an answer pass through wrappers in batches of those that arrive together, so that a delta costs a part of
a step and not a step for each wrapper around it. `batches_of` gets them from any backend.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Protocol, cast, final, get_args

from attrs import evolve

from ...thunk.backend import Backend
from ...values.backend_streams import iterator_of, name_of
from ...values.errors import ConfigurationError, InvalidProviderOutput
from ...values.events import Event, Finish
from ...values.options import Options, Timeouts
from ...values.request import Request
from ...values.text_answer import Batch, TextAnswer
from ...values.type_names import a_type_name

__all__ = [
    "Batched",
    "Unsent",
    "Wrapper",
    "batches_of",
    "events_in",
    "innermost",
    "is_batched",
    "one_by_one",
    "timeouts_of",
    "transport_of",
    "with_time_left",
]


class Batched(Protocol):
    """A backend that gives events in batches, such as `mellite.backends.LiveBackend` and every wrapper."""

    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the events of one answer.

        Args:
            once: whether to ask only once, without the backend's own retries.
        """
        ...


class Wrapper(Backend):
    """A backend around another one.

    Args:
        backend: the backend to ask.

    Raises:
        ConfigurationError: if that has no ``stream``.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = checked_backend(backend)

    @property
    def backend(self) -> Any:
        """The inner backend."""
        return self._backend

    @property
    def route(self) -> Any:
        """The route of the inner backend.

        Raises:
            AttributeError: if that has none.
        """
        return self._backend.route

    def prepare(self, request: Request) -> Any:
        """Return what the inner backend would send, without sending it.

        Raises:
            AttributeError: if that sends nothing.
            MelliteError: as its own ``prepare`` does.
        """
        return self._backend.prepare(request)

    @abstractmethod
    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the events of one answer in batches as they arrive; see `Batched`."""

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of the answer as they arrive."""
        return one_by_one(self.batches(request))

    def begin_pushing(self, request: Request, pump: Any, *, once: bool = False) -> Any:
        """Have a task pull batches; return None if `stream` was overridden."""
        del pump
        return Unsent(self.batches(request, once=once)) if self._can_push() else None

    def _can_push(self) -> bool:
        """Tell whether `batches` yields what `stream` does: not if a subclass, or a test, has overridden it."""
        return type(self).stream is _STREAM and "stream" not in self.__dict__

    def is_batched(self) -> bool:
        """Whether the inner backend yields events in batches, and this class has no ``stream`` of its own."""
        backend: Any = self
        while getattr(type(backend), "stream", None) is _STREAM:  # asked before each generation: one loop for all
            if "stream" in backend.__dict__:
                return False
            backend = backend.backend
        return not isinstance(backend, Wrapper) and is_batched(backend)

    @property
    def run_watchers(self) -> tuple[Any, ...]:
        """The observers that apply to runs that ask this backend; see `mellite.Hooked`."""
        found: tuple[Any, ...] = getattr(self._backend, "run_watchers", ())
        return found

    def transport_now(self) -> Any:
        """Return the transport that the inner backend would use now; None if it has none."""
        return transport_of(self._backend)

    @abstractmethod
    def _arguments(self) -> Mapping[str, object]:
        """Return the keyword arguments that make another one such as this."""

    def describe(self) -> str:
        """Return what to call this backend in messages and logs."""
        return name_of(self._backend)

    async def aclose(self) -> None:
        """Close what the inner backend holds open; it may be used again afterwards."""
        close = getattr(self._backend, "aclose", None)
        if close is not None:
            await close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self._inside(), dict(self._arguments()))

    def _inside(self) -> tuple[Any, ...]:
        """Return the backends, which are the positional arguments."""
        return (self._backend,)

    def __repr__(self) -> str:
        given = [*map(repr, self._inside()), *(f"{name}={value!r}" for name, value in self._arguments().items())]
        return f"{type(self).__name__}({', '.join(given)})"


_STREAM: Final = Wrapper.stream


def _made(kind: type[Wrapper], inside: tuple[Any, ...], arguments: Mapping[str, Any]) -> Wrapper:
    return kind(*inside, **arguments)


@final
class Unsent:
    """A generation that a task begins, and pulls; see `mellite.thunk.pushed.Flight`."""

    __slots__ = ("_batches",)

    is_sent = False

    def __init__(self, batches: AsyncGenerator[Batch, None]) -> None:
        self._batches = batches

    async def send(self) -> None:
        """Do nothing: `rest` gives all of it."""

    def resume(self) -> None:
        """Do nothing: nothing is pushed."""

    def rest(self) -> AsyncGenerator[Batch, None]:
        """Return all of it."""
        return self._batches

    def hand_over(self, sink: Any) -> None:
        """Do nothing: nothing is pushed."""

    def abort(self) -> None:
        """Do nothing: nothing is open."""


def checked_backend(backend: Any) -> Any:
    """Return a backend.

    Raises:
        ConfigurationError: if it has no ``stream``.
    """
    if not callable(getattr(backend, "stream", None)):
        hint = f"; write mellite.backend({backend!r:.60})" if isinstance(backend, str) else ""
        msg = f"a wrapper takes a backend, with a method stream(request); {type(backend).__name__} has none{hint}"
        raise ConfigurationError(msg)
    return backend


def innermost(backend: Any) -> Any:
    """Return the backend that wrappers of mellite stand around in the end, the first one of `FallbackTo`."""
    while isinstance(backend, Wrapper):
        backend = backend.backend
    return backend


def is_batched(backend: Any) -> bool:
    """Tell whether a backend gives batches."""
    asked = getattr(backend, "is_batched", None)
    return asked is not None and bool(asked())


def batches_of(backend: Any, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
    """Return the batches of any backend; one event each, where it gives events."""
    if is_batched(backend):
        return cast("Batched", backend).batches(request, once=once)
    if isinstance(backend, Wrapper) and getattr(backend.stream, "__func__", None) is Wrapper.stream:
        return backend.batches(request, once=once)
    return _in_ones(backend, request)


_EVENTS: Final = frozenset(get_args(Event))


async def _in_ones(backend: Any, request: Request) -> AsyncGenerator[Batch, None]:
    """Yield each event of a backend of any kind.

    Raises:
        BackendError: if it gives no async iterator.
        InvalidProviderOutput: for anything that is not an event, or comes after the end.
    """
    source = iterator_of(backend.stream(request), backend)
    has_ended = False
    try:
        async for event in source:
            kind = type(event)
            if has_ended or kind not in _EVENTS:
                did, when = ("sent", " after the finish event") if has_ended else ("yielded", "")
                said = f"{did} {a_type_name(kind)}{when}"
                msg = f"{name_of(backend)} {said}; a stream consists of mellite.events, and one Finish ends it"
                raise InvalidProviderOutput(msg)
            has_ended = kind is Finish
            yield (event,)
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def one_by_one(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Event, None]:
    """Yield the events in batches."""
    try:
        async for batch in batches:
            for event in events_in(batch):
                yield event
    finally:
        await batches.aclose()


def events_in(batch: Batch) -> Sequence[Event]:
    """Return the events of a batch."""
    return batch.events() if type(batch) is TextAnswer else batch


def transport_of(backend: Any) -> Any:
    """Return the transport that a backend would use now; None if it has none."""
    asked = getattr(backend, "transport_now", None)
    return None if asked is None else asked()


def timeouts_of(backend: Any, request: Request) -> Timeouts | None:
    """Return the timeouts of a call; None if none were given."""
    options = request.options
    route = getattr(backend, "route", None)
    return (options if route is None else route.options.merged(options)).timeouts


def with_time_left(backend: Any, request: Request, passed: float) -> Request:
    """Return a request with what is left of its total timeout after so many seconds; as it is, if it has none."""
    timeouts = timeouts_of(backend, request)
    if timeouts is None or timeouts.total is None or passed <= 0:
        return request
    left = evolve(timeouts, total=max(timeouts.total - passed, 0.001))
    return evolve(request, options=request.options.merged(Options.of({"timeouts": left})))
