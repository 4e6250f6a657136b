"""The line to one MCP server: a task of its own, which others ask over a channel.

The mcp package ends a connection by cancelling the task that is in its block, and whatever is raised there comes out as
an ExceptionGroup. So the block is in a task that does nothing else. Those who ask it wait for an answer in their own
tasks, in any loop, and can only be told that none came.
"""

from __future__ import annotations

import contextvars
import copy
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import anyio

from ... import loops
from ...loops.detection import forget_library
from ...values.errors import ConnectionLost, MelliteError, TotalTimeout
from .groups import decisive

if TYPE_CHECKING:
    import mcp
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream

__all__ = ["Explain", "Line"]

T = TypeVar("T")

#: Returns the error of ours for an exception of the mcp package's.
Explain = Callable[[Exception], Awaitable[MelliteError]]

#: How long the end of a connection may take, in seconds. The mcp package gives a server 5 s to take the last message
#: and 2 s to end, and as much again after SIGTERM and after SIGKILL.
_ENDING_TIME: Final = 12.0


@final
class _Question(Generic[T]):
    """A question to the server: put to it in the task of the line, and awaited where it was asked."""

    def __init__(self, ask: Callable[[mcp.Client], Awaitable[T]]) -> None:
        self.ask = ask
        self.context = contextvars.copy_context()  # so that the span of the request is below the current one
        self.context.run(forget_library)  # the loop of the line may be of the other kind
        self.waiter = loops.waiter()
        self.given_up = False
        self.answers: list[T] = []
        self.error: MelliteError | None = None
        self._scope: anyio.CancelScope | None = None

    @property
    def settled(self) -> bool:
        """Whether there is an answer, or an error instead."""
        return bool(self.answers) or self.error is not None

    async def put(self, client: mcp.Client, explain: Explain) -> None:
        """Ask the server; if the answer is given up meanwhile, mcp tells it so."""
        if self.given_up:
            return
        try:
            with anyio.CancelScope() as self._scope:
                self.answers.append(await self.ask(client))
        except Exception as error:
            self.error = await explain(error)
        self._scope = None
        if self.settled:  # the line tells the others when it has ended
            self.waiter.wake()

    def fail(self, error: MelliteError) -> None:
        """Settle with an error, unless it is settled."""
        if not self.settled:
            self.error = error
            self.waiter.wake()

    def give_up(self) -> None:
        """Stop asking; called in the loop of the line."""
        self.given_up = True
        if self._scope is not None:
            self._scope.cancel()


@final
class Line:
    """The connection to one server, which begins at once, in the running loop.

    Args:
        opened: makes the context manager that holds the connection; entered and left in the task of the line.
        explain: what an exception of the mcp package's means.
        label: the name of the server, for errors.
    """

    def __init__(
        self, opened: Callable[[], AbstractAsyncContextManager[mcp.Client]], explain: Explain, label: str
    ) -> None:
        self._opened = opened
        self._explain = explain
        self._label = label
        self._loop = loops.current()
        self._state = _State()
        self._asked: set[_Question[Any]] = set()
        self._send, receive = anyio.create_memory_object_stream[_Question[Any]](math.inf)
        self._loop.spawn(lambda: self._main(receive), self._over)

    # --- the task of the line ---------------------------------------------------------------------------

    async def _main(self, receive: MemoryObjectReceiveStream[_Question[Any]]) -> None:
        state = self._state
        try:
            with anyio.CancelScope() as state.scope, receive:
                if state.unwanted:
                    return
                async with self._opened() as client, anyio.create_task_group() as group:
                    state.open = True
                    await self._serve(client, receive, group)
        except Exception as error:
            state.why = await self._explain(error)
        except BaseExceptionGroup as group:  # the loop is ending this task, and something else went wrong as well
            raise decisive(group) from None

    async def _serve(
        self, client: mcp.Client, receive: MemoryObjectReceiveStream[_Question[Any]], group: TaskGroup
    ) -> None:
        async for question in receive:
            question.context.run(group.start_soon, question.put, client, self._explain)
        group.cancel_scope.cancel()

    def _over(self) -> None:
        self._state.over = True
        self._send.close()
        for question in list(self._asked):
            question.fail(self._lost())
        for waiter in self._state.ending:
            waiter.wake()

    def _lost(self) -> MelliteError:
        """Return why there is no answer; a new object each time, as each gets a traceback of its own."""
        if self._state.why is not None:
            return copy.copy(self._state.why)
        return ConnectionLost(f"the connection to the MCP server {self._label} is over")

    # --- those who ask ----------------------------------------------------------------------------------

    async def ask(self, what: Callable[[mcp.Client], Awaitable[T]], timeout: float, asked: str) -> T:
        """Have the server asked, and return its answer. From any loop.

        Args:
            what: asks, given the client of the mcp package; called in the task of the line.
            timeout: how long to wait, in seconds.
            asked: what is asked for, for the error.

        Raises:
            TotalTimeout: if no answer came in time; the server is told that none is wanted any more.
            MelliteError: for whatever else went wrong.
        """
        question = _Question(what)
        if not self._loop.call_soon(self._accept, question):
            raise self._lost()
        try:
            with loops.move_on_after(timeout):
                await question.waiter.wait()
        finally:
            self._loop.call_soon(self._forget, question)
        if question.answers:
            return question.answers[0]
        if question.error is not None:
            raise question.error
        msg = f"the MCP server {self._label} did not answer {asked} within {timeout:g} s"
        raise TotalTimeout(msg)

    def _accept(self, question: _Question[Any]) -> None:
        if self._state.over or self._state.unwanted:
            question.fail(self._lost())
        else:
            self._asked.add(question)
            self._send.send_nowait(question)

    def _forget(self, question: _Question[Any]) -> None:
        self._asked.discard(question)
        if not question.settled:
            question.give_up()

    async def end(self) -> None:
        """End the connection, and wait until that is done, also while being cancelled. Idempotent; from any loop."""
        waiter = loops.waiter()
        if not self._loop.call_soon(self._end, waiter):
            return
        with loops.move_on_after(_ENDING_TIME, shield=True):
            await waiter.wait()
        self._loop.call_soon(self._drop)

    def _end(self, waiter: loops.Waiter) -> None:
        state = self._state
        if state.over:
            waiter.wake()
            return
        state.ending.append(waiter)
        state.unwanted = True
        if state.open:
            self._send.close()
        elif state.scope is not None:
            state.scope.cancel()

    def _drop(self) -> None:
        """Give up ending it in good order."""
        if self._state.scope is not None:
            self._state.scope.cancel()


@final
class _State:
    """The state of a line; touched in its loop only."""

    def __init__(self) -> None:
        self.open = False
        self.unwanted = False
        self.over = False
        self.why: MelliteError | None = None
        self.scope: anyio.CancelScope | None = None
        self.ending: list[loops.Waiter] = []
