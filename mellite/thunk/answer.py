"""The readable side of a thunk: its text, message, usage, cost and error, in every state."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from ..values.backend_streams import name_of
from ..values.errors import InvalidRequest
from ..values.messages import Deferred, Message, Part, Text, ToolCall
from ..values.pictured import Pictured
from ..values.plain_messages import message_of
from ..values.shortened import shortened
from .call import CallInfo

if TYPE_CHECKING:
    from decimal import Decimal

    from ..values.events import FinishReason
    from ..values.fold import Folded
    from ..values.portrait import Portrait
    from ..values.records import GenerateLog, GenerationMetadata, RawProviderResponse
    from ..values.usage import Usage
    from .outcome import Outcome, State
    from .pump import Pump

# What is only needed of a thunk that runs or has settled is imported then, as in `mellite.thunk`.

__all__ = ["Answer"]

T = TypeVar("T")

#: How many characters of a prompt or an answer a repr shows, and how many of an error.
_SHOWN_TEXT: Final = 40
_SHOWN_ERROR: Final = 120


class Answer(Deferred, Pictured, Generic[T]):
    """The readable side of a thunk; `mellite.ModelOutputThunk` is one.

    Every property may be read in every state, from any thread, and none of them generates anything.
    """

    __slots__ = ()

    _call: CallInfo

    @property
    def call(self) -> CallInfo:
        """The call that the thunk stands for: its request, backend and lineage."""
        return self._call

    @property
    def outcome(self) -> Outcome | None:
        """The whole outcome in one object, for code that judges thunks; None until the thunk has settled."""
        return self._settled()

    @property
    def state(self) -> State:
        """``pending``, ``running``, ``done``, ``failed`` or ``cancelled``."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.state
        return "pending" if self._in_flight() is None else "running"

    def is_computed(self) -> bool:
        """Return whether the thunk has settled: done, failed or cancelled."""
        return self._settled() is not None

    @property
    def value(self) -> str | None:
        """The text; None unless the thunk is done."""
        outcome = self._settled()
        return outcome.text if outcome is not None and outcome.state == "done" else None

    @property
    def text(self) -> str:
        """The text of a thunk that is done; as ``thunk.value``, but always a str.

        Raises:
            InvalidRequest: while it is pending or running; read `partial` for the text so far.
            MelliteError: what it failed with, or `GenerationCancelled`, as ``await thunk`` does.
        """
        outcome = self._settled()
        if outcome is None:
            msg = (
                f"this thunk is {self.state} and has no text yet: await it first; or, to make its answer part of a "
                "prompt, give the thunk itself, as in generate(['Summarise: ', thunk]), instead of an f-string"
            )
            raise InvalidRequest(msg)
        outcome.raise_error()
        return outcome.text

    @property
    def partial(self) -> str:
        """The text so far, in every state."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.text
        pump = self._in_flight()
        return "" if pump is None else pump.text_so_far()

    @property
    def parsed_repr(self) -> T | None:
        """The parsed value; None unless the thunk is done. The same as `value` if no output type was requested."""
        outcome = self._settled()
        return cast("T", outcome.parsed) if outcome is not None and outcome.state == "done" else None

    @property
    def thinking(self) -> str | None:
        """The model's thinking so far, as far as the provider shows it; None if there is none."""
        outcome = self._settled()
        return outcome.thinking if outcome is not None else self._so_far().thinking

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer."""
        outcome = self._settled()
        return outcome.tool_calls if outcome is not None else self._so_far().tool_calls

    @property
    def message(self) -> Message:
        """The assistant's message, to put in a history; until the thunk is done, what has arrived of it."""
        outcome = self._settled()
        parts: tuple[Part, ...] | None
        if outcome is None:
            parts = self._so_far().parts
        elif outcome.parts is None:
            parts = (Text(outcome.text),) if outcome.text else ()
        else:
            parts = outcome.parts
        return message_of("assistant", parts)

    @property
    def generation(self) -> GenerationMetadata:
        """Ids, model, usage, times and how it finished, as far as they are known."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.generation
        from .outcome import Clock, metadata_of

        pump = self._in_flight()
        id, clock = (pump.generation_id, pump.clock) if pump is not None else (None, Clock())
        return metadata_of(self._so_far(), self._call.request, id, clock)

    @property
    def usage(self) -> Usage | None:
        """The tokens used so far, as ``thunk.generation.usage``; None until the provider reports them."""
        return self.generation.usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in USD, as ``thunk.generation.cost_usd``; None when the price or the usage is unknown."""
        return self.generation.cost_usd

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended, as ``thunk.generation.finish_reason``; None until it has."""
        return self.generation.finish_reason

    @property
    def model(self) -> str | None:
        """The model that was asked, as ``thunk.generation.model``; None until a backend has chosen one."""
        return self.generation.model

    @property
    def raw(self) -> RawProviderResponse:
        """The provider's own answer; ``isinstance`` and ``match`` narrow it to its protocol's class."""
        outcome = self._settled()
        if outcome is not None:
            return outcome.raw
        from .outcome import raw_of

        return raw_of(self._so_far(), None)

    @property
    def error(self) -> Exception | None:
        """The error that made the generation fail; None otherwise, even if it was cancelled."""
        outcome = self._settled()
        return outcome.error if outcome is not None and outcome.state == "failed" else None

    @property
    def cancelled(self) -> bool:
        """Whether the generation was cancelled, by a consumer or by `cancel_generation`."""
        outcome = self._settled()
        return outcome is not None and outcome.state == "cancelled"

    @property
    def generate_log(self) -> GenerateLog | None:
        """The log entry of this generation; None until it is settled. A strategy may replace it."""
        outcome = self._settled()
        return outcome.generate_log(name_of(self._call.backend)) if outcome is not None else None

    @generate_log.setter
    def generate_log(self, log: GenerateLog) -> None:
        outcome = self._settled()
        if outcome is None:
            msg = "a thunk has a log once it is settled; await it first"
            raise InvalidRequest(msg)
        outcome.log = log

    def __repr__(self) -> str:
        state = self.state
        shown = []
        if state in ("pending", "failed"):
            shown.append(f"prompt={shortened(self._call.request.text, _SHOWN_TEXT)!r}")
        if state != "pending" and (state != "failed" or self.partial):
            shown.append(f"text={shortened(self.partial, _SHOWN_TEXT)!r}")
        error = self.error
        if error is not None:
            shown.append(f"error={type(error).__name__}({shortened(str(error), _SHOWN_ERROR)!r})")
        return f"<ModelOutputThunk {state} {' '.join(shown)}>"

    def _portrait(self) -> Portrait:
        from .portraying import portrait_of_thunk

        return portrait_of_thunk(self)

    def __format__(self, spec: str) -> str:
        """Format the text, so that an f-string holds the answer; ``!r`` and ``!s`` give the repr.

        Raises:
            InvalidRequest: while it is pending or running; and what `text` raises.
        """
        return format(self.text, spec)

    def deferred_text(self) -> str:
        """Return the text, for a prompt that the thunk is a part of; raise as `text` does."""
        return self.text

    def deferred_messages(self) -> tuple[Message, ...]:
        """Return the whole message, for a history that the thunk is a part of; raise as `text` does."""
        if self.state != "done":
            _ = self.text  # raises
        return (self.message,)

    # What the above is read from

    @abstractmethod
    def _settled(self) -> Outcome | None:
        """Return the outcome, once there is one."""

    @abstractmethod
    def _in_flight(self) -> Pump | None:
        """Return the generation while it runs."""

    def _so_far(self) -> Folded:
        """Fold what has arrived of a generation that has not settled."""
        from ..values.fold import fold

        pump = self._in_flight()
        return fold(list(pump.events) if pump is not None else [])
