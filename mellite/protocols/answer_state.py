"""The state that the parsers of all protocols share for one answer, and how every answer ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..values.errors import IncompleteStream
from ..values.events import Event, Finish, FinishReason, ResponseStart, StepFinish, StepStart
from ..values.provider_json import Json
from ..values.usage import Usage

__all__ = ["AnswerState"]


class AnswerState:
    """The state of a parser in one answer, whatever the protocol.

    Attributes:
        complete: all that the answer needs has come. Usage may follow; content that follows takes this back.
        done: the end has come.
        started: the events of the answer have begun.
        response_id: the provider's id of the answer, once it is known.
        response_model: the model that answers, in the provider's word, once it is known.
        usage: the last usage that says something.
    """

    __slots__ = ("complete", "done", "response_id", "response_model", "started", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.done = False
        self.started = False
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.usage: Usage | None = None

    @property
    def counts(self) -> Usage | None:
        """The usage so far."""
        return self.usage

    @property
    def is_under_way(self) -> bool:
        """Whether anything of the answer has come."""
        return self.started or bool(self.response_id)

    def begin(self, events: list[Event]) -> None:
        """Begin the step, unless it has begun."""
        if not self.started:
            self.started = True
            events.append(StepStart())

    def identify(self, id: Json, model: Json, events: list[Event]) -> None:
        """Tell which answer of which model this is, as soon as it is known."""
        new_id = id if type(id) is str and id and self.response_id is None else None
        new_model = model if type(model) is str and model and self.response_model is None else None
        if new_id or new_model:
            self.response_id = new_id or self.response_id
            self.response_model = new_model or self.response_model
            events.append(ResponseStart(response_id=new_id, response_model=new_model))

    def use(self, report: Json, read: Callable[[Mapping[str, Json]], Usage]) -> None:
        """Note a report of usage; one that says nothing changes nothing.

        Args:
            report: what the provider has sent; anything but an object says nothing.
            read: the protocol's `usage_of`.
        """
        if isinstance(report, dict) and report:
            earlier, usage = self.counts, read(report)
            self.usage = usage if earlier is None else usage.replacing(earlier)

    def broken_off(self, *, before: str = "its finish reason") -> IncompleteStream:
        """Return the error for a stream that ended too early; `before` is what should have come."""
        what = f"broke off before {before}" if self.is_under_way else "ended before it began"
        return IncompleteStream(f"the answer {what}; what came of it is in .partial", usage=self.counts)

    def end(
        self,
        reason: FinishReason,
        word: str | None,
        events: list[Event],
        *,
        response: Json,
        refusal: str | None = None,
        logprobs: Json = None,
    ) -> None:
        """Mark the answer as done and put its last two events behind `events`.

        Args:
            reason: why the answer ended, in mellite's word.
            word: the same in the provider's word.
            events: what the answer stands for so far.
            response: the whole answer, as the provider sends one in one piece.
            refusal: what the model, or a filter, said in place of an answer.
            logprobs: the log probabilities, as the provider has them.
        """
        self.complete = self.done = True
        usage = self.counts
        events.append(StepFinish(0, reason=reason, raw_reason=word, usage=usage))
        events.append(
            Finish(reason, raw_reason=word, usage=usage, response=response, refusal=refusal, logprobs=logprobs)
        )
