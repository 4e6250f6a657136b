"""Calls of tools and functions in a journal: their results are kept, and what must run once runs once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, final

from attrs import define, evolve
from msgspec.structs import replace

from ...thunk import observing
from ...values.provider_json import Json
from .claims import Claims
from .contents import given_result, result_of, result_written
from .index import Call
from .json_values import as_raw
from .keys import tool_key
from .lines import Line

if TYPE_CHECKING:
    from ...values.messages import ToolCall, ToolResult
    from .book import Book
    from .runs import Runs

__all__ = ["ToolCalls"]


@define(eq=False)
class _Entry:
    """A call of a tool, while it goes on.

    Attributes:
        call: what the journal has of it; None before it is written.
        place: run, step, key, and the how-manieth.
    """

    place: tuple[str, int, str, int]
    call: Call | None = None


#: The call of a tool that this task runs, in each open journal.
_running: Final[ContextVar[Mapping[int, _Entry] | None]] = ContextVar("mellite_journal_tools", default=None)


@final
class ToolCalls:
    """Stands between runs and tools.

    Args:
        book: writes them down.
        claims: counts equal calls.
        runs: knows which run is which.
    """

    def __init__(self, book: Book, claims: Claims, runs: Runs) -> None:
        self._book = book
        self._claims = claims
        self._runs = runs
        self._known: dict[tuple[str, int, str, str], _Entry] = {}  # with the provider's id
        self.replayed = 0
        self.live = 0

    async def call(self, call: ToolCall, proceed: Callable[[ToolCall], Awaitable[ToolResult]]) -> ToolResult:
        """Return the result that is kept; else run the call, and keep it."""
        entry = self._entry(call)
        known = entry.call
        if known is not None and known.is_settled:
            self.replayed += 1
            return self._kept(known, call)
        running = _running.get() or {}
        token = _running.set({**running, id(self): entry})
        try:
            result = await proceed(call)
        finally:
            _running.reset(token)
        if entry.call is None:  # refused before it ran; given again, it counts as any other
            self._begin(entry, call, once=False)
            self.live += 1
        if entry.call is not None:
            self._book.settle(entry.call, {"result": result_written(result)})
            if entry.call.once or self._book.synced is not None:
                await self._book.sync()
        return result

    async def run(self, call: ToolCall, proceed: Callable[[], Awaitable[Any]], *, once: bool) -> Any:
        """Run the code of a tool; what must run once has its intent on the disk before.

        Raises:
            OutcomeUnknown: if it is run-once, and may have run.
        """
        entry = (_running.get() or {}).get(id(self))
        if entry is None:
            return await proceed()
        known = entry.call
        if known is not None and known.once and not known.is_settled:
            raise self._book.unknown(known)
        inherited = self._book.index.inherited.get(entry.place[2:]) if known is None else None
        if inherited is not None:
            raise self._book.unknown(self._begin(entry, call, once=True))
        self._begin(entry, call, once=once)
        if once:
            await self._book.sync()
        self.live += 1
        return await proceed()

    def _entry(self, call: ToolCall) -> _Entry:
        """Return the entry of a call: the one that it had when its run deferred it, or a new one."""
        run, step = self._runs.place_of(observing.current())
        arguments = call.arguments if call.arguments is not None else call.raw_arguments
        key = tool_key(run, step, call.name, arguments)
        again = self._known.get((run, step, key, call.id))
        if again is not None and (again.call is None or again.call.once):
            return again
        nth = self._claims.count("tool", key)
        entry = _Entry((run, step, key, nth), self._book.index.by_key.get((key, nth)))
        self._known[run, step, key, call.id] = entry
        return entry

    def _begin(self, entry: _Entry, call: ToolCall, *, once: bool) -> Call:
        run, step, key, nth = entry.place
        number = entry.call.number if entry.call is not None else self._book.next_number()
        arguments: Json = call.arguments if call.arguments is not None else call.raw_arguments
        body = {"arguments": self._book.packing.clean(arguments), "id": call.id}
        line = Line("begun", number, of="tool", key=key, nth=nth, name=call.name, once=once, run=run, step=step)
        entry.call = begun = self._book.begin(replace(line, body=as_raw(body)))
        return begun

    def _kept(self, known: Call, call: ToolCall) -> ToolResult:
        answer = self._book.answer(known)
        if "given" in answer:
            return given_result(call.id, call.name, answer["given"])
        result = result_of(answer["result"])
        same = (result.id, result.name) == (call.id, call.name)
        return result if same else evolve(result, id=call.id, name=call.name)
