"""Anthropic Messages, the protocol of Claude: stream events, thinking, tools of the server, stop reasons, usage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ...values.errors import IncompleteStream, InvalidProviderOutput, MelliteError
from ...values.events import (
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
)
from ...values.messages import ToolCall, ToolResult, ToolValue
from ...values.request import Request
from ...values.usage import Usage
from ...wire.protocol import Protocol
from ..error_answers import classify, read_event, read_whole
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import is_done, listed, shown, wrong
from ..tool_calls import NO_INPUT, parse_arguments
from .answer import (
    ID,
    AnthropicBlock,
    AnthropicMessage,
    AnthropicRaw,
    Block,
    TextPiece,
    ThinkingPiece,
    decode_plain,
    merged_usage,
    usage_of,
)
from .body import ANTHROPIC, OPTIONS, AnthropicDialect, lower
from .history import mend

__all__ = [
    "ANTHROPIC",
    "AnthropicBlock",
    "AnthropicDialect",
    "AnthropicMessage",
    "AnthropicRaw",
    "AnthropicState",
    "classify",
    "halt",
    "initial",
    "lower",
    "mend",
    "protocol",
    "step",
    "unary",
]


# Stream events


#: The events that may be nothing but a delta; "message" is the name of an event without one.
_DELTAS: Final = ("content_block_delta", "message")

#: What a delta of this type adds to, where no block has begun.
_BEGUN_BY: Final = {
    "citations_delta": "text",
    "signature_delta": "thinking",
    "text_delta": "text",
    "thinking_delta": "thinking",
}

#: What an event carries, by one of these names.
_PAYLOADS: Final = ("content_block", "delta", "message", "usage")

# Parser state


class AnthropicState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the stop reason has come, and no content since.
        done: the end of the message has come.
    """

    __slots__ = ("blocks", "broken", "complete", "done", "given", "message", "names", "past", "started", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.done = False
        self.started = False
        self.message: dict[str, Any] = {}  # all of it but the blocks and the usage
        self.usage: dict[str, Any] = {}
        self.given: list[Any] = []  # what the message began with, which counts if nothing else comes
        self.blocks: dict[int, Block] = {}
        self.past: list[Block] = []  # whose number was used again
        self.names: dict[str, str] = {}  # of the server's own calls, by id
        self.broken: list[ToolCall] = []  # calls that are no calls where the answer was cut short

    @property
    def counts(self) -> Usage | None:
        """What has been used so far."""
        return usage_of(self.usage) if self.usage else None

    def go_on(self) -> None:
        """Content has come: a stop reason before it was none."""
        if self.complete:
            self.complete = False
            self.message["stop_reason"] = None


def initial(request: Request) -> AnthropicState:  # noqa: ARG001 - other protocols need it
    """A fresh state for the answer to one request."""
    return AnthropicState()


# Reading a stream


def step(state: AnthropicState, data: bytes, event: str = "message") -> Sequence[Event]:
    """The events that one stream event stands for.

    Args:
        data: its JSON; or ``[DONE]``, which gateways send.
        event: its name.

    Raises:
        InvalidProviderOutput: for what is no event of this protocol.
        IncompleteStream: for the end of the message before a stop reason.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> delta = b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi!"}}'
        >>> step(state, delta)[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    if event in _DELTAS and not state.complete:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            pass  # more than a delta, or no JSON at all: the long way finds out
        else:
            block = state.blocks.get(plain.index)
            if block is not None and block.open:
                piece = plain.delta
                if type(piece) is TextPiece:
                    if block.kind == "text":
                        return _grow(block, piece.text)
                elif type(piece) is ThinkingPiece:
                    if block.kind == "thinking":
                        return _grow(block, piece.thinking)
                elif block.kind == "call":
                    return _grow(block, piece.partial_json)  # type: ignore[union-attr]
    return _take(state, data, event)


def halt(state: AnthropicState) -> Sequence[Event]:
    """What the end of the stream stands for, where no ``message_stop`` came.

    Raises:
        IncompleteStream: if no stop reason came either.
    """
    return _concluded(state)


def _take(state: AnthropicState, data: bytes, event: str) -> Sequence[Event]:
    if is_done(data):
        return _concluded(state)
    try:
        value = read_event(data, event, known=_PAYLOADS)
    except MelliteError as error:
        error.usage = state.counts
        raise
    if value is None:
        return ()
    kind = value.get("type")
    handler = _HANDLERS.get(kind if isinstance(kind, str) else event)
    events: list[Event] = []
    if handler is not None:
        handler(state, value, events)
    if value.get("usage"):  # in every delta (Dynamo), not only in that of the message
        _note(state, {"usage": value["usage"]})
    return events


def _on_message_start(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:
    message = value.get("message")
    if not isinstance(message, dict):
        raise wrong(message, "the message of a message_start", "an object")
    _note(state, {name: field for name, field in message.items() if name != "content"})
    state.given = listed(message.get("content"), "the content of a message")
    _identify(message, events)


def _on_block_start(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:
    fields = value.get("content_block")
    if not isinstance(fields, dict):
        raise wrong(fields, "a content_block", "an object")
    _begin_block(state, _index(value), fields, events)


def _on_block_delta(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:
    delta, index = value.get("delta", 0), _index(value)
    if delta is None:
        return  # it says nothing
    if not isinstance(delta, dict):
        raise wrong(delta, "a delta", "an object")
    kind = str(delta.get("type"))
    block = state.blocks.get(index)
    if block is None or not block.open:
        begun = _BEGUN_BY.get(kind)
        if begun is None:
            msg = f"a delta of the type {shown(kind)} for block {index}, which is not open"
            raise InvalidProviderOutput(msg)
        block = _begin_block(state, index, {"type": begun}, events)
    elif kind in _FITS and block.kind != _FITS[kind]:
        msg = f"a delta of the type {kind!r} for block {index}, which is of the type {shown(block.type)}"
        raise InvalidProviderOutput(msg)
    piece = block.piece(delta)
    if piece:
        state.go_on()
    events += _grow(block, piece)


_FITS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "call"}


def _on_block_stop(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:
    block = state.blocks.get(_index(value))
    if block is not None:
        _end_block(state, block, events)


def _on_message_delta(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:  # noqa: ARG001
    delta = value.get("delta") or {}
    if not isinstance(delta, dict):
        raise wrong(delta, "the delta of a message", "an object")
    _note(state, delta)
    _note(state, {name: field for name, field in value.items() if name not in ("delta", "type", "usage")})


def _on_message_stop(state: AnthropicState, value: Mapping[str, Any], events: list[Event]) -> None:  # noqa: ARG001
    events += _concluded(state)


_HANDLERS: Final[dict[Any, Callable[[AnthropicState, Mapping[str, Any], list[Event]], None]]] = {
    "content_block_delta": _on_block_delta,
    "content_block_start": _on_block_start,
    "content_block_stop": _on_block_stop,
    "message_delta": _on_message_delta,
    "message_start": _on_message_start,
    "message_stop": _on_message_stop,
}


def _note(state: AnthropicState, fields: Mapping[str, Any]) -> None:
    """Take over what is said of the whole message; what was known stays where nothing is said."""
    reason = fields.get("stop_reason")
    if reason is not None and not isinstance(reason, str):
        raise wrong(reason, "stop_reason", "a text")
    for name, value in fields.items():
        if name == "usage":
            if isinstance(value, dict):
                state.usage = merged_usage(state.usage, value)
        elif value is not None or name not in state.message:
            state.message[name] = value
    state.complete = state.complete or bool(reason and not is_unfinished(reason))


def _identify(message: Mapping[str, Any], events: list[Event]) -> None:
    """Say which answer of which model this is."""
    id, model = message.get("id"), message.get("model")
    id = id if isinstance(id, str) and id else None
    model = model if isinstance(model, str) and model else None
    if id or model:
        events.append(ResponseStart(response_id=id, response_model=model))


def _index(value: Mapping[str, Any]) -> int:
    index = value.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise wrong(index, "the index of a block", "a number")
    return index


# Blocks


def _begin_block(state: AnthropicState, index: int, fields: Mapping[str, Any], events: list[Event]) -> Block:
    before = state.blocks.get(index)
    if before is not None:
        _end_block(state, before, events)
        state.past.append(before)
        del state.blocks[index]
    _begin(state, events)
    block = state.blocks[index] = Block(index, fields)
    first = block.first_piece()
    if first or block.kind not in ("text", "thinking"):
        state.go_on()
    if block.kind == "text":
        events.append(TextStart(block.event_id))
    elif block.kind == "thinking":
        events.append(ReasoningStart(block.event_id))
    elif block.kind == "call":
        _begin_call(state, block, events)
    events += _grow(block, first)
    return block


def _begin_call(state: AnthropicState, block: Block, events: list[Event]) -> None:
    name, id = block.fields.get("name"), block.fields.get("id")
    if not isinstance(name, str) or not name:
        raise wrong(name, "the name of a tool call", "a text")
    if not isinstance(id, str) or not id:  # a call needs one, to be answered
        id = block.fields["id"] = f"toolu_{state.message.get('id')}_{block.index}"
    block.event_id = id
    if block.hosted:
        state.names[id] = name
    events.append(ToolInputStart(id, name, provider_executed=block.hosted))


def _grow(block: Block, text: str) -> Sequence[Event]:
    """A piece more of a block; hosts do send empty ones."""
    if not text:
        return ()
    block.pieces.append(text)
    if block.kind == "text":
        return (TextDelta(text, block.event_id),)
    if block.kind == "thinking":
        return (ReasoningDelta(text, block.event_id),)
    return (ToolInputDelta(block.event_id, block.fields["name"], text),)


def _end_block(state: AnthropicState, block: Block, events: list[Event]) -> None:
    if not block.open:
        return
    block.open = False
    if block.kind == "text":
        events.append(TextEnd(block.event_id, provider_metadata=block.noted("type")))
    elif block.kind == "thinking":
        events.append(ReasoningEnd(block.event_id, provider_metadata=block.noted("type")))
    elif block.kind == "call":
        _end_call(state, block, events)
    elif block.kind == "result":
        events.append(_result(state, block))
    else:  # redacted thinking, and what is new: no part of a message can hold it, but it has to come back
        redacted = block.type == "redacted_thinking"
        known = {"redacted_data": block.fields.get("data")} if redacted else {"block": block.fields}
        events.append(ReasoningStart(block.event_id))
        events.append(ReasoningEnd(block.event_id, provider_metadata={"anthropic": known}))


def _end_call(state: AnthropicState, block: Block, events: list[Event]) -> None:
    id, name, hosted = block.event_id, block.fields["name"], block.hosted
    if block.given and block.raw.strip() in NO_INPUT:  # no delta brought the input, which it began with
        events += _grow(block, block.given)
    raw = block.raw
    metadata = block.noted("id", "name", *([] if hosted else ["type"]))
    events.append(ToolInputEnd(id, name, provider_executed=hosted, provider_metadata=metadata))
    try:
        arguments = parse_arguments(raw)
    except InvalidProviderOutput:
        events.append(ToolInputError(id, name, raw=raw))
        broken = ToolCall(id, name, None, raw_arguments=raw, provider_executed=hosted, provider_metadata=metadata)
        state.broken.append(broken)
        return
    call = ToolCall(id, name, arguments, raw_arguments=raw, provider_executed=hosted, provider_metadata=metadata)
    events.append(ToolCallEvent(call))


def _result(state: AnthropicState, block: Block) -> ToolResultEvent:
    """What a tool of the server gave; its call may stand in an earlier answer, where the turn was paused."""
    fields = block.fields
    id, content = str(fields.get("tool_use_id") or ""), fields.get("content")
    name = state.names.get(id) or block.type.removesuffix("_tool_result")
    failed = isinstance(content, dict) and str(content.get("type")).endswith("_tool_result_error")
    value = ToolValue("error" if failed or fields.get("is_error") else "json", content)
    known = block.noted("content", "tool_use_id")
    return ToolResultEvent(ToolResult(id, name, value, provider_executed=True, provider_metadata=known))


# The end


def _begin(state: AnthropicState, events: list[Event]) -> None:
    if not state.started:
        state.started = True
        events.append(StepStart())


def _concluded(state: AnthropicState, answer: dict[str, Any] | None = None) -> Sequence[Event]:
    """The events that end an answer; `answer` if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no stop reason.
    """
    word, counts = state.message.get("stop_reason"), state.counts
    if (not word or is_unfinished(word)) and answer is None:
        what = "broke off before its stop reason" if state.message or state.started else "ended before it began"
        msg = f"the answer {what}; what came of it is in .partial"
        raise IncompleteStream(msg, usage=counts)
    events: list[Event] = []
    _begin(state, events)
    if not state.blocks:  # a gateway put all of it into the beginning
        _take_content(state, state.given, events)
    for block in state.blocks.values():
        _end_block(state, block, events)
    if not is_cut_short(word):
        events += [ToolCallEvent(call) for call in state.broken]
    blocks = [*state.past, *[state.blocks[index] for index in sorted(state.blocks)]]
    reason = finish_reason(word, calls=any(block.type == "tool_use" for block in blocks), usage=counts)
    state.complete = state.done = True
    events.append(StepFinish(0, reason=reason, raw_reason=word, usage=counts))
    if answer is None:
        answer = {**state.message, "content": [block.finished() for block in blocks]}
        if state.usage:
            answer["usage"] = state.usage
    refusal = _explanation(state.message.get("stop_details")) if word == "refusal" else None
    events.append(Finish(reason, raw_reason=word, usage=counts, response=answer, refusal=refusal))
    return events


def _explanation(details: Any) -> str | None:
    text = details.get("explanation") if isinstance(details, dict) else None
    return text if isinstance(text, str) and text else None


# An answer in one piece


def unary(body: bytes) -> Sequence[Event]:
    """The events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is no message.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"content": [{"type": "text", "text": "Hi!"}], "stop_reason": "end_turn"}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=("content",))
    content = answer.get("content") if isinstance(answer, dict) else None
    if content is None and isinstance(answer, dict) and answer.get("stop_reason"):
        content = []  # refused, or filtered, before anything was said
    if not isinstance(content, list):
        raise wrong(answer, "the answer", "a message with content")
    state = AnthropicState()
    events: list[Event] = []
    _note(state, {name: field for name, field in answer.items() if name not in ("content", "stop_reason")})
    _identify(answer, events)
    _take_content(state, content, events)
    _note(state, {"stop_reason": answer.get("stop_reason")})
    events += _concluded(state, answer)
    return events


def _take_content(state: AnthropicState, content: Sequence[Any], events: list[Event]) -> None:
    """Read whole blocks."""
    for index, fields in enumerate(content):
        if not isinstance(fields, dict):
            raise wrong(fields, "a block of the content", "an object")
        _end_block(state, _begin_block(state, index, fields, events), events)


# What all of it makes


def protocol(dialect: AnthropicDialect = ANTHROPIC) -> Protocol[AnthropicState]:
    """Anthropic Messages as one company speaks it.

    Example:
        >>> protocol().id
        'anthropic-messages'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=partial(lower, dialect=dialect),
        initial=initial,
        step=step,
        halt=halt,
        unary=unary,
        classify=classify,
        mend=mend,
    )
