"""Observers and interceptors of thunks, tools, runs and strategies: the seam for traces and hooks.

An `Observer` is told what begins and ends. An `Interceptor` stands between a thunk and its backend, and between a call
and its tool, and may answer in their place. Both apply to whatever is driven in a context (`using`), or in the whole
process (`install`). Some activate themselves when something shows that they are wanted: see `mellite.values.noticing`.
Without observers, a generation pays for one check.

Observers are called where the thing happens: in the thread of its loop, one at a time for one activity, and before
those who wait for it continue. They must not block. What they raise is logged and changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar, final

from attrs import evolve, field, frozen

from ..loops import forking
from ..values.errors import InvalidRequest
from ..values.noticing import noticing
from ..values.telling import log

if TYPE_CHECKING:
    from ..values.events import Event
    from ..values.messages import ToolCall, ToolResult
    from ..values.request import Request
    from .call import CallInfo, Streams
    from .lateness import Lateness, Later
    from .outcome import Outcome

__all__ = [
    "Activity",
    "Generation",
    "InForce",
    "Interceptor",
    "Kind",
    "Observer",
    "Opener",
    "ToolRunner",
    "activity",
    "become",
    "begin",
    "current",
    "enter",
    "here",
    "in_force",
    "install",
    "make_current",
    "set_in_force",
    "using",
]

#: What can be looked at. A "step" is one of `mellite.steps`; the steps of a run are its generations and tools.
Kind: TypeAlias = Literal["generation", "tool", "run", "sampling", "stream", "step"]


class Generation(Protocol):
    """One generation, as observers and interceptors see it: the subject of an activity of kind ``generation``.

    Attributes:
        call: the call of the thunk.
        request: the request to the backend; an interceptor may replace it.
        generation_id: the id of this generation in logs.
        outcome: the outcome; None until it has settled.
    """

    call: CallInfo
    request: Request
    generation_id: str
    outcome: Outcome | None


#: Opens the stream of events of a generation.
Opener: TypeAlias = "Callable[[Any], AsyncIterator[Event]]"

T = TypeVar("T")

#: Runs one call of a tool.
ToolRunner: TypeAlias = "Callable[[ToolCall], Awaitable[ToolResult]]"


class Observer:
    """An observer. Every method does nothing; a subclass overrides what it needs.

    `started` comes first and `settled` last, each once. `settled` comes before those who wait for it continue.
    """

    def started(self, activity: Activity) -> None:
        """Note that something begins: a thunk is driven, a tool is about to be called. Called in its loop's thread."""

    def entered(self, activity: Activity) -> Callable[[], object] | None:
        """Make something current for the code of a tool about to run; return a function that ends that, or None.

        Called after `started`, in the task that runs the tool; the returned function is called in that task, too,
        before `settled`.
        """

    def event(self, activity: Activity, event: Event) -> None:
        """Note an event of a generation. Override it only if needed: it costs a call for each delta."""

    def events(self, activity: Activity, events: Sequence[Event]) -> None:
        """Note events that came together, instead of `event`: one call for all; none for an answer in one piece."""

    def cut(self, activity: Activity, chunk: str) -> None:
        """Note that a stream with validation has cut a chunk off, which is about to be checked."""

    def chunk(self, activity: Activity, chunk: str, verdicts: Sequence[object]) -> None:
        """Note that a stream with validation has passed on a chunk, or that one failed; with its verdicts."""

    def validating(self, thunk: object, requirements: Sequence[object]) -> Later | None:
        """Note that a settled thunk is about to be checked; return an awaitable to wait for before that, or None."""

    def validated(self, activity: Activity | None, thunk: object, verdicts: Sequence[object]) -> Later | None:
        """Note the verdicts on a settled thunk; a verdict is None for a check that was not needed.

        Args:
            activity: the sampling, stream or other activity that the check is a part of, if any.

        Returns:
            An awaitable to wait for before anybody gets the verdicts, or None.
        """

    def settled(self, activity: Activity) -> None:
        """Note that it has ended: ``activity.result`` or ``activity.error`` says how."""


