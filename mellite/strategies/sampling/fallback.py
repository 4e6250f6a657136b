"""Fallback and escalation: ask one model after another until an answer passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeAlias, cast

from attrs import Factory, evolve, field, frozen

from ...backends.asking import named
from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest
from ...values.signatures import write_signature
from .round import Round
from .strategy import Strategy

__all__ = ["Escalate", "Fallback", "Models", "on_backend"]

#: A backend, its name as for ``mellite.backend``, or several of them.
Models: TypeAlias = "Streams | str | Iterable[Streams | str]"


def backends_of(models: Models) -> tuple[Streams, ...]:
    """Return backends for what a caller wrote as one or several.

    Raises:
        InvalidRequest: if one is not a backend, or there is none at all.
        ConfigurationError: for a name that ``mellite.backend`` does not know.
    """
    several = isinstance(models, Iterable) and not isinstance(models, str) and not hasattr(models, "stream")
    listed: list[Any] = list(cast("Iterable[Any]", models)) if several else [models]
    if not listed:
        msg = "name at least one backend"
        raise InvalidRequest(msg, parameter="backends")
    found = [named(model) if isinstance(model, str) else model for model in listed]
    for model in found:
        if not callable(getattr(model, "stream", None)):
            msg = f"a backend has a method stream(request); {type(model).__name__} has none"
            raise InvalidRequest(msg, parameter="backends")
    return tuple(found)


def on_backend(copy: AnyThunk, backend: Streams) -> AnyThunk:
    """Return a thunk of the same lineage that asks another backend.

    The model's name and the raw HTTP additions, which may hold a key, are dropped: they are meant for the first one.
    """
    call = copy.call
    if backend is call.asked:
        return copy
    return type(copy)(evolve(call.on(backend), request=evolve(call.request, model=None, http=None)))


@frozen
class Fallback(Strategy):
    """Ask the thunk's own backend, then each of the others in turn, until an answer passes.

    An error and a failed check both lead to the next backend. Without requirements, the first answer is taken. Each
    backend gets one attempt; ``inner=RejectionSampling(...)`` gives it several. The other arguments are those of
    `Strategy`.

    Args:
        backends: the backends to ask when the thunk's own fails: a backend, a name such as ``openai:gpt-4o-mini``, or
            several. If the thunk's own backend is among them, they are asked in exactly this order. A backend made from
            a name lives as long as the strategy, its connections as long as their event loop.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Constant, Failing
        >>> from mellite.errors import ConnectError
        >>> thunk = Failing(ConnectError("nobody is there")).generate("Hello?")
        >>> result = asyncio.run(Fallback(Constant("Here!")).sample(thunk))
        >>> result.value, [sample.status for sample in result.samples]
        ('Here!', ['failed', 'passed'])
    """

    backends: Sequence[Streams] = field(converter=backends_of)
    max_samples: int = field(default=Factory(lambda self: len(self.backends) + 1, takes_self=True), kw_only=True)

    def asked_backends(self, thunk: AnyThunk) -> Sequence[Streams]:
        own = thunk.call.asked
        return self.backends if any(each is own for each in self.backends) else (own, *self.backends)

    def _attempts(self, thunk: AnyThunk) -> int:
        return min(self.max_samples, len(self.asked_backends(thunk)))

    def _repeats(self) -> bool:
        return False

    def _copy(self, round: Round, thunk: AnyThunk) -> AnyThunk:
        return on_backend(thunk.resample(1)[0], self.asked_backends(thunk)[round.launched])


@frozen
class Escalate(Fallback):
    """Ask a fast model first, and a slower, better one only if the fast answer fails its checks.

    Like `Fallback`, but requirements are needed: without them, no answer is ever judged not good enough.

    Args:
        backends: the slower model or models; the thunk's own backend is the fast one.

    Example:
        >>> import asyncio
        >>> from mellite import Requirement
        >>> from mellite.backends import Constant
        >>> sure = Requirement("a clear answer", lambda thunk: "not sure" not in thunk.value)
        >>> thunk = Constant("I am not sure.").generate("Is it safe?")
        >>> asyncio.run(Escalate(Constant("No.")).sample(thunk, [sure])).value
        'No.'
    """

    _needs_requirements: ClassVar[bool] = True


write_signature(Fallback, {"max_samples": "len(backends) + 1"})
write_signature(Escalate, {"max_samples": "len(backends) + 1"})
