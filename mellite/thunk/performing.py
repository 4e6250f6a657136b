"""Activities of async code, at whose begin and end observers may have something awaited."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, final

from .. import loops
from ..values.telling import log
from .audience import CLOSING_SECONDS
from .lateness import Lateness
from .observing import Activity, Kind, begin, make_current

__all__ = ["Performing"]


@final
class Performing:
    """A block that is an activity, for one task; what observers leave to be awaited is awaited at its begin and end.

    Gives the activity, to set its ``result``, or None if nobody looks on.
    """

    __slots__ = ("_begun", "_kind", "_leave", "_subject")

    def __init__(self, kind: Kind, subject: Any) -> None:
        self._kind: Final = kind
        self._subject = subject
        self._begun: Activity | None = None
        self._leave: Callable[[], None] | None = None

    async def __aenter__(self) -> Activity | None:
        self._begun = begun = begin(self._kind, self._subject)
        if begun is None:
            return None
        begun.late = begun.late or Lateness()
        try:
            await begun.late.check()
        except BaseException as error:
            begun.settle(error=error)
            raise
        self._leave = make_current(begun)
        return begun

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        begun, leave = self._begun, self._leave
        if begun is None or leave is None:
            return
        leave()
        begun.settle(error=error)
        late = begun.late
        if late is None or not (late.is_late or late.failure) or isinstance(error, GeneratorExit):
            return
        if error is None:
            await late.check()
            return
        with loops.move_on_after(CLOSING_SECONDS, shield=True):
            await late.catch_up()
        if late.failure is not None:  # the first error counts for more
            log.warning("observer.failed", "an observer raised after another error", raised=late.failure)