class Interceptor:
    """An interceptor. Each method passes on; a subclass does more, or answers itself."""

    def instead_of(self, kind: Kind, backend: Streams) -> Streams | None:  # noqa: ARG002 - for those who write it
        """Return the backend to ask instead of this one, behind all interceptors; None for the backend itself."""
        return None

    def wrap(self, kind: Kind, backend: Streams) -> Streams | None:  # noqa: ARG002 - for those who write it
        """Return a backend that wraps the one to ask, and may push as it does; None to have `stream` called.

        Args:
            kind: a "generation", or a "run", which only this wrapper intercepts.
        """
        return None

    def stream(self, generation: Any, proceed: Opener) -> AsyncIterator[Event]:
        """Return the events of a generation; ``proceed(generation)`` returns those of the next in line."""
        return proceed(generation)

    async def call_tool(self, call: ToolCall, proceed: ToolRunner) -> ToolResult:
        """Return the result of a call; ``await proceed(call)`` runs it."""
        return await proceed(call)

    async def run_tool(self, call: ToolCall, proceed: Callable[[], Awaitable[Any]], *, once: bool) -> Any:  # noqa: ARG002
        """Return what the code of a tool returns, now that its call is approved; OutcomeUnknown leaves it pending."""
        return await proceed()


@final
class Activity:
    """An activity under observation; made by `begin` and `activity`.

    Attributes:
        kind: what it is.
        subject: the generation, the `ToolCall`, the run, the strategy, the stream or the step.
        parent: the activity in which it was begun, if any.
        result: what came of it, at the end; for a generation see ``subject.outcome``.
        error: what it failed with; only while `Observer.settled` is told, so that no cycle is kept.
        late: what observers have left to be awaited; see `mellite.thunk.performing`.
    """

    __slots__ = (
        "_hearing",
        "_is_over",
        "_listeners",
        "_observers",
        "error",
        "kind",
        "late",
        "parent",
        "result",
        "subject",
    )

    def __init__(self, kind: Kind, subject: Any, parent: Activity | None, observers: tuple[Observer, ...]) -> None:
        self.kind = kind
        self.subject = subject
        self.parent = parent
        self.result: Any = None
        self.error: BaseException | None = None
        self._observers = observers
        told = observers if kind == "generation" else ()  # a run would tell of the events of its steps once more
        self._listeners = tuple([each for each in told if type(each).event is not Observer.event])
        self._hearing = tuple([each for each in told if type(each).events is not Observer.events])
        self._is_over = False
        self.late: Lateness | None = None

    @property
    def is_listened_to(self) -> bool:
        """Whether an observer wants each event."""
        return bool(self._listeners)

    @property
    def is_heard(self) -> bool:
        """Whether an observer wants events, one by one or together."""
        return bool(self._listeners or self._hearing)

    def events(self, events: Sequence[Event]) -> None:
        """Tell of events that came at once."""
        for observer in self._hearing:
            _tell(partial(observer.events, self, events))
        for observer in self._listeners:
            for event in events:
                _tell(partial(observer.event, self, event))

    def cut(self, chunk: str) -> None:
        """Tell of a chunk that is about to be judged."""
        for observer in self._observers:
            _tell(partial(observer.cut, self, chunk))

    def chunk(self, chunk: str, verdicts: Sequence[object] = ()) -> None:
        """Tell of a chunk that was judged."""
        for observer in self._observers:
            _tell(partial(observer.chunk, self, chunk, verdicts))

    def enter(self) -> Callable[[], None]:
        """Have the observers make current what they want for the code in this context; return what ends that."""
        left = [each for observer in self._observers if (each := _told(partial(observer.entered, self))) is not None]

        def leave() -> None:
            for each in reversed(left):
                _tell(each)

        return leave

    def settle(self, result: Any = None, error: BaseException | None = None) -> None:
        """Tell that it is over; a no-op the second time."""
        if self._is_over:
            return
        self._is_over = True
        self.result = self.result if result is None else result
        self.error = error
        for observer in reversed(self._observers):
            _tell(partial(observer.settled, self))
        self.error = None

    def __repr__(self) -> str:
        return f"<Activity {self.kind} {'over' if self._is_over else 'going on'}>"


