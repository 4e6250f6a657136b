"""What hooks see of one generation: each event, and a settled copy of the thunk when it is over."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, final

from attrs import Factory, field, frozen

from ... import loops
from ...thunk.settled_copies import settled_copy
from ...values.backend_streams import name_of
from ...values.errors import HookFailed, InvalidProviderOutput
from ...values.events import Event
from ...values.request import Request
from ...values.text_answer import Batch, TextAnswer
from .hook_calls import ENDS, AnyHook, HookSet, coroutine_error

if TYPE_CHECKING:
    from ...thunk.settled_copies import Pump

__all__ = ["Lookers", "Notes", "failing", "passed", "passed_in_batches"]

#: How long hooks may take once a generation was cancelled, in seconds.
_CLOSING_SECONDS: Final = 5.0


def _want_the_end(lookers: Lookers) -> bool:
    return bool(lookers.on_error or lookers.after)


@final
@frozen(kw_only=True)
class Lookers:
    """The hooks that look at generations.

    Args:
        hooks: all that were put in force together.
        listeners: those that are shown each event.
        on_error: those that are called for a failure.
        after: those that are called at the end.
    """

    hooks: HookSet
    listeners: tuple[AnyHook, ...]
    on_error: tuple[AnyHook, ...]
    after: tuple[AnyHook, ...]

    #: Whether one is called at the end, with a copy.
    want_the_end: bool = field(init=False, default=Factory(_want_the_end, takes_self=True))

    @property
    def are_any(self) -> bool:
        """Whether there is one."""
        return bool(self.listeners) or self.want_the_end


@final
class Notes:
    """Shows one generation to hooks.

    Args:
        lookers: the hooks.
        backend: the one around which they are.
        request: what is asked, once the hooks in front have changed it.
        generation: the one that this is a part of, if any.
        keeps: whether to keep the events; not needed where the generation gets and keeps just those.

    Attributes:
        is_over: whether the hooks for the end have been called.
        keeps: whether events are kept.
        listeners: the hooks that are shown each event, without those that failed.
        request: what is asked.
    """

    __slots__ = (
        "_backend",
        "_events",
        "_generation",
        "_keeps_own",
        "_lookers",
        "is_over",
        "keeps",
        "listeners",
        "request",
    )

    def __init__(
        self, lookers: Lookers, backend: Any, request: Request, generation: Pump | None, *, keeps: bool
    ) -> None:
        self._lookers = lookers
        self._backend = backend
        self._generation = generation
        self._keeps_own = keeps or generation is None  # the events are not those of the generation
        self._events: list[Event] = []
        self.request = request
        self.keeps = keeps and lookers.want_the_end
        self.listeners = lookers.listeners
        self.is_over = False

    @property
    def looks(self) -> bool:
        """Whether there is something to do for each event."""
        return self.keeps or bool(self.listeners)

    # Events

    def look_at_once(self) -> Callable[[Sequence[Event]], None] | None:
        """Return what shows events to the hooks; None if there is nothing to do, or a hook has to be awaited."""
        return None if not self.looks or any(hook.is_async for hook in self.listeners) else self.look

    def look(self, events: Sequence[Event]) -> None:
        """Show events to the hooks, none of which is async.

        Raises:
            HookFailed: if one failed, and errors are raised.
        """
        if self.keeps:
            self._events += events
        for hook in self.listeners:
            self._show(hook, events)

    def _show(self, hook: AnyHook, events: Sequence[Event]) -> None:
        function, request, takes_one = hook.function, self.request, hook.most_arguments in (0, 1)
        try:
            for event in events:
                given = function(event) if takes_one else function(event, request)
                if given is not None and inspect.iscoroutine(given):
                    raise coroutine_error(given)
        except ENDS:
            raise
        except BaseException as error:
            self._leave_out(hook, error)

    def _leave_out(self, hook: AnyHook, error: BaseException) -> None:
        """Call a hook that failed no more in this generation."""
        self.listeners = tuple([each for each in self.listeners if each is not hook])
        self._lookers.hooks.failed(hook, error)

    async def look_on(self, events: Sequence[Event]) -> None:
        """Show events to the hooks.

        Raises:
            HookFailed: if one failed, and errors are raised.
        """
        if self.keeps:
            self._events += events
        for hook in self.listeners:
            if not hook.is_async:
                self._show(hook, events)
                continue
            try:
                for event in events:
                    await self._lookers.hooks.awaited(hook, event, self.request)
            except BaseException as error:
                if not self._lookers.hooks.is_failure(error):
                    raise
                self._leave_out(hook, error)

    # The end

    def _copy(
        self, text: TextAnswer | None = None, *, error: BaseException | None = None, cancelled: str | None = None
    ) -> Any:
        events: Sequence[Event] | TextAnswer
        if text is not None:
            events = text if self.request.output is str else text.events()
        else:
            events = self._events if self.keeps or self._generation is None else self._generation.events
        return settled_copy(
            self._backend, self.request, events, generation=self._generation, error=error, cancelled=cancelled
        )

    def _called(self, thunk: Any) -> list[tuple[AnyHook, tuple[object, ...]]]:
        lookers = self._lookers
        called: list[tuple[AnyHook, tuple[object, ...]]] = [(hook, (thunk,)) for hook in lookers.after]
        if lookers.on_error and thunk.state == "failed":
            called[:0] = [(hook, (thunk.error, thunk)) for hook in lookers.on_error]
        return called

    async def end(self, text: TextAnswer | None = None, **how: Any) -> HookFailed | None:
        """Call the hooks for the end; return the first failure, if errors are raised."""
        self.is_over = True
        failure: HookFailed | None = None
        if self._lookers.want_the_end:
            for hook, args in self._called(self._copy(text, **how)):
                try:
                    await self._lookers.hooks.call(hook, *args)
                except HookFailed as error:
                    failure = failure or error
        return failure

    def end_now(self, text: TextAnswer | None = None, **how: Any) -> HookFailed | None:
        """Call the hooks for the end that are not async; return the first failure, if errors are raised."""
        self.is_over = True
        failure: HookFailed | None = None
        if self._lookers.want_the_end:
            for hook, args in self._called(self._copy(text, **how)):
                if hook.is_async:
                    continue
                try:
                    self._lookers.hooks.call_now(hook, *args)
                except HookFailed as error:
                    failure = failure or error
        return failure

    async def end_with(self, text: TextAnswer, count: int) -> HookFailed | None:
        """Show hooks what follows so many events, and call those for the end; return the first failure."""
        if self.listeners:
            keeps, self.keeps = self.keeps, False
            await self.look_on(text.events()[count:])
            self.keeps = keeps
        return await self.end(text)

    async def finish(self) -> None:
        """Call the hooks for the end of a stream that has run to its end.

        Raises:
            HookFailed: if one failed, and errors are raised.
        """
        failure = None if self.is_over else await self.end()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # see "Cycles" in `mellite.thunk`

    async def break_off(self, error: BaseException, *, is_waiting: bool) -> None:
        """Call the hooks for the end of a generation that failed or was cancelled; what they raise is logged.

        Args:
            error: what ended it.
            is_waiting: whether it was ended from outside, between two events.
        """
        if self.is_over or isinstance(error, ENDS):
            return
        reason = self.cancel_reason
        failure: HookFailed | None
        if is_waiting and reason is None and isinstance(error, GeneratorExit) and not self._keeps_own:
            # Whoever reads it was given what it does not take: an event behind the end, or what is none.
            error = InvalidProviderOutput(f"{name_of(self._backend)} sent what makes no answer")
        if isinstance(error, Exception) and reason is None:
            failure = await self.end(error=error)
        elif isinstance(error, GeneratorExit) and not is_waiting:  # the loop is gone: nothing can be awaited any more
            failure = self.end_now(cancelled=reason or "event loop closed")
        else:
            failure = None
            with loops.move_on_after(_CLOSING_SECONDS, shield=True):
                failure = await self.end(cancelled=reason or "the stream was closed")
        self.log(failure)

    def cancel(self) -> None:
        """Call the hooks for the end of a generation that was cancelled, none of which is async."""
        if not self.is_over:
            self.log(self.end_now(cancelled=self.cancel_reason or "the stream was closed"))

    @property
    def cancel_reason(self) -> str | None:
        """Why cancellation has been asked for, if it has."""
        return None if self._generation is None else self._generation.cancel_reason

    def log(self, failure: HookFailed | None) -> None:
        """Log a failure that comes behind another one, or behind a cancellation."""
        for hook in (*self._lookers.on_error, *self._lookers.after) if failure is not None else ():
            if failure is not None and failure.hook == hook.name and failure.__cause__ is not None:
                self._lookers.hooks.log(hook, failure.__cause__)
                return


async def passed(
    source: Any, notes: Notes | None, *, opened: Callable[[], Awaitable[Any]] | None = None
) -> AsyncGenerator[Event, None]:
    """Yield events, and show them to hooks.

    Args:
        source: an async iterator.
        opened: gives the source, where that has to be awaited.
    """
    is_out = False
    try:
        if opened is not None:
            source = await opened()
        look = None if notes is None else notes.look_at_once()
        waits = notes is not None and look is None and notes.looks
        async for event in source:
            if look is not None:
                look((event,))
            elif waits and notes is not None:
                await notes.look_on((event,))
            is_out = True
            yield event
            is_out = False
        if notes is not None:
            await notes.finish()
    except BaseException as error:
        if notes is not None:
            await notes.break_off(error, is_waiting=is_out)
        raise
    finally:
        await _close(source)


async def passed_in_batches(
    source: Any, notes: Notes | None, *, opened: Callable[[], Awaitable[Any]] | None = None
) -> AsyncGenerator[Batch, None]:
    """Yield batches of events, and show them to hooks; as `passed` does with events."""
    is_out = False
    count = 0  # of the events so far
    try:
        if opened is not None:
            source = await opened()
        async for batch in source:
            if type(batch) is not TextAnswer:
                count += len(batch)
                if notes is not None and notes.looks:
                    await notes.look_on(batch)
            elif notes is not None:
                failure = await notes.end_with(batch, count)
                if failure is not None:
                    yield batch.events()[count:]
                    await failing(failure).__anext__()
            is_out = True
            yield batch
            is_out = False
        if notes is not None:
            await notes.finish()
    except BaseException as error:
        if notes is not None:
            await notes.break_off(error, is_waiting=is_out)
        raise
    finally:
        await _close(source)


async def _close(source: Any) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


async def failing(error: Exception) -> AsyncGenerator[Any, None]:
    """Raise an error, as the rest of a stream.

    Raises:
        Exception: the error.
    """
    try:
        raise error
        yield
    finally:
        del error  # see "Cycles" in `mellite.thunk`
