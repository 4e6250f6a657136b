"""Hooks around generations and tools: what stands in between, and how a call goes on when that fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, final, get_args

from ...values.errors import HookFailed, InvalidRequest
from ...values.events import Event, Finish
from ...values.messages import ToolCall, ToolResult
from ...values.request import Request
from ...values.type_names import a_type_name
from .hook_calls import AnyHook, HookMistake, HookSet, inside

__all__ = ["events_around", "result_around"]

#: Opens the events of a request.
Opened: TypeAlias = Callable[[Request], AsyncIterator[Event]]

#: Runs a call of a tool.
Runs: TypeAlias = Callable[[ToolCall], Awaitable[ToolResult]]

_EVENTS: Final = frozenset(get_args(Event))


def events_around(hooks: HookSet, arounds: tuple[AnyHook, ...], opened: Opened) -> Opened:
    """Return what opens events with hooks around them, the first one outermost."""
    for hook in reversed(arounds):
        opened = partial(_around, hooks, hook, opened)
    return opened


async def _around(hooks: HookSet, hook: AnyHook, opened: Opened, request: Request) -> AsyncGenerator[Event, None]:
    """Yield the events that a hook gives; where it fails and that is logged, those that it had not given yet."""
    around = inside.get()
    within = around | hooks.alone
    proceed = _Proceed(opened, request, around, within)
    unsaid = proceed.unsaid
    source: Any = None
    is_finished = False
    try:
        try:
            source = _begun(hook, request, proceed)
            step = source.__anext__
            while True:
                inside.set(within)
                try:
                    event = await step()
                except StopAsyncIteration:
                    break
                finally:
                    inside.set(around)
                if is_finished or type(event) not in _EVENTS:
                    raise _misplaced(event, is_finished=is_finished)
                unsaid.clear()
                is_finished = type(event) is Finish
                yield event
            if not is_finished:
                msg = "it ended without a Finish event"
                raise HookMistake(msg)
        except BaseException as error:
            if error is proceed.error or isinstance(error, HookFailed) or not hooks.is_failure(error):
                raise
            await _closed(source)
            hooks.failed(hook, error)
            if proceed.error is not None:
                raise proceed.error from None
        else:
            return
        if not is_finished:
            async for event in proceed.rest():
                yield event
    finally:
        await _closed(source)
        await proceed.close()


def _begun(hook: AnyHook, request: Request, proceed: _Proceed) -> Any:
    source = hook.function(*(request, proceed)[: hook.most_arguments])
    if hasattr(source, "__anext__"):
        return source
    if hasattr(source, "close"):
        source.close()
    msg = f"it gave {a_type_name(type(source))}: write it as an async generator, with async def and yield"
    raise HookMistake(msg)


def _misplaced(event: object, *, is_finished: bool) -> HookMistake:
    behind = " after a Finish event" if is_finished else ""
    return HookMistake(f"it yielded {a_type_name(type(event))}{behind}: it yields mellite.events, and one Finish last")


async def _closed(source: Any) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


@final
class _Proceed:
    """Opens the events behind a hook; what ``proceed`` is.

    Attributes:
        unsaid: the events that the hook was given since it last gave one.
        error: what the events behind it failed with.
        around: what is inside for the code behind the hook.
        within: what is inside for the code of the hook.
    """

    __slots__ = ("_latest", "_opened", "_request", "around", "error", "unsaid", "within")

    def __init__(
        self, opened: Opened, request: Request, around: frozenset[HookSet], within: frozenset[HookSet]
    ) -> None:
        self._opened = opened
        self._request = request
        self._latest: list[_Behind] = []
        self.unsaid: list[Event] = []
        self.error: Exception | None = None
        self.around = around
        self.within = within

    def __call__(self, request: Request | None = None) -> AsyncIterator[Event]:
        """Return the events of a request, by default of the one that the hook was called with."""
        asked = self._request if request is None else request
        if not isinstance(asked, Request):
            msg = f"proceed takes a mellite.Request, not {type(request).__name__}"
            raise InvalidRequest(msg, parameter="request")
        behind = _Behind(self, self._opened(asked))
        self._latest.append(behind)
        self.unsaid.clear()
        self.error = None
        return behind

    async def rest(self) -> AsyncGenerator[Event, None]:
        """Yield what the hook has not answered, and what it was not given; all, if it asked for nothing."""
        for event in self.unsaid:
            yield event
        if not self._latest:
            self(None)
        self.within = self.around
        latest = self._latest[-1]
        if not latest.is_over:
            async for event in latest:
                yield event

    async def close(self) -> None:
        """Close whatever was opened."""
        self.unsaid.clear()
        self.error = None
        for behind in self._latest:
            await behind.close()


@final
class _Behind(AsyncIterator[Event]):
    """The events behind a hook, from one call of ``proceed``. They are closed when the hook is over."""

    __slots__ = ("_proceed", "_source", "is_over")

    def __init__(self, proceed: _Proceed, source: AsyncIterator[Event]) -> None:
        self._proceed = proceed
        self._source = source
        self.is_over = False

    async def __anext__(self) -> Event:
        proceed = self._proceed
        inside.set(proceed.around)
        try:
            event = await self._source.__anext__()
        except StopAsyncIteration:
            self.is_over = True
            raise
        except Exception as error:
            self.is_over = True
            proceed.error = error
            raise
        finally:
            inside.set(proceed.within)
        proceed.unsaid.append(event)
        return event

    async def aclose(self) -> None:
        """Do nothing yet: if the hook fails, the rest is wanted."""

    async def close(self) -> None:
        """Close the events."""
        await _closed(self._source)


# Tools


async def result_around(hooks: HookSet, arounds: tuple[AnyHook, ...], run: Runs, call: ToolCall) -> ToolResult:
    """Run a call with hooks around it, the first one outermost."""
    for hook in reversed(arounds):
        run = partial(_run_around, hooks, hook, run)
    return await run(call)


async def _run_around(hooks: HookSet, hook: AnyHook, run: Runs, call: ToolCall) -> ToolResult:
    around = inside.get()
    within = around | hooks.alone
    results: list[ToolResult] = []
    errors: list[Exception] = []

    async def proceed(handed: ToolCall | None = None) -> ToolResult:
        asked = call if handed is None else handed
        if not isinstance(asked, ToolCall):
            msg = f"proceed takes a mellite.ToolCall, not {type(handed).__name__}"
            raise InvalidRequest(msg, parameter="call")
        inside.set(around)
        try:
            results[:] = [await run(asked)]
        except Exception as error:
            errors[:] = [error]
            raise
        finally:
            inside.set(within)
        return results[0]

    inside.set(within)
    try:
        given = hook.function(*(call, proceed)[: hook.most_arguments])
        if not isinstance(given, ToolResult):
            if not isinstance(given, Awaitable):
                msg = f"it returned {a_type_name(type(given))}: write it with async def"
                raise HookMistake(msg)
            given = await given
        if not isinstance(given, ToolResult):
            msg = f"it returned {a_type_name(type(given))}, and not a ToolResult"
            raise HookMistake(msg)
    except BaseException as error:
        if error in errors or isinstance(error, HookFailed) or not hooks.is_failure(error):
            raise
        hooks.failed(hook, error)
        if errors:
            raise errors[0] from None
        if results:
            return results[0]
    else:
        return given
    finally:
        inside.set(around)
        errors.clear()  # see "Cycles" in `mellite.thunk`
    return await run(call)