def _told(call: Callable[[], T]) -> T | None:
    """Call an observer; return what it returns."""
    try:
        return call()
    except Exception:
        # What looks on must not change what happens.
        log.warning("observer.failed", "an observer raised; what it looks at goes on", raised=True)
        return None


#: Calls an observer.
_tell: Final[Callable[[Callable[[], object]], object]] = _told


# What is in force


@frozen
class InForce:
    """What is in force in a context: who looks on, and who stands in between, the outermost first.

    Args:
        observed: whether observers are told; not for the generation behind those that `mellite.share` hands out.
    """

    observers: tuple[Observer, ...] = ()
    interceptors: tuple[Interceptor, ...] = ()
    observed: bool = field(default=True, kw_only=True)

    def with_(self, *watchers: Observer | Interceptor) -> InForce:
        """Return what is in force once these are there, too."""
        return evolve(
            self,
            observers=(*self.observers, *[each for each in watchers if isinstance(each, Observer)]),
            interceptors=(*self.interceptors, *[each for each in watchers if isinstance(each, Interceptor)]),
        )

    def validating(self, thunk: object, requirements: Sequence[object]) -> list[Later]:
        """Tell that a settled thunk is about to be checked; return what is to be awaited before that."""
        found = [_told(partial(observer.validating, thunk, requirements)) for observer in self.observers]
        return [later for later in found if later is not None]

    def validated(self, thunk: object, verdicts: Sequence[object]) -> list[Later]:
        """Tell of the verdicts on a settled thunk; return what is to be awaited before anybody gets them."""
        found = [_told(partial(observer.validated, _current.get(), thunk, verdicts)) for observer in self.observers]
        return [later for later in found if later is not None]

    def begin(self, kind: Kind, subject: Any) -> Activity | None:
        """Announce an activity; return None without observers. The caller calls ``settle``."""
        if not (self.observers and self.observed):
            return None
        begun = Activity(kind, subject, _current.get(), self.observers)
        for observer in self.observers:
            _tell(partial(observer.started, begun))
        return begun

    def asked(self, kind: Kind, backend: Streams) -> tuple[Streams, Opener | None]:
        """Return who is asked in place of a backend; and what opens its stream, where there is more in between."""
        opened: Opener | None = None
        for interceptor in self.interceptors:
            backend = interceptor.instead_of(kind, backend) or backend
        for interceptor in self.interceptors:  # the innermost is asked first
            around = interceptor.wrap(kind, backend) if opened is None else None
            if around is not None:
                backend = around
            elif kind == "generation" and type(interceptor).stream is not Interceptor.stream:
                opened = partial(interceptor.stream, proceed=partial(_opened, backend) if opened is None else opened)
        return backend, opened


def _opened(backend: Streams, generation: Generation) -> AsyncIterator[Event]:
    return backend.stream(generation.request)


_NOTHING: Final = InForce()

#: What is in force in this context; None for nothing.
_here: Final[ContextVar[InForce | None]] = ContextVar("mellite_in_force", default=None)

#: The activity that this code is a part of, if it is looked at.
_current: Final[ContextVar[Activity | None]] = ContextVar("mellite_activity", default=None)


@final
class _Everywhere:
    """What is in force in the whole process. Read by any thread without a lock; `installing` is held to change it."""

    def __init__(self) -> None:
        self.installing = forking.rlock()
        self.watchers: tuple[Observer | Interceptor, ...] = ()
        self.noticed: object | None = None  # who came by themselves, one or a tuple of them
        self.in_force: InForce | None = None

    def change(self, watchers: tuple[Observer | Interceptor, ...]) -> None:
        """Replace the observers."""
        self.watchers = watchers
        noticed = self.noticed if isinstance(self.noticed, tuple) else (self.noticed,)
        found = [each for each in noticed if isinstance(each, (Observer, Interceptor)) and each not in watchers]
        both = (*found, *watchers)
        self.in_force = _NOTHING.with_(*both) if both else None

    def notice(self, found: object | None) -> None:
        """Put what was found in the place of those that came by themselves; they look on before all others."""
        with self.installing:
            if found is not self.noticed:
                self.noticed = found
                self.change(self.watchers)


