"""The call that a thunk stands for: its request, backend and lineage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import evolve, field, frozen

from ..values.messages import Message
from ..values.public_names import publish
from ..values.request import Request
from ..values.telling_fields import fields_that_say_something

if TYPE_CHECKING:
    from ..values.events import Event

__all__ = ["CallInfo", "Streams", "share_type"]


@runtime_checkable
class Streams(Protocol):
    """The interface of a backend: one method that returns an async iterator of events."""

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Yield the events of the answer to a request, as they arrive."""
        ...


@frozen
class CallInfo:
    """The call that a thunk stands for; kept when the thunk is copied.

    Args:
        request: the request.
        backend: the backend to ask; shared by all copies.
        lineage: which copy of which copy this is; () for an original, (0, 2) for the third copy of the first copy.
    """

    request: Request
    backend: Streams
    lineage: tuple[int, ...] = field(default=(), kw_only=True)

    __rich_repr__ = fields_that_say_something

    @property
    def asked(self) -> Streams:
        """The backend that is finally asked: for a run, the one its steps ask."""
        asked: Streams = getattr(self.backend, "asked_for_steps", self.backend)
        return asked

    def on(self, backend: Streams) -> CallInfo:
        """Return the same call to another backend; for a run, its steps ask that one."""
        moved = getattr(self.backend, "with_steps_on", None)
        return evolve(self, backend=backend if moved is None else moved(backend))

    @property
    def action(self) -> Message | None:
        """The message to answer: the last one."""
        return self.request.messages[-1] if self.request.messages else None

    @property
    def context(self) -> tuple[Message, ...]:
        """The messages before the one to answer."""
        return self.request.messages[:-1]

    @property
    def model_options(self) -> Mapping[str, Any]:
        """The options that were given, by name."""
        return self.request.options.given()


def share_type(request: Request, memo: dict[int, object]) -> None:
    """Have deep copies of *request* share its output type: what annotates a type, as `msgspec.Meta`, may not be copied.

    A `Json` is data, and copied.
    """
    from ..values.outputs.by_schema import Json

    if not isinstance(request.output, Json):
        memo[id(request.output)] = request.output


publish(globals(), "mellite", "CallInfo")
