"""Make the arguments of the tool that takes the answer the text of the answer, in the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, final

from attrs import evolve

from ..events import (
    Event,
    Finish,
    FinishReason,
    StepFinish,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
)
from ..messages import ToolCall

__all__ = ["ANSWER", "AnswerOfTool", "is_answered"]

#: The id of the block of text that the arguments become.
ANSWER: Final = "answer"


def is_answered(events: Iterable[Event]) -> bool:
    """Tell whether the tool that takes the answer was called, by the events of `AnswerOfTool`."""
    return any(type(event) is TextStart and event.id == ANSWER for event in events)


@final
class AnswerOfTool:
    """Turns the events of one answer, batch by batch, so that a call of one tool becomes the text.

    The arguments become text deltas as they are written, and the finish reason becomes ``stop``. What the model says
    beside the call is not part of the answer and is left out. Until it is known whether there is such a call, that text
    waits; it stays if there is none, or one of another tool comes first. Only the first call counts; those of other
    tools stay as they are.

    Args:
        name: the name of the tool.

    Example:
        >>> turned = AnswerOfTool("answer")
        >>> start, written = ToolInputStart("c1", "answer"), ToolInputDelta("c1", "answer", "[1")
        >>> turned.take([TextDelta("Here it is:"), start, written])
        [TextStart(id='answer', provider_metadata=None), TextDelta(text='[1', id='answer')]
    """

    __slots__ = ("_call", "_has_ended", "_held", "_hosted", "_ignored", "_name", "_written")

    def __init__(self, name: str) -> None:
        self._name = name
        self._held: list[Event] | None = []  # text that may be left out; None once that is decided
        self._call: str | None = None  # the id of the call that is the answer
        self._ignored: set[str] = set()  # ids of further calls of the tool
        self._hosted: set[str] = set()  # ids of calls that the provider answers itself, before the model goes on
        self._written: list[str] = []
        self._has_ended = False

    def take(self, events: Iterable[Event]) -> list[Event]:
        """Return the events that these stand for."""
        out: list[Event] = []
        for event in events:
            handler = _HANDLERS.get(type(event))
            if handler is None:
                out.append(event)
            else:
                handler(self, event, out)
        return out

    # Text

    def on_text(self, event: Event, out: list[Event]) -> None:
        """Take text, or the beginning or end of a block of it."""
        if self._held is not None:
            self._held.append(event)
        elif self._call is None:
            out.append(event)

    def _release(self, out: list[Event]) -> None:
        """Pass on the text that was held back."""
        held, self._held = self._held, None
        out += held or ()

    # The call

    def _takes(self, id: str, name: str, out: list[Event]) -> bool:
        """Tell whether an event belongs to the call that is the answer, which begins with its first one."""
        if id == self._call:
            return True
        if name != self._name or id in self._hosted:
            if id not in self._hosted:
                self._release(out)
            return False
        if self._call is not None:
            self._ignored.add(id)
            return False
        self._call = id
        self._held = None
        out.append(TextStart(ANSWER))
        return True

    def on_input(self, event: ToolInputStart | ToolInputDelta | ToolInputEnd, out: list[Event]) -> None:
        """Take some of the arguments of a call."""
        if isinstance(event, (ToolInputStart, ToolInputEnd)) and event.provider_executed:
            self._hosted.add(event.id)
        if not self._takes(event.id, event.name, out):
            if event.id not in self._ignored:
                out.append(event)
        elif type(event) is ToolInputDelta:
            self._write(event.text, out)

    def on_broken(self, event: ToolInputError, out: list[Event]) -> None:
        """Take arguments that are not JSON."""
        if self._takes(event.id, event.name, out):
            self._write_rest(event.raw, out)
            self._end(out)
        elif event.id not in self._ignored:
            out.append(event)

    def on_call(self, event: ToolCallEvent, out: list[Event]) -> None:
        """Take a whole call."""
        call = event.call
        if call.provider_executed:
            out.append(event)
        elif self._takes(call.id, call.name, out):
            self._write_rest(_arguments_of(call), out)
            self._end(out)
        elif call.id not in self._ignored:
            out.append(event)

    def _write(self, text: str, out: list[Event]) -> None:
        if text and not self._has_ended:
            self._written.append(text)
            out.append(TextDelta(text, ANSWER))

    def _write_rest(self, whole: str, out: list[Event]) -> None:
        """Write what of the whole arguments has not come yet; servers tell some of them only at the end."""
        written = "".join(self._written)
        if whole.startswith(written):
            self._write(whole[len(written) :], out)

    def _end(self, out: list[Event]) -> None:
        if not self._has_ended:
            self._has_ended = True
            out.append(TextEnd(ANSWER))

    # The end

    def on_finish(self, event: StepFinish | Finish, out: list[Event]) -> None:
        """Take the end of the answer."""
        self._release(out)
        if self._call is not None:
            self._end(out)
            if event.reason == "tool-calls":
                reason: FinishReason = "stop"
                event = evolve(event, reason=reason)
        out.append(event)


def _arguments_of(call: ToolCall) -> str:
    if call.raw_arguments is not None:
        return call.raw_arguments
    return json.dumps(call.arguments, ensure_ascii=False)


_HANDLERS: Final[dict[type, Callable[[AnswerOfTool, Any, list[Event]], None]]] = {
    TextStart: AnswerOfTool.on_text,
    TextDelta: AnswerOfTool.on_text,
    TextEnd: AnswerOfTool.on_text,
    ToolInputStart: AnswerOfTool.on_input,
    ToolInputDelta: AnswerOfTool.on_input,
    ToolInputEnd: AnswerOfTool.on_input,
    ToolInputError: AnswerOfTool.on_broken,
    ToolCallEvent: AnswerOfTool.on_call,
    StepFinish: AnswerOfTool.on_finish,
    Finish: AnswerOfTool.on_finish,
}