_everywhere: Final = _Everywhere()


def in_force() -> InForce | None:
    """Return what is in force here: who came by itself, what was installed, what is near; None for nothing."""
    nearby = _here.get()
    noticed = noticing.find()
    if noticed is not _everywhere.noticed:
        _everywhere.notice(noticed)
    everywhere = _everywhere.in_force
    if everywhere is None:
        return nearby
    if nearby is None:
        return everywhere
    return evolve(
        nearby,
        observers=(*everywhere.observers, *nearby.observers),
        interceptors=(*everywhere.interceptors, *nearby.interceptors),
    )


def install(*watchers: Observer | Interceptor) -> Callable[[], None]:
    """Activate these in the whole process; return a function that removes them.

    Raises:
        InvalidRequest: for anything but an observer or an interceptor.
    """
    _check(watchers)
    with _everywhere.installing:
        _everywhere.change((*_everywhere.watchers, *watchers))

    def remove() -> None:
        with _everywhere.installing:
            _everywhere.change(tuple([each for each in _everywhere.watchers if each not in watchers]))

    return remove


@contextmanager
def using(*watchers: Observer | Interceptor) -> Generator[None]:
    """Activate these for whatever is driven inside the block, and in tasks started in it.

    Raises:
        InvalidRequest: for anything but an observer or an interceptor.
    """
    leave = enter(*watchers)
    try:
        yield
    finally:
        leave()


def enter(*watchers: Observer | Interceptor) -> Callable[[], None]:
    """Activate these in this context, as `using` does, until the returned function is called.

    Raises:
        InvalidRequest: as `using` does.
    """
    _check(watchers)
    before = _here.get()
    token = _here.set((_NOTHING if before is None else before).with_(*watchers))

    def leave() -> None:
        with suppress(ValueError):  # entered in another context, as fixtures do: it ends with that context
            _here.reset(token)

    return leave


def here() -> InForce | None:
    """Return what is active in this context alone, without what was installed for the process."""
    return _here.get()


def set_in_force(force: InForce | None) -> None:
    """Have this in force in the current context, in place of all that was."""
    _here.set(force)


def _check(watchers: Sequence[object]) -> None:
    for each in watchers:
        if not isinstance(each, (Observer, Interceptor)):
            msg = f"what looks on is an Observer or an Interceptor, not {type(each).__name__}"
            raise InvalidRequest(msg)


# What goes on


def current() -> Activity | None:
    """Return the activity that this code is a part of, if it is observed."""
    return _current.get()


def begin(kind: Kind, subject: Any) -> Activity | None:
    """Announce an activity, and return it for the code that settles it; None without observers."""
    force = in_force()
    return None if force is None else force.begin(kind, subject)


@contextmanager
def activity(kind: Kind, subject: Any) -> Generator[Activity | None]:
    """Announce that something begins and, at the end of the block, that it has ended; what begins inside is part of it.

    Gives the activity, to set its ``result``, or None without observers. For one task.
    """
    begun = begin(kind, subject)
    if begun is None:
        yield None
        return
    restore = make_current(begun)
    leave = begun.enter() if kind == "tool" else None
    failure: BaseException | None = None
    try:
        yield begun
    except BaseException as error:
        failure = error
        raise
    finally:
        if leave is not None:
            leave()
        restore()
        begun.settle(error=failure)
        del failure


def make_current(begun: Activity) -> Callable[[], None]:
    """Make what begins in this context a part of an activity, until the returned function is called."""
    token = _current.set(begun)

    def leave() -> None:
        with suppress(ValueError):  # closed in another context, by the garbage collector
            _current.reset(token)

    return leave


def become(begun: Activity) -> None:
    """Make what begins in the current context, from now on, a part of this activity."""
    _current.set(begun)
