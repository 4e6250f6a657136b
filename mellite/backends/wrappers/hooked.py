"""Hooks around one backend: requests that are changed, events that are looked at, the end that is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, final

from ...thunk.settled_copies import generation_here
from ...values.backend_streams import iterator_of
from ...values.errors import BackendError, HookFailed, InvalidRequest
from ...values.events import Event
from ...values.messages import Deferred
from ...values.public_names import publish
from ...values.request import Request
from ...values.text_answer import Batch
from .hook import checked_hooks
from .hook_arounds import events_around
from .hook_calls import AnyHook, HookMistake, HookSet
from .hook_notes import Lookers, Notes, failing, passed, passed_in_batches
from .hook_relays import HookRelay
from .hook_tools import tool_hooks
from .wrapper import Unsent, Wrapper, batches_of, is_batched, one_by_one

__all__ = ["Hooked", "hooked_by"]


class Hooked(Wrapper):
    """A backend with hooks of its own, which apply wherever its thunks are driven.

    Generation hooks are called for each request it gets: in ``Hooked(Retry(b), hook)`` once per generation, in
    ``Retry(Hooked(b, hook))`` once per attempt. Tool hooks apply to runs that ask it. For the other kinds use
    `mellite.hooks.use`.

    Args:
        backend: the backend to ask.
        *hooks: made by `mellite.hooks.before` and the like; the first one is the outermost.
        errors: what a failing hook does: "log" logs a warning that names it, and the call continues; "raise" fails the
            thunk with `mellite.errors.HookFailed`.

    Raises:
        InvalidRequest: for anything that is not a hook, and for a hook of another kind.
        ConfigurationError: if
            `backend` is not a backend.

    Example:
        >>> import mellite
        >>> from attrs import evolve
        >>> @mellite.hooks.before("generation")
        ... def be_polite(request):
        ...     return evolve(request, messages=[mellite.Message.user(f"Please: {request.text}")])
        >>> Hooked(mellite.backends.Echo(), be_polite).generate("sing").result()
        'Please: sing'
    """

    def __init__(self, backend: Any, *hooks: AnyHook, errors: Literal["log", "raise"] = "log") -> None:
        super().__init__(backend)
        checked = checked_hooks(hooks, errors)
        for hook in checked:
            for _, kind in hook.marks:
                if kind not in ("generation", "tool"):
                    msg = f"Hooked takes hooks of generations and tools; for {hook!r} take mellite.hooks.use"
                    raise InvalidRequest(msg, parameter="hooks")
        self._plan = Plan(HookSet(checked, errors), "generation")

    @property
    def hooks(self) -> tuple[AnyHook, ...]:
        """The hooks, outermost first."""
        return self._plan.hooks.hooks

    @property
    def run_watchers(self) -> tuple[Any, ...]:
        """The tool hooks, which apply to runs that ask this backend."""
        return (*super().run_watchers, *tool_hooks(self._plan.hooks))

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of the answer as they arrive."""
        if not self._plan.arounds and self.is_batched():
            return one_by_one(self.batches(request))
        generation = generation_here()
        events: AsyncGenerator[Event, None] = self._opened(request, generation, self._backend.stream, in_batches=False)
        return events

    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the events of the answer, in batches as they arrive."""
        return self._batches(request, generation_here(), once=once)

    def _batches(self, request: Request, generation: Any, *, once: bool) -> AsyncGenerator[Batch, None]:
        inner = self._inner(once=once)
        batches: AsyncGenerator[Batch, None] = self._opened(request, generation, inner, in_batches=True)
        return batches

    def is_batched(self) -> bool:
        """Whether the inner backend yields events in batches, and this class has no ``stream`` of its own."""
        return self._can_push() and is_batched(self._backend)

    def _can_push(self) -> bool:
        return type(self).stream is _STREAM and "stream" not in self.__dict__

    def _inner(self, *, once: bool) -> Callable[[Request], AsyncGenerator[Batch, None]]:
        return partial(batches_of, self._backend, once=once)

    def _opened(self, request: Request, generation: Any, inner: Callable[[Request], Any], *, in_batches: bool) -> Any:
        """Return the events of a request, or batches of them, with the hooks in between."""
        plan = self._plan
        if not plan.hooks.are_called_here():
            return inner(request)
        through: Callable[..., Any] = passed_in_batches if in_batches else passed
        whole = generation is not None and generation.gets_all_of(self)
        notes = plan.notes(self, request, keeps=not whole, generation=generation)
        if not (plan.arounds or plan.waits):
            try:
                asked = plan.asked_now(request, generation)
                source = inner(asked)
                if notes is None:
                    return source
                notes.request = asked
                return through(iterator_of(source, self._backend), notes)
            except (HookFailed, BackendError) as error:
                return through(failing(error), notes)

        async def opened() -> Any:
            asked = await plan.asked(request, generation)
            if notes is not None:
                notes.request = asked
            if not plan.arounds:
                return iterator_of(inner(asked), self._backend)
            events: Callable[[Request], Any] = inner
            if in_batches:
                events = _one_by_one_of(inner)
            around = events_around(plan.hooks, plan.arounds, events)(asked)
            return _in_ones(around) if in_batches else around

        return through(None, notes, opened=opened)

    # Pushing

    def begin_pushing(self, request: Request, pump: Any, *, once: bool = False) -> Any:
        """Call the "before" hooks, send at once, and push the events, if no hook has to be awaited."""
        plan = self._plan
        if plan.arounds or not self._can_push():
            return None  # event by event, as hooks around it want them
        begin = getattr(self._backend, "begin_pushing", None)
        if begin is not None and not plan.hooks.are_called_here():
            return begin(request, pump, once=once)
        generation = pump.generation
        if begin is None or plan.waits:
            return Unsent(self._batches(request, generation, once=once))
        notes = plan.notes(self, request, keeps=True, generation=generation)
        try:
            asked = plan.asked_now(request, generation)
        except HookFailed as error:
            return Unsent(passed_in_batches(failing(error), notes))
        if notes is None:
            sink = pump
        else:
            notes.request = asked
            sink = HookRelay(pump, notes)
        try:
            flight = begin(asked, sink, once=once)
        except Exception:  # its batches come across it again, and its error is told
            flight = None
        if flight is None:
            rest = self._inner(once=once)(asked)
            return Unsent(rest if notes is None else passed_in_batches(rest, notes))
        if notes is None:
            return flight
        sink.flight = flight
        sink.is_sent = flight.is_sent
        return sink

    def _inside(self) -> tuple[Any, ...]:
        return (self._backend, *self.hooks)

    def _arguments(self) -> Mapping[str, object]:
        return {"errors": self._plan.hooks.errors}


_STREAM: Final = Hooked.stream


class _HookedBy(Hooked):
    """A backend around which hooks stand that were put in force elsewhere."""

    def __init__(self, backend: Any, plan: Plan) -> None:
        self._backend = backend
        self._plan = plan


def hooked_by(plan: Plan, backend: Any) -> Hooked:
    """Return a backend with these hooks around it, for one generation or run."""
    return _HookedBy(backend, plan)


@final
class Plan:
    """Which hooks are called for a generation, or for a run, and when.

    Attributes:
        hooks: all that are in force together.
        arounds: those around it.
        waits: whether one has to be awaited, or may end it before it is over.
        is_empty: whether there are none.
    """

    __slots__ = ("_before", "_lookers", "arounds", "hooks", "is_empty", "kind", "waits")

    def __init__(self, hooks: HookSet, kind: Literal["generation", "run"]) -> None:
        self.hooks = hooks
        self.kind = kind
        self._before = hooks.of("before", kind)
        self.arounds = hooks.of("around", kind)
        looking = Lookers(
            hooks=hooks,
            listeners=hooks.of("on_event", kind),
            on_error=hooks.of("on_error", kind),
            after=hooks.of("after", kind),
        )
        self._lookers = looking if looking.are_any else None
        called = (*self._before, *looking.listeners, *looking.on_error, *looking.after)
        self.waits = any(hook.is_async for hook in called) or (hooks.is_raising and bool(looking.listeners))
        self.is_empty = not (called or self.arounds)

    def notes(self, backend: Any, request: Request, *, keeps: bool, generation: Any) -> Notes | None:
        """Return what shows the hooks a generation; None if they do not look."""
        lookers = self._lookers
        return None if lookers is None else Notes(lookers, backend, request, generation, keeps=keeps)

    async def asked(self, request: Request, generation: Any) -> Request:
        """Return what is asked once the hooks in front have been called.

        Raises:
            HookFailed: if one failed, and errors are raised.
        """
        asked = request
        for hook in self._before:
            asked = self._changed(hook, await self.hooks.call(hook, asked), asked)
        return _told(request, asked, generation)

    def asked_now(self, request: Request, generation: Any) -> Request:
        """Return what is asked once the hooks in front, none of which is async, have been called.

        Raises:
            HookFailed: if one failed, and errors are raised.
        """
        asked = request
        for hook in self._before:
            given = self.hooks.call_now(hook, asked)
            if given is not None:
                asked = self._changed(hook, given, asked)
        return asked if asked is request else _told(request, asked, generation)

    def _changed(self, hook: AnyHook, given: object, request: Request) -> Request:
        """Return what is asked once a hook has given this; in front of a run, hooks observe."""
        if given is None or self.kind == "run":
            return request
        changed = self.hooks.taken(hook, given, (Request,))
        if changed is None:
            return request
        if any(isinstance(part, Deferred) for message in changed.messages for part in message.content):
            self.hooks.failed(
                hook, HookMistake("it returned a request with a thunk in it: await that, and put its text")
            )
            return request
        return changed


def _told(request: Request, asked: Request, generation: Any) -> Request:
    """Tell the generation what is asked, for its log."""
    if asked is not request and generation is not None and generation.request is request:
        generation.request = asked
    return asked


def _one_by_one_of(inner: Callable[[Request], AsyncGenerator[Batch, None]]) -> Callable[[Request], Any]:
    def events(request: Request) -> AsyncGenerator[Event, None]:
        return one_by_one(inner(request))

    return events


async def _in_ones(events: AsyncIterator[Event]) -> AsyncGenerator[Batch, None]:
    try:
        async for event in events:
            yield (event,)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


publish(globals(), "mellite", "Hooked")
