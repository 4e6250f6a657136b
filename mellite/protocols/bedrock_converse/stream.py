"""Bedrock's Converse, one protocol for the models of many companies on AWS: stream events, stop reasons, exceptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...values.errors import IncompleteStream, InvalidProviderOutput, MelliteError
from ...values.events import Event, Finish, ReasoningDelta, StepFinish, TextDelta, ToolCallEvent, ToolInputDelta
from ...values.request import Request
from ...wire.protocol import Protocol
from ..error_answers import answered, classify as classify_any, decoded, failure_of
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import decode_json, listed, wrong
from .answer import ID, BedrockConverseRaw, Block, ConverseResponse, PlainDelta, decode_plain
from .body import OPTIONS, lower, mend
from .state import ConverseState

__all__ = [
    "BedrockConverseRaw",
    "ConverseResponse",
    "ConverseState",
    "classify",
    "halt",
    "initial",
    "lower",
    "mend",
    "protocol",
    "step",
    "unary",
]


# Parser state


def initial(request: Request) -> ConverseState:  # noqa: ARG001 - other protocols need it
    """A fresh state for the answer to one request."""
    return ConverseState()


# Reading a stream


def step(state: ConverseState, data: bytes, event: str = "") -> Sequence[Event]:  # noqa: ARG001 - the name is in the data
    """The events that one stream event stands for.

    Args:
        data: its JSON under its name, as in ``{"contentBlockDelta": {...}}``.
        event: its name, once more.

    Raises:
        InvalidProviderOutput: for what is no event of an answer.
        MelliteError: of the kind that an exception inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> step(state, b'{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi!"}}}')[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    block = state.flowing
    if block is not None:
        try:
            plain = decode_plain(data).content_block_delta
        except (ValueError, RecursionError):
            pass  # more than a delta, or no JSON at all: the long way finds out
        else:
            if plain.content_block_index == state.index:
                flowed = _flowed(block, plain.delta)
                if flowed is not None:
                    return (flowed,)
    try:
        value = decoded(data)
        if value is not None and (not isinstance(value, dict) or not any(name.endswith("Exception") for name in value)):
            value = answered(value, "a stream event", known=_HANDLERS)
    except MelliteError as error:
        error.usage = state.usage
        raise
    return () if value is None else _take(state, value)


def _flowed(block: Block, delta: PlainDelta) -> Event | None:
    """More of the block that is flowing; None if it is not only that."""
    text, thought, input = delta.text, delta.reasoning_content, delta.tool_use
    if block.kind == "text":
        if text and thought is None and input is None:
            block.pieces.append(text)
            return TextDelta(text, block.id)
    elif block.kind == "reasoning":
        if thought is not None and thought.text and text is None and input is None:
            block.pieces.append(thought.text)
            return ReasoningDelta(thought.text, block.id)
    elif input is not None and input.input and text is None and thought is None:
        block.pieces.append(input.input)
        return ToolInputDelta(block.id, block.name, input.input)
    return None


def halt(state: ConverseState) -> Sequence[Event]:
    """What the end of the stream stands for, where no usage came.

    Raises:
        IncompleteStream: if no stop reason came either.
    """
    return _concluded(state)


def _take(state: ConverseState, event: Mapping[str, Any]) -> Sequence[Event]:
    events: list[Event] = []
    for name, value in event.items():
        if _is_failure(name):
            error = _failure(name, value)
            error.usage = state.usage
            raise error
        if value is None:
            continue  # says nothing
        if not isinstance(value, dict):
            raise wrong(value, f"the event {name!r}", "a JSON object")
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(state, value, events)
        else:
            state.merged.add({name: value})
    return events


def _is_failure(name: str) -> bool:
    return name == "error" or name.endswith("Exception")


def _on_message_start(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    state.merged.begin(value)
    state.begin(events)


def _on_block_start(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    index = _index(value)
    start = value.get("start") or {}
    if not isinstance(start, dict):
        raise wrong(start, "the start of a block", "a JSON object")
    for kind, facts in start.items():
        if not isinstance(facts, dict):
            raise wrong(facts, f"the start of a {kind}", "a JSON object")
        state.close(index, events)
        if kind in ("text", "reasoningContent"):
            continue  # begins with its first delta
        state.begin_block(index, kind, facts, events)


def _on_block_delta(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    index = _index(value)
    delta = value.get("delta") or {}
    if not isinstance(delta, dict):
        raise wrong(delta, "a delta", "a JSON object")
    for kind, more in delta.items():
        if kind == "text":
            state.add_text(index, more, events)
        elif kind == "reasoningContent":
            state.add_thinking(index, more, events)
        elif kind == "citation":
            state.block(index, "text", events).parts.append(more)
        elif kind == "toolUse":
            state.add_input(index, more, events)
        elif kind == "toolResult":
            state.block(index, kind, events).parts += more if isinstance(more, list) else [more]
        else:
            state.block(index, kind, events).parts.append(more)


def _on_block_stop(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    state.close(_index(value), events)


def _on_message_stop(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    word = value.get("stopReason")
    if not isinstance(word, str) or not word:
        raise wrong(word, "stopReason", "a text")
    if is_unfinished(word):
        return
    state.stop_word = word
    state.complete = True
    state.flowing, state.index = None, -1  # what comes now has to be looked at
    state.merged.add(value)
    if state.usage is not None:
        events += _concluded(state)


def _on_metadata(state: ConverseState, value: Mapping[str, Any], events: list[Event]) -> None:
    state.merged.add(value)
    state.use(value.get("usage"))
    if state.complete:
        events += _concluded(state)


_HANDLERS: Final[dict[str, Callable[[ConverseState, Mapping[str, Any], list[Event]], None]]] = {
    "contentBlockDelta": _on_block_delta,
    "contentBlockStart": _on_block_start,
    "contentBlockStop": _on_block_stop,
    "messageStart": _on_message_start,
    "messageStop": _on_message_stop,
    "metadata": _on_metadata,
}


def _index(value: Mapping[str, Any]) -> int:
    index = value.get("contentBlockIndex", 0)
    if not isinstance(index, int):
        raise wrong(index, "contentBlockIndex", "a number")
    return index


def _concluded(state: ConverseState, answer: dict[str, Any] | None = None) -> Sequence[Event]:
    """The events that end an answer; `answer` if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no stop reason.
    """
    word = state.stop_word
    if not word and answer is None:
        what = "broke off before its stop reason" if state.started else "ended before it began"
        msg = f"the answer {what}; what came of it is in .partial"
        raise IncompleteStream(msg, usage=state.usage)
    events: list[Event] = []
    state.begin(events)
    state.close_all(events)
    if not is_cut_short(word):  # else a call that is not whole is no call
        events += [ToolCallEvent(call) for call in state.broken]
    calls = any(block.kind == "toolUse" and not block.is_hosted for block in state.merged.blocks)
    reason = finish_reason(word, calls=calls, usage=state.usage)
    state.complete = state.done = True
    if answer is None:
        answer = state.merged.finished()
    events.append(StepFinish(0, reason=reason, raw_reason=word, usage=state.usage))
    events.append(Finish(reason, raw_reason=word, usage=state.usage, response=answer))
    return events


# An answer in one piece


def unary(body: bytes) -> Sequence[Event]:
    """The events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is no answer of Converse.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"output": {"message": {"content": [{"text": "Hi!"}]}}, "stopReason": "end_turn"}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = decoded(body, whole=True)
    output = answer.get("output") if isinstance(answer, dict) else None
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if content is None and isinstance(output, dict) and answer.get("stopReason"):
        content = []  # a guardrail let nothing through
    if not isinstance(content, list):
        if isinstance(answer, dict) and output is None and ("message" in answer or "__type" in answer):
            raise failure_of(_error_value(answer, {}), whole=True)
        if output is None:
            answered(answer, "the answer", whole=True)
        raise wrong(answer, "the answer", "an answer of Converse with an output")
    state = ConverseState()
    events: list[Event] = []
    state.begin(events)
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise wrong(block, "a block", "a JSON object")
        _on_whole_block(state, index, block, events)
        state.close(index, events)
    word = answer.get("stopReason")
    if word is not None and not isinstance(word, str):
        raise wrong(word, "stopReason", "a text")
    state.stop_word = word
    state.use(answer.get("usage"))
    events += _concluded(state, answer)
    return events


def _on_whole_block(state: ConverseState, index: int, block: Mapping[str, Any], events: list[Event]) -> None:
    """One block of an answer in one piece, by way of the deltas that it would have come in."""
    for kind, value in block.items():
        if kind == "text":
            state.add_text(index, value, events)
        elif kind == "citationsContent" and isinstance(value, dict):
            for part in listed(value.get("content"), "the content of citations"):
                state.add_text(index, part.get("text", "") if isinstance(part, dict) else part, events)
            state.block(index, "text", events).parts += listed(value.get("citations"), "citations")
        elif kind == "reasoningContent" and isinstance(value, dict):
            state.add_thinking(index, value.get("reasoningText", value), events)
        elif kind == "toolUse" and isinstance(value, dict):
            state.begin_block(index, kind, value, events)
        elif kind == "toolResult" and isinstance(value, dict):
            facts = {name: fact for name, fact in value.items() if name != "content"}
            state.begin_block(index, kind, facts, events).parts += listed(
                value.get("content"), "the content of a result"
            )


# Errors


def classify(status: int, headers: Mapping[str, str], body: bytes) -> MelliteError:
    """The error that an HTTP error answer stands for; AWS names its type in a header.

    Example:
        >>> classify(400, {"x-amzn-errortype": "ThrottlingException"}, b'{"message": "Too many tokens, please wait."}')
        RateLimited('HTTP 400: Too many tokens, please wait.')
    """
    try:
        value = decode_json(body)
    except InvalidProviderOutput:
        value = None
    if not isinstance(value, dict):
        return classify_any(status, headers, body)
    return failure_of(_error_value(value, headers), status=status, headers=headers)


def _failure(name: str, value: Any) -> MelliteError:
    """The error that an exception inside the stream stands for."""
    if isinstance(value, str):
        return failure_of(value)
    facts = value if isinstance(value, dict) else {}
    return failure_of(_error_value({**facts, "__type": facts.get("code") or name}, {}))


def _error_value(value: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """What AWS says of an error, in the words that others use; those of others stay what they are."""
    kind = headers.get("x-amzn-errortype") or value.get("__type") or value.get("code")
    kind = kind.partition(":")[0].rpartition("#")[2] if isinstance(kind, str) else None
    message = value.get("message") or value.get("Message") or ""
    behind = value.get("originalMessage")  # what the model's own host said
    if isinstance(behind, str) and behind and behind not in str(message):
        message = f"{message}: {behind}" if message else behind
    others = {name: item for name, item in value.items() if name not in ("Message", "__type", "originalMessage")}
    return {**others, **({"code": kind} if kind else {}), **({"message": message} if message else {})}


# What all of it makes


def protocol() -> Protocol[ConverseState]:
    """Converse.

    Example:
        >>> protocol().id
        'bedrock-converse'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=lower,
        initial=initial,
        step=step,
        halt=halt,
        unary=unary,
        classify=classify,
        mend=mend,
    )
