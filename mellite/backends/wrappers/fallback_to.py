"""Ask another backend where one fails before it has said anything."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any

from ...values.backend_streams import name_of
from ...values.errors import (
    CassetteError,
    ConfigurationError,
    ContextOverflow,
    InvalidRequest,
    PayloadTooLarge,
    RequestError,
    TotalTimeout,
)
from ...values.events import Event
from ...values.public_names import publish
from ...values.request import Request
from ...values.telling import log, reason_of
from ...values.text_answer import Batch
from .attempts import Attempts, Trial, until_something
from .clocks import SYSTEM
from .wrapper import Unsent, Wrapper, batches_of, checked_backend, with_time_left

__all__ = ["FallbackTo"]


class FallbackTo(Wrapper):
    """A backend that asks the next of several when one fails before any content of its answer was passed on.

    Content is text, thinking, tool input and tool calls; anything sent before it is dropped. It does not fall back on
    the caller's own mistakes: a malformed request, an unknown option, an expired total timeout, a cassette that does
    not fit. ``thunk.generation.provider`` says who answered, ``thunk.generation.failures`` why others did not.

    To choose another backend by what an answer *says*, use `mellite.Fallback` or `mellite.Escalate`, which sample.

    Args:
        backend: the first backend to ask.
        *others: the backends to ask next, in order.

    Raises:
        ConfigurationError: for anything that is not a backend.
        InvalidRequest: if no other backend is given.

    Example:
        >>> from mellite.backends import Constant, Failing
        >>> from mellite.errors import ProviderInternal
        >>> thunk = FallbackTo(Failing(ProviderInternal("down")), Constant("Hello.")).generate("Greet me.")
        >>> thunk.result(), thunk.generation.failures
        ('Hello.', (ProviderInternal('down'),))
    """

    def __init__(self, backend: Any, *others: Any) -> None:
        if isinstance(backend, (list, tuple)):
            msg = "FallbackTo takes backends one after the other, not a list of them: FallbackTo(*backends)"
            raise InvalidRequest(msg, parameter="backend")
        super().__init__(backend)
        if not others:
            msg = "FallbackTo needs a backend to fall back to: FallbackTo(first, second)"
            raise InvalidRequest(msg, parameter="others")
        self._all = (self._backend, *map(checked_backend, others))

    @property
    def backends(self) -> tuple[Any, ...]:
        """All backends, in order."""
        return self._all

    def batches(self, request: Request, *, once: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the events of the first backend that sends content, or of the last one."""
        return self._batches(request, None, SYSTEM.now(), once=once)

    def begin_pushing(self, request: Request, pump: Any, *, once: bool = False) -> Any:
        """Ask the first backend at once, if possible, and push its events."""
        if not self._can_push():
            return None
        others = partial(self._batches, request, pump, SYSTEM.now(), once=once)
        trial = Trial(pump, others)
        begin = getattr(self._backend, "begin_pushing", None)
        flight = None if begin is None else begin(request, trial, once=once)
        if flight is None:
            return Unsent(others())
        trial.flight = flight
        trial.is_sent = flight.is_sent
        return trial

    async def _batches(
        self,
        request: Request,
        reader: Any,
        began: float,
        first: AsyncGenerator[Batch, None] | None = None,
        held: Sequence[Event] = (),
        *,
        once: bool = False,
    ) -> AsyncGenerator[Batch, None]:
        """Yield the events of an answer; *first* is that of the first backend, if it was asked, with what it gave."""
        attempts = Attempts(reader, held)
        for backend in self._all:
            timely = with_time_left(backend, request, SYSTEM.now() - began)
            source, first = batches_of(backend, timely, once=once) if first is None else first, None
            failure: Exception | None = None
            try:
                failure, said = await until_something(attempts, source)
                if failure is not None and backend is not self._all[-1] and not _is_mistake(failure):
                    attempts.note(failure, backend)
                    _tell(failure, backend)
                    continue
                for batch in attempts.told(said):
                    yield batch
                if failure is not None:
                    raise failure
                async for batch in source:
                    yield batch
                return
            finally:
                failure = None  # see "Cycles" in `mellite.thunk`
                await source.aclose()

    async def aclose(self) -> None:
        """Close what all backends hold open."""
        for backend in self._all:
            close = getattr(backend, "aclose", None)
            if close is not None:
                await close()

    def _inside(self) -> tuple[Any, ...]:
        return self._all

    def _arguments(self) -> Mapping[str, object]:
        return {}


def _tell(failure: Exception, backend: object) -> None:
    reason, name = reason_of(failure), name_of(backend)
    said = "%s failed, and the next backend is asked: %s"
    log.info("backend.failed", said, name, reason, backend=name, reason=reason, error=type(failure).__name__)


def _is_mistake(error: Exception) -> bool:
    """Tell whether an error is the caller's, and would be the same with another backend."""
    if isinstance(error, (ContextOverflow, PayloadTooLarge)):
        return False  # another model may read more
    return isinstance(error, (RequestError, ConfigurationError, CassetteError, TotalTimeout))


publish(globals(), "mellite", "FallbackTo")
