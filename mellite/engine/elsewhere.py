"""An engine whose calls are made on workers: what stands in for each backend here, and settles the thunk in place.

Only calls of models travel. Runs, tools, strategies and checks stay in this process, where their functions are, and the
calls that they make go to workers one by one. All calls of a map pass through here on their way, so limits are kept
here, too, and hold across all workers: a call has its place before it is sent. A call that was lost with its worker
takes its place in the minute anew.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, final

from ..backends.wrappers.wrapper import Wrapper, batches_of
from ..loops.rates import asked_ago
from ..thunk.call import Streams
from ..thunk.observing import Interceptor, Kind
from ..thunk.thunk import AnyThunk
from ..values.errors import BackendError, InvalidRequest
from ..values.request import Request
from ..values.text_answer import Batch, Made, TextAnswer
from .crews import Crew, WorkerLost
from .dispatching import Dispatch
from .travelling import Travelling

__all__ = ["Elsewhere"]

#: How often a call is asked again because its worker was lost. It may be the call that is the end of the workers.
_LOSSES: Final = 4


@final
class Elsewhere(Interceptor):
    """Makes the calls of one map on workers; see `mellite.engine.engines.Engine`.

    Args:
        crew: the workers.
    """

    is_here = False

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._dispatch: Dispatch | None = None
        self._limits: Interceptor | None = None
        self._away: dict[int, _Away] = {}  # by the id of the backend, which it keeps

    def begin(self, concurrency: int, limits: Interceptor | None, wake: Callable[[], None]) -> tuple[Interceptor, ...]:
        """Look for the workers; return what stands between each thunk and its backend."""
        self._limits = limits
        self._dispatch = Dispatch(self._crew, concurrency, wake)
        self._dispatch.launch()
        return (self,)

    @property
    def _begun(self) -> Dispatch:
        if self._dispatch is None:
            msg = "the engine of a map is asked before the map has begun"
            raise InvalidRequest(msg)
        return self._dispatch

    @property
    def workers(self) -> int:
        """How many workers are at work."""
        return 0 if self._dispatch is None else self._dispatch.workers

    @property
    def room(self) -> int:
        """How many items may be begun and not settled: so many for each worker, and none before there is one."""
        return self._begun.room

    @property
    def trouble(self) -> Exception | None:
        """Why no calls can be made any more, such as a worker without a key."""
        return self._begun.trouble

    def check(self, thunk: AnyThunk) -> None:
        """Refuse a thunk whose backend cannot be sent."""
        trouble = self._begun.trouble
        if trouble is not None:
            raise trouble
        self._begun.check(thunk.call.asked)

    def check_value(self, value: object, name: str) -> None:
        """Refuse a strategy or requirement that cannot be sent."""
        Travelling().value(value, name)

    def close(self) -> None:
        """Have all calls stopped."""
        if self._dispatch is not None:
            self._dispatch.close()

    async def linger(self) -> None:
        """Wait until the workers have been told that the map is over."""
        if self._dispatch is not None:
            await self._dispatch.linger()

    def linger_in_thread(self) -> None:
        """Do as `linger` does, blocking the thread."""
        if self._dispatch is not None:
            self._dispatch.linger_in_thread()

    def instead_of(self, kind: Kind, backend: Streams) -> Streams | None:
        """Return what has a backend asked on a worker; for a run None, as its steps are sent one by one."""
        if kind != "generation":
            return None
        away = self._away.get(id(backend))
        if away is None:
            away = self._away[id(backend)] = _Away(backend, self._begun, self._limits)
        return away


@final
class _Away(Wrapper):
    """A backend that is asked on a worker, behind the limits, and once more if the worker is lost."""

    def __init__(self, backend: Any, dispatch: Dispatch, limits: Interceptor | None) -> None:
        super().__init__(backend)
        sent = _Sent(backend, dispatch)
        self._sent: Any = sent if limits is None else limits.wrap("generation", sent) or sent

    def is_batched(self) -> bool:
        """Whether events come in batches: they do."""
        return True

    async def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Send a call off, and yield all of its events when it is back."""
        del once
        for left in reversed(range(_LOSSES)):
            source = batches_of(self._sent, request)
            try:
                async for batch in source:
                    yield batch
                return
            except WorkerLost as lost:
                if not left:
                    msg = f"{_LOSSES} workers were lost, one after another, while they had this call: {lost}"
                    raise BackendError(msg) from lost
            finally:
                await source.aclose()

    def _arguments(self) -> Mapping[str, object]:
        return {}


@final
class _Sent(Wrapper):
    """A backend that is asked on a worker, once."""

    def __init__(self, backend: Any, dispatch: Dispatch) -> None:
        super().__init__(backend)
        self._dispatch = dispatch

    def is_batched(self) -> bool:
        """Whether events come in batches: they do."""
        return True

    async def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Send a call off, and yield all of its events when it is back."""
        del once
        call = self._dispatch.ask(self._backend, request)
        try:
            await call.waiter.wait()
        except BaseException:
            self._dispatch.withdraw(call)
            raise
        record, error = call.record, call.error
        if record is not None and record.events:
            asked_ago.set(record.took)  # for the rate in front of this: it was sent later than it was booked
            if record.text is not None and error is None:
                yield TextAnswer(record.text, Made(record.events.copy))
            else:
                yield record.events
        if error is not None:
            try:
                raise error.with_traceback(None)
            finally:
                del error, call  # the traceback refers to this frame

    def _arguments(self) -> Mapping[str, object]:
        return {}
