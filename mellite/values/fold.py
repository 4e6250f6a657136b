"""Fold the events of an answer into its text, thinking, tool calls, message and usage. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

from attrs import define, field, fields_dict, frozen

from .events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
    Usage,
)
from .filling import copier
from .json_texts import strict_json
from .messages import Part, ProviderMetadata, Reasoning, Text, ToolCall
from .provider_json import Json
from .text_run import TextRun, text_run

__all__ = ["Folded", "fold"]


@frozen(kw_only=True)
class Folded:
    """The content of all events, taken together.

    An answer of several steps, as `mellite.run` gives, is read as its last step: text, message, calls and start are of
    that one, only the usage is of all.

    Args:
        text: the text deltas, joined.
        thinking: the thinking deltas, joined; None if there was none.
        parts: the parts of the assistant's message, in order of appearance.
        tool_calls: the tool calls; one whose arguments never became whole has ``arguments=None``. Where no event has
            the whole call, its arguments are read once they have ended, or the answer has.
        usage: the last usage that says anything.
        start: what is known of the response, merged over all `ResponseStart` events.
        finish: how it ended; None if it broke off.
        step: how the last step ended, if the provider said so before it broke off.
        run: the text deltas, where they are all there is.
        earlier: text and thinking of the steps before the last one.
    """

    text: str
    thinking: str | None
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None
    start: ResponseStart
    finish: Finish | None
    step: StepFinish | None = None
    run: TextRun | None = field(default=None, eq=False, repr=False)
    earlier: tuple[str, str] = field(default=("", ""), repr=False)


@define
class _Block:
    """One block of text or thinking while it grows."""

    kind: type[Text | Reasoning]
    pieces: list[str] = field(factory=list)
    metadata: dict[str, Mapping[str, Json]] | None = None

    def note(self, metadata: ProviderMetadata | None) -> None:
        if metadata:
            known = self.metadata = self.metadata or {}
            for provider, facts in metadata.items():
                known[provider] = {**known.get(provider, {}), **facts}

    def part(self) -> Part | None:
        text = "".join(self.pieces)
        if not text and not self.metadata:
            return None
        return self.kind(text, provider_metadata=self.metadata)


@define
class _Input:
    """The arguments of one tool call while they are written."""

    id: str
    name: str
    provider_executed: bool = False
    pieces: list[str] = field(factory=list)
    whole: ToolCall | None = None
    is_ended: bool = False
    has_failed: bool = False

    def call(self) -> ToolCall:
        if self.whole is not None:
            return self.whole
        raw = "".join(self.pieces)
        arguments = _decoded(raw) if self.is_ended and not self.has_failed else None
        return ToolCall(self.id, self.name, arguments, raw_arguments=raw, provider_executed=self.provider_executed)


def _decoded(raw: str) -> Json:
    """Return the arguments that have been written out; None if that is not JSON."""
    try:
        return strict_json(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        return None


class _Folder:
    """The running state of one fold; `_HANDLERS` says which method takes which kind of event."""

    __slots__ = ("blocks", "finish", "has_steps", "inputs", "order", "spent", "start", "step", "usage")

    def __init__(self) -> None:
        self.order: list[_Block | _Input | Part] = []
        self.blocks: dict[tuple[type, str], _Block] = {}
        self.inputs: dict[str, _Input] = {}
        self.usage: Usage | None = None
        self.start = _NOTHING_KNOWN
        self.finish: Finish | None = None
        self.step: StepFinish | None = None
        self.has_steps = False  # one behind another
        self.spent: Usage | None = None  # by the steps before this one

    def block(self, kind: type[Text | Reasoning], id: str) -> _Block:
        """Return the open block of a kind with an id; begin one if there is none."""
        if (kind, id) in self.blocks:
            return self.blocks[kind, id]
        block = self.blocks[kind, id] = _Block(kind)
        self.order.append(block)
        return block

    def on_text_start(self, event: TextStart) -> None:
        block = self.block(Text, event.id)
        if event.provider_metadata:
            block.note(event.provider_metadata)

    def on_reasoning_start(self, event: ReasoningStart) -> None:
        self.block(Reasoning, event.id).note(event.provider_metadata)

    def _end(self, kind: type[Text | Reasoning], event: TextEnd | ReasoningEnd) -> None:
        block = self.block(kind, event.id)
        if event.provider_metadata:
            block.note(event.provider_metadata)
        del self.blocks[kind, event.id]  # the same id again is a new block

    def on_text_end(self, event: TextEnd) -> None:
        self._end(Text, event)

    def on_reasoning_end(self, event: ReasoningEnd) -> None:
        self._end(Reasoning, event)

    def on_input_start(self, event: ToolInputStart) -> None:
        if event.id not in self.inputs:
            self.inputs[event.id] = written = _Input(event.id, event.name, event.provider_executed)
            self.order.append(written)

    def on_input(self, event: ToolInputDelta) -> None:
        written = self.inputs.get(event.id)
        if written is None:
            self.inputs[event.id] = written = _Input(event.id, event.name)
            self.order.append(written)
        written.pieces.append(event.text)

    def on_input_error(self, event: ToolInputError) -> None:
        self.on_input_start(ToolInputStart(event.id, event.name))
        written = self.inputs[event.id]
        written.pieces[:] = [event.raw]
        written.has_failed = True  # whatever it looks like: the protocol knows better

    def on_input_end(self, event: ToolInputEnd) -> None:
        written = self.inputs.get(event.id)
        if written is not None:
            written.is_ended = True

    def on_call(self, event: ToolCallEvent) -> None:
        written = self.inputs.pop(event.call.id, None)
        if written is None:
            self.order.append(event.call)
        else:
            written.whole = event.call

    def on_result(self, event: ToolResultEvent) -> None:
        if self.step is None:  # else the step is over: what ran then ran here, and is not part of the answer
            self.order.append(event.result)

    def on_start(self, event: ResponseStart) -> None:
        self.start = event if self.start is _NOTHING_KNOWN else merge_starts(self.start, event)

    def on_step_start(self, event: StepStart) -> None:
        self.step = None
        if event.index:
            self.has_steps = True
            self.order, self.blocks, self.inputs = [], {}, {}
            self.start = _NOTHING_KNOWN
            self.spent, self.usage = self._used(), None

    def _used(self) -> Usage | None:
        """Return what all steps so far have used."""
        if self.spent is None or self.usage is None:
            return self.usage if self.spent is None else self.spent
        return self.spent + self.usage

    def on_step_finish(self, event: StepFinish) -> None:
        self.step = event
        self._use(event.usage)

    def _use(self, usage: Usage | None) -> None:
        if usage is not None and usage is not self.usage:
            self.usage = usage if self.usage is None else usage.replacing(self.usage)

    def on_finish(self, event: Finish) -> None:
        self.finish = event
        if event.usage is not None:
            self.spent = None  # it counts all steps
        self._use(event.usage)

    def folded(self, text: str, thinking: str | None, earlier: tuple[str, str] = ("", "")) -> Folded:
        if self.finish is not None and self.finish.reason in ("stop", "tool-calls"):
            for written in self.inputs.values():
                written.is_ended = True
        parts: list[Part] = []
        calls: list[ToolCall] = []
        for item in self.order:
            part = item.part() if isinstance(item, _Block) else item.call() if isinstance(item, _Input) else item
            if part is None:
                continue
            parts.append(part)
            if isinstance(part, ToolCall):
                calls.append(part)
        return Folded(
            text=text,
            thinking=thinking,
            parts=tuple(parts),
            tool_calls=tuple(calls),
            usage=self._used(),
            start=self.start,
            finish=self.finish,
            step=self.step,
            earlier=earlier,
        )


_HANDLERS: Final[dict[type, Callable[[_Folder, Any], None]]] = {
    TextStart: _Folder.on_text_start,
    TextEnd: _Folder.on_text_end,
    ReasoningStart: _Folder.on_reasoning_start,
    ReasoningEnd: _Folder.on_reasoning_end,
    ToolInputStart: _Folder.on_input_start,
    ToolInputDelta: _Folder.on_input,
    ToolInputEnd: _Folder.on_input_end,
    ToolInputError: _Folder.on_input_error,
    ToolCallEvent: _Folder.on_call,
    ToolResultEvent: _Folder.on_result,
    ResponseStart: _Folder.on_start,
    StepStart: _Folder.on_step_start,
    StepFinish: _Folder.on_step_finish,
    Finish: _Folder.on_finish,
}

#: Of so many events, those that are deltas are not worth being looked for.
_FEW: Final = 32

#: What says something of an answer, and is not part of it.
_APART: Final = frozenset({Finish, ResponseStart, StepFinish, StepStart})

#: The blocks that deltas belong to.
_BLOCKS: Final[dict[type, type[Text | Reasoning]]] = {TextDelta: Text, ReasoningDelta: Reasoning}

_NOTHING_KNOWN: Final = ResponseStart()
_START_FIELDS: Final = tuple(fields_dict(ResponseStart))
_facts_of: Final[Callable[[ResponseStart], tuple[Any, ...]]] = attrgetter(*_START_FIELDS)
_copied: Final = copier(ResponseStart)


def merge_starts(known: ResponseStart, later: ResponseStart) -> ResponseStart:
    """Merge two `ResponseStart` events; values of the later one win where they are not None."""
    # Every answer has two of them: `attrs.evolve` takes five times as long.
    said = {name: fact for name, fact in zip(_START_FIELDS, _facts_of(later), strict=True) if fact is not None}
    return _copied(known, said)


def fold(events: Iterable[Event]) -> Folded:
    """Fold all events of an answer, in time linear in their number. An answer that broke off folds, too.

    Example:
        >>> from mellite.events import Finish, TextDelta
        >>> fold([TextDelta("Hel"), TextDelta("lo."), Finish("stop")]).text
        'Hello.'
    """
    events = events if type(events) is list else list(events)
    run = text_run(events) if len(events) > _FEW else None
    return _folded(events) if run is None else _folded_run(run)


def _folded_run(run: TextRun) -> Folded:
    """Fold an answer that is one text."""
    folder = _Folder()
    for event in (*run.before, *run.behind):
        kind = type(event)
        if kind in _APART:
            _HANDLERS[kind](folder, event)
    text = "".join(run.texts)
    return Folded(
        text=text,
        thinking=None,
        parts=(Text(text),) if text else (),
        tool_calls=(),
        usage=folder.usage,
        start=folder.start,
        finish=folder.finish,
        step=folder.step,
        run=run,
    )


def _folded(events: list[Event]) -> Folded:
    folder = _Folder()
    handlers = _HANDLERS
    flowing: str = ""
    block: _Block | None = None  # to which the last delta went, as the next one mostly does
    for event in events:
        kind = type(event)
        if kind is TextDelta or kind is ReasoningDelta:
            id: str = event.id  # type: ignore[union-attr]
            of = _BLOCKS[kind]
            if block is None or id != flowing or block.kind is not of:
                flowing, block = id, folder.block(of, id)
            block.pieces.append(event.text)  # type: ignore[union-attr]
        elif kind in handlers:
            handlers[kind](folder, event)
            block = None  # it may have ended
    if not folder.has_steps:
        return folder.folded(*_said(events))
    last = max([index for index, event in enumerate(events) if type(event) is StepStart and event.index])
    text, thinking = _said(events[:last])
    return folder.folded(*_said(events[last:]), earlier=(text, thinking or ""))


def _said(events: list[Event]) -> tuple[str, str | None]:
    """Join the text deltas, and the thinking deltas; None if there are none of these."""
    texts = [event.text for event in events if type(event) is TextDelta]
    thoughts = [event.text for event in events if type(event) is ReasoningDelta]
    return "".join(texts), "".join(thoughts) if thoughts else None
