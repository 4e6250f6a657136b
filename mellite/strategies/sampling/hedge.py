"""Hedging: when a copy is late, start another; the first good answer wins, and the others are cancelled."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import Factory, field, frozen

from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk
from ...values.signatures import write_signature
from .budget import check_seconds
from .fallback import Models, backends_of, on_backend
from .round import Round
from .strategy import Strategy

__all__ = ["Hedge"]


def _optional(models: Models | None) -> tuple[Streams, ...]:
    return () if models is None or models == () else backends_of(models)


@frozen
class Hedge(Strategy):
    """Start another copy when the previous one has not answered in time; the first answer that passes wins.

    A copy that fails is replaced at once. Every late copy costs another one: choose ``after`` so that few are late,
    such as the 95th percentile of your response times. The other arguments are those of `Strategy`.

    Args:
        after: the seconds to wait for a copy before the next one starts.
        backends: the backends of the second copy, the third, and so on; further copies ask the last of them. By default
            the thunk's own.
        max_samples: the most copies; by default one more than `backends`, and at least 2.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Constant, Scripted
        >>> slow = Scripted(["much too late"], delay=60)
        >>> result = asyncio.run(Hedge(0.01, backends=Constant("in time")).sample(slow.generate("Quick!")))
        >>> result.value, [sample.status for sample in result.samples]
        ('in time', ['cancelled', 'passed'])
    """

    after: float
    backends: Sequence[Streams] = field(default=(), converter=_optional, kw_only=True)
    max_samples: int = field(
        default=Factory(lambda self: max(2, len(self.backends) + 1), takes_self=True), kw_only=True
    )
    concurrency: int = field(default=Factory(lambda self: self.max_samples, takes_self=True), kw_only=True)

    def _check_arguments(self) -> None:
        check_seconds("after", self.after)
        super()._check_arguments()

    def _copy(self, round: Round, thunk: AnyThunk) -> AnyThunk:
        copy = thunk.resample(1)[0]
        if not round.launched or not self.backends:
            return copy
        return on_backend(copy, self.backends[min(round.launched, len(self.backends)) - 1])

    def asked_backends(self, thunk: AnyThunk) -> Sequence[Streams]:
        return (thunk.call.asked, *self.backends)

    def _repeats(self) -> bool:
        return not self.backends

    async def _draw(self, round: Round, thunk: AnyThunk) -> None:
        outside = round.group
        async with anyio.create_task_group() as group:
            round.group = group
            while round.may_start():
                copy = self._copy(round, thunk)
                round.begin(copy)
                ended = round.state = anyio.Event()
                group.start_soon(round.guarded, self._race, round, copy)
                full = len(round.unfinished()) >= self.concurrency
                with anyio.move_on_after(None if full else self.after):
                    await ended.wait()
        round.group = outside
        round.raise_failure()

    async def _race(self, round: Round, copy: AnyThunk) -> None:
        try:
            if round.stopped is None:  # another copy may have answered before this task began
                await self._finish(round, copy)
        finally:
            round.state.set()


write_signature(Hedge, {"max_samples": "max(2, len(backends) + 1)", "concurrency": "max_samples"})
